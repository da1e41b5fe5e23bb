//! Rules that a type does not express: for texts, and between settings.

use std::net::IpAddr;

use super::{door::ProxyProtocol, duration, fault::Problem, namespaces, settings::Settings, token_rules};

/// Gives the text back when it keeps the rule.
pub(super) type TextRule = fn(&str) -> Result<&str, Problem>;

/// Paths that the server serves besides the endpoint of the protocol, and what lies below them.
const OTHER_ENDPOINTS: [&str; 7] =
    ["/relay", "/echo", "/health", "/metrics", "/style.css", "/chat.js", "/icon.svg"];

/// A rule between keys that the settings break.
#[derive(Debug, PartialEq)]
pub(super) struct Broken {
    /// The key to name.
    pub(super) key: String,
    /// The other keys that take part.
    pub(super) others: Vec<String>,
    pub(super) problem: Problem,
}

/// Checks the rules between settings, each of which is by itself a value that its key takes.
pub(super) fn between(settings: &Settings) -> Vec<Broken> {
    let mut broken = Vec::new();
    let is_open = !settings.listens_on_loopback() && !settings.checks_tokens();
    if is_open && !settings.client.allow_anonymous_connect_without_token {
        let found = settings.http_server.address.to_string();
        let key = "http_server.address".to_owned();
        broken.push(Broken { key, others: Vec::new(), problem: Problem::Open { found } });
    }
    broken.extend(whoever_connects(settings));
    broken
}

/// Checks the rules that hold also where an application decides who may connect.
pub(super) fn whoever_connects(settings: &Settings) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut refuse = |key: &str, other: Option<&str>, problem| {
        let others = other.into_iter().map(str::to_owned).collect();
        broken.push(Broken { key: key.to_owned(), others, problem });
    };

    match (settings.client.ping_interval, settings.client.pong_timeout) {
        (Some(interval), Some(timeout)) if timeout >= interval => {
            let other = "client.ping_interval";
            let (found, other_found) = (duration::show(timeout), duration::show(interval));
            refuse("client.pong_timeout", Some(other), Problem::NotBelow { found, other, other_found });
        }
        (None, Some(_)) => {
            refuse("client.pong_timeout", Some("client.ping_interval"), Problem::PongWithoutPing);
        }
        (Some(_) | None, _) => {}
    }
    if let Some(other) = hidden_endpoint(&settings.websocket.handler_prefix) {
        let found = settings.websocket.handler_prefix.clone();
        refuse("websocket.handler_prefix", None, Problem::Collision { found, other });
    }
    if settings.http_api_enabled() {
        api(settings, &mut refuse);
    }
    proxy(settings, &mut refuse);
    for (key, size, other, limit, why) in [
        (
            "websocket.message_size_limit",
            settings.websocket.message_size_limit,
            "client.queue_max_size",
            settings.client.queue_max_size,
            "so that one message would disconnect every subscriber as slow",
        ),
        (
            "relay.message_size_limit",
            settings.relay.message_size_limit,
            "client.queue_max_size",
            settings.client.queue_max_size,
            "so that one message would disconnect the whole room as slow",
        ),
        (
            "client.queue_max_size",
            settings.client.queue_max_size,
            "shards.backlog_max_size",
            settings.shards.backlog_max_size,
            "so that no client could ever use what it may",
        ),
    ] {
        if size > limit {
            let (found, other_found) = (size.to_string(), limit.to_string());
            refuse(key, Some(other), Problem::Above { found, other, other_found, why });
        }
    }
    limits(settings, &mut refuse);
    broken.extend(token_rules::broken(settings));
    let of_tls = |(key, problem)| Broken { key, others: Vec::new(), problem };
    broken.extend(crate::tls::check(&settings.http_server.tls).into_iter().map(of_tls));
    broken.extend(namespaces::broken(settings));
    broken
}

