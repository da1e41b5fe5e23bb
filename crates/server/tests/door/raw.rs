//! Raw bytes, in both directions.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, TestServer};

/// The request for an upgrade, with these further headers, each with its line end.
pub(crate) fn upgrade(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// A request for a page.
pub(crate) fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

/// Sends bytes on a new connection, and returns the head of the answer; empty if the connection ends without one.
pub(crate) async fn head_of(server: &TestServer, bytes: impl AsRef<[u8]>) -> String {
    let mut socket = server.tcp().await;
    // A server that has decided already may not take them all.
    let _ = socket.write_all(bytes.as_ref()).await;
    head(&mut socket).await
}

/// The head of the next answer; empty if the connection ends without one.
pub(crate) async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match timeout(PATIENCE, socket.read_u8()).await.expect("nothing came") {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// The status of an answer; 0 if there was none.
pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
}

/// Waits until the server ends the connection.
pub(crate) async fn ended(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    // However it ends: it ends.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("the connection stays open");
}
