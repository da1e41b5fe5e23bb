//! What is done to channels: publishing, history, presence.

use std::time::Duration;

use serde_json::{Value, json};
use throng_server::config::{ChannelOptions, DataFormat, Namespace, Settings};

use crate::caller::{Caller, server_with};
use crate::support::{Client, TestServer};

/// A namespace with history and presence.
pub(crate) fn streams() -> Namespace {
    let mut options = ChannelOptions::open();
    options.history_size = 5;
    options.history_ttl = Duration::from_secs(60);
    Namespace { name: "streams".into(), options }
}

/// A namespace with neither.
pub(crate) fn plain() -> Namespace {
    let mut options = ChannelOptions::open();
    options.presence = false;
    options.history_size = 0;
    options.history_ttl = Duration::ZERO;
    options.force_recovery = false;
    options.allow_recovery = false;
    options.allow_positioning = false;
    options.allowed_delta_types = ChannelOptions::default().allowed_delta_types;
    Namespace { name: "plain".into(), options }
}

fn namespaces(settings: &mut Settings) {
    let mut binary = ChannelOptions::open();
    binary.publication_data_format = Some(DataFormat::Binary);
    let mut objects = ChannelOptions::open();
    objects.publication_data_format = Some(DataFormat::JsonObject);
    settings.channel.namespaces = vec![
        streams(),
        plain(),
        Namespace { name: "binary".into(), options: binary },
        Namespace { name: "objects".into(), options: objects },
    ];
}

async fn served() -> (TestServer, Caller) {
    let server = server_with(namespaces).await;
    let caller = Caller::of(&server).await;
    (server, caller)
}

async fn subscriber(server: &TestServer, channel: &str) -> Client {
    let mut client = server.connected().await;
    let reply = client.ask(&json!({"id": 2, "subscribe": {"channel": channel}}).to_string()).await;
    assert!(reply.get("subscribe").is_some(), "{reply}");
    client
}

