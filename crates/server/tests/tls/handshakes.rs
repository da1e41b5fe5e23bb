use std::sync::Arc;
use std::time::Duration;

use rustls::client::ClientConfig;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, HandshakeKind, ProtocolVersion};
use throng_server::config::ProxyProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::party::{Authority, Party};
use crate::support::PATIENCE;

/// The first message of a client.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = "localhost".try_into().unwrap();
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::clone(config), name).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

/// Waits for the end of a connection, and returns what came before it.
async fn ended(mut socket: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("the connection stays open");
    rest
}

#[tokio::test]
async fn http_and_websockets_are_served_over_tls_and_the_url_says_so() {
    let party = Party::start().await;
    assert!(party.server.running.url("/echo").starts_with("wss://127.0.0.1:"));
    assert!(party.get("/health").await.starts_with("HTTP/1.1 200"));
    let mut echo = party.client("/echo").await;
    echo.send("hello").await;
    assert_eq!(echo.text().await, "hello");
    assert_eq!(party.metric("throng_tls_handshakes_total{result=\"plain\"}").await, 0);
    drop(echo);
    party.server.stop().await;
}

#[tokio::test]
async fn a_client_that_speaks_http_without_tls_is_told_so_and_any_other_is_closed() {
    let party = Party::start().await;
    let answer = party.server.get("/health").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nthis port speaks TLS: use https:// or wss://\n"), "{answer}");
    let mut socket = party.server.tcp().await;
    socket.write_all(b"\0\0\0").await.unwrap();
    assert_eq!(ended(socket).await, b"");
    party.until_metric("throng_tls_handshakes_total{result=\"plain\"}", 2).await;
}

