//! Requests that two readers could understand in two ways.

use tokio::io::AsyncWriteExt;

use crate::raw::{ended, get, head, head_of, status, upgrade};
use crate::support::TestServer;

const HEAD: &str = "POST /api/info HTTP/1.1\r\nHost: localhost\r\nX-API-Key: s3cret\r\n";

async fn server() -> TestServer {
    TestServer::with(|settings| settings.http_api.key = "s3cret".into()).await
}

#[tokio::test]
async fn a_body_whose_end_is_not_certain_is_refused_and_ends_the_connection() {
    let server = server().await;
    for headers in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "Content-Length: 2, 2\r\n\r\n{}",
        "Content-Length: +2\r\n\r\n{}",
        "Content-Length: 2\n\r\n{}",
        "Content-Length: 2\r\n\n{}",
        "Content-Length : 2\r\n\r\n{}",
        "X: y\r\n Content-Length: 2\r\n\r\n{}",
        "X: y\rContent-Length: 2\r\n\r\n{}",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity\r\n\r\n{}",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut socket = server.tcp().await;
        socket.write_all(format!("{HEAD}{headers}{}", get("/health", "")).as_bytes()).await.unwrap();
        assert_eq!(status(&head(&mut socket).await), 400, "{headers:?}");
        ended(&mut socket).await;
    }
}

#[tokio::test]
async fn a_second_request_is_looked_at_like_the_first() {
    let server = server().await;
    for first in ["Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"] {
        let mut socket = server.tcp().await;
        socket.write_all(format!("{HEAD}{first}").as_bytes()).await.unwrap();
        let good = head(&mut socket).await;
        assert_eq!(status(&good), 200);
        let length = good.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        tokio::io::AsyncReadExt::read_exact(&mut socket, &mut body).await.unwrap();
        let bad = format!("{HEAD}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n");
        socket.write_all(bad.as_bytes()).await.unwrap();
        assert_eq!(status(&head(&mut socket).await), 400, "{first:?}");
        ended(&mut socket).await;
    }
}

#[tokio::test]
async fn a_body_in_bad_chunks_is_refused() {
    let server = server().await;
    for body in [
        "2\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n",
        "2\r\n{}0\r\n\r\n",
        "fffffffffffffffff\r\n",
    ] {
        let answer = head_of(&server, format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{body}")).await;
        assert_eq!(status(&answer), 400, "{body:?}");
    }
}

#[tokio::test]
async fn a_request_for_a_websocket_is_not_the_cover_for_a_call() {
    let server = server().await;
    let covered = format!("{HEAD}Upgrade: websocket\r\nContent-Length: 2\r\n\r\n{{}}");
    let mut socket = server.tcp().await;
    socket.write_all(format!("{covered}{covered}").as_bytes()).await.unwrap();
    assert_ne!(status(&head(&mut socket).await), 200);
    ended(&mut socket).await;
}

#[tokio::test]
async fn frames_right_behind_the_handshake_are_no_request_and_arrive() {
    let server = TestServer::start().await;
    let mut socket = server.tcp().await;
    // Masked with zeros: a text of one line feed.
    let frame = b"\x81\x81\0\0\0\0\n";
    socket.write_all(&[upgrade("/echo", "").as_bytes(), frame].concat()).await.unwrap();
    assert_eq!(status(&head(&mut socket).await), 101);
    let mut echo = [0; 3];
    tokio::io::AsyncReadExt::read_exact(&mut socket, &mut echo).await.unwrap();
    assert_eq!(&echo, b"\x81\x01\n");
}
