//! Clients with tokens, against a real server that knows their secret.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use support::{Client, TestServer};
use throng_server::config::Settings;
use throng_server::handlers::{ConnectReply, HandlerError};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error;

const SECRET: &str = "secret";

fn signed_by(secret: &str, claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn token(claims: &Value) -> String {
    signed_by(SECRET, claims)
}

fn in_seconds(seconds: i64) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap() + seconds
}

fn with_secret(settings: &mut Settings) {
    settings.client.token.hmac_secret_key = SECRET.into();
    settings.client.expired_close_delay = Duration::ZERO;
    settings.client.expired_sub_close_delay = Duration::ZERO;
    settings.http_api.key = "api".into();
    settings.channel.without_namespace.get_or_insert_default().presence = true;
}

async fn server() -> TestServer {
    TestServer::with(with_secret).await
}

/// A client that has sent its connect command, and the reply.
async fn connect(server: &TestServer, token: &str) -> (Client, Value) {
    let mut client = server.client("/connection/websocket").await;
    let reply = client.ask(&json!({"id": 1, "connect": {"token": token}}).to_string()).await;
    (client, reply)
}

/// A client that was let in.
async fn connected(server: &TestServer, claims: &Value) -> Client {
    let (client, reply) = connect(server, &token(claims)).await;
    assert!(reply["connect"]["client"].is_string(), "{reply}");
    client
}

/// A client whose connect command ended its connection.
async fn turned_away(server: &TestServer, token: &str) -> (u16, String) {
    let mut client = server.client("/connection/websocket").await;
    client.send(json!({"id": 1, "connect": {"token": token}}).to_string()).await;
    client.closed().await
}

async fn subscribe(client: &mut Client, channel: &str, token: &str) -> Value {
    let subscribe = json!({"channel": channel, "token": token});
    client.ask(&json!({"id": 2, "subscribe": subscribe}).to_string()).await
}

async fn refresh(client: &mut Client, token: &str) {
    client.send(json!({"id": 3, "refresh": {"token": token}}).to_string()).await;
}

