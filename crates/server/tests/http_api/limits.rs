//! What one request, and all together, may cost.

use serde_json::json;

use crate::caller::{Caller, KEY, request, server, server_with};
use crate::support::TestServer;

const CHUNKED: &str = "Host: localhost\r\nX-API-Key: s3cret\r\nTransfer-Encoding: chunked\r\n\r\n";

async fn small() -> TestServer {
    server_with(|settings| settings.http_api.body_size_limit = 1_000).await
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_refused_before_it_comes() {
    let server = small().await;
    for length in ["1001", "1000000000000000000"] {
        let mut caller = Caller::of(&server).await;
        let head = format!(
            "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: {length}\r\n"
        );
        caller.send(head + "Expect: 100-continue\r\n\r\n").await;
        let answer = caller.answer().await;
        assert_eq!(answer.status, 413, "not even 100 Continue comes first");
        assert!(answer.body.contains("1000 bytes"), "{answer:?}");
        assert!(answer.closes());
    }
    assert!(server.get("/metrics").await.contains(r#"{method="publish",result="too_long"} 2"#));
}

#[tokio::test]
async fn a_client_that_sends_too_much_anyway_still_gets_its_answer() {
    let server = small().await;
    let mut caller = Caller::of(&server).await;
    caller.send(request("/api/publish", &format!("X-API-Key: {KEY}\r\n"), &"x".repeat(500_000))).await;
    assert_eq!(caller.answer().await.status, 413);
    assert!(caller.closed().await.is_empty());
}

#[tokio::test]
async fn a_body_in_chunks_is_counted_as_it_comes() {
    let server = small().await;
    let mut caller = Caller::of(&server).await;
    caller.send(format!("POST /api/info HTTP/1.1\r\n{CHUNKED}")).await;
    for _ in 0..11 {
        caller.send(format!("64\r\n{}\r\n", " ".repeat(100))).await;
    }
    let answer = caller.answer().await;
    assert_eq!(answer.status, 413, "the body never ended: {answer:?}");
    assert!(answer.closes());
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken_in_one_piece_or_in_many() {
    let server = small().await;
    let mut caller = Caller::of(&server).await;
    let body = format!("{{{}}}", " ".repeat(998));
    assert_eq!(caller.ask("info", &body).await.status, 200);
    caller.send(format!("POST /api/info HTTP/1.1\r\n{CHUNKED}")).await;
    for piece in body.as_bytes().chunks(100) {
        caller.send(format!("64\r\n{}\r\n", std::str::from_utf8(piece).unwrap())).await;
    }
    caller.send("0\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(caller.ask("info", "{}").await.status, 200, "and the connection goes on");
}

#[tokio::test]
async fn more_requests_than_allowed_at_once_are_put_off() {
    let server = server_with(|settings| settings.http_api.max_concurrent_requests = 1).await;
    let (mut slow, mut other) = (Caller::of(&server).await, Caller::of(&server).await);
    slow.send(format!(
        "POST /api/info HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: 2\r\n\r\n{{"
    ))
    .await;
    server.until_metric("throng_api_requests_in_flight", 1).await;
    let answer = other.ask("info", "{}").await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    slow.send("}").await;
    assert_eq!(slow.answer().await.status, 200);
    let mut again = Caller::of(&server).await;
    assert_eq!(again.ask("info", "{}").await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let server = server_with(|settings| settings.http_api.max_concurrent_requests = 1).await;
    let mut slow = Caller::of(&server).await;
    slow.send(format!(
        "POST /api/info HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: 2\r\n\r\n{{"
    ))
    .await;
    server.until_metric("throng_api_requests_in_flight", 1).await;
    drop(slow);
    server.until_metric("throng_api_requests_in_flight", 0).await;
    let mut again = Caller::of(&server).await;
    assert_eq!(again.ask("info", "{}").await.status, 200);
}

#[tokio::test]
async fn a_stranger_takes_no_place() {
    let server = server_with(|settings| settings.http_api.max_concurrent_requests = 1).await;
    let mut stranger = Caller::of(&server).await;
    stranger.send("POST /api/info HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{").await;
    assert_eq!(stranger.answer().await.status, 401);
    let mut caller = Caller::of(&server).await;
    assert_eq!(caller.ask("info", "{}").await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_nested_too_deeply_is_no_body() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    let deep = format!(r#"{{"channel":"news","data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(caller.ask("publish", &deep).await.status, 400);
    let ignored = format!(r#"{{"x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(caller.ask("info", &ignored).await.status, 400);
}

/// They are kept beside what waits, for minutes or as long as the stream.
#[tokio::test]
async fn keys_and_version_epochs_are_bounded() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    for member in ["key", "idempotency_key", "version_epoch"] {
        for (length, code) in [(256, None), (257, Some(107))] {
            let body = json!({"channel": "news", "data": 1, member: "x".repeat(length)});
            let answer = caller.ask("publish", &body.to_string()).await.json();
            assert_eq!(answer["error"]["code"].as_u64(), code, "{member} of {length} bytes: {answer}");
        }
    }
}
