//! The keys that throng serves, and where each one lives in [`Settings`](super::settings::Settings).

use std::{ops::RangeInclusive, time::Duration};

use super::{
    field::{Field, Key, key},
    rules, secret,
    tls::{HANDSHAKES, RELOAD},
    token_rules,
};

/// Sizes and counts have an upper end, too, so that a slip of the finger does not switch a limit off.
pub(super) const COUNT: RangeInclusive<usize> = 1..=1_000_000;
const BYTES: RangeInclusive<usize> = 1..=GIB;
const GIB: usize = 1 << 30;
pub(super) const TTL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(87_600);
const SHORT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);
/// By how much clocks may differ; 0 is possible, too.
const LEEWAY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(5);
/// Time to be prolonged; none at all is allowed.
const GRACE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
/// What may come at once must suffice for a client that comes back, and end some time.
const BURST: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);
/// The connect reply tells clients the ping interval in whole seconds, where 0 means "no pings".
const PING: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// Every key that throng serves, table by table, in the order in which they are printed.
pub(super) static KEYS: &[Key] = &[
    key("http_server.address", Field::Address(|s| &mut s.http_server.address)),
    key("http_server.port", Field::Port(|s| &mut s.http_server.port)),
    key("http_server.internal_address", Field::OptionalAddress(|s| &mut s.http_server.internal_address)),
    key("http_server.internal_port", Field::OptionalPort(|s| &mut s.http_server.internal_port)),
    key("http_server.proxy.protocol", Field::Proxy(|s| &mut s.http_server.proxy.protocol)),
    key("http_server.proxy.trusted_networks", Field::Networks(|s| &mut s.http_server.proxy.trusted_networks)),
    key("http_server.tls.enabled", Field::Switch(|s| &mut s.http_server.tls.enabled)),
    key("http_server.tls.cert_pem", Field::Pem(|s| &mut s.http_server.tls.cert_pem)),
    key("http_server.tls.key_pem", Field::PemKey(|s| &mut s.http_server.tls.key_pem)),
    key("http_server.tls.client_ca_pem", Field::Pem(|s| &mut s.http_server.tls.client_ca_pem)),
    key("http_server.tls.client_auth", Field::ClientAuth(|s| &mut s.http_server.tls.client_auth)),
    key("http_server.tls.min_version", Field::TlsVersion(|s| &mut s.http_server.tls.min_version)),
    key(
        "http_server.tls.handshake_limit",
        Field::Count(HANDSHAKES, |s| &mut s.http_server.tls.handshake_limit),
    ),
    key(
        "http_server.tls.reload_interval",
        Field::Duration(RELOAD, |s| &mut s.http_server.tls.reload_interval),
    ),
    key(
        "client.allow_anonymous_connect_without_token",
        Field::Switch(|s| &mut s.client.allow_anonymous_connect_without_token),
    ),
    key("client.allowed_origins", Field::Origins(|s| &mut s.client.allowed_origins)),
    key("client.ping_interval", Field::Clock(PING, |s| &mut s.client.ping_interval)),
    key("client.pong_timeout", Field::Clock(SHORT, |s| &mut s.client.pong_timeout)),
    key("client.stale_close_delay", Field::Duration(SHORT, |s| &mut s.client.stale_close_delay)),
    key("client.expired_close_delay", Field::Duration(GRACE, |s| &mut s.client.expired_close_delay)),
    key("client.expired_sub_close_delay", Field::Duration(GRACE, |s| &mut s.client.expired_sub_close_delay)),
    key("client.channel_limit", Field::Count(COUNT, |s| &mut s.client.channel_limit)),
    key("client.queue_max_size", Field::Count(BYTES, |s| &mut s.client.queue_max_size)),
    key("client.queue_max_messages", Field::Count(COUNT, |s| &mut s.client.queue_max_messages)),
    key("client.frame_command_limit", Field::Count(COUNT, |s| &mut s.client.frame_command_limit)),
    key("client.connection_limit", Field::Limit(|s| &mut s.client.connection_limit)),
    key("client.address_connection_limit", Field::Count(COUNT, |s| &mut s.client.address_connection_limit)),
    key("client.connection_rate_limit", Field::Limit(|s| &mut s.client.connection_rate_limit)),
    key("client.address_connection_rate", Field::Count(COUNT, |s| &mut s.client.address_connection_rate)),
    key("client.address_connection_burst", Field::Count(COUNT, |s| &mut s.client.address_connection_burst)),
    key("client.address_failure_limit", Field::Count(COUNT, |s| &mut s.client.address_failure_limit)),
    key("client.address_failure_window", Field::Duration(SHORT, |s| &mut s.client.address_failure_window)),
    key(
        "client.address_limit_includes_loopback",
        Field::Switch(|s| &mut s.client.address_limit_includes_loopback),
    ),
    key("client.user_connection_limit", Field::Limit(|s| &mut s.client.user_connection_limit)),
    key(
        "client.history_max_publication_limit",
        Field::Count(COUNT, |s| &mut s.client.history_max_publication_limit),
    ),
    key(
        "client.recovery_max_publication_limit",
        Field::Count(COUNT, |s| &mut s.client.recovery_max_publication_limit),
    ),
    key(
        "client.channel_position_check_delay",
        Field::Duration(SHORT, |s| &mut s.client.channel_position_check_delay),
    ),
    key("client.connect_include_server_time", Field::Switch(|s| &mut s.client.connect_include_server_time)),
    key("client.user_id_http_header", Field::Text(rules::header, |s| &mut s.client.user_id_http_header)),
    key(
        "client.disallow_anonymous_connection_tokens",
        Field::Switch(|s| &mut s.client.disallow_anonymous_connection_tokens),
    ),
    key(
        "client.insecure_skip_token_signature_verify",
        Field::Switch(|s| &mut s.client.insecure_skip_token_signature_verify),
    ),
    key("client.handler_timeout", Field::Duration(SHORT, |s| &mut s.client.handler_timeout)),
    key("client.handler_limit", Field::Count(COUNT, |s| &mut s.client.handler_limit)),
    key(
        "client.subscribe_to_user_personal_channel.enabled",
        Field::Switch(|s| &mut s.client.subscribe_to_user_personal_channel.enabled),
    ),
    key(
        "client.subscribe_to_user_personal_channel.personal_channel_namespace",
        Field::Free(|s| &mut s.client.subscribe_to_user_personal_channel.personal_channel_namespace),
    ),
    key(
        "client.subscribe_to_user_personal_channel.single_connection",
        Field::Switch(|s| &mut s.client.subscribe_to_user_personal_channel.single_connection),
    ),
    key(
        "client.token.hmac_secret_key",
        Field::Secret(
            secret::shared,
            |s| &mut s.client.token.hmac_secret_key,
            |s| &mut s.client.token.hmac_secret_key_file,
        ),
    ),
    key(
        "client.token.hmac_secret_key_file",
        Field::SecretFile(
            secret::shared,
            |s| &mut s.client.token.hmac_secret_key_file,
            |s| &mut s.client.token.hmac_secret_key,
        ),
    ),
    key(
        "client.token.hmac_previous_secret_key",
        Field::Secret(
            secret::shared,
            |s| &mut s.client.token.hmac_previous_secret_key,
            |s| &mut s.client.token.hmac_previous_secret_key_file,
        ),
    ),
    key(
        "client.token.hmac_previous_secret_key_file",
        Field::SecretFile(
            secret::shared,
            |s| &mut s.client.token.hmac_previous_secret_key_file,
            |s| &mut s.client.token.hmac_previous_secret_key,
        ),
    ),
    key(
        "client.token.hmac_previous_secret_key_valid_until",
        Field::Unix(|s| &mut s.client.token.hmac_previous_secret_key_valid_until),
    ),
    key("client.token.rsa_public_key", Field::Text(token_rules::rsa, |s| &mut s.client.token.rsa_public_key)),
    key(
        "client.token.ecdsa_public_key",
        Field::Text(token_rules::ecdsa, |s| &mut s.client.token.ecdsa_public_key),
    ),
    key(
        "client.token.eddsa_public_key",
        Field::Text(token_rules::eddsa, |s| &mut s.client.token.eddsa_public_key),
    ),
    key(
        "client.token.jwks_public_endpoint",
        Field::Text(token_rules::endpoint, |s| &mut s.client.token.jwks_public_endpoint),
    ),
    key("client.token.jwks_allow_http", Field::Switch(|s| &mut s.client.token.jwks_allow_http)),
    key("client.token.audience", Field::Free(|s| &mut s.client.token.audience)),
    key(
        "client.token.audience_regex",
        Field::Text(token_rules::expression, |s| &mut s.client.token.audience_regex),
    ),
    key("client.token.issuer", Field::Free(|s| &mut s.client.token.issuer)),
    key(
        "client.token.issuer_regex",
        Field::Text(token_rules::expression, |s| &mut s.client.token.issuer_regex),
    ),
    key("client.token.user_id_claim", Field::Text(token_rules::claim, |s| &mut s.client.token.user_id_claim)),
    key("client.token.leeway", Field::Ttl(LEEWAY, |s| &mut s.client.token.leeway)),
    key("client.subscription_token.enabled", Field::Switch(|s| &mut s.client.subscription_token.enabled)),
    key(
        "client.subscription_token.hmac_secret_key",
        Field::Secret(
            secret::shared,
            |s| &mut s.client.subscription_token.token.hmac_secret_key,
            |s| &mut s.client.subscription_token.token.hmac_secret_key_file,
        ),
    ),
    key(
        "client.subscription_token.hmac_secret_key_file",
        Field::SecretFile(
            secret::shared,
            |s| &mut s.client.subscription_token.token.hmac_secret_key_file,
            |s| &mut s.client.subscription_token.token.hmac_secret_key,
        ),
    ),
    key(
        "client.subscription_token.hmac_previous_secret_key",
        Field::Secret(
            secret::shared,
            |s| &mut s.client.subscription_token.token.hmac_previous_secret_key,
            |s| &mut s.client.subscription_token.token.hmac_previous_secret_key_file,
        ),
    ),
    key(
        "client.subscription_token.hmac_previous_secret_key_file",
        Field::SecretFile(
            secret::shared,
            |s| &mut s.client.subscription_token.token.hmac_previous_secret_key_file,
            |s| &mut s.client.subscription_token.token.hmac_previous_secret_key,
        ),
    ),
    key(
        "client.subscription_token.hmac_previous_secret_key_valid_until",
        Field::Unix(|s| &mut s.client.subscription_token.token.hmac_previous_secret_key_valid_until),
    ),
    key(
        "client.subscription_token.rsa_public_key",
        Field::Text(token_rules::rsa, |s| &mut s.client.subscription_token.token.rsa_public_key),
    ),
    key(
        "client.subscription_token.ecdsa_public_key",
        Field::Text(token_rules::ecdsa, |s| &mut s.client.subscription_token.token.ecdsa_public_key),
    ),
    key(
        "client.subscription_token.eddsa_public_key",
        Field::Text(token_rules::eddsa, |s| &mut s.client.subscription_token.token.eddsa_public_key),
    ),
    key(
        "client.subscription_token.jwks_public_endpoint",
        Field::Text(token_rules::endpoint, |s| &mut s.client.subscription_token.token.jwks_public_endpoint),
    ),
    key(
        "client.subscription_token.jwks_allow_http",
        Field::Switch(|s| &mut s.client.subscription_token.token.jwks_allow_http),
    ),
    key(
        "client.subscription_token.audience",
        Field::Free(|s| &mut s.client.subscription_token.token.audience),
    ),
    key(
        "client.subscription_token.audience_regex",
        Field::Text(token_rules::expression, |s| &mut s.client.subscription_token.token.audience_regex),
    ),
    key("client.subscription_token.issuer", Field::Free(|s| &mut s.client.subscription_token.token.issuer)),
    key(
        "client.subscription_token.issuer_regex",
        Field::Text(token_rules::expression, |s| &mut s.client.subscription_token.token.issuer_regex),
    ),
    key(
        "client.subscription_token.user_id_claim",
        Field::Text(token_rules::claim, |s| &mut s.client.subscription_token.token.user_id_claim),
    ),
    key(
        "client.subscription_token.leeway",
        Field::Ttl(LEEWAY, |s| &mut s.client.subscription_token.token.leeway),
    ),
    key("client.revocation.ttl", Field::Duration(TTL, |s| &mut s.client.revocation.ttl)),
    key("client.limits.include_loopback", Field::Switch(|s| &mut s.client.limits.include_loopback)),
    key("client.limits.burst", Field::Duration(BURST, |s| &mut s.client.limits.burst)),
    key(
        "client.limits.connection_commands",
        Field::Count(COUNT, |s| &mut s.client.limits.connection_commands),
    ),
    key("client.limits.connection_bytes", Field::Count(BYTES, |s| &mut s.client.limits.connection_bytes)),
    key("client.limits.connection_publish", Field::Count(COUNT, |s| &mut s.client.limits.connection_publish)),
    key(
        "client.limits.connection_subscribe",
        Field::Count(COUNT, |s| &mut s.client.limits.connection_subscribe),
    ),
    key("client.limits.connection_errors", Field::Count(COUNT, |s| &mut s.client.limits.connection_errors)),
    key("client.limits.user_publish", Field::Count(COUNT, |s| &mut s.client.limits.user_publish)),
    key("client.limits.user_subscribe", Field::Count(COUNT, |s| &mut s.client.limits.user_subscribe)),
    key("client.limits.user_history", Field::Count(COUNT, |s| &mut s.client.limits.user_history)),
    key("client.limits.user_presence", Field::Count(COUNT, |s| &mut s.client.limits.user_presence)),
    key("client.limits.user_rpc", Field::Count(COUNT, |s| &mut s.client.limits.user_rpc)),
    key("client.limits.channel_publish", Field::Count(COUNT, |s| &mut s.client.limits.channel_publish)),
    key("client.limits.users", Field::Count(64..=10_000_000, |s| &mut s.client.limits.users)),
    key("client.limits.channels", Field::Count(64..=10_000_000, |s| &mut s.client.limits.channels)),
    key("websocket.handler_prefix", Field::Text(rules::endpoint, |s| &mut s.websocket.handler_prefix)),
    key("websocket.message_size_limit", Field::Count(BYTES, |s| &mut s.websocket.message_size_limit)),
    key("websocket.handshake_timeout", Field::Duration(SHORT, |s| &mut s.websocket.handshake_timeout)),
    key(
        "websocket.header_max_size",
        Field::Count(8 * 1024..=1024 * 1024, |s| &mut s.websocket.header_max_size),
    ),
    key("channel.max_length", Field::Count(1..=255, |s| &mut s.channel.max_length)),
    key("channel.history_meta_ttl", Field::Duration(TTL, |s| &mut s.channel.history_meta_ttl)),
    key("channel.publication_data_format", Field::Data(|s| &mut s.channel.publication_data_format)),
    key("engine.memory.max_streams", Field::Count(1..=100_000_000, |s| &mut s.engine.memory.max_streams)),
    key("engine.memory.max_bytes", Field::Count(1..=1024 * GIB, |s| &mut s.engine.memory.max_bytes)),
    key(
        "engine.memory.idempotency_keys",
        Field::Count(1..=100_000_000, |s| &mut s.engine.memory.idempotency_keys),
    ),
    key("engine.memory.idempotency_ttl", Field::Duration(TTL, |s| &mut s.engine.memory.idempotency_ttl)),
    key("engine.memory.revocations", Field::Count(1..=10_000_000, |s| &mut s.engine.memory.revocations)),
    key("engine.memory.data_dir", Field::Free(|s| &mut s.engine.memory.data_dir)),
    key("http_api.key", Field::Secret(secret::header, |s| &mut s.http_api.key, |s| &mut s.http_api.key_file)),
    key(
        "http_api.key_file",
        Field::SecretFile(secret::header, |s| &mut s.http_api.key_file, |s| &mut s.http_api.key),
    ),
    key("http_api.disabled", Field::Switch(|s| &mut s.http_api.disabled)),
    key("http_api.external", Field::Switch(|s| &mut s.http_api.external)),
    key("http_api.handler_prefix", Field::Text(rules::endpoint, |s| &mut s.http_api.handler_prefix)),
    key("http_api.insecure", Field::Switch(|s| &mut s.http_api.insecure)),
    key("http_api.error_mode", Field::ErrorMode(|s| &mut s.http_api.error_mode_transport)),
    key("http_api.body_size_limit", Field::Count(BYTES, |s| &mut s.http_api.body_size_limit)),
    key("http_api.max_concurrent_requests", Field::Count(COUNT, |s| &mut s.http_api.max_concurrent_requests)),
    key("http_api.request_timeout", Field::Duration(SHORT, |s| &mut s.http_api.request_timeout)),
    key("http_api.idle_timeout", Field::Duration(SHORT, |s| &mut s.http_api.idle_timeout)),
    key("rpc.ping.enabled", Field::Switch(|s| &mut s.rpc.ping.enabled)),
    key("rpc.ping.method", Field::Text(rules::method, |s| &mut s.rpc.ping.method)),
    key("relay.enabled", Field::Toggle(|s| &mut s.relay.enabled)),
    key("relay.default_room", Field::Text(rules::room, |s| &mut s.relay.default_room)),
    key("relay.message_size_limit", Field::Count(BYTES, |s| &mut s.relay.message_size_limit)),
    key("echo.enabled", Field::Toggle(|s| &mut s.echo.enabled)),
    key("echo.message_size_limit", Field::Count(BYTES, |s| &mut s.echo.message_size_limit)),
    key("echo.max_fragments", Field::SmallCount(1..=1_000_000, |s| &mut s.echo.max_fragments)),
    key("shards.count", Field::Cores(|s| &mut s.shards.count)),
    key("shards.queue_capacity", Field::Count(COUNT, |s| &mut s.shards.queue_capacity)),
    key("shards.publish_wait", Field::Duration(SHORT, |s| &mut s.shards.publish_wait)),
    key("shards.backlog_max_size", Field::Count(1..=64 * GIB, |s| &mut s.shards.backlog_max_size)),
    key("shutdown.timeout", Field::Duration(SHORT, |s| &mut s.shutdown.timeout)),
    key("shutdown.close_timeout", Field::Duration(SHORT, |s| &mut s.shutdown.close_timeout)),
    key("log.level", Field::Text(rules::log_level, |s| &mut s.log.level)),
    key("log.format", Field::Format(|s| &mut s.log.format)),
    key("health.enabled", Field::Switch(|s| &mut s.health.enabled)),
    key("prometheus.enabled", Field::Toggle(|s| &mut s.prometheus.enabled)),
    key("memory.soft_limit", Field::Share(1024 * 1024..=1024 * GIB, |s| &mut s.memory.soft_limit)),
];