/// Checks that limits let through in one go what clients may send in one go.
fn limits(settings: &Settings, refuse: &mut impl FnMut(&str, Option<&str>, Problem)) {
    let limits = &settings.client.limits;
    let at_once = |per_second: usize| {
        let most = per_second as u128 * limits.burst.as_millis() / 1_000;
        usize::try_from(most).unwrap_or(usize::MAX)
    };
    for (key, size, other, per_second) in [
        (
            "client.frame_command_limit",
            settings.client.frame_command_limit,
            "client.limits.connection_commands",
            limits.connection_commands,
        ),
        (
            "websocket.message_size_limit",
            settings.websocket.message_size_limit,
            "client.limits.connection_bytes",
            limits.connection_bytes,
        ),
        (
            "relay.message_size_limit",
            settings.relay.message_size_limit,
            "client.limits.connection_bytes",
            limits.connection_bytes,
        ),
    ] {
        let most = at_once(per_second);
        if size > most {
            let why = "with client.limits.burst, so that one message would end its connection";
            let (found, other_found) = (size.to_string(), most.to_string());
            refuse(key, Some(other), Problem::Above { found, other, other_found, why });
        }
    }
}

/// Checks the server API, which is on.
fn api(settings: &Settings, refuse: &mut impl FnMut(&str, Option<&str>, Problem)) {
    let prefix = &settings.http_api.handler_prefix;
    let protocol = &settings.websocket.handler_prefix;
    if let Some(other) = hidden_endpoint(prefix) {
        refuse("http_api.handler_prefix", None, Problem::Collision { found: prefix.clone(), other });
    } else if is_below(prefix, protocol) || is_below(protocol, prefix) {
        let (found, other) = (prefix.clone(), "websocket.handler_prefix");
        refuse("http_api.handler_prefix", Some(other), Problem::Collision { found, other });
    }
    if settings.http_api.insecure && !settings.api_listens_on_loopback() {
        let internal = settings.internal_listen_address().map(|address| address.ip());
        let reachable = |address: &IpAddr| !address.to_canonical().is_loopback();
        let found = internal.filter(reachable).unwrap_or(settings.http_server.address).to_string();
        refuse("http_api.insecure", Some("http_server.address"), Problem::OpenApi { found });
    }
}

/// Checks that whoever is to be believed is named, and that the names are of use.
fn proxy(settings: &Settings, refuse: &mut impl FnMut(&str, Option<&str>, Problem)) {
    let proxy = &settings.http_server.proxy;
    let (protocol, networks) = ("http_server.proxy.protocol", "http_server.proxy.trusted_networks");
    match (proxy.protocol, proxy.trusted_networks.is_empty()) {
        (ProxyProtocol::None, true) => {}
        (ProxyProtocol::None, false) => {
            let rule = "says whose word counts, but http_server.proxy.protocol is \"none\"";
            refuse(
                networks,
                Some(protocol),
                Problem::Contradiction { rule, remedy: "choose a protocol, or remove it" },
            );
        }
        (ProxyProtocol::Forwarded | ProxyProtocol::XForwardedFor | ProxyProtocol::Proxy, true) => {
            let rule = "believes nobody, because http_server.proxy.trusted_networks is empty";
            let remedy = "name the networks of the proxies, or remove it";
            refuse(protocol, Some(networks), Problem::Contradiction { rule, remedy });
        }
        (ProxyProtocol::Forwarded | ProxyProtocol::XForwardedFor | ProxyProtocol::Proxy, false) => {}
    }
    let is_named = !settings.client.user_id_http_header.is_empty();
    if is_named && proxy.protocol == ProxyProtocol::None && !settings.listens_on_loopback() {
        let rule = "would be believed from everybody who connects, for no proxies are known";
        let remedy =
            "set http_server.proxy.protocol and http_server.proxy.trusted_networks, or listen on 127.0.0.1";
        let problem = Problem::Contradiction { rule, remedy };
        refuse("client.user_id_http_header", Some(protocol), problem);
    }
}

/// The endpoint that a path equals, contains or lies below.
fn hidden_endpoint(path: &str) -> Option<&'static str> {
    OTHER_ENDPOINTS.into_iter().find(|other| is_below(path, other))
}

/// Whether a path is another one, or lies below it.
fn is_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path on which an endpoint can be served.
pub(super) fn endpoint(path: &str) -> Result<&str, Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    if path.len() > 1 && path.starts_with('/') && !path.ends_with('/') && path.bytes().all(plain) {
        Ok(path)
    } else {
        Err(malformed(path, "is not the path of an endpoint", "a path such as \"/connection/websocket\""))
    }
}

/// The name of a header, or none.
pub(super) fn header(name: &str) -> Result<&str, Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(malformed(name, "is not the name of a header", "a name such as \"X-User-Id\""))
    }
}

/// The name of a method that clients call.
pub(super) fn method(name: &str) -> Result<&str, Problem> {
    if name.is_empty() {
        Err(malformed(name, "is not the name of a method", "a name such as \"ping\""))
    } else {
        Ok(name)
    }
}

