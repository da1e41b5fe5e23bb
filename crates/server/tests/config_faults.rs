//! What operators read when their settings are faulty, word for word.

use throng_server::config::{ChannelOptions, Namespace, Settings, Sources};

/// Loads a file's text and gives the lines of the list of faults.
fn faults_of(text: &str) -> Vec<String> {
    lines(Sources::new().text("throng.toml", text))
}

fn faults_of_variables(variables: &[(&str, &str)]) -> Vec<String> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    lines(Sources::new().environment(variables))
}

fn lines(sources: Sources) -> Vec<String> {
    sources.load().expect_err("the settings are faulty").to_string().lines().map(str::to_owned).collect()
}

#[test]
fn every_fault_of_a_file_is_listed_with_its_line_and_remedy() {
    let text = r#"
colour = "red"

[http_server]
port = 80800

[client]
chanel_limit = 5
ping_interval = 25
stale_close_delay = "0s"
allowed_origins = ["app.example"]

[relay]
enabled = "yes"
default_room = "a b"

[log]
level = "inof"
format = "xml"
"#;
    let expected = r#"
throng.toml:2: colour: there is no such key; remove it; docs/configuration.md lists every key
throng.toml:5: http_server.port: 80800 is out of range; choose a value from 0 to 65535
throng.toml:8: client.chanel_limit: there is no such key; did you mean client.channel_limit?
throng.toml:9: client.ping_interval: 25 does not belong here; write a duration such as "25s"
throng.toml:10: client.stale_close_delay: "0s" is out of range; choose a value from "1ms" to "1h"
throng.toml:11: client.allowed_origins: "app.example" has no scheme, so that it matches no Origin; write patterns such as "https://app.example" or "https://*.example"
throng.toml:14: relay.enabled: "yes" does not belong here; write true or false
throng.toml:15: relay.default_room: "a b" is not the name of a room; write 1 to 249 ASCII characters without space and / : $ #
throng.toml:18: log.level: "inof" is not a log level; write trace, debug, info, warn, error or none, or levels for parts such as "info,throng_server=debug"
throng.toml:19: log.format: "xml" is not known; write one of "text", "json"
"#;
    assert_eq!(faults_of(text), expected.trim().lines().collect::<Vec<_>>());
}

#[test]
fn options_of_centrifugo_that_are_lacking_are_refused_by_name() {
    let text = r#"
pid_file = "/run/centrifugo.pid"
[http_server]
h2c_external = true
[http_server.internal_tls]
enabled = true
cert_pem_file = "cert.pem"
[engine]
type = "redis"
[engine.redis]
address = "redis://localhost:6379"
[admin]
password = "do not print"
[[channel.namespaces]]
name = "news"
subscribe_proxy_enabled = true
[sse]
enabled = true
"#;
    let expected = "
throng.toml:2: pid_file: throng does not have a file for its process id yet; remove it
throng.toml:4: http_server.h2c_external: throng does not have HTTP/2 yet; remove it, or leave it at false
throng.toml:6: http_server.internal_tls: throng does not have TLS other than [http_server.tls] yet; remove it
throng.toml:9: engine.type: throng does not have another engine than memory yet; remove it, or leave it at memory
throng.toml:11: engine.redis: throng does not have another engine than memory yet; remove it
throng.toml:13: admin: throng does not have an admin interface yet; remove it
throng.toml:16: channel.namespaces[0].subscribe_proxy_enabled: throng does not have event proxies yet; remove it, or leave it at false
throng.toml:18: sse.enabled: throng does not have the SSE transport yet; remove it, or leave it at false
";
    assert_eq!(faults_of(text), expected.trim().lines().collect::<Vec<_>>());
}

