//! What is done to clients, and what the server tells of itself.

use serde_json::{Value, json};
use throng_server::handlers::{ConnectReply, HandlerError};
use tokio::time::timeout;

use crate::caller::{Caller, KEY, server};
use crate::channels::{plain, streams};
use crate::support::{Client, PATIENCE, TestServer};

/// A server where everybody is who they say.
async fn trusting() -> (TestServer, Caller) {
    let server = TestServer::built_with(
        |settings| {
            settings.http_api.key = KEY.into();
            settings.channel.namespaces = vec![streams(), plain()];
        },
        |builder| {
            builder
                .on_connect(
                    |event| async move { Ok(ConnectReply { user: event.token, ..Default::default() }) },
                )
                .on_rpc("echo", |event| async move { Ok(event.data) })
                .on_rpc("fail", |_| async move { Err(HandlerError::custom(1_234, "no luck")) })
        },
    )
    .await;
    let caller = Caller::of(&server).await;
    (server, caller)
}

async fn user(server: &TestServer, name: &str) -> Client {
    let mut client = server.client("/connection/websocket").await;
    let reply = client.ask(&json!({"id": 1, "connect": {"token": name}}).to_string()).await;
    assert!(reply.get("connect").is_some(), "{reply}");
    client
}

#[tokio::test]
async fn a_subscription_is_given_to_every_connection_of_a_user() {
    let (server, mut caller) = trusting().await;
    let (mut one, mut two, mut other) =
        (user(&server, "ann").await, user(&server, "ann").await, user(&server, "bob").await);
    let body =
        json!({"user": "ann", "channel": "streams:news", "data": {"welcome": true}, "info": {"seat": 1}});
    assert_eq!(caller.result("subscribe", &body).await, json!({}));
    for client in [&mut one, &mut two] {
        let push = client.json().await["push"].take();
        assert_eq!(push["channel"], "streams:news");
        assert_eq!(push["subscribe"]["data"], json!({"welcome": true}));
    }
    caller.result("publish", &json!({"channel": "streams:news", "data": 1})).await;
    assert_eq!(one.json().await["push"]["pub"]["data"], 1);
    let presence = caller.result("presence", &json!({"channel": "streams:news"})).await["presence"].take();
    assert_eq!(presence[&one.request_id]["chan_info"], json!({"seat": 1}));
    other.assert_silent().await;
}

#[tokio::test]
async fn a_subscription_can_start_in_the_past() {
    let (server, mut caller) = trusting().await;
    let first = caller.result("publish", &json!({"channel": "streams:news", "data": 1})).await;
    caller.result("publish", &json!({"channel": "streams:news", "data": 2})).await;
    let mut ann = user(&server, "ann").await;
    let since = json!({"offset": 1, "epoch": first["epoch"]});
    let body = json!({"user": "ann", "channel": "streams:news", "recover_since": since});
    caller.result("subscribe", &body).await;
    assert!(ann.json().await["push"]["subscribe"].is_object());
    assert_eq!(ann.json().await["push"]["pub"]["data"], 2);
}

#[tokio::test]
async fn an_order_can_be_narrowed_to_one_client() {
    let (server, mut caller) = trusting().await;
    let (mut one, mut two) = (user(&server, "ann").await, user(&server, "ann").await);
    let body = json!({"user": "ann", "client": one.request_id, "channel": "plain:news"});
    caller.result("subscribe", &body).await;
    assert!(one.json().await["push"]["subscribe"].is_object());
    for nobody in [
        json!({"client": "nonsense"}),
        json!({"session": "nonsense"}),
        json!({"user": "bob", "client": two.request_id}),
    ] {
        let mut body = json!({"user": "ann", "channel": "plain:news"});
        body.as_object_mut().unwrap().extend(nobody.as_object().unwrap().clone());
        assert_eq!(caller.result("subscribe", &body).await, json!({}), "nobody is meant, which is no error");
    }
    two.assert_silent().await;
}