/// The name of a room of the relay.
pub(super) fn room(name: &str) -> Result<&str, Problem> {
    const MAX_BYTES: usize = 249;
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/$#:".contains(&byte);
    if (1..=MAX_BYTES).contains(&name.len()) && name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(malformed(
            name,
            "is not the name of a room",
            "1 to 249 ASCII characters without space and / : $ #",
        ))
    }
}

/// What to log: a level, or levels for parts of the program.
pub(super) fn log_level(directives: &str) -> Result<&str, Problem> {
    const LEVELS: [&str; 7] = ["trace", "debug", "info", "warn", "error", "none", "off"];
    let is_path = |target: &str| {
        !target.is_empty()
            && target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte))
    };
    let is_directive = |directive: &str| match directive.split_once('=') {
        Some((target, level)) => is_path(target) && LEVELS.contains(&level),
        None => LEVELS.contains(&directive),
    };
    if directives.split(',').all(is_directive) {
        Ok(directives)
    } else {
        Err(malformed(
            directives,
            "is not a log level",
            "trace, debug, info, warn, error or none, or levels for parts such as \"info,throng_server=debug\"",
        ))
    }
}

/// A pattern for `Origin` headers that at least one header can match.
pub(super) fn origin_pattern(pattern: &str) -> Result<(), Problem> {
    const GOOD: &str = "patterns such as \"https://app.example\" or \"https://*.example\"";
    let fits_something = pattern == "null" || pattern.contains('*') || pattern.contains("://");
    let rule = if pattern.contains(['{', '}', '?', '\\']) || pattern.contains("[!") {
        "uses a wildcard other than *"
    } else if !fits_something {
        "has no scheme, so that it matches no Origin"
    } else if pattern.ends_with('/') {
        "ends in a slash, so that it matches no Origin"
    } else if !pattern.bytes().all(|byte| byte.is_ascii_graphic()) {
        "has characters that no Origin has"
    } else {
        return Ok(());
    };
    Err(malformed(pattern, rule, GOOD))
}