#[test]
fn everything_that_is_wrong_with_namespaces_is_listed_with_its_line() {
    let text = r#"
[channel.without_namespace]
force_recovery = true
hystory_size = 1
[[channel.namespaces]]
name = "a"
[[channel.namespaces]]
name = "news"
history_size = 10
channel_regex = "(["
slow_consumer = "drop"
[[channel.namespaces]]
name = "news"
force_push_join_leave = true
[[channel.namespaces]]
presence = true
[[channel.namespaces]]
name = "relay"
allowed_delta_types = ["zip"]
[client.subscribe_to_user_personal_channel]
enabled = true
personal_channel_namespace = "users"
"#;
    let faults = faults_of(text);
    let good = "write another name, of 2 or more letters, digits, and - _ .";
    for expected in [
        "throng.toml:4: channel.without_namespace.hystory_size: there is no such key; did you mean \
         channel.without_namespace.history_size?",
        "throng.toml:11: channel.namespaces[1].slow_consumer: \"drop\" is not known; write one of \"disconnect\", \
         \"drop_oldest\", \"drop_newest\", \"keep_latest\"",
        "throng.toml:19: channel.namespaces[4].allowed_delta_types: \"zip\" is not known; write one of \"fossil\"",
        "throng.toml:3: channel.without_namespace.force_recovery: it needs a history; set history_size and \
         history_ttl, or leave it off",
        "throng.toml:9: channel.namespaces[1].history_size: it keeps nothing without history_ttl; set history_ttl, \
         for example to \"300s\"",
        &format!("throng.toml:6: channel.namespaces[0].name: \"a\" is not the name of a namespace; {good}"),
        &format!("throng.toml:13: channel.namespaces[2].name: \"news\" is there already; {good}"),
        &format!("throng.toml:15: channel.namespaces[3].name: \"\" is not the name of a namespace; {good}"),
        &format!(
            "throng.toml:18: channel.namespaces[4].name: \"relay\" is the namespace of the relay's rooms; {good}"
        ),
        "throng.toml:14: channel.namespaces[2].force_push_join_leave: it has nothing to push without join_leave; \
         set join_leave",
        "throng.toml:22: client.subscribe_to_user_personal_channel.personal_channel_namespace: \"users\" is no \
         namespace; write the name of one of channel.namespaces, or \"\"",
    ] {
        assert!(faults.iter().any(|fault| fault == expected), "{expected}\nis not in {faults:#?}");
    }
    let regex = "throng.toml:10: channel.namespaces[1].channel_regex: \"([\" is not a regular expression: ";
    assert!(faults.iter().any(|fault| fault.starts_with(regex)), "{faults:#?}");
    assert_eq!(faults.len(), 12, "{faults:#?}");
}

#[test]
fn an_option_that_cannot_be_read_does_not_contradict_others() {
    let text = "[[channel.namespaces]]\nname = 'news'\nhistory_size = 10\nhistory_ttl = 'long'\nforce_recovery = true\n";
    let faults = faults_of(text);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(faults[0].starts_with("throng.toml:4: channel.namespaces[0].history_ttl: "), "{faults:#?}");
}

#[test]
fn what_a_namespace_lacks_is_told_once_for_each_table() {
    let text = "[[channel.namespaces]]\nname = 'news'\nsubscribe_proxy_enabled = true\n\
                map = { mode = 'persistent', stream_size = 5 }\n[[channel.namespaces]]\nname = 'chat'\n\
                map = { mode = '', key_ttl = '0s' }\n";
    let expected = "
throng.toml:3: channel.namespaces[0].subscribe_proxy_enabled: throng does not have event proxies yet; remove it, or leave it at false
throng.toml:4: channel.namespaces[0].map: throng does not have map and shared poll subscriptions yet; remove it
";
    assert_eq!(faults_of(text), expected.trim().lines().collect::<Vec<_>>());
}

#[test]
fn misspelt_keys_of_tables_that_throng_serves_in_part_are_not_taken_for_lacking() {
    let text = "[engine.memory]\nmax_stream = 5\n[http_api]\nkeys = 'hush'\n[rpc.ping]\nenable = true\n\
                [channel]\nhistory_size = 5\n";
    let expected = "
throng.toml:2: engine.memory.max_stream: there is no such key; did you mean engine.memory.max_streams?
throng.toml:4: http_api.keys: there is no such key; did you mean http_api.key?
throng.toml:6: rpc.ping.enable: there is no such key; did you mean rpc.ping.enabled?
throng.toml:8: channel.history_size: there is no such key; did you mean channel.without_namespace.history_size?
";
    assert_eq!(faults_of(text), expected.trim().lines().collect::<Vec<_>>());
}