impl Key {
    /// The key at a path, if throng serves it.
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::config::{ChannelOptions, LogFormat, Settings, options::OPTIONS, value::Value};

    fn set(path: &str, value: &Value) -> Result<Settings, String> {
        let mut settings = Settings::default();
        Key::at(path).unwrap().set(&mut settings, value).map_err(|problem| problem.to_string())?;
        Ok(settings)
    }

    #[test]
    fn the_defaults_are_values_that_their_keys_take() {
        for key in KEYS {
            assert_eq!(key.check(&Settings::default()), Ok(()), "{}", key.path);
        }
    }

    #[test]
    fn what_a_key_gives_it_takes_back_unchanged() {
        let mut settings = Settings::default();
        settings.client.ping_interval = None;
        settings.client.connection_limit = Some(7);
        settings.client.allowed_origins = Some(vec!["https://*.example".into()]);
        settings.relay.enabled = Some(false);
        settings.log.format = LogFormat::Json;
        let mut copy = Settings::default();
        for key in KEYS {
            if let Some(value) = key.get(&settings) {
                key.set(&mut copy, &value).unwrap();
            }
        }
        assert_eq!(copy, settings);
    }

    #[test]
    fn paths_are_unique() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|other| other.path != key.path), "{}", key.path);
        }
    }

    #[test]
    fn a_limit_of_zero_is_no_limit_and_zero_shards_are_one_for_each_core() {
        let settings = set("client.connection_limit", &Value::Integer(0)).unwrap();
        assert_eq!(settings.client.connection_limit, None);
        let settings = set("shards.count", &Value::Integer(0)).unwrap();
        assert!(settings.shards.count >= 1);
    }

    #[test]
    fn a_program_cannot_ask_for_no_shards() {
        let mut settings = Settings::default();
        settings.shards.count = 0;
        assert!(Key::at("shards.count").unwrap().check(&settings).is_err());
    }

    #[test]
    fn negative_clocks_are_off_and_zero_is_refused() {
        let settings = set("client.ping_interval", &Value::Text("-1s".into())).unwrap();
        assert_eq!(settings.client.ping_interval, None);
        let settings = set("client.pong_timeout", &Value::Integer(-1)).unwrap();
        assert_eq!(settings.client.pong_timeout, None);
        assert!(set("client.ping_interval", &Value::Text("0s".into())).is_err());
        assert!(set("client.stale_close_delay", &Value::Text("-1s".into())).is_err());
    }

    #[test]
    fn a_ping_interval_below_a_second_is_refused_because_clients_would_read_it_as_none() {
        let error = set("client.ping_interval", &Value::Text("500ms".into())).unwrap_err();
        assert_eq!(error, r#""500ms" is out of range"#);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let error = set("http_server.port", &Value::Integer(65_536)).unwrap_err();
        assert_eq!(error, "65536 is out of range");
        let error = set("client.channel_limit", &Value::Integer(-1)).unwrap_err();
        assert_eq!(error, "-1 is out of range");
    }

    #[test]
    fn the_empty_address_is_every_address_as_upstream_has_it() {
        let settings = set("http_server.address", &Value::Text(String::new())).unwrap();
        assert_eq!(settings.http_server.address, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        assert!(set("http_server.address", &Value::Text("example.org".into())).is_err());
    }

    #[test]
    fn the_document_lists_every_key_and_every_option_with_its_default() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let document = std::fs::read_to_string(path).unwrap();
        assert_listed(KEYS, &Settings::default(), &rows(&document, "| key |"));
        assert_listed(OPTIONS, &ChannelOptions::default(), &rows(&document, "| option |"));
    }

    /// The rows of the tables that begin in this way.
    fn rows<'d>(document: &'d str, head: &str) -> Vec<&'d str> {
        let mut lines = document.lines();
        let mut rows = Vec::new();
        while lines.by_ref().any(|line| line.starts_with(head)) {
            rows.extend(lines.by_ref().skip(1).take_while(|line| line.starts_with('|')));
        }
        rows
    }

    fn assert_listed<S: Clone>(keys: &[Key<S>], default: &S, rows: &[&str]) {
        for key in keys {
            let default = match (&key.field, key.get(default)) {
                // It differs from machine to machine.
                (Field::Cores(_), _) => "`0`".to_owned(),
                (_, Some(value)) => format!("`{value}`"),
                (_, None) => "not set".to_owned(),
            };
            let row = format!("| `{}` | {default} | ", key.path);
            assert!(
                rows.iter().any(|line| line.starts_with(&row)),
                "docs/configuration.md lacks the row {row}"
            );
        }
        assert_eq!(rows.len(), keys.len(), "docs/configuration.md has a row for a key that does not exist");
    }
}
