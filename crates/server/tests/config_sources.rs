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

#[test]
fn a_file_of_centrifugo_with_namespaces_is_understood() {
    let text = r##"
[client.subscribe_to_user_personal_channel]
enabled = true
personal_channel_namespace = "user"

[channel.without_namespace]
allow_subscribe_for_client = true
allow_publish_for_subscriber = true

[[channel.namespaces]]
name = "chat"
presence = true
join_leave = true
force_push_join_leave = true
history_size = 100
history_ttl = "10m"
force_recovery = true
allowed_delta_types = ["fossil"]
delta_publish = true
allow_subscribe_for_client = true
channel_regex = "^[a-z0-9]+$"

[[channel.namespaces]]
name = "user"
history_size = 10
history_ttl = "1h"
force_recovery = true
allow_user_limited_channels = true

[http_api]
key = "hush-hush"
"##;
    let loaded = Sources::new().text("throng.toml", text).load().unwrap();
    let settings = loaded.settings();
    let [chat, user] = &settings.channel.namespaces[..] else { panic!("two namespaces") };
    assert_eq!((chat.name.as_str(), user.name.as_str()), ("chat", "user"));
    assert!(chat.options.force_push_join_leave && chat.options.allows_fossil());
    assert_eq!(chat.options.history_ttl, Duration::from_secs(600));
    assert!(chat.options.channel_regex.as_ref().unwrap().is_match("room1"));
    assert!(!settings.without_namespace().allow_subscribe_for_anonymous, "what is not said is off");
    let printed = loaded.to_toml();
    assert!(!printed.contains("hush"), "{printed}");
    let again = Sources::new().text("printed.toml", printed).load().unwrap();
    assert_eq!(again.settings().channel, settings.channel);
}

#[test]
fn namespaces_come_from_the_environment_too() {
    let variables = [
        ("THRONG_CHANNEL_NAMESPACES", "news my-chat"),
        ("THRONG_CHANNEL_NAMESPACES_NEWS_HISTORY_SIZE", "10"),
        ("THRONG_CHANNEL_NAMESPACES_NEWS_HISTORY_TTL", "60s"),
        ("THRONG_CHANNEL_NAMESPACES_MY_CHAT_PRESENCE", "true"),
        ("THRONG_CHANNEL_WITHOUT_NAMESPACE_SLOW_CONSUMER", "keep_latest"),
    ];
    let loaded = Sources::new()
        .environment(variables.map(|(name, value)| (name.into(), value.into())))
        .load()
        .unwrap();
    let channel = &loaded.settings().channel;
    let [news, chat] = &channel.namespaces[..] else { panic!("two namespaces") };
    assert_eq!((news.options.history_size, chat.options.presence), (10, true));
    let without = channel.without_namespace.as_ref().unwrap();
    assert_eq!(without.slow_consumer, throng_server::config::SlowConsumer::KeepLatest);
}

#[test]
fn the_environment_adds_namespaces_to_those_of_the_file_and_changes_their_options() {
    let text = "[[channel.namespaces]]\nname = 'news'\npresence = true\njoin_leave = true\n";
    let json = r#"[{"name": "news", "join_leave": false}, {"name": "chat", "history_size": 5, "history_ttl": "1h"}]"#;
    for list in ["news chat", json] {
        let loaded = Sources::new()
            .text("throng.toml", text)
            .environment([
                ("THRONG_CHANNEL_NAMESPACES".into(), list.into()),
                ("THRONG_CHANNEL_NAMESPACES_NEWS_PRESENCE".into(), "false".into()),
            ])
            .load()
            .unwrap();
        let [news, chat] = &loaded.settings().channel.namespaces[..] else { panic!("two namespaces") };
        assert_eq!((news.name.as_str(), chat.name.as_str()), ("news", "chat"));
        assert!(!news.options.presence);
        assert_eq!(
            (news.options.join_leave, chat.options.history_size),
            if list == json { (false, 5) } else { (true, 0) }
        );
        let place = loaded.place("channel.namespaces[0].presence").to_string();
        assert_eq!(place, "THRONG_CHANNEL_NAMESPACES_NEWS_PRESENCE");
    }
}

#[test]
fn the_namespaces_of_a_later_file_take_the_place_of_the_earlier_ones() {
    let loaded = Sources::new()
        .text(
            "a.toml",
            "[[channel.namespaces]]\nname = 'news'\npresence = true\n[[channel.namespaces]]\nname = 'chat'\n",
        )
        .text("b.toml", "[[channel.namespaces]]\nname = 'sport'\n")
        .load()
        .unwrap();
    let [sport] = &loaded.settings().channel.namespaces[..] else { panic!("one namespace") };
    assert_eq!((sport.name.as_str(), sport.options.presence), ("sport", false));
}

#[test]
fn channels_without_a_namespace_are_open_until_something_is_said_of_channels() {
    assert!(load("").without_namespace().allow_publish_for_anonymous);
    assert!(load("[channel]\nmax_length = 100\n").without_namespace().allow_publish_for_anonymous);
    for text in [
        "[channel.without_namespace]\n",
        "[channel.without_namespace]\npresence = false\n",
        "[channel.without_namespace]\npublish_proxy_enabled = false\n",
        "[channel.without_namespace.map]\n",
        "[[channel.namespaces]]\nname = 'news'\n",
    ] {
        assert!(!load(text).without_namespace().allow_publish_for_anonymous, "{text}");
    }
}

#[test]
fn the_key_of_the_api_can_stand_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "hush-hush\n").unwrap();
    let text = format!("[http_api]\nkey_file = {:?}\nkey = ''\n", path.to_str().unwrap());
    let loaded = Sources::new().text("throng.toml", text).load().unwrap();
    assert_eq!(loaded.settings().http_api.key.expose(), "hush-hush");
    assert!(loaded.settings().http_api_enabled());
    assert_eq!(loaded.settings().check(), Ok(()));
    let printed = loaded.to_toml();
    assert!(!printed.contains("hush"), "{printed}");
    assert_eq!(load(&printed), *loaded.settings());
}

#[test]
fn an_api_that_is_disabled_stays_off_in_spite_of_its_key() {
    let on = "[http_api]\nkey = 'hush'\n";
    assert!(load(on).http_api_enabled());
    assert!(!load(&format!("{on}disabled = true\n")).http_api_enabled());
    assert!(!load("[http_api]\n").http_api_enabled());
}

#[test]
fn no_debug_output_shows_a_secret() {
    let sources = Sources::new()
        .text("throng.toml", "[http_api]\nkey = 'hush-hush'\n")
        .environment([("THRONG_HTTP_API_KEY".into(), "hush-hush".into())]);
    assert!(!format!("{sources:?}").contains("hush"), "{sources:?}");
    let loaded = sources.load().unwrap();
    assert!(!format!("{loaded:?}").contains("hush"), "{loaded:?}");
}