#[test]
fn variables_of_namespaces_that_mean_nothing_or_too_much_are_faults() {
    let faults = faults_of_variables(&[
        ("THRONG_CHANNEL_NAMESPACES", "news my-chat my.chat"),
        ("THRONG_CHANNEL_NAMESPACES_MY_CHAT_PRESENCE", "true"),
        ("THRONG_CHANNEL_NAMESPACES_NEWS_HISTORY_SIZ", "1"),
        ("THRONG_CHANNEL_NAMESPACES_NEWS_PUBLISH_PROXY_ENABLED", "true"),
        ("THRONG_CHANNEL_NAMESPACES_SPORT_PRESENCE", "true"),
        ("THRONG_CHANNEL_WITHOUT_NAMESPACE_HISTORY_SIZ", "1"),
    ]);
    let expected = "
THRONG_CHANNEL_NAMESPACES_MY_CHAT_PRESENCE: it is for more than one namespace; set the option in the file, or give the namespaces other names
THRONG_CHANNEL_NAMESPACES_NEWS_HISTORY_SIZ: there is no such variable; did you mean THRONG_CHANNEL_NAMESPACES_NEWS_HISTORY_SIZE?
THRONG_CHANNEL_NAMESPACES_NEWS_PUBLISH_PROXY_ENABLED: channel.namespaces[0].publish_proxy_enabled: throng does not have event proxies yet; remove it, or leave it at false
THRONG_CHANNEL_NAMESPACES_SPORT_PRESENCE: there is no namespace that it is for; name it in THRONG_CHANNEL_NAMESPACES, or under [[channel.namespaces]] in the file
THRONG_CHANNEL_WITHOUT_NAMESPACE_HISTORY_SIZ: there is no such variable; did you mean THRONG_CHANNEL_WITHOUT_NAMESPACE_HISTORY_SIZE?
";
    assert_eq!(faults, expected.trim().lines().collect::<Vec<_>>());
}

#[test]
fn no_fault_repeats_a_secret() {
    for value in ["12345678", "' hush12345678'", "\"hush\\n12345678\"", "['12345678']"] {
        let faults = faults_of(&format!("[http_api]\nkey = {value}\n"));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(!faults[0].contains("12345678"), "{faults:?}");
    }
}

#[test]
fn a_secret_is_given_once_itself_or_in_a_file_that_can_be_read() {
    let expected = "
throng.toml:3: http_api.key_file: the secret and a file that holds it are both given; remove one of them
";
    assert_eq!(faults_of("[http_api]\nkey = 'hush'\nkey_file = 'no/such/key'\n"), [expected.trim()]);
    let expected = "
throng.toml:2: http_api.key_file: cannot be read: entity not found; check the path and the permissions
";
    assert_eq!(faults_of("[http_api]\nkey_file = 'no/such/key'\n"), [expected.trim()]);
}

