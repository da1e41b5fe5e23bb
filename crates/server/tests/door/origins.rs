//! Which web pages, and which hosts.

use crate::raw::{get, head_of, status, upgrade};
use crate::support::TestServer;

const PREFLIGHT: &str = "OPTIONS /api/publish HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Method: POST\r\n\
     Access-Control-Request-Headers: x-api-key\r\n";

fn listing(origins: &'static [&str]) -> impl FnOnce(&mut throng_server::config::Settings) {
    move |settings| {
        settings.client.allowed_origins = Some(origins.iter().map(|origin| (*origin).to_owned()).collect());
        settings.http_api.key = "s3cret".into();
    }
}

#[tokio::test]
async fn an_origin_must_match_the_list_and_need_not_be_there() {
    let server = TestServer::with(listing(&["https://*.example"])).await;
    let origin = |origin: &str| upgrade("/relay/lobby", &format!("Origin: {origin}\r\n"));
    assert_eq!(status(&head_of(&server, origin("https://app.example")).await), 101);
    assert_eq!(status(&head_of(&server, origin("http://localhost")).await), 403);
    assert_eq!(status(&head_of(&server, upgrade("/relay/lobby", "")).await), 101);
    let nobody = TestServer::with(listing(&[])).await;
    assert_eq!(status(&head_of(&nobody, origin("http://localhost")).await), 403);
    assert_eq!(status(&head_of(&nobody, upgrade("/relay/lobby", "")).await), 101);
}

#[tokio::test]
async fn a_foreign_name_that_means_loopback_is_refused_everywhere() {
    let server = TestServer::with(|settings| settings.http_api.key = "s3cret".into()).await;
    for request in [
        get("/", ""),
        get("/metrics", ""),
        get("/api/info", "X-API-Key: s3cret\r\n"),
        upgrade("/connection/websocket", "Origin: http://evil.example:8080\r\n"),
        upgrade("/relay/lobby", ""),
    ] {
        let rebound = request.replace("Host: localhost", "Host: evil.example:8080");
        let answer = head_of(&server, rebound).await;
        assert_eq!(status(&answer), 403, "{request}");
    }
    let page = server.get("/metrics").await;
    assert!(page.contains("throng_handshakes_total{result=\"forbidden_host\"} 5"), "{page}");
}

#[tokio::test]
async fn with_a_list_of_origins_a_server_on_loopback_has_any_name() {
    let server = TestServer::with(listing(&["https://app.example"])).await;
    let request = upgrade("/relay/lobby", "Origin: https://app.example\r\n");
    let proxied = request.replace("Host: localhost", "Host: app.example");
    assert_eq!(status(&head_of(&server, proxied).await), 101);
}

#[tokio::test]
async fn pages_that_may_connect_may_call_the_api_and_read_its_answers() {
    let server = TestServer::with(listing(&["https://app.example"])).await;
    let preflight = head_of(&server, format!("{PREFLIGHT}Origin: https://app.example\r\n\r\n")).await;
    assert_eq!(status(&preflight), 204, "{preflight}");
    assert!(preflight.contains("access-control-allow-origin: https://app.example\r\n"), "{preflight}");
    assert!(preflight.contains("x-api-key") && preflight.contains("access-control-allow-methods: "));
    assert!(!preflight.contains("credentials") && preflight.contains("vary: origin"), "{preflight}");
    let call = "POST /api/info HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\nX-API-Key: s3cret\r\n\
         Content-Length: 2\r\n\r\n{}";
    let answer = head_of(&server, call).await;
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("access-control-allow-origin: https://app.example\r\n"), "{answer}");
    let unauthorized = head_of(&server, call.replace("s3cret", "wrong")).await;
    assert_eq!(status(&unauthorized), 401);
    assert!(unauthorized.contains("access-control-allow-origin: "), "the page may see why it fails");
}

#[tokio::test]
async fn other_pages_may_not_and_no_star_is_ever_sent() {
    let server = TestServer::with(listing(&["https://app.example"])).await;
    let preflight = head_of(&server, format!("{PREFLIGHT}Origin: https://evil.example\r\n\r\n")).await;
    assert_eq!(status(&preflight), 403, "{preflight}");
    assert!(!preflight.contains("access-control-allow"), "{preflight}");
    let call = "POST /api/info HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nX-API-Key: s3cret\r\n\
         Content-Length: 2\r\n\r\n{}";
    assert!(!head_of(&server, call).await.contains("access-control-allow"));
    let everybody = TestServer::with(listing(&["*"])).await;
    let answer = head_of(&everybody, format!("{PREFLIGHT}Origin: https://any.example\r\n\r\n")).await;
    assert!(answer.contains("access-control-allow-origin: https://any.example\r\n"), "{answer}");
}