#[tokio::test]
async fn a_subscription_that_cannot_be_is_an_error() {
    let (_server, mut caller) = trusting().await;
    for (body, code) in [
        (json!({"user": "ann"}), 107),
        (json!({"user": "ann", "channel": "nowhere:x"}), 102),
        (json!({"user": "ann", "channel": "plain:x", "b64info": "!"}), 107),
        (json!({"user": "ann", "channel": "plain:x", "b64data": "!"}), 107),
        (json!({"user": "ann", "channel": "plain:x", "b64info": "/w=="}), 107),
        (json!({"user": "ann", "channel": "plain:x", "expire_at": 1}), 110),
        (json!({"user": "ann", "channel": "plain:x", "expire_at": -1}), 110),
        (
            json!({"user": "ann", "channel": "plain:x", "expire_at": 4_102_444_800_u64, "info": 1, "b64info": "?"}),
            107,
        ),
    ] {
        assert_eq!(caller.error("subscribe", &body).await.0, code, "{body}");
    }
}

#[tokio::test]
async fn a_subscription_is_taken_away_and_so_are_all() {
    let (server, mut caller) = trusting().await;
    let mut ann = user(&server, "ann").await;
    for channel in ["plain:a", "plain:b", "plain:c"] {
        ann.ask(&json!({"id": 2, "subscribe": {"channel": channel}}).to_string()).await;
    }
    assert_eq!(caller.result("unsubscribe", &json!({"user": "ann", "channel": "plain:b"})).await, json!({}));
    let push = ann.json().await["push"].take();
    assert_eq!(
        push,
        json!({"channel": "plain:b", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}})
    );
    caller.result("unsubscribe", &json!({"user": "ann"})).await;
    let mut left: Vec<Value> =
        vec![ann.json().await["push"]["channel"].take(), ann.json().await["push"]["channel"].take()];
    left.sort_by_key(Value::to_string);
    assert_eq!(left, ["plain:a", "plain:c"]);
    assert_eq!(caller.result("channels", &json!({})).await, json!({"channels": {}}));
    let unknown = caller.call("unsubscribe", &json!({"user": "ann", "channel": "nowhere:x"})).await;
    assert_eq!(unknown["error"]["code"], 102);
}