#[test]
fn an_api_without_a_key_is_refused_where_others_can_reach_it() {
    let text = "[http_server]\naddress = \"0.0.0.0\"\n[client]\nallow_anonymous_connect_without_token = true\n\
                [http_api]\ninsecure = true\nhandler_prefix = \"/connection\"\n";
    assert_eq!(
        faults_of(text),
        [
            "throng.toml:7: http_api.handler_prefix: \"/connection\" collides with the endpoint \
             websocket.handler_prefix; choose another path"
                .replace('"', ""),
            "throng.toml:6: http_api.insecure: 0.0.0.0 can be reached from other machines, and the API would ask for \
             no key; set http_api.key instead"
                .to_owned(),
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_has_its_syntax_errors_listed() {
    let faults = faults_of("[client]\nchannel_limit = \nlimit = 1\nqueue = \"1\n");
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("throng.toml:2: "), "{faults:?}");
    assert!(faults[1].starts_with("throng.toml:4: "), "{faults:?}");
    assert!(faults.iter().all(|fault| fault.ends_with("; repair the line; settings are written in TOML")));
}

#[test]
fn a_key_that_is_given_twice_is_a_fault_at_the_second() {
    let faults = faults_of("[client]\nchannel_limit = 1\nchannel_limit = 2\n");
    assert_eq!(faults, ["throng.toml:3: duplicate key; repair the line; settings are written in TOML"]);
}

#[test]
fn faults_of_all_sources_come_in_one_list_even_where_a_later_source_would_win() {
    let faults = lines(
        Sources::new()
            .file("no/such/throng.toml")
            .text("throng.toml", "[client]\nchannel_limit = 0\n")
            .environment([
                ("THRONG_CLIENT_CHANNEL_LIMIT".into(), "many".into()),
                ("THRONG_CLIENT_CHANEL_LIMIT".into(), "5".into()),
            ])
            .flag("--log", "log.format", "loud"),
    );
    let expected = r#"
no/such/throng.toml: cannot be read: entity not found; check the path and the permissions
throng.toml:2: client.channel_limit: 0 is out of range; choose a value from 1 to 1000000
THRONG_CLIENT_CHANEL_LIMIT: there is no such variable; did you mean THRONG_CLIENT_CHANNEL_LIMIT?
THRONG_CLIENT_CHANNEL_LIMIT: client.channel_limit: "many" does not belong here; write a whole number
--log: log.format: "loud" is not known; write one of "text", "json"
"#;
    assert_eq!(faults, expected.trim().lines().collect::<Vec<_>>());
}

#[test]
fn variables_that_are_lacking_or_misspelt_are_faults() {
    let faults = faults_of_variables(&[
        ("THRONG_ADMIN_PASSWORD", "do not print"),
        ("THRONG_PORT", "9000"),
        ("THRONG_SOMETHING", "1"),
    ]);
    let expected = "
THRONG_ADMIN_PASSWORD: admin: throng does not have an admin interface yet; remove it
THRONG_PORT: there is no such variable; did you mean THRONG_HTTP_SERVER_PORT?
THRONG_SOMETHING: there is no such variable; remove it; docs/configuration.md lists every variable
";
    assert_eq!(faults, expected.trim().lines().collect::<Vec<_>>());
}

#[test]
fn an_open_address_is_refused_with_all_ways_out() {
    assert_eq!(
        faults_of("[http_server]\naddress = \"0.0.0.0\"\n"),
        ["throng.toml:2: http_server.address: 0.0.0.0 can be reached from other machines, and nothing is \
          configured that says who may connect; listen on 127.0.0.1, set a key for tokens (hmac_secret_key under \
          [client.token], or another one), or give --allow-anonymous (in a file: \
          allow_anonymous_connect_without_token = true under [client]) if anyone may connect"]
    );
}

#[test]
fn rules_between_keys_name_the_place_of_a_key_that_was_set() {
    let text =
        "[client]\nping_interval = \"5s\"\nqueue_max_size = 1000\n[websocket]\nmessage_size_limit = 2000\n";
    let expected = "
throng.toml:2: client.pong_timeout: 8s is not below the 5s of client.ping_interval; lower it, or raise client.ping_interval
throng.toml:5: websocket.message_size_limit: 2000 is above the 1000 of client.queue_max_size, so that one message would disconnect every subscriber as slow; lower it, or raise client.queue_max_size
throng.toml:3: relay.message_size_limit: 65536 is above the 1000 of client.queue_max_size, so that one message would disconnect the whole room as slow; lower it, or raise client.queue_max_size
";
    assert_eq!(faults_of(text), expected.trim().lines().collect::<Vec<_>>());
}

#[test]
fn a_value_that_cannot_be_read_does_not_break_rules_with_its_default() {
    let faults = faults_of("[client]\npong_timeout = \"50s\"\nping_interval = \"1 minute\"\n");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("throng.toml:3: client.ping_interval: "), "{faults:?}");
}

#[test]
fn settings_that_a_program_made_are_checked_alike() {
    let mut settings = Settings::default();
    settings.client.channel_limit = 0;
    settings.http_server.address = [0, 0, 0, 0].into();
    settings.log.level = "loud".into();
    let faults = settings.check().unwrap_err();
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["client.channel_limit", "log.level", "http_server.address"]);
    assert!(faults.to_string().starts_with("settings: client.channel_limit: 0 is out of range; "));
}

#[test]
fn namespaces_and_secrets_that_a_program_made_are_checked_alike() {
    let mut settings = Settings::default();
    settings.http_api.key = "two\nlines".into();
    let options =
        ChannelOptions { history_size: 2_000_000, force_recovery: true, ..ChannelOptions::default() };
    settings.channel.namespaces.push(Namespace { name: "n".into(), options });
    let faults = settings.check().unwrap_err();
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "http_api.key",
            "channel.namespaces[0].history_size",
            "channel.namespaces[0].name",
            "channel.namespaces[0].history_size",
            "channel.namespaces[0].force_recovery",
        ]
    );
    assert!(!faults.to_string().contains("lines"), "{faults}");
}
