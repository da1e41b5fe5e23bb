use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::{Backoff, BuildError, ConnectError, Disconnect, Proxy};

const AT_ONCE: Backoff = Backoff::new(Duration::ZERO, Duration::ZERO);

#[tokio::test(start_paused = true)]
async fn failed_attempts_go_from_one_server_to_the_next_and_a_lost_connection_begins_where_it_was() {
    let mut network = Network::new();
    let builder = network.client().endpoint("ws://second/").endpoint("ws://third/own").backoff(AT_ONCE);
    let client = builder.build().unwrap();
    for expected in ["ws://test", "ws://second", "ws://third", "ws://test"] {
        let arrival = network.attempt().await;
        assert!(arrival.endpoint.to_string().starts_with(expected), "{} {expected}", arrival.endpoint);
        arrival.refuse();
    }
    let arrival = network.attempt().await;
    assert_eq!(arrival.endpoint.to_string(), "ws://second/connection/websocket");
    let mut peer = Peer::accept(arrival.connect()).await;
    peer.welcome().await;
    client.connected().await.unwrap();
    peer.close(3001, "shutdown").await;
    for expected in ["ws://second/connection/websocket", "ws://third/own"] {
        let arrival = network.attempt().await;
        assert_eq!(arrival.endpoint.to_string(), expected);
        arrival.refuse();
    }
}

#[tokio::test(start_paused = true)]
async fn connect_fails_when_each_server_was_tried_once() {
    let mut network = Network::new();
    let connect = network.client().endpoint("ws://second").backoff(AT_ONCE).connect();
    let servers = async {
        network.attempt().await.refuse();
        network.attempt().await.refuse();
    };
    let (client, ()) = tokio::join!(connect, servers);
    let error = client.unwrap_err();
    let ConnectError::Failed(Disconnect::Unreachable { endpoint, .. }) = error else { panic!("{error:?}") };
    assert!(endpoint.starts_with("ws://second"));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_asked_for_a_tunnel_and_the_handshake_runs_through_it_with_the_clients_headers() {
    let mut network = Network::new();
    let client = network
        .client()
        .proxy(Proxy::Http("http://ann:secret@proxy:3128".to_owned()))
        .header("Cookie", "session=1")
        .header("X-Tag", "a")
        .header("X-Tag", "b")
        .build()
        .unwrap();
    let arrival = network.attempt().await;
    assert_eq!((arrival.endpoint.host(), arrival.endpoint.port()), ("proxy", 3128));
    let mut stream = arrival.connect();
    let asked = head(&mut stream).await;
    assert!(asked.starts_with("CONNECT test:80 HTTP/1.1\r\n"), "{asked}");
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let handshake = head(&mut stream).await;
    assert!(handshake.starts_with("GET /connection/websocket HTTP/1.1\r\nHost: test\r\n"), "{handshake}");
    let lower = handshake.to_ascii_lowercase();
    for header in ["\r\ncookie: session=1\r\n", "\r\nx-tag: a\r\n", "\r\nx-tag: b\r\n"] {
        assert!(lower.contains(header), "{handshake}");
    }
    assert!(!lower.contains("proxy-authorization"), "{handshake}");
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn headers_that_cannot_be_sent_and_proxies_that_cannot_be_used_are_refused_by_the_builder() {
    let network = Network::new();
    for (name, value) in
        [("a b", "1"), ("", "1"), ("X-Tag", "a\r\nb"), ("Upgrade", "h2c"), ("sec-websocket-KEY", "x")]
    {
        let error = network.client().header(name, value).build().unwrap_err();
        assert!(matches!(&error, BuildError::Header { name: named, .. } if named == name), "{error:?}");
    }
    let error = network.client().proxy(Proxy::Http("ftp://proxy".to_owned())).build().unwrap_err();
    assert!(matches!(error, BuildError::Proxy { .. }), "{error:?}");
    let error = network.client().endpoint("ftp://second").build().unwrap_err();
    assert!(matches!(error, BuildError::Endpoint(_)), "{error:?}");
}

/// An HTTP request up to the end of its head.
async fn head(stream: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
