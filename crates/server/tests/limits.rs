//! What becomes of clients that do too much.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Client, TestServer};
use throng_server::config::{Limits, Settings};
use throng_server::handlers::ConnectReply;
use tokio_tungstenite::tungstenite::Message;

const TOO_FAST: (u16, &str) = (3013, "too many requests");
const TRY_AGAIN: (u16, &str) = (1013, "too many messages, try again later");

/// A server that limits these tests' clients, too, and none of whose buckets gets anything back while a test runs, unless it says
/// otherwise: what may come at once is what `change` says, in a second's worth.
async fn server(change: impl FnOnce(&mut Limits)) -> TestServer {
    let settings = |settings: &mut Settings| {
        settings.client.limits.include_loopback = true;
        settings.client.limits.burst = Duration::from_secs(1);
        settings.client.frame_command_limit = 1;
        change(&mut settings.client.limits);
    };
    TestServer::built_with(settings, |builder| {
        builder
            .on_connect(|event| async { Ok(ConnectReply { user: event.token, ..Default::default() }) })
            .on_rpc("echo", |event| async { Ok(event.data) })
    })
    .await
}

async fn connect(server: &TestServer, user: &str) -> Client {
    let mut client = server.client("/connection/websocket").await;
    client.send(format!(r#"{{"id":1,"connect":{{"token":"{user}"}}}}"#)).await;
    assert!(client.json().await["connect"]["client"].is_string());
    client
}

/// Sends a command until it is refused, and returns how it is.
async fn until_refused(client: &mut Client, command: impl Fn(u32) -> String) -> Value {
    for id in 2..2_000 {
        let mut reply = client.ask(&command(id)).await;
        if reply.get("error").is_some() {
            return reply["error"].take();
        }
    }
    panic!("nothing is ever refused");
}

fn publish(id: u32) -> String {
    format!(r#"{{"id":{id},"publish":{{"channel":"news","data":1}}}}"#)
}

fn too_many() -> Value {
    json!({"code": 111, "message": "too many requests", "temporary": true})
}

async fn limited(server: &TestServer, limit: &str) -> u64 {
    server.metric(&format!("throng_limited_total{{limit=\"{limit}\"}}")).await
}

#[tokio::test]
async fn a_connection_that_publishes_too_often_is_refused_and_the_others_are_not() {
    let server = server(|limits| limits.connection_publish = 3).await;
    let (mut ann, mut again) = (connect(&server, "ann").await, connect(&server, "ann").await);
    assert_eq!(until_refused(&mut ann, publish).await, too_many());
    assert_eq!(again.ask(&publish(2)).await, json!({"id": 2, "publish": {}}));
    let reply = ann.ask(r#"{"id":3000,"presence":{"channel":"news"}}"#).await;
    assert!(reply.get("presence").is_some(), "other things are still allowed: {reply}");
    assert_eq!(limited(&server, "connection_publish").await, 1);
    server.stop_with([ann, again]).await;
}

#[tokio::test]
async fn a_connection_that_subscribes_too_often_is_refused() {
    let server = server(|limits| limits.connection_subscribe = 3).await;
    let mut ann = connect(&server, "ann").await;
    let subscribe = |id| format!(r#"{{"id":{id},"subscribe":{{"channel":"news{id}"}}}}"#);
    assert_eq!(until_refused(&mut ann, subscribe).await, too_many());
    assert_eq!(limited(&server, "connection_subscribe").await, 1);
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn a_users_connections_share_what_the_user_may_do() {
    for (name, command) in [
        ("user_publish", r#""publish":{"channel":"news","data":1}"#),
        ("user_history", r#""history":{"channel":"news"}"#),
        ("user_presence", r#""presence_stats":{"channel":"news"}"#),
        ("user_rpc", r#""rpc":{"method":"echo","data":1}"#),
    ] {
        let server = server(|limits| {
            for limit in [
                &mut limits.user_publish,
                &mut limits.user_history,
                &mut limits.user_presence,
                &mut limits.user_rpc,
            ] {
                *limit = 3;
            }
        })
        .await;
        let (mut ann, mut again, mut bob) =
            (connect(&server, "ann").await, connect(&server, "ann").await, connect(&server, "bob").await);
        let command = |id: u32| format!("{{\"id\":{id},{command}}}");
        // Between them both get less than each would alone, whatever flows back meanwhile.
        assert_eq!(until_refused(&mut ann, command).await, too_many(), "{name}");
        let reply = again.ask(&command(2)).await;
        assert!(reply.get("error").is_none() || reply["error"] == too_many(), "{name}: {reply}");
        assert!(bob.ask(&command(2)).await.get("error").is_none(), "{name}");
        assert!(limited(&server, name).await >= 1);
        server.stop_with([ann, again, bob]).await;
    }
}

#[tokio::test]
async fn a_channel_takes_so_many_publications_of_all_clients_together() {
    let server = server(|limits| limits.channel_publish = 3).await;
    let (mut ann, mut bob) = (connect(&server, "ann").await, connect(&server, "bob").await);
    assert_eq!(until_refused(&mut ann, publish).await, too_many());
    let elsewhere = r#"{"id":2,"publish":{"channel":"sport","data":1}}"#;
    assert_eq!(bob.ask(elsewhere).await, json!({"id": 2, "publish": {}}));
    assert_eq!(limited(&server, "channel_publish").await, 1);
    server.stop_with([ann, bob]).await;
}

#[tokio::test]
async fn whoever_causes_too_many_errors_must_go_for_good() {
    let server = server(|limits| limits.connection_errors = 5).await;
    let mut ann = connect(&server, "ann").await;
    for id in 2..500 {
        ann.send(format!(r#"{{"id":{id},"rpc":{{"method":"nothing"}}}}"#)).await;
    }
    assert_eq!(ann.closed().await, (3509, "too many errors".into()));
    assert_eq!(limited(&server, "connection_errors").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_commands_ends_the_connection() {
    let server = server(|limits| limits.connection_commands = 20).await;
    let mut ann = connect(&server, "ann").await;
    for id in 2..500 {
        ann.send(format!(r#"{{"id":{id},"unsubscribe":{{"channel":"news"}}}}"#)).await;
    }
    let (code, reason) = ann.closed().await;
    assert_eq!((code, &*reason), TOO_FAST);
    assert_eq!(limited(&server, "connection_commands").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_pings_ends_the_connection() {
    let server = server(|limits| limits.connection_commands = 20).await;
    let mut ann = connect(&server, "ann").await;
    for _ in 0..500 {
        ann.send_message(Message::Ping("x".into())).await;
    }
    let (code, reason) = ann.closed().await;
    assert_eq!((code, &*reason), TOO_FAST);
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_bytes_ends_the_connection() {
    let server = server(|limits| limits.connection_bytes = 100_000).await;
    let mut ann = connect(&server, "ann").await;
    let data = "x".repeat(60_000);
    for id in 2..50 {
        ann.send(format!(r#"{{"id":{id},"publish":{{"channel":"news","data":"{data}"}}}}"#)).await;
    }
    let (code, reason) = ann.closed().await;
    assert_eq!((code, &*reason), TOO_FAST);
    assert_eq!(limited(&server, "connection_bytes").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn the_relay_ends_floods_with_the_code_to_try_again_later() {
    let server = server(|limits| limits.connection_commands = 20).await;
    let mut bare = server.client("/relay/lobby").await;
    for _ in 0..500 {
        bare.send("hi").await;
    }
    let (code, reason) = bare.closed().await;
    assert_eq!((code, &*reason), TRY_AGAIN);
    server.stop().await;
}

#[tokio::test]
async fn loopback_is_not_limited_unless_it_is_said() {
    let server = TestServer::with(|settings| {
        settings.client.limits.burst = Duration::from_secs(1);
        settings.client.frame_command_limit = 1;
        settings.client.limits.connection_publish = 1;
    })
    .await;
    let mut ann = server.connected().await;
    for id in 2..100 {
        assert_eq!(ann.ask(&publish(id)).await, json!({"id": id, "publish": {}}));
    }
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn what_a_normal_client_does_at_once_meets_no_default() {
    let server = TestServer::with(|settings| settings.client.limits.include_loopback = true).await;
    let mut ann = server.connected().await;
    let subscribe: Vec<_> =
        (2..130).map(|id| format!(r#"{{"id":{id},"subscribe":{{"channel":"news{id}"}}}}"#)).collect();
    ann.send(subscribe.join("\n")).await;
    let mut replies = 0;
    while replies < 128 {
        for reply in ann.text().await.lines() {
            assert!(reply.contains("subscribe"), "{reply}");
            replies += 1;
        }
    }
    let page = server.get("/metrics").await;
    let limited = page.lines().filter(|line| line.starts_with("throng_limited_total{"));
    assert!(limited.clone().count() == 11 && limited.clone().all(|line| line.ends_with(" 0")), "{page}");
    server.stop_with([ann]).await;
}