fn malformed(found: &str, rule: &'static str, good: &'static str) -> Problem {
    Problem::Malformed { found: format!("{found:?}"), rule, good }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    fn broken_keys(change: impl FnOnce(&mut Settings)) -> Vec<String> {
        let mut settings = Settings::default();
        change(&mut settings);
        between(&settings).into_iter().map(|broken| broken.key).collect()
    }

    #[test]
    fn the_defaults_break_no_rule() {
        assert_eq!(between(&Settings::default()), []);
    }

    #[test]
    fn an_open_address_is_refused_unless_anonymous_clients_are_allowed() {
        let open = |settings: &mut Settings| settings.http_server.address = Ipv4Addr::UNSPECIFIED.into();
        assert_eq!(broken_keys(open), ["http_server.address"]);
        let allowed = |settings: &mut Settings| {
            open(settings);
            settings.client.allow_anonymous_connect_without_token = true;
        };
        assert_eq!(broken_keys(allowed), [""; 0]);
        let guarded = |settings: &mut Settings| {
            open(settings);
            settings.client.token.hmac_secret_key = "0123456789abcdef0123456789abcdef".into();
        };
        assert_eq!(broken_keys(guarded), [""; 0]);
        let mut asked = Settings::default();
        open(&mut asked);
        assert_eq!(whoever_connects(&asked), [], "where a connect handler decides");
    }

    #[test]
    fn the_pong_timeout_stays_below_the_ping_interval() {
        let equal = |settings: &mut Settings| settings.client.pong_timeout = settings.client.ping_interval;
        assert_eq!(broken_keys(equal), ["client.pong_timeout"]);
        let shorter = |settings: &mut Settings| settings.client.pong_timeout = Some(Duration::from_secs(24));
        assert_eq!(broken_keys(shorter), [""; 0]);
        assert_eq!(broken_keys(|settings| settings.client.ping_interval = None), ["client.pong_timeout"]);
    }

    #[test]
    fn a_message_fits_into_an_outbox_and_an_outbox_into_its_shard() {
        let large_message = |settings: &mut Settings| settings.websocket.message_size_limit = 2 << 20;
        assert_eq!(broken_keys(large_message), ["websocket.message_size_limit"]);
        let small_outbox = |settings: &mut Settings| settings.client.queue_max_size = 1024;
        assert_eq!(broken_keys(small_outbox), ["websocket.message_size_limit", "relay.message_size_limit"]);
        let small_shard = |settings: &mut Settings| settings.shards.backlog_max_size = 1024;
        assert_eq!(broken_keys(small_shard), ["client.queue_max_size"]);
    }

    #[test]
    fn a_protocol_of_proxies_and_their_networks_come_together() {
        let alone = |settings: &mut Settings| settings.http_server.proxy.protocol = ProxyProtocol::Proxy;
        assert_eq!(broken_keys(alone), ["http_server.proxy.protocol"]);
        let network = || vec!["10.0.0.0/8".parse().unwrap()];
        let unused = |settings: &mut Settings| settings.http_server.proxy.trusted_networks = network();
        assert_eq!(broken_keys(unused), ["http_server.proxy.trusted_networks"]);
        let both = |settings: &mut Settings| {
            alone(settings);
            unused(settings);
        };
        assert_eq!(broken_keys(both), [""; 0]);
    }

    #[test]
    fn users_are_named_by_known_proxies_only() {
        let named = |settings: &mut Settings| {
            settings.http_server.address = Ipv4Addr::UNSPECIFIED.into();
            settings.client.token.hmac_secret_key = "secret".into();
            settings.client.user_id_http_header = "X-User-Id".into();
        };
        assert_eq!(broken_keys(named), ["client.user_id_http_header"]);
        let behind = |settings: &mut Settings| {
            named(settings);
            settings.http_server.proxy.protocol = ProxyProtocol::XForwardedFor;
            settings.http_server.proxy.trusted_networks = vec!["10.0.0.0/8".parse().unwrap()];
        };
        assert_eq!(broken_keys(behind), [""; 0]);
        let local = |settings: &mut Settings| settings.client.user_id_http_header = "X-User-Id".into();
        assert_eq!(broken_keys(local), [""; 0]);
    }

    #[test]
    fn an_insecure_api_may_be_served_where_only_this_machine_reaches_it() {
        let internal = |settings: &mut Settings| {
            settings.http_server.address = Ipv4Addr::UNSPECIFIED.into();
            settings.client.allow_anonymous_connect_without_token = true;
            settings.http_api.insecure = true;
            settings.http_server.internal_address = Some(Ipv4Addr::LOCALHOST.into());
            settings.http_server.internal_port = Some(9090);
        };
        assert_eq!(broken_keys(internal), [""; 0]);
        let external = |settings: &mut Settings| {
            internal(settings);
            settings.http_api.external = true;
        };
        assert_eq!(broken_keys(external), ["http_api.insecure"]);
    }

    #[test]
    fn the_endpoint_of_the_protocol_hides_no_other() {
        for path in ["/relay", "/relay/ws", "/echo", "/health", "/metrics"] {
            let collides = |settings: &mut Settings| settings.websocket.handler_prefix = path.into();
            assert_eq!(broken_keys(collides), ["websocket.handler_prefix"], "{path}");
        }
        assert_eq!(broken_keys(|settings| settings.websocket.handler_prefix = "/relays".into()), [""; 0]);
    }

    #[test]
    fn endpoints_are_plain_absolute_paths() {
        for good in ["/ws", "/connection/websocket", "/a.b-c_d~e"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "ws", "/ws/", "/a b", "/a?b", "/a#b", "/%41", "/ä"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rooms_have_plain_names_of_limited_length() {
        assert!(room("lobby").is_ok());
        assert!(room(&"x".repeat(249)).is_ok());
        for bad in ["", "a b", "a/b", "$private", "user#1", "ns:room", "räum", &"x".repeat(250)] {
            assert!(room(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn log_levels_are_words_or_directives() {
        for good in ["info", "none", "warn,throng_server=debug", "throng_server::shard=trace"] {
            assert!(log_level(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "fatal", "throng_server", "a=b", "=info", "info,"] {
            assert!(log_level(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origin_patterns_that_could_never_match_are_refused() {
        for good in
            ["*", "null", "https://app.example", "https://*.example:8443", "*.example", "http://[::1]:3000"]
        {
            assert!(origin_pattern(good).is_ok(), "{good}");
        }
        for bad in ["", "app.example", "https://app.example/", "https://{a,b}.example", "https://a?.example"]
        {
            assert!(origin_pattern(bad).is_err(), "{bad}");
        }
    }
}
