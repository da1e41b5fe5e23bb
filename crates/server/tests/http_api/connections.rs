//! How long connections to the API last, and how they end.

#![expect(clippy::disallowed_methods, reason = "the tests await their tasks themselves")]

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::caller::{Caller, KEY, request, server, server_with};
use crate::support::PATIENCE;

fn keyed(path: &str, body: &str) -> String {
    request(path, &format!("X-API-Key: {KEY}\r\n"), body)
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = caller.ask("publish", r#"{"channel":"news","data":{}}"#).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.closes(), "{answer:?}");
        ids.insert(answer.head.lines().find(|line| line.starts_with("x-request-id: ")).unwrap().to_owned());
    }
    assert_eq!(ids.len(), 20, "every answer has an id of its own");
}

#[tokio::test]
async fn a_connection_ends_after_the_answer_when_the_client_wants_it() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    let headers = format!("X-API-Key: {KEY}\r\nConnection: close\r\n");
    let answer = caller.ask_with("info", &headers, "{}").await;
    assert_eq!(answer.status, 200);
    assert!(caller.closed().await.is_empty());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    let requests: String = (0..10)
        .map(|n| {
            keyed(
                "/api/publish",
                &json!({"channel": if n % 2 == 0 { "news" } else { "" }, "data": n}).to_string(),
            )
        })
        .collect();
    caller.send(requests).await;
    for n in 0..10 {
        let answer = caller.answer().await.json();
        assert_eq!(answer.get("result").is_some(), n % 2 == 0, "{n}: {answer}");
    }
}

#[tokio::test]
async fn a_request_without_a_key_ends_a_connection_that_had_one() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    assert_eq!(caller.ask("info", "{}").await.status, 200);
    assert_eq!(caller.ask_with("info", "", "{}").await.status, 401);
    assert!(caller.closed().await.is_empty());
}

#[tokio::test]
async fn a_connection_of_the_api_can_become_a_websocket() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    let upgrade = "GET /echo HTTP/1.1\r\nHost: throng.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    caller.send(keyed("/api/info", "{}") + upgrade).await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(caller.answer().await.status, 101);
}

#[tokio::test]
async fn an_idle_connection_ends_in_time() {
    let server = server_with(|settings| {
        settings.http_api.idle_timeout = Duration::from_millis(50);
        settings.http_api.request_timeout = Duration::from_secs(600);
    })
    .await;
    let mut caller = Caller::of(&server).await;
    assert_eq!(caller.ask("info", "{}").await.status, 200);
    assert!(caller.closed().await.is_empty());

    let mut half = Caller::of(&server).await;
    assert_eq!(half.ask("info", "{}").await.status, 200);
    half.send("POST /api/info HT").await;
    assert!(half.closed().await.is_empty());
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_a_first_request() {
    let server = server_with(|settings| {
        settings.websocket.handshake_timeout = Duration::from_millis(50);
        settings.http_api.idle_timeout = Duration::from_secs(60);
    })
    .await;
    let mut caller = Caller::of(&server).await;
    assert_eq!(caller.ask("info", "{}").await.status, 200);
    caller.assert_open(Duration::from_millis(200)).await;
    assert_eq!(caller.ask("info", "{}").await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let server = server_with(|settings| settings.http_api.request_timeout = Duration::from_millis(50)).await;
    let mut caller = Caller::of(&server).await;
    caller
        .send(format!(
            "POST /api/info HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: 10\r\n\r\n{{"
        ))
        .await;
    let answer = caller.answer().await;
    assert_eq!(answer.status, 408);
    assert!(answer.closes());
    assert!(caller.closed().await.is_empty());
    assert!(server.get("/metrics").await.contains(r#"{method="info",result="timeout"} 1"#));
}

#[tokio::test]
async fn an_answer_that_is_not_read_does_not_hold_the_connection() {
    let server = server_with(|settings| {
        settings.http_api.idle_timeout = Duration::from_millis(50);
        settings.http_api.request_timeout = Duration::from_secs(600);
        settings.http_api.body_size_limit = 16 << 20;
        settings.client.connection_limit = Some(1);
    })
    .await;
    let mut caller = Caller::of(&server).await;
    // Errors are longer than what causes them: more than a socket's buffers hold.
    let commands = vec![json!({"rpc": {}}); 100_000];
    caller.send(keyed("/api/batch", &json!({"commands": commands}).to_string())).await;
    let waiting = async {
        while !server.get("/health").await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the seat is given back");
    drop(caller);
}

#[tokio::test]
async fn a_stop_ends_idle_connections_at_once() {
    let server = server_with(|settings| settings.http_api.idle_timeout = Duration::from_secs(600)).await;
    let (mut idle, mut half, mut fresh) =
        (Caller::of(&server).await, Caller::of(&server).await, Caller::of(&server).await);
    assert_eq!(idle.ask("info", "{}").await.status, 200);
    assert_eq!(half.ask("info", "{}").await.status, 200);
    half.send("POST /api/info HTTP/1.1\r\nHost").await;
    fresh.send("POST /api/info HTTP/1.1\r\nHost").await;
    server.stop().await;
    assert!(idle.closed().await.is_empty());
}

#[tokio::test]
async fn a_stop_waits_for_the_request_in_hand() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    let body = r#"{"channel":"news","data":{}}"#;
    let head = format!(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    caller.send(head + &body[..5]).await;
    server.until_metric("throng_api_requests_in_flight", 1).await;
    let stopping = tokio::spawn(server.running.shutdown());
    caller.assert_open(Duration::from_millis(100)).await;
    caller.send(&body[5..]).await;
    let answer = caller.answer().await;
    assert_eq!(answer.status, 200);
    assert!(answer.closes(), "{answer:?}");
    assert!(caller.closed().await.is_empty());
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_request_for_ever() {
    let server = server_with(|settings| {
        settings.shutdown.timeout = Duration::from_millis(50);
        settings.http_api.request_timeout = Duration::from_secs(600);
    })
    .await;
    let mut caller = Caller::of(&server).await;
    caller
        .send(format!(
            "POST /api/info HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: 10\r\n\r\n{{"
        ))
        .await;
    server.until_metric("throng_api_requests_in_flight", 1).await;
    timeout(PATIENCE, server.running.shutdown()).await.expect("the stop is bounded");
}
