//! What the server says over plain HTTP, and who may upgrade.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::TestServer;

fn upgrade(path: &str, extra: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: throng.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    )
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

#[tokio::test]
async fn the_page_and_its_files_are_served_under_a_strict_policy() {
    let server = TestServer::start().await;
    let page = server.get("/").await;
    assert_eq!(status(&page), "200");
    let policy =
        page.lines().find(|line| line.to_lowercase().starts_with("content-security-policy")).unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe") && !policy.contains('*'));
    for (path, kind) in
        [("/style.css", "text/css"), ("/chat.js", "text/javascript"), ("/icon.svg", "image/svg+xml")]
    {
        assert!(page.contains(path), "the page uses {path}");
        let file = server.get(path).await;
        assert_eq!(status(&file), "200");
        assert!(file.contains(&format!("content-type: {kind}")), "{path}");
        assert!(file.contains("x-content-type-options: nosniff"), "{path}");
    }
}

#[tokio::test]
async fn the_page_knows_the_default_room() {
    let server = TestServer::with(|settings| settings.relay.default_room = "a\"<b>&%41".into()).await;
    assert!(server.get("/").await.contains(r#"content="a&quot;&lt;b>&amp;%41">"#));
    let mut root = server.client("/").await;
    let mut named = server.client("/relay/a%22%3Cb%3E&%2541").await;
    root.send("hi").await;
    assert_eq!(named.text().await, "hi");
}

#[tokio::test]
async fn every_answer_carries_a_request_id() {
    let server = TestServer::start().await;
    for path in ["/", "/health", "/nowhere", "/echo"] {
        assert!(server.get(path).await.contains("x-request-id: "), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_meant_is_said() {
    let server = TestServer::start().await;
    assert_eq!(status(&server.get("/nowhere").await), "404");
    assert_eq!(status(&server.get("/connection/websocket").await), "426");
    assert_eq!(status(&server.get("/relay/lobby").await), "426");
    let post = "POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&server.http(post).await), "405");
    assert_eq!(status(&server.http("not HTTP\r\n\r\n").await), "400");
}

#[tokio::test]
async fn a_header_that_is_too_long_ends_the_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = TestServer::start().await;
    let mut socket = server.tcp().await;
    socket.write_all(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000)).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The answer may be lost, because what was not read resets the connection.
    let _ = tokio::time::timeout(support::PATIENCE, socket.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"));
}

#[tokio::test]
async fn a_foreign_origin_is_refused_and_counted() {
    let server = TestServer::start().await;
    let answer =
        server.http(&upgrade("/relay/lobby", "Origin: https://evil.example\r\nConnection: close\r\n")).await;
    assert_eq!(status(&answer), "403");
    let metrics = server.get("/metrics").await;
    assert!(metrics.contains("throng_handshakes_total{result=\"forbidden_origin\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_full_server_answers_503_and_takes_clients_again_once_there_is_room() {
    let server = TestServer::with(|settings| settings.client.connection_limit = Some(2)).await;
    let [first, _second] = server.members("lobby").await;
    let answer = server.http(&upgrade("/relay/lobby", "")).await;
    assert_eq!(status(&answer), "503");
    assert!(answer.contains("connection: close"));
    drop(first);
    server.until("there is room", |running| running.connection_count() == 1).await;
    let [_third] = server.members("lobby").await;
}

#[tokio::test]
async fn one_address_cannot_take_all_seats() {
    let server = TestServer::with(|settings| {
        settings.client.address_connection_limit = 1;
        settings.client.address_limit_includes_loopback = true;
    })
    .await;
    let [_first] = server.members("lobby").await;
    assert_eq!(status(&server.http(&upgrade("/relay/lobby", "")).await), "429");
}

#[tokio::test]
async fn endpoints_that_are_off_are_not_there() {
    let server = TestServer::with(|settings| {
        settings.relay.enabled = Some(false);
        settings.echo.enabled = Some(false);
        settings.prometheus.enabled = Some(false);
        settings.health.enabled = false;
    })
    .await;
    for path in ["/relay/lobby", "/echo", "/"] {
        assert_eq!(status(&server.http(&upgrade(path, "Connection: close\r\n")).await), "404", "{path}");
    }
    assert_eq!(status(&server.get("/metrics").await), "404");
    assert_eq!(status(&server.get("/health").await), "404");
    let mut client = server.connected().await;
    client.ask(r#"{"id":2,"subscribe":{"channel":"news"}}"#).await;
}

#[tokio::test]
async fn metrics_follow_what_happens() {
    let server = TestServer::start().await;
    let [mut ann, mut bob, mut cid] = server.members("lobby").await;
    ann.send("hi").await;
    for listener in [&mut bob, &mut cid] {
        listener.text().await;
    }
    assert_eq!(server.metric("throng_publications_total").await, 1);
    // It is counted at the end of the turn that delivers.
    while server.metric("throng_deliveries_total").await < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.metric("throng_deliveries_total").await, 2);
    assert_eq!(server.metric("throng_messages_received_total").await, 1);
    assert_eq!(server.metric("throng_subscriptions").await, 3);
    assert!(server.metric("throng_received_bytes_total").await >= 8);
    assert!(server.metric("throng_sent_bytes_total").await >= 8);
    let page = server.get("/metrics").await;
    assert!(page.contains("throng_connections{transport=\"relay\"} 3"));
    assert!(page.contains("content-type: text/plain; version=0.0.4"));
}

#[tokio::test]
async fn a_handshake_that_is_never_finished_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = TestServer::with(|settings| {
        settings.websocket.handshake_timeout = std::time::Duration::from_millis(50)
    })
    .await;
    let (mut silent, mut half) = (server.tcp().await, server.tcp().await);
    half.write_all(b"GET /relay/lobby HTTP/1.1\r\nHost:").await.unwrap();
    for socket in [&mut silent, &mut half] {
        let mut answer = Vec::new();
        // However it ends: it ends.
        let _ = tokio::time::timeout(support::PATIENCE, socket.read_to_end(&mut answer)).await.unwrap();
    }
}
