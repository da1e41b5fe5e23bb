//! Bytes that no decent client sends. Each ends with the code that RFC 6455 names, and harms nobody else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{PATIENCE, TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A raw connection whose handshake is done.
async fn raw(server: &TestServer, path: &str) -> TcpStream {
    let mut socket = server.tcp().await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: throng.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(timeout(PATIENCE, socket.read_u8()).await.unwrap().unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    socket
}

/// Reads a close frame and then the end of the stream; returns the code.
async fn close_code(socket: &mut TcpStream) -> u16 {
    let mut rest = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("it ends").unwrap();
    assert_eq!(rest[0], 0x88, "a close frame: {rest:?}");
    u16::from_be_bytes([rest[2], rest[3]])
}

#[tokio::test]
async fn frames_that_break_the_rfc_end_with_its_codes() {
    let server = TestServer::start().await;
    let [mut ann, mut bob] = server.members("lobby").await;
    for (what, bytes, code) in [
        ("an unmasked frame", &b"\x81\x02hi"[..], 1002),
        ("a reserved bit", b"\xc1\x80\0\0\0\0", 1002),
        ("an unknown opcode", b"\x83\x80\0\0\0\0", 1002),
        ("a continuation of nothing", b"\x80\x80\0\0\0\0", 1002),
        ("a fragmented ping", b"\x09\x80\0\0\0\0", 1002),
        ("bad UTF-8", b"\x81\x82\0\0\0\0\xff\xfe", 1007),
        ("a claim of 16 MiB", b"\x82\xff\0\0\0\0\x01\0\0\0\0\0\0\0", 1009),
        ("a claim of 2^63 bytes", b"\x82\xff\x80\0\0\0\0\0\0\0", 1002),
    ] {
        for path in ["/relay/lobby", "/connection/websocket"] {
            let mut socket = raw(&server, path).await;
            socket.write_all(bytes).await.unwrap();
            assert_eq!(close_code(&mut socket).await, code, "{what} on {path}");
        }
    }
    ann.send("still here").await;
    assert_eq!(bob.text().await, "still here");
    drop([ann, bob]);
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_arrives_byte_by_byte_is_understood() {
    let server = TestServer::start().await;
    let [mut ann] = server.members("lobby").await;
    let mut socket = raw(&server, "/relay/lobby").await;
    socket.set_nodelay(true).unwrap();
    for byte in b"\x81\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e" {
        socket.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(ann.text().await, "hello");
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_a_frame_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let mut socket = raw(&server, "/relay/lobby").await;
    socket.write_all(b"\x81\xfe\x10\0\0\0\0\0partial").await.unwrap();
    drop(socket);
    server.until("nobody is left", |running| running.connection_count() == 0).await;
    assert_eq!(server.running.channel_count(), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_pings_from_a_client_that_does_not_read_is_bounded() {
    let server = TestServer::with(|settings| settings.client.queue_max_size = 65_536).await;
    let mut socket = raw(&server, "/relay/lobby").await;
    let mut ping = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
    ping.extend_from_slice(&[b'x'; 125]);
    let pings = ping.repeat(1_000);
    let flooding = async { while socket.write_all(&pings).await.is_ok() {} };
    let _ = timeout(PATIENCE, flooding).await;
    assert_eq!(server.metric("throng_slow_disconnects_total").await, 1);
    server.until("it is gone", |running| running.connection_count() == 0).await;
}

#[tokio::test]
async fn a_thousand_commands_of_every_wrong_kind_harm_nobody_else() {
    let server = TestServer::start().await;
    let (mut ann, mut bob) = (server.connected().await, server.connected().await);
    ann.ask(r#"{"id":2,"subscribe":{"channel":"news"}}"#).await;
    for bad in [
        "[".repeat(60_000),
        "{\"id\":1,\"connect\":".repeat(1_000),
        "{}\n".repeat(20_000),
        "\u{0}".repeat(1_000),
        format!(r#"{{"id":1,"connect":{{"token":"{}"}}}}"#, "x".repeat(60_000)),
        r#"{"id":4294967296,"connect":{}}"#.into(),
        r#"{"id":-1,"connect":{}}"#.into(),
        r#"{"id":1,"connect":{},"publish":{"channel":"a","data":1}}"#.into(),
    ] {
        let mut client = server.client("/connection/websocket").await;
        client.send(bad).await;
        client.send(r#"{"id":9,"rpc":{}}"#).await;
        // It is refused, or it is answered; what counts is the pair below.
        client.message().await;
    }
    bob.ask(r#"{"id":2,"publish":{"channel":"news","data":1}}"#).await;
    assert_eq!(ann.json().await["push"]["pub"]["data"], 1);
    assert_eq!(server.metric("throng_panics_total").await, 0);
}