#[tokio::test]
async fn clients_are_disconnected_with_the_default_or_a_code_of_the_application() {
    let (server, mut caller) = trusting().await;
    let (mut one, mut two, mut kept) =
        (user(&server, "ann").await, user(&server, "ann").await, user(&server, "ann").await);
    let one_only = json!({"user": "ann", "client": one.request_id});
    assert_eq!(caller.result("disconnect", &one_only).await, json!({}));
    assert_eq!(one.closed().await, (3503, "force disconnect".to_owned()));
    let custom = json!({"user": "ann", "whitelist": [kept.request_id, "nonsense"], "disconnect": {"code": 4501, "reason": "go away"}});
    caller.result("disconnect", &custom).await;
    assert_eq!(two.closed().await, (4501, "go away".to_owned()));
    kept.assert_silent().await;
    kept.ask(r#"{"id":9,"subscribe":{"channel":"plain:x"}}"#).await;
}

#[tokio::test]
async fn a_disconnect_that_no_client_would_understand_is_an_error() {
    let (_server, mut caller) = trusting().await;
    let long = "x".repeat(124);
    for disconnect in [
        json!({"code": 1000, "reason": "bye"}),
        json!({"code": 5000, "reason": "bye"}),
        json!({"code": 70000, "reason": "bye"}),
        json!({"code": 4000, "reason": long}),
        json!({"code": 4000, "reason": ""}),
        json!({"code": 4000, "reason": "{}"}),
        json!({"code": 4000, "reason": "1"}),
    ] {
        let body = json!({"user": "ann", "disconnect": disconnect});
        assert_eq!(caller.error("disconnect", &body).await.0, 107, "{body}");
    }
}

#[tokio::test]
async fn a_connection_is_refreshed_or_expired() {
    let (server, mut caller) = trusting().await;
    let (mut ann, mut bob) = (user(&server, "ann").await, user(&server, "bob").await);
    let late = 4_102_444_800_u64;
    assert_eq!(caller.result("refresh", &json!({"user": "ann", "expire_at": late})).await, json!({}));
    let refresh = ann.json().await["push"]["refresh"].take();
    assert_eq!(refresh["expires"], true);
    assert!(refresh["ttl"].as_u64().unwrap() > 1_000);
    caller.result("refresh", &json!({"user": "bob", "expired": true})).await;
    assert_eq!(bob.closed().await, (3005, "connection expired".to_owned()));
    caller.result("refresh", &json!({"user": "ann", "expire_at": 1})).await;
    assert_eq!(ann.closed().await, (3005, "connection expired".to_owned()));
}

#[tokio::test]
async fn calls_reach_the_applications_handlers() {
    let (_server, mut caller) = trusting().await;
    let body = json!({"method": "echo", "params": {"n": [1, 2]}});
    assert_eq!(caller.result("rpc", &body).await, json!({"data": {"n": [1, 2]}}));
    assert_eq!(caller.result("rpc", &json!({"method": "echo"})).await, json!({}));
    assert_eq!(caller.error("rpc", &json!({"method": "fail"})).await, (1_234, "no luck".to_owned()));
    assert_eq!(caller.error("rpc", &json!({"method": "nobody"})).await, (104, "not found".to_owned()));
    assert_eq!(caller.error("rpc", &json!({})).await, (107, "bad request".to_owned()));
}

#[tokio::test]
async fn the_node_tells_of_itself() {
    let (server, mut caller) = trusting().await;
    let _clients = [user(&server, "ann").await, user(&server, "ann").await, user(&server, "bob").await];
    // Rooms of the relay and those in them do not count.
    let [_neighbour] = server.members("lobby").await;
    let body = json!({"user": "ann", "channel": "plain:x"});
    caller.result("subscribe", &body).await;
    // A shard tells of its subscriptions at the end of its turn.
    let info = timeout(PATIENCE, async {
        loop {
            let info = caller.result("info", &json!({})).await;
            if info["nodes"][0]["num_subs"] == 2 {
                break info;
            }
        }
    });
    let info = info.await.expect("the subscriptions are counted");
    let [node] = info["nodes"].as_array().unwrap().as_slice() else { panic!("not one node: {info}") };
    for (count, value) in [("num_clients", 3), ("num_users", 2), ("num_channels", 1)] {
        assert_eq!(node[count], value, "{count}: {node}");
    }
    assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
    assert!(!node["uid"].as_str().unwrap().is_empty() && !node["name"].as_str().unwrap().is_empty());
    if cfg!(target_os = "linux") {
        assert!(node["process"]["rss"].as_u64().unwrap() > 1 << 20, "{node}");
    }
    let again = caller.result("info", &json!({})).await;
    assert_eq!(again["nodes"][0]["uid"], node["uid"]);
}

#[tokio::test]
async fn an_empty_server_tells_its_zeros() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    let info = caller.result("info", &json!({})).await;
    for count in ["num_clients", "num_users", "num_channels", "num_subs"] {
        assert_eq!(info["nodes"][0][count], 0, "{count}");
    }
}

#[tokio::test]
async fn clients_that_do_not_read_are_listed_deepest_first() {
    let (server, mut caller) = trusting().await;
    let mut slow = user(&server, "ann").await;
    slow.ask(r#"{"id":2,"subscribe":{"channel":"plain:x"}}"#).await;
    assert_eq!(caller.result("slow_clients", &json!({})).await, json!({"clients": []}));
    let data = "x".repeat(60_000);
    let listed = loop {
        caller.result("publish", &json!({"channel": "plain:x", "data": data})).await;
        let clients = caller.result("slow_clients", &json!({"limit": 5})).await["clients"].take();
        if clients != json!([]) {
            break clients;
        }
    };
    assert_eq!((&listed[0]["client"], &listed[0]["user"]), (&json!(slow.request_id), &json!("ann")));
    assert!(listed[0]["bytes"].as_u64().unwrap() > 0 && listed[0]["messages"].as_u64().unwrap() > 0);
}