#[tokio::test]
async fn the_internal_address_speaks_tls_as_well() {
    let party = Party::with(|settings, _, _| settings.http_server.internal_port = Some(0)).await;
    let internal = party.server.running.internal_addr().unwrap();
    let ask = async |path| {
        let stream = party.connect_to(internal, &party.config, "localhost").await.unwrap();
        party.get_on(stream, path).await.unwrap()
    };
    assert!(ask("/health").await.starts_with("HTTP/1.1 200"));
    assert!(ask("/metrics").await.contains("\nthrong_tls_handshakes_total{result=\"full\"} "));
    assert!(party.get("/health").await.starts_with("HTTP/1.1 404"));
    let mut plain = TcpStream::connect(internal).await.unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(ended(plain).await.starts_with(b"HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_proxy_header_comes_before_tls_and_failures_count_for_who_stands_in_it() {
    let party = Party::with(|settings, _, _| {
        settings.http_server.proxy.protocol = ProxyProtocol::Proxy;
        settings.http_server.proxy.trusted_networks = vec!["127.0.0.0/8".parse().unwrap()];
        settings.client.address_failure_limit = 1;
    })
    .await;
    let begun = async |who: &str| {
        let mut socket = party.server.tcp().await;
        let header = format!("PROXY TCP4 {who} 192.0.2.1 50000 443\r\n");
        socket.write_all(header.as_bytes()).await.unwrap();
        socket
    };
    let ask = async |who| {
        let stream = party.connect_on(begun(who).await, &party.config, "localhost").await.unwrap();
        party.get_on(stream, "/health").await.unwrap()
    };
    assert!(ask("198.51.100.1").await.starts_with("HTTP/1.1 200"));
    let mut broken = begun("198.51.100.1").await;
    broken.write_all(b"\x16\x03\x01\x00\x05nonsense").await.unwrap();
    ended(broken).await;
    assert!(ask("198.51.100.1").await.starts_with("HTTP/1.1 429"));
    assert!(ask("198.51.100.2").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn versions_below_the_least_are_refused() {
    for (least, refuses_1_2) in [(None, false), (Some(throng_server::config::TlsVersion::V1_3), true)] {
        let party = Party::with(|settings, _, _| {
            settings.http_server.tls.min_version = least.unwrap_or_default();
        })
        .await;
        let with = |version| Arc::new(party.authority.trusted_with(&[version], None));
        let newest = party.connect(&with(&TLS13), "localhost").await.unwrap();
        assert_eq!(newest.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(party.connect(&with(&TLS12), "localhost").await.is_err(), refuses_1_2);
    }
}

#[tokio::test]
async fn only_http_1_1_is_agreed_on() {
    let party = Party::start().await;
    let offering = |protocols: &[&[u8]]| {
        let mut config = party.authority.trusted();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    };
    let stream = party.connect(&offering(&[b"h2", b"http/1.1"]), "localhost").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    party.connect(&offering(&[b"h2"]), "localhost").await.unwrap_err();
}

#[tokio::test]
async fn clients_show_certificates_where_they_are_asked_for_them() {
    use throng_server::config::ClientAuth::{Optional, Required};
    for auth in [Required, Optional] {
        let party = Party::with(|settings, authority, files| {
            let tls = &mut settings.http_server.tls;
            tls.client_ca_pem = files.write("ca.pem", &authority.pem()).into();
            tls.client_auth = auth;
        })
        .await;
        let authority = &party.authority;
        for versions in [[&TLS12], [&TLS13]] {
            let with = |certified| authority.trusted_with(&versions, certified);
            let good = party.served(with(Some(authority.certify(&["ann"])))).await.unwrap();
            assert!(good.starts_with("HTTP/1.1 200"), "{good}");
            party.served(with(Some(Authority::new().certify(&["eve"])))).await.unwrap_err();
            assert_eq!(party.served(with(None)).await.is_err(), auth == Required);
        }
    }
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_from_its_last_session() {
    let party = Party::start().await;
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(party.authority.trusted_with(&[version], None));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let stream = party.connect(&config, "localhost").await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind), "{version:?}");
            // The ticket comes before the answer.
            party.get_on(stream, "/health").await.unwrap();
        }
    }
    assert_eq!(party.metric("throng_tls_handshakes_total{result=\"resumed\"}").await, 2);
}

#[tokio::test]
async fn half_a_handshake_ends_at_its_deadline_and_broken_ones_at_once() {
    let party = Party::with(|settings, _, _| {
        settings.websocket.handshake_timeout = Duration::from_millis(300);
    })
    .await;
    let hello = hello(&party.config);
    for part in [1, 5, hello.len() / 2, hello.len() - 1] {
        let mut socket = party.server.tcp().await;
        socket.write_all(&hello[..part]).await.unwrap();
        assert_eq!(ended(socket).await, b"", "{part}");
    }
    party.until_metric("throng_tls_handshakes_total{result=\"late\"}", 4).await;
    let mut socket = party.server.tcp().await;
    socket.write_all(b"\x16\x03\x01\x00\x05nonsense that goes on").await.unwrap();
    ended(socket).await;
    let mut socket = party.server.tcp().await;
    socket.write_all(&hello[..50]).await.unwrap();
    drop(socket);
    party.until_metric("throng_tls_handshakes_total{result=\"refused\"}", 1).await;
    party.until_metric("throng_tls_handshakes_total{result=\"gone\"}", 1).await;
}

#[tokio::test]
async fn clients_that_say_half_of_hello_hold_up_nobody() {
    let party = Party::with(|settings, _, _| settings.http_server.tls.handshake_limit = 1).await;
    let hello = hello(&party.config);
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let mut socket = party.server.tcp().await;
        socket.write_all(&hello[..hello.len() / 2]).await.unwrap();
        stalled.push(socket);
    }
    let [mut ann, mut bob] = party.members("lobby").await;
    ann.send("still here").await;
    assert_eq!(bob.text().await, "still here");
}

#[tokio::test]
async fn clients_that_say_hello_and_nothing_more_hold_up_nobody() {
    let party = Party::with(|settings, _, _| settings.http_server.tls.handshake_limit = 2).await;
    let hello = hello(&party.config);
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let mut socket = party.server.tcp().await;
        socket.write_all(&hello).await.unwrap();
        socket.read_u8().await.unwrap();
        stalled.push(socket);
    }
    let served = party.get("/health").await;
    assert!(served.starts_with("HTTP/1.1 200"), "{served}");
    assert_eq!(party.metric("throng_tls_handshakes_in_flight").await, 50);
    drop(stalled);
    party.until_metric("throng_tls_handshakes_total{result=\"gone\"}", 50).await;
    assert_eq!(party.metric("throng_tls_handshakes_waiting").await, 0);
}
