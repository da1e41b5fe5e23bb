//! Whose word counts about where a connection comes from.

use throng_server::config::{ProxyProtocol, Settings};

use crate::raw::{get, head_of, status, upgrade};
use crate::support::TestServer;

const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x12\x67\x1f\x90";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 8080\r\n";

/// A server that believes these networks, and lets each address connect once.
async fn behind(protocol: ProxyProtocol, network: &str) -> TestServer {
    TestServer::with(|settings| trust(settings, protocol, network)).await
}

fn trust(settings: &mut Settings, protocol: ProxyProtocol, network: &str) {
    settings.http_server.proxy.protocol = protocol;
    settings.http_server.proxy.trusted_networks = vec![network.parse().unwrap()];
    settings.client.address_connection_limit = 1;
}

fn forwarded(header: &str) -> String {
    upgrade("/relay/lobby", &format!("{header}\r\n"))
}

#[tokio::test]
async fn clients_behind_a_proxy_that_speaks_http_are_counted_each_for_itself() {
    for (protocol, [one, same, other]) in [
        (
            ProxyProtocol::XForwardedFor,
            [
                "X-Forwarded-For: 192.0.2.1",
                "X-Forwarded-For: 203.0.113.66, 192.0.2.1",
                "X-Forwarded-For: 192.0.2.2",
            ],
        ),
        (
            ProxyProtocol::Forwarded,
            [
                "Forwarded: for=192.0.2.1",
                "Forwarded: for=unknown, for=\"192.0.2.1:80\"",
                "Forwarded: for=192.0.2.2",
            ],
        ),
    ] {
        let server = behind(protocol, "127.0.0.0/8").await;
        let socket = server.raw(&forwarded(one)).await;
        let refused = head_of(&server, forwarded(same)).await;
        assert_eq!(status(&refused), 429, "{refused}");
        assert_eq!(status(&head_of(&server, forwarded(other)).await), 101);
        drop(socket);
        server.until("its seat is free", |running| running.connection_count() == 0).await;
        assert_eq!(status(&head_of(&server, forwarded(one)).await), 101);
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_counted_by_its_own_address_whatever_it_says() {
    let server = TestServer::with(|settings| {
        trust(settings, ProxyProtocol::XForwardedFor, "10.0.0.0/8");
        settings.client.address_limit_includes_loopback = true;
    })
    .await;
    let _socket = server.raw(&forwarded("X-Forwarded-For: 192.0.2.1")).await;
    assert_eq!(status(&head_of(&server, forwarded("X-Forwarded-For: 192.0.2.2")).await), 429);
}

#[tokio::test]
async fn a_malformed_header_of_a_trusted_proxy_is_refused_and_counted() {
    let server = behind(ProxyProtocol::XForwardedFor, "127.0.0.1").await;
    assert_eq!(status(&head_of(&server, forwarded("X-Forwarded-For: nonsense")).await), 400);
    let long = format!("X-Forwarded-For: {}", "192.0.2.1,".repeat(500));
    assert_eq!(status(&head_of(&server, forwarded(&long)).await), 400);
    let page = server.get("/metrics").await;
    assert!(page.contains("throng_handshakes_total{result=\"bad_proxy_header\"} 2"), "{page}");
}

#[tokio::test]
async fn a_proxy_header_of_either_version_names_the_client() {
    let server = behind(ProxyProtocol::Proxy, "127.0.0.1").await;
    for header in [LINE, BINARY] {
        let socket = server.raw(&[header, forwarded("X: y").as_bytes()].concat()).await;
        let again = [LINE, forwarded("X: y").as_bytes()].concat();
        assert_eq!(status(&head_of(&server, &again).await), 429);
        let other = [b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", forwarded("X: y").as_bytes()].concat();
        assert_eq!(status(&head_of(&server, &other).await), 101);
        drop(socket);
        server.until("its seat is free", |running| running.connection_count() == 0).await;
    }
    let own = [b"PROXY UNKNOWN\r\n", get("/health", "").as_bytes()].concat();
    assert_eq!(status(&head_of(&server, &own).await), 200, "a proxy may look after the server itself");
}

#[tokio::test]
async fn a_trusted_peer_without_its_header_is_cut() {
    let server = behind(ProxyProtocol::Proxy, "127.0.0.1").await;
    for begin in [get("/health", ""), "PROXY TCP4 nonsense\r\n".into(), "\r\n\r\n\0\r\nQUIT\n\x11".into()] {
        assert_eq!(head_of(&server, &begin).await, "", "{begin:?}");
    }
}

#[tokio::test]
async fn a_proxy_header_from_whoever_is_not_trusted_ends_the_connection() {
    let strangers = behind(ProxyProtocol::Proxy, "10.0.0.0/8").await;
    let unconfigured = TestServer::start().await;
    for server in [&strangers, &unconfigured] {
        for header in [LINE, BINARY] {
            let request = [header, get("/health", "").as_bytes()].concat();
            let answer = head_of(server, &request).await;
            assert_eq!(answer, "", "{answer}");
        }
        assert_eq!(
            status(&head_of(server, get("/health", "")).await),
            200,
            "without one it is a plain client"
        );
    }
    let page = unconfigured.get("/metrics").await;
    assert!(page.contains("throng_handshakes_total{result=\"bad_proxy_header\"} 2"), "{page}");
}

#[tokio::test]
async fn a_half_proxy_header_is_given_up_in_time() {
    let server = TestServer::with(|settings| {
        trust(settings, ProxyProtocol::Proxy, "127.0.0.1");
        settings.websocket.handshake_timeout = std::time::Duration::from_millis(50);
    })
    .await;
    assert_eq!(head_of(&server, b"PROXY TCP4 192.0.2.1 ").await, "");
}

#[tokio::test]
async fn each_request_of_a_kept_connection_is_counted_for_its_own_client() {
    let server = TestServer::with(|settings| {
        trust(settings, ProxyProtocol::XForwardedFor, "127.0.0.1");
        settings.http_api.key = "s3cret".into();
    })
    .await;
    let _socket = server.raw(&forwarded("X-Forwarded-For: 192.0.2.1")).await;
    let call = |client: &str| {
        format!(
            "POST /api/info HTTP/1.1\r\nHost: localhost\r\nX-API-Key: s3cret\r\nX-Forwarded-For: {client}\r\n\
             Content-Length: 2\r\n\r\n{{}}"
        )
    };
    assert_eq!(status(&head_of(&server, call("192.0.2.2")).await), 200);
    assert_eq!(status(&head_of(&server, call("192.0.2.1")).await), 429);
}
