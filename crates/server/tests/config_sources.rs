//! Which source wins, and which files of Centrifugo start throng.

use std::time::Duration;

use throng_server::config::{Place, Settings, Sources};

fn load(text: &str) -> Settings {
    Sources::new().text("throng.toml", text).load().expect("the settings are in order").into_settings()
}

#[test]
fn no_source_gives_the_defaults() {
    let loaded = Sources::new().load().unwrap();
    assert_eq!(*loaded.settings(), Settings::default());
    assert_eq!(loaded.place("http_server.port"), Place::Default);
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let text = "[http_server]\nport = 1\n[client]\nchannel_limit = 1\nqueue_max_messages = 1\n";
    let loaded = Sources::new()
        .flag("--listen", "http_server.port", "3")
        .environment([
            ("THRONG_HTTP_SERVER_PORT".into(), "2".into()),
            ("THRONG_CLIENT_CHANNEL_LIMIT".into(), "2".into()),
        ])
        .text("throng.toml", text)
        .load()
        .unwrap();
    let settings = loaded.settings();
    assert_eq!(settings.http_server.port, 3);
    assert_eq!(settings.client.channel_limit, 2);
    assert_eq!(settings.client.queue_max_messages, 1);
    assert_eq!(loaded.place("http_server.port"), Place::Flag("--listen"));
    assert_eq!(loaded.place("client.channel_limit").to_string(), "THRONG_CLIENT_CHANNEL_LIMIT");
    assert_eq!(loaded.place("client.queue_max_messages").to_string(), "throng.toml:5");
}

#[test]
fn lists_in_the_environment_are_separated_by_spaces() {
    let variables = [("THRONG_CLIENT_ALLOWED_ORIGINS".into(), "https://a.example https://b.example".into())];
    let settings = Sources::new().environment(variables).load().unwrap().into_settings();
    assert_eq!(settings.client.allowed_origins.unwrap(), ["https://a.example", "https://b.example"]);
}

#[test]
fn off_loopback_relay_echo_and_metrics_are_off_unless_they_are_enabled() {
    let open = "[http_server]\naddress = '0.0.0.0'\n[client]\nallow_anonymous_connect_without_token = true\n";
    let settings = load(open);
    assert!(!settings.relay_enabled() && !settings.echo_enabled() && !settings.prometheus_enabled());
    let settings = load(&format!("{open}[relay]\nenabled = true\n[echo]\nenabled = true\n"));
    assert!(settings.relay_enabled() && settings.echo_enabled() && !settings.prometheus_enabled());
}

#[test]
fn without_pings_no_answer_is_awaited() {
    let settings = load("[client]\nping_interval = '-1s'\n");
    assert_eq!(settings.client.ping_interval, None);
    assert_eq!(settings.client.pong_timeout, None);
}

#[test]
fn values_of_upstream_keep_their_meaning_and_unit() {
    let settings = load(
        "[client]\nping_interval = '12s'\nqueue_max_size = 2000000\nconnection_limit = 0\n\
         [websocket]\nhandshake_timeout = '1500ms'\n[shutdown]\ntimeout = '1m'\n",
    );
    assert_eq!(settings.client.ping_interval, Some(Duration::from_secs(12)));
    assert_eq!(settings.client.queue_max_size, 2_000_000);
    assert_eq!(settings.client.connection_limit, None);
    assert_eq!(settings.websocket.handshake_timeout, Duration::from_millis(1_500));
    assert_eq!(settings.shutdown.timeout, Duration::from_mins(1));
}

/// Options of Centrifugo v6 at its defaults, except that anonymous clients are allowed: without that its address, all
/// interfaces, is refused.
const CENTRIFUGO_DEFAULTS: &str = include_str!("config_centrifugo_defaults.toml");

#[test]
fn a_centrifugo_file_at_its_defaults_starts_throng() {
    let settings = load(CENTRIFUGO_DEFAULTS);
    assert_eq!(settings.listen_address().to_string(), "0.0.0.0:8000");
    assert!(!settings.health.enabled);
    assert!(!settings.prometheus_enabled());
    assert_eq!(settings.client.allowed_origins, Some(vec![]));
}

#[test]
fn centrifugos_defaults_are_accepted_from_the_environment_too() {
    for (name, value) in [
        ("THRONG_ENGINE_TYPE", "memory"),
        ("THRONG_CHANNEL_HISTORY_META_TTL", "720h"),
        ("THRONG_CHANNEL_NAMESPACES", ""),
        ("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", ""),
        ("THRONG_SSE_MAX_REQUEST_BODY_SIZE", "65536"),
        ("THRONG_USAGE_STATS_DISABLED", "true"),
    ] {
        let loaded = Sources::new().environment([(name.into(), value.into())]).load();
        assert!(loaded.is_ok(), "{name}: {loaded:?}");
    }
}