#[tokio::test]
async fn a_token_says_who_the_client_is_and_what_it_gets() {
    let server = server().await;
    let claims = json!({
        "sub": "ann", "exp": in_seconds(60), "info": {"name": "Ann"},
        "subs": {"$news": {"data": {"hello": 1}}},
    });
    let (mut ann, reply) = connect(&server, &token(&claims)).await;
    let reply = &reply["connect"];
    assert_eq!(reply["expires"], true);
    assert!(matches!(reply["ttl"].as_u64(), Some(58..=60)), "{reply}");
    assert_eq!(reply["subs"]["$news"]["data"], json!({"hello": 1}));
    let presence = server.api("presence", "api", &json!({"channel": "$news"})).await;
    let ann_there = &presence["result"]["presence"][reply["client"].as_str().unwrap()];
    assert_eq!(ann_there["user"], "ann");
    assert_eq!(ann_there["conn_info"], json!({"name": "Ann"}));
    let denied = subscribe(&mut ann, "other", "").await;
    assert_eq!(denied["error"]["code"], 103);
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn tokens_that_are_wrong_or_over_let_nobody_in() {
    let server = server().await;
    for wrong in [
        "nonsense".to_owned(),
        signed_by("guessed", &json!({"sub": "ann"})),
        token(&json!({"sub": "ann", "channel": "news"})),
        token(&json!({"sub": "ann", "nbf": in_seconds(60)})),
    ] {
        assert_eq!(turned_away(&server, &wrong).await, (3500, "invalid token".into()), "{wrong}");
    }
    assert_eq!(turned_away(&server, "").await.0, 3501, "no anonymous clients where there are tokens");
    let (late, reply) = connect(&server, &token(&json!({"sub": "ann", "exp": in_seconds(-1)}))).await;
    assert_eq!(reply["error"]["code"], 109);
    server.stop_with([late]).await;
}

#[tokio::test]
async fn a_subscription_token_opens_its_channel_for_its_user() {
    let server = server().await;
    let mut ann = connected(&server, &json!({"sub": "ann"})).await;
    let for_ann = |claims: Value| {
        let mut all = json!({"sub": "ann", "channel": "$private"});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        token(&all)
    };
    assert_eq!(subscribe(&mut ann, "$private", "").await["error"]["code"], 103);
    assert_eq!(subscribe(&mut ann, "$private", "nonsense").await["error"]["code"], 103);
    let late = for_ann(json!({"exp": in_seconds(-1)}));
    assert_eq!(subscribe(&mut ann, "$private", &late).await["error"]["code"], 109);
    let good = for_ann(json!({"exp": in_seconds(60), "data": 7}));
    let reply = subscribe(&mut ann, "$private", &good).await;
    assert_eq!((&reply["subscribe"]["data"], &reply["subscribe"]["expires"]), (&json!(7), &json!(true)));
    for stolen in [json!({"sub": "bob"}), json!({"channel": "$else"}), json!({"client": "another"})] {
        let mut thief = connected(&server, &json!({"sub": "ann"})).await;
        let subscribe = json!({"channel": "$private", "token": for_ann(stolen)});
        thief.send(json!({"id": 2, "subscribe": subscribe}).to_string()).await;
        assert_eq!(thief.closed().await.0, 3500);
    }
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn a_connection_is_prolonged_with_a_token_of_its_user() {
    let server = server().await;
    let claims = |user: &str, seconds| json!({"sub": user, "exp": in_seconds(seconds)});
    let mut ann = connected(&server, &claims("ann", 60)).await;
    refresh(&mut ann, &token(&claims("ann", 600))).await;
    let reply = ann.json().await["refresh"].take();
    assert!(matches!(reply["ttl"].as_u64(), Some(598..=600)), "{reply}");
    refresh(&mut ann, &token(&json!({"sub": "ann"}))).await;
    assert_eq!(ann.json().await, json!({"id": 3, "refresh": {}}));
    for (token, code) in [
        (token(&claims("bob", 60)), 3500),
        ("nonsense".to_owned(), 3500),
        (token(&claims("ann", -1)), 3005),
        (String::new(), 3501),
        (token(&json!({"sub": "ann", "channels": ["news"]})), 3010),
    ] {
        let mut ann = connected(&server, &claims("ann", 60)).await;
        refresh(&mut ann, &token).await;
        assert_eq!(ann.closed().await.0, code, "{token}");
    }
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn what_nobody_prolongs_ends() {
    let server = server().await;
    let mut ann = connected(&server, &json!({"sub": "ann", "exp": in_seconds(2)})).await;
    let mut bob = connected(&server, &json!({"sub": "bob"})).await;
    let late = token(&json!({"sub": "bob", "channel": "$private", "exp": in_seconds(2)}));
    assert!(subscribe(&mut bob, "$private", &late).await["subscribe"].is_object());
    assert_eq!(ann.closed().await, (3005, "connection expired".into()));
    let push = bob.json().await["push"].take();
    assert_eq!((&push["channel"], &push["unsubscribe"]["code"]), (&json!("$private"), &json!(2501)));
    server.stop_with([bob]).await;
}

#[tokio::test]
async fn a_subscription_is_prolonged_with_a_token_for_it() {
    let server = server().await;
    let for_channel =
        |user: &str, seconds| token(&json!({"sub": user, "channel": "$private", "exp": in_seconds(seconds)}));
    let sub_refresh = |channel: &str, token: &str| {
        json!({"id": 4, "sub_refresh": {"channel": channel, "token": token}}).to_string()
    };
    let mut ann = connected(&server, &json!({"sub": "ann"})).await;
    let reply = ann.ask(&sub_refresh("$private", &for_channel("ann", 60))).await;
    assert_eq!(reply["error"]["code"], 103, "it has no subscription");
    subscribe(&mut ann, "$private", &for_channel("ann", 60)).await;
    let reply = ann.ask(&sub_refresh("$private", &for_channel("ann", 600))).await;
    assert!(matches!(reply["sub_refresh"]["ttl"].as_u64(), Some(598..=600)), "{reply}");
    assert_eq!(ann.ask(&sub_refresh("$private", "")).await["error"]["code"], 107);
    let reply = ann.ask(&sub_refresh("$private", &for_channel("ann", -1))).await;
    assert_eq!(reply["error"]["code"], 109);
    ann.send(sub_refresh("$private", &for_channel("bob", 60))).await;
    assert_eq!(ann.closed().await.0, 3500);
    server.stop().await;
}

#[tokio::test]
async fn capabilities_of_a_token_let_a_client_publish() {
    let server = server().await;
    let caps = json!([{"channels": ["news:*"], "match": "wildcard", "allow": ["pub"]}, {"channels": ["a"], "allow": ["sub"]}]);
    let mut ann = connected(&server, &json!({"sub": "ann", "caps": caps})).await;
    let publish = |channel: &str| json!({"id": 5, "publish": {"channel": channel, "data": 1}}).to_string();
    assert_eq!(ann.ask(&publish("a")).await["error"]["code"], 103);
    assert_eq!(ann.ask(&publish("news:1")).await["error"]["code"], 102, "there is no such namespace");
    assert!(subscribe(&mut ann, "a", "").await["subscribe"].is_object());
    assert_eq!(subscribe(&mut ann, "b", "").await["error"]["code"], 103);
    server.stop_with([ann]).await;
}

/// The status of the answer to a handshake that is refused.
async fn refused(server: &TestServer, path: &str) -> u16 {
    match client_async(server.running.url(path), server.tcp().await).await {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_relay_wants_a_token_where_there_is_a_key() {
    let server = server().await;
    let path = |claims: &Value| format!("/relay/lobby?token={}", token(claims));
    let mut ann = server.client(&path(&json!({"sub": "ann"}))).await;
    let caps = json!([{"channels": ["relay:lobby"], "allow": ["sub"]}]);
    let mut bob = server.client(&path(&json!({"sub": "bob", "caps": caps}))).await;
    ann.send("hi").await;
    assert_eq!(bob.text().await, "hi");
    bob.send("ho").await;
    assert_eq!(bob.closed().await.0, 1008, "its capabilities let it listen only");
    assert_eq!(refused(&server, "/relay/lobby").await, 401);
    assert_eq!(refused(&server, "/").await, 401);
    assert_eq!(refused(&server, "/relay/lobby?token=nonsense").await, 401);
    assert_eq!(refused(&server, &path(&json!({"sub": "ann", "exp": in_seconds(-1)}))).await, 401);
    let elsewhere = json!([{"channels": ["relay:other"], "allow": ["sub"]}]);
    assert_eq!(refused(&server, &path(&json!({"sub": "bob", "caps": elsewhere}))).await, 403);
    let mut late = server.client(&path(&json!({"sub": "cid", "exp": in_seconds(2)}))).await;
    assert_eq!(late.closed().await.0, 3005);
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn a_connect_handler_decides_for_the_relay_too() {
    let server = TestServer::built(|builder| {
        builder.on_connect(|event| async move {
            match event.token.as_str() {
                "good" => Ok(ConnectReply::default()),
                _ => Err(HandlerError::permission_denied()),
            }
        })
    })
    .await;
    assert_eq!(refused(&server, "/relay/lobby").await, 401);
    let member = server.client("/relay/lobby?token=good").await;
    server.stop_with([member]).await;
}

#[tokio::test]
async fn what_is_denied_and_what_is_over_is_counted() {
    let server = server().await;
    let denied = async |operation: &str| {
        let name = format!("throng_permission_denials_total{{operation=\"{operation}\"}}");
        server.metric(&name).await
    };
    let over = async |what: &str| server.metric(&format!("throng_expired_total{{what=\"{what}\"}}")).await;
    let mut ann = connected(&server, &json!({"sub": "ann"})).await;
    assert_eq!(subscribe(&mut ann, "news", "").await["error"]["code"], 103);
    let publish = json!({"id": 3, "publish": {"channel": "news", "data": 1}}).to_string();
    for _ in 0..2 {
        assert_eq!(ann.ask(&publish).await["error"]["code"], 103);
    }
    let prolong = json!({"id": 4, "sub_refresh": {"channel": "news", "token": "t"}}).to_string();
    assert_eq!(ann.ask(&prolong).await["error"]["code"], 103);
    let elsewhere = json!([{"channels": ["relay:other"], "allow": ["sub"]}]);
    let path = format!("/relay/lobby?token={}", token(&json!({"sub": "bob", "caps": elsewhere})));
    assert_eq!(refused(&server, &path).await, 403);
    assert_eq!((denied("subscribe").await, denied("publish").await, denied("history").await), (3, 2, 0));
    let brief = token(&json!({"sub": "ann", "channel": "$brief", "exp": in_seconds(2)}));
    assert_eq!(subscribe(&mut ann, "$brief", &brief).await["subscribe"]["expires"], true);
    assert_eq!(ann.json().await["push"]["unsubscribe"]["code"], 2501);
    let mut late = connected(&server, &json!({"sub": "cid", "exp": in_seconds(2)})).await;
    assert_eq!(late.closed().await.0, 3005);
    let path = format!("/relay/lobby?token={}", token(&json!({"sub": "cid", "exp": in_seconds(2)})));
    assert_eq!(server.client(&path).await.closed().await.0, 3005);
    assert_eq!((over("connection").await, over("subscription").await), (2, 1));
    server.stop_with([ann]).await;
}
