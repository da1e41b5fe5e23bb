//! Environment variables: `THRONG_` and the path of a key in capitals, with `_` for the dots.

use super::{keys::KEYS, namespaces, options, suggest, tls, upstream::LACKING};

const PREFIX: &str = "THRONG_";

/// Variables of other throng programs, and those that `throng-server` reads before there are settings, without prefix.
const OTHERS: [&str; 5] = ["URL", "CONFIG", "API_KEY", "TOKEN", "SUB_TOKEN"];

/// What an environment variable is for.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Meaning<'n> {
    /// Nothing that concerns the settings.
    Other,
    /// The key at this path, served or lacking.
    Key(&'static str),
    /// An option of a namespace; this follows `THRONG_CHANNEL_NAMESPACES_`.
    Namespace(&'n str),
    /// No setting has this name.
    Unknown {
        /// The variable whose name is most like it.
        near: Option<String>,
    },
}

/// Finds out what a variable is for.
pub(super) fn meaning<'n>(name: &'n str, value: &str) -> Meaning<'n> {
    let Some(rest) = name.strip_prefix(PREFIX) else { return Meaning::Other };
    if OTHERS.contains(&rest) || is_service_link(name, value) {
        return Meaning::Other;
    }
    if let Some(path) = known().find(|path| variable(path) == name) {
        return Meaning::Key(path);
    }
    let below = |table: &str| name.strip_prefix(&variable(table)).is_some_and(|rest| rest.starts_with('_'));
    if let Some(option) = LACKING.iter().find(|option| option.table().is_some_and(below)) {
        return Meaning::Key(option.path);
    }
    if let Some(rest) = rest.strip_prefix("CHANNEL_NAMESPACES_") {
        return Meaning::Namespace(rest);
    }
    Meaning::Unknown { near: suggest::near(rest, known().chain(OTHERS)).map(variable) }
}

/// The variable that sets a key.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

fn known() -> impl Iterator<Item = &'static str> {
    let lacking = LACKING.iter().map(|option| option.table().unwrap_or(option.path));
    let options = options::PATHS.iter().map(String::as_str);
    KEYS.iter().map(|key| key.path).chain(options).chain([namespaces::LIST, tls::CERTIFICATES]).chain(lacking)
}

/// Kubernetes tells every container the addresses of the services around it, so that a service named `throng` gives
/// the server `THRONG_SERVICE_HOST`, `THRONG_PORT_8080_TCP_ADDR` and more, which are no settings.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = |rest: &str| {
        let mut words = rest.split('_');
        words.next().is_some_and(is_number) && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_url)
        || name.match_indices("_PORT_").any(|(at, word)| is_port(&name[at + word.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_path_in_capitals() {
        assert_eq!(meaning("THRONG_HTTP_SERVER_PORT", "9000"), Meaning::Key("http_server.port"));
        assert_eq!(meaning("THRONG_SSE_ENABLED", "true"), Meaning::Key("sse.enabled"));
        let secret = meaning("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", "x");
        assert_eq!(secret, Meaning::Key("client.token.hmac_secret_key"));
        assert_eq!(meaning("THRONG_ENGINE_REDIS_ADDRESS", "x"), Meaning::Key("engine.redis.*"));
        assert_eq!(meaning("THRONG_CHANNEL_NAMESPACES", "[]"), Meaning::Key("channel.namespaces"));
        let option = meaning("THRONG_CHANNEL_NAMESPACES_NEWS_PRESENCE", "true");
        assert_eq!(option, Meaning::Namespace("NEWS_PRESENCE"));
        let option = meaning("THRONG_CHANNEL_WITHOUT_NAMESPACE_PRESENCE", "true");
        assert_eq!(option, Meaning::Key("channel.without_namespace.presence"));
    }

    #[test]
    fn no_two_keys_share_a_variable() {
        let mut variables: Vec<String> = known().map(variable).collect();
        variables.sort();
        let count = variables.len();
        variables.dedup();
        assert_eq!(variables.len(), count);
    }

    #[test]
    fn a_misspelt_variable_finds_the_right_one() {
        let near = Some("THRONG_CLIENT_CHANNEL_LIMIT".to_owned());
        assert_eq!(meaning("THRONG_CLIENT_CHANEL_LIMIT", "1"), Meaning::Unknown { near });
        let near = Some("THRONG_HTTP_SERVER_PORT".to_owned());
        assert_eq!(meaning("THRONG_PORT", "9000"), Meaning::Unknown { near });
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        for name in [
            "PATH",
            "CENTRIFUGO_PORT",
            "THRONG_URL",
            "THRONG_API_KEY",
            "THRONG_TOKEN",
            "THRONG_CONFIG",
            "THRONGS_X",
        ] {
            assert_eq!(meaning(name, "x"), Meaning::Other, "{name}");
        }
    }

    #[test]
    fn what_kubernetes_says_of_a_service_named_throng_is_no_setting() {
        for (name, value) in [
            ("THRONG_SERVICE_HOST", "10.0.0.1"),
            ("THRONG_SERVICE_PORT", "8080"),
            ("THRONG_SERVICE_PORT_HTTP", "8080"),
            ("THRONG_PORT", "tcp://10.0.0.1:8080"),
            ("THRONG_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("THRONG_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("THRONG_EU_PORT_8080_UDP_PROTO", "udp"),
        ] {
            assert_eq!(meaning(name, value), Meaning::Other, "{name}");
        }
    }
}