fn offsets(history: &Value) -> Vec<u64> {
    history["publications"].as_array().unwrap().iter().map(|one| one["offset"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_publication_reaches_subscribers_and_has_its_position() {
    let (server, mut caller) = served().await;
    let mut ann = subscriber(&server, "streams:news").await;
    let body = json!({"channel": "streams:news", "data": {"n": 1}, "tags": {"kind": "a"}});
    let first = caller.result("publish", &body).await;
    assert_eq!(first["offset"], 1);
    let push = ann.json().await["push"].take();
    assert_eq!(push["channel"], "streams:news");
    assert_eq!(push["pub"]["data"], json!({"n": 1}));
    assert_eq!((&push["pub"]["offset"], &push["pub"]["tags"]), (&json!(1), &json!({"kind": "a"})));
    let second = caller.result("publish", &body).await;
    assert_eq!((&second["offset"], &second["epoch"]), (&json!(2), &first["epoch"]));
}

#[tokio::test]
async fn without_history_a_publication_has_no_position() {
    let (server, mut caller) = served().await;
    let mut ann = subscriber(&server, "plain:news").await;
    assert_eq!(caller.result("publish", &json!({"channel": "plain:news", "data": 1})).await, json!({}));
    assert_eq!(ann.json().await["push"]["pub"], json!({"data": 1}));
    let skipped = json!({"channel": "streams:news", "data": 1, "skip_history": true});
    assert_eq!(caller.result("publish", &skipped).await, json!({}));
    let history = caller.result("history", &json!({"channel": "streams:news", "limit": -1})).await;
    assert_eq!(history["publications"], json!([]));
}

#[tokio::test]
async fn data_in_base64_wins_and_may_be_binary_where_the_namespace_takes_it() {
    let (server, mut caller) = served().await;
    let mut ann = subscriber(&server, "streams:news").await;
    let both = json!({"channel": "streams:news", "data": {"loses": true}, "b64data": "eyJ3aW5zIjp0cnVlfQ=="});
    caller.result("publish", &both).await;
    assert_eq!(ann.json().await["push"]["pub"]["data"], json!({"wins": true}));

    let bytes = |channel: &str, base64: &str| json!({"channel": channel, "b64data": base64});
    assert!(caller.result("publish", &bytes("binary:x", "/wD/")).await["offset"].is_u64());
    let history = caller.result("history", &json!({"channel": "binary:x", "limit": -1})).await;
    assert_eq!(history["publications"], json!([{"b64data": "/wD/", "offset": 1}]));
    let bad_request = (107, "bad request".to_owned());
    for (channel, base64) in [
        ("streams:news", "/wD/"),
        ("objects:x", "MQ=="),
        ("streams:news", "not base64!"),
        ("streams:news", "MQ"),
        ("streams:news", "MR=="),
    ] {
        assert_eq!(caller.error("publish", &bytes(channel, base64)).await, bad_request, "{channel} {base64}");
    }
    let history = caller.result("history", &json!({"channel": "streams:news", "limit": -1})).await;
    assert_eq!(offsets(&history), [1], "what was refused is not kept");
}

#[tokio::test]
async fn a_publication_that_cannot_be_is_an_error() {
    let (_server, mut caller) = served().await;
    let long = "x".repeat(256);
    for (body, code) in [
        (json!({}), 107),
        (json!({"channel": "", "data": 1}), 107),
        (json!({"channel": "streams:news"}), 107),
        (json!({"channel": "objects:news", "data": [1]}), 107),
        (json!({"channel": long, "data": 1}), 107),
        (json!({"channel": "stréams", "data": 1}), 107),
        (json!({"channel": "nowhere:news", "data": 1}), 102),
        (json!({"channel": "relay:lobby", "data": 1}), 102),
        (json!({"channel": "streams:news", "data": 1, "idempotency_key": "k".repeat(257)}), 107),
    ] {
        assert_eq!(caller.error("publish", &body).await.0, code, "{body}");
    }
}

#[tokio::test]
async fn a_repeat_and_a_stale_version_publish_nothing() {
    let (server, mut caller) = served().await;
    let mut ann = subscriber(&server, "streams:news").await;
    let keyed = json!({"channel": "streams:news", "data": 1, "idempotency_key": "once"});
    let first = caller.result("publish", &keyed).await;
    assert_eq!(caller.result("publish", &keyed).await, first);
    for (version, data) in [(2, "new"), (1, "stale"), (2, "same"), (3, "newer")] {
        let body = json!({"channel": "streams:news", "data": data, "version": version, "version_epoch": "a"});
        caller.result("publish", &body).await;
    }
    for data in [json!(1), json!("new"), json!("newer")] {
        assert_eq!(ann.json().await["push"]["pub"]["data"], data);
    }
    ann.assert_silent().await;
}

#[tokio::test]
async fn a_broadcast_tells_of_each_channel_in_order() {
    let (server, mut caller) = served().await;
    let mut ann = subscriber(&server, "streams:a").await;
    let body = json!({"channels": ["streams:a", "nowhere:x", "plain:b", "", "streams:c"], "data": {"n": 1}});
    let responses = caller.result("broadcast", &body).await["responses"].take();
    let responses = responses.as_array().unwrap();
    assert_eq!(responses.len(), 5);
    assert_eq!(responses[0]["result"]["offset"], 1);
    assert_eq!(responses[1], json!({"error": {"code": 102, "message": "unknown channel"}}));
    assert_eq!(responses[2], json!({"result": {}}));
    assert_eq!(responses[3], json!({"error": {"code": 107, "message": "bad request"}}));
    assert_eq!(responses[4]["result"]["offset"], 1);
    assert_eq!(ann.json().await["push"]["pub"]["data"], json!({"n": 1}));

    assert_eq!(caller.error("broadcast", &json!({"data": 1})).await.0, 107);
    assert_eq!(caller.error("broadcast", &json!({"channels": [], "data": 1})).await.0, 107);
    let broken = json!({"channels": ["streams:a"], "b64data": "!"});
    assert_eq!(caller.error("broadcast", &broken).await.0, 107, "one for all");
}

#[tokio::test]
async fn a_broadcast_to_many_channels_reaches_all() {
    let (_server, mut caller) = served().await;
    let channels: Vec<_> = (0..1_000).map(|n| format!("streams:{n}")).collect();
    let result = caller.result("broadcast", &json!({"channels": channels, "data": 1})).await;
    let responses = result["responses"].as_array().unwrap();
    assert_eq!(responses.len(), 1_000);
    assert!(responses.iter().all(|response| response["result"]["offset"] == 1));
}

#[tokio::test]
async fn history_is_read_by_limit_position_and_direction() {
    let (_server, mut caller) = served().await;
    for n in 1..=7 {
        caller.result("publish", &json!({"channel": "streams:news", "data": n})).await;
    }
    let mut read = async |more: Value| {
        let mut body = json!({"channel": "streams:news"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        caller.result("history", &body).await
    };
    let top = read(json!({})).await;
    let epoch = top["epoch"].clone();
    assert_eq!(top, json!({"publications": [], "epoch": epoch, "offset": 7}));
    assert_eq!(read(json!({"limit": 0})).await, top);
    let all = read(json!({"limit": -1})).await;
    assert_eq!(offsets(&all), [3, 4, 5, 6, 7]);
    assert_eq!(all["publications"][0], json!({"data": 3, "offset": 3}));
    assert_eq!(offsets(&read(json!({"limit": 2})).await), [3, 4]);
    assert_eq!(offsets(&read(json!({"limit": 2, "reverse": true})).await), [7, 6]);
    let since = |offset: u64| json!({"limit": 2, "since": {"offset": offset, "epoch": epoch}});
    assert_eq!(offsets(&read(since(4)).await), [5, 6]);
    assert_eq!(offsets(&read(since(7)).await), [0u64; 0]);
    let back = json!({"limit": 2, "reverse": true, "since": {"offset": 5, "epoch": epoch}});
    assert_eq!(offsets(&read(back).await), [4, 3]);
    let any_epoch = json!({"limit": 1, "since": {"offset": 4}});
    assert_eq!(offsets(&read(any_epoch).await), [5]);
}

#[tokio::test]
async fn history_of_an_empty_channel_still_has_its_position() {
    let (_server, mut caller) = served().await;
    let history = caller.result("history", &json!({"channel": "streams:new", "limit": 10})).await;
    assert_eq!((&history["publications"], &history["offset"]), (&json!([]), &json!(0)));
    assert!(!history["epoch"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn history_that_cannot_be_read_is_an_error() {
    let (_server, mut caller) = served().await;
    caller.result("publish", &json!({"channel": "streams:news", "data": 1})).await;
    for (body, code) in [
        (json!({"channel": ""}), 107),
        (json!({"channel": "nowhere:x"}), 102),
        (json!({"channel": "plain:x"}), 108),
        (json!({"channel": "streams:news", "reverse": true, "since": {"offset": 0}}), 107),
        (json!({"channel": "streams:news", "limit": 1, "since": {"offset": 1, "epoch": "other"}}), 112),
    ] {
        assert_eq!(caller.error("history", &body).await.0, code, "{body}");
    }
    for (channel, code) in [("", 107), ("nowhere:x", 102), ("plain:x", 108)] {
        assert_eq!(caller.error("history_remove", &json!({"channel": channel})).await.0, code, "{channel}");
    }
}

#[tokio::test]
async fn removing_history_keeps_the_position() {
    let (_server, mut caller) = served().await;
    let published = caller.result("publish", &json!({"channel": "streams:news", "data": 1})).await;
    assert_eq!(caller.result("history_remove", &json!({"channel": "streams:news"})).await, json!({}));
    let history = caller.result("history", &json!({"channel": "streams:news", "limit": -1})).await;
    assert_eq!(history, json!({"publications": [], "epoch": published["epoch"], "offset": 1}));
}

#[tokio::test]
async fn presence_lists_clients_and_counts_them() {
    let (server, mut caller) = served().await;
    let channel = json!({"channel": "streams:news"});
    assert_eq!(caller.result("presence", &channel).await, json!({"presence": {}}));
    assert_eq!(caller.result("presence_stats", &channel).await, json!({"num_clients": 0, "num_users": 0}));
    let ann = subscriber(&server, "streams:news").await;
    let _bob = subscriber(&server, "streams:news").await;
    let presence = caller.result("presence", &channel).await["presence"].take();
    assert_eq!(presence.as_object().unwrap().len(), 2);
    assert_eq!(presence[&ann.request_id], json!({"user": "", "client": ann.request_id}));
    assert_eq!(caller.result("presence_stats", &channel).await, json!({"num_clients": 2, "num_users": 1}));
    for method in ["presence", "presence_stats"] {
        for (channel, code) in [("", 107), ("nowhere:x", 102), ("plain:x", 108)] {
            assert_eq!(
                caller.error(method, &json!({"channel": channel})).await.0,
                code,
                "{method} {channel}"
            );
        }
    }
}

#[tokio::test]
async fn channels_with_subscribers_are_listed_by_pattern() {
    let (server, mut caller) = served().await;
    let _clients = [
        subscriber(&server, "streams:a").await,
        subscriber(&server, "streams:a").await,
        subscriber(&server, "plain:b").await,
    ];
    let [_member] = server.members("lobby").await;
    let mut list = async |body: Value| caller.result("channels", &body).await["channels"].take();
    let both = json!({"streams:a": {"num_clients": 2}, "plain:b": {"num_clients": 1}});
    assert_eq!(list(json!({})).await, both, "rooms of the relay are no channels of the application");
    assert_eq!(list(json!({"pattern": "*"})).await, both);
    assert_eq!(list(json!({"pattern": "streams:*"})).await, json!({"streams:a": {"num_clients": 2}}));
    assert_eq!(list(json!({"pattern": "plain:?"})).await, json!({"plain:b": {"num_clients": 1}}));
    assert_eq!(list(json!({"pattern": "stream"})).await, json!({}));
    assert_eq!(caller.error("channels", &json!({"pattern": "*".repeat(513)})).await.0, 107);
}
