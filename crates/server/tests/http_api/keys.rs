//! Who may use the API.

use crate::caller::{Caller, KEY, request, server, server_with};
use crate::support::TestServer;

#[tokio::test]
async fn without_a_key_in_the_settings_every_path_of_the_api_is_401_and_empty() {
    let server = TestServer::start().await;
    for path in ["/api", "/api/", "/api/info", "/api/openapi.json", "/api/nonsense", "/api/info?api_key="] {
        for method in ["GET", "POST", "OPTIONS"] {
            let mut caller = Caller::of(&server).await;
            let headers = "Host: throng.test\r\nX-API-Key: \r\nContent-Length: 0\r\n";
            caller.send(format!("{method} {path} HTTP/1.1\r\n{headers}\r\n")).await;
            let answer = caller.answer().await;
            assert_eq!((answer.status, &*answer.body), (401, ""), "{method} {path}");
            assert!(answer.closes(), "{answer:?}");
            assert!(caller.closed().await.is_empty());
        }
    }
    let page = server.get("/apiary").await;
    assert!(page.starts_with("HTTP/1.1 404"), "only the prefix itself is the API's: {page}");
}

#[tokio::test]
async fn a_key_is_taken_from_each_of_its_places() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    for headers in
        ["X-API-Key: s3cret\r\n", "Authorization: apikey s3cret\r\n", "authorization: APIKey s3cret\r\n"]
    {
        assert_eq!(caller.ask_with("info", headers, "{}").await.status, 200, "{headers}");
    }
    assert_eq!(caller.ask_with("info?api_key=s3cret", "", "{}").await.status, 200);
    let wrong_but_query = "X-API-Key: wrong\r\nAuthorization: apikey s3cret\r\n";
    assert_eq!(caller.ask_with("info?api_key=s3cret", wrong_but_query, "{}").await.status, 200);
}

#[tokio::test]
async fn a_wrong_key_is_401_and_empty_and_ends_the_connection() {
    let server = server().await;
    for (path, headers) in [
        ("info", ""),
        ("info", "X-API-Key: wrong\r\n"),
        ("info", "X-API-Key: s3crets3cret\r\n"),
        ("info", "Authorization: Bearer s3cret\r\n"),
        ("info?api_key=s3cre", ""),
        ("info", "X-API-Key: wrong\r\nAuthorization: apikey s3cret\r\n"),
        ("nonsense", ""),
    ] {
        let mut caller = Caller::of(&server).await;
        let answer = caller.ask_with(path, headers, "{}").await;
        assert_eq!((answer.status, &*answer.body), (401, ""), "{path} {headers}");
        assert!(answer.closes());
        assert!(caller.closed().await.is_empty());
    }
    let page = server.get("/metrics").await;
    let counted = |method, count| {
        format!("throng_api_requests_total{{method=\"{method}\",result=\"unauthorized\"}} {count}")
    };
    assert!(page.contains(&counted("info", 6)) && page.contains(&counted("none", 1)), "{page}");
}

#[tokio::test]
async fn the_body_of_a_stranger_is_not_read_and_the_answer_still_arrives() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    // The head comes alone, as from most clients, and the body only after the answer was sent.
    caller.send("POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n").await;
    server.until("the answer is made", |_| true).await;
    caller.send("x".repeat(100_000)).await;
    assert_eq!(caller.answer().await.status, 401);
    drop(caller);
    server.stop().await;
}

#[tokio::test]
async fn an_insecure_api_serves_programs_and_no_foreign_pages() {
    let server = server_with(|settings| {
        settings.http_api.key = Default::default();
        settings.http_api.insecure = true;
    })
    .await;
    let mut caller = Caller::of(&server).await;
    assert_eq!(caller.ask_with("info", "", "{}").await.status, 200);
    assert_eq!(caller.ask_with("info", "X-API-Key: whatever\r\n", "{}").await.status, 200);
    assert_eq!(caller.ask_with("info", "Origin: http://localhost:3000\r\n", "{}").await.status, 200);
    assert_eq!(caller.ask_with("info", "Origin: https://evil.example\r\n", "{}").await.status, 401);
}

#[tokio::test]
async fn no_answer_lets_other_origins_read_it() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    let headers = format!("X-API-Key: {KEY}\r\nOrigin: https://app.example\r\n");
    let answer = caller.ask_with("info", &headers, "{}").await;
    assert_eq!(answer.status, 200);
    assert!(!answer.head.contains("access-control"), "{answer:?}");
}

#[tokio::test]
async fn the_prefix_is_a_setting() {
    let server = server_with(|settings| settings.http_api.handler_prefix = "/server/api".into()).await;
    let mut caller = Caller::of(&server).await;
    caller.send(request("/server/api/info", &format!("X-API-Key: {KEY}\r\n"), "{}")).await;
    assert_eq!(caller.answer().await.status, 200);
    assert!(server.get("/api/info").await.starts_with("HTTP/1.1 404"));
}
