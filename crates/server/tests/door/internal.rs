//! The address for those who run the server.

use std::net::SocketAddr;

use throng_server::config::Settings;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::raw::{get, head, head_of, status, upgrade};
use crate::support::TestServer;

const CALL: &str =
    "POST /api/info HTTP/1.1\r\nHost: localhost\r\nX-API-Key: s3cret\r\nContent-Length: 2\r\n\r\n{}";

async fn server(change: impl FnOnce(&mut Settings)) -> TestServer {
    TestServer::with(|settings| {
        settings.http_server.internal_port = Some(0);
        settings.http_api.key = "s3cret".into();
        change(settings);
    })
    .await
}

async fn ask(address: SocketAddr, request: &str) -> u16 {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    status(&head(&mut socket).await)
}

#[tokio::test]
async fn health_metrics_and_api_are_at_the_internal_address_and_nowhere_else() {
    let server = server(|_| ()).await;
    let internal = server.running.internal_addr().unwrap();
    assert_ne!(internal, server.running.local_addr());
    for request in [&get("/health", ""), &get("/metrics", ""), CALL] {
        assert_eq!(ask(internal, request).await, 200, "{request}");
        assert_eq!(status(&head_of(&server, request).await), 404, "{request}");
    }
}

#[tokio::test]
async fn clients_and_pages_are_at_the_public_address_and_nowhere_else() {
    let server = server(|_| ()).await;
    let internal = server.running.internal_addr().unwrap();
    for (request, answer) in
        [(get("/", ""), 200), (upgrade("/relay/lobby", ""), 101), (upgrade("/connection/websocket", ""), 101)]
    {
        assert_eq!(ask(internal, &request).await, 404, "{request}");
        assert_eq!(status(&head_of(&server, &request).await), answer, "{request}");
    }
}

#[tokio::test]
async fn an_external_api_is_at_both() {
    let server = server(|settings| settings.http_api.external = true).await;
    assert_eq!(ask(server.running.internal_addr().unwrap(), CALL).await, 200);
    assert_eq!(status(&head_of(&server, CALL).await), 200);
}

#[tokio::test]
async fn the_internal_address_answers_also_when_the_server_is_full() {
    let server = server(|settings| settings.client.connection_limit = Some(1)).await;
    let [_only] = server.members("lobby").await;
    assert_eq!(status(&head_of(&server, upgrade("/relay/lobby", "")).await), 503);
    assert_eq!(ask(server.running.internal_addr().unwrap(), &get("/health", "")).await, 200);
}

#[tokio::test]
async fn without_one_everything_is_at_the_one_address() {
    let server = TestServer::start().await;
    assert_eq!(server.running.internal_addr(), None);
    assert_eq!(status(&head_of(&server, get("/health", "")).await), 200);
}
