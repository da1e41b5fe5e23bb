//! Who is in a channel, and who hears of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::{Value, json};
use support::{Client, TestServer};

async fn stats(client: &mut Client) -> (u64, u64) {
    let reply = client.ask(r#"{"id":8,"presence_stats":{"channel":"news"}}"#).await["presence_stats"].take();
    (reply["num_clients"].as_u64().unwrap(), reply["num_users"].as_u64().unwrap())
}

async fn subscribe(client: &mut Client, request: Value) {
    let reply = client.ask(&json!({"id": 5, "subscribe": request}).to_string()).await;
    assert!(reply["subscribe"].is_object(), "{reply}");
}

#[tokio::test]
async fn a_client_is_present_from_subscribe_to_unsubscribe_or_disconnect() {
    let server = TestServer::start().await;
    let (mut ann, mut bob, mut eve) =
        (server.connected().await, server.connected().await, server.connected().await);
    assert_eq!(stats(&mut eve).await, (0, 0));
    let empty = eve.ask(r#"{"id":8,"presence":{"channel":"news"}}"#).await;
    assert_eq!(empty, json!({"id": 8, "presence": {"presence": {}}}));
    subscribe(&mut ann, json!({"channel": "news"})).await;
    subscribe(&mut bob, json!({"channel": "news"})).await;
    assert_eq!(stats(&mut eve).await, (2, 1), "all anonymous clients are one user");
    let present = eve.ask(r#"{"id":8,"presence":{"channel":"news"}}"#).await["presence"]["presence"].take();
    let listed = &present[&ann.request_id];
    assert_eq!((&listed["user"], &listed["client"]), (&json!(""), &json!(ann.request_id)));
    ann.ask(r#"{"id":6,"unsubscribe":{"channel":"news"}}"#).await;
    assert_eq!(stats(&mut eve).await, (1, 1));
    drop(bob);
    while stats(&mut eve).await != (0, 0) {}
    server.stop_with([ann, eve]).await;
}

#[tokio::test]
async fn those_who_ask_hear_who_joins_and_leaves_and_a_leaver_does_not_hear_itself() {
    let server = TestServer::start().await;
    let (mut ann, mut bob, mut eve) =
        (server.connected().await, server.connected().await, server.connected().await);
    subscribe(&mut ann, json!({"channel": "news", "join_leave": true})).await;
    let own = ann.json().await;
    assert_eq!(own["push"]["join"]["info"]["client"], json!(ann.request_id), "after the reply");
    subscribe(&mut eve, json!({"channel": "news"})).await;
    assert_eq!(ann.json().await["push"]["join"]["info"]["client"], json!(eve.request_id));
    subscribe(&mut bob, json!({"channel": "news", "join_leave": true})).await;
    assert_eq!(ann.json().await["push"]["join"]["info"]["client"], json!(bob.request_id));
    assert_eq!(bob.json().await["push"]["join"]["info"]["client"], json!(bob.request_id));
    let reply = bob.ask(r#"{"id":6,"unsubscribe":{"channel":"news"}}"#).await;
    assert_eq!(reply, json!({"id": 6, "unsubscribe": {}}));
    assert_eq!(ann.json().await["push"]["leave"]["info"]["client"], json!(bob.request_id));
    let eve_id = eve.request_id.clone();
    eve.assert_silent().await;
    drop(eve);
    assert_eq!(ann.json().await["push"]["leave"]["info"]["client"], json!(eve_id));
    bob.assert_silent().await;
    server.stop_with([ann, bob]).await;
}
