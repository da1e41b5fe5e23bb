//! Clients that are slow on purpose.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::raw::{ended, head, status, upgrade};
use crate::support::TestServer;

#[tokio::test]
async fn hundreds_of_half_sent_handshakes_hold_nobody_up_and_are_given_up() {
    let server = TestServer::with(|settings| {
        settings.websocket.handshake_timeout = Duration::from_millis(500);
        settings.client.connection_limit = Some(400);
    })
    .await;
    let mut halves = Vec::new();
    for index in 0..300 {
        let mut socket = server.tcp().await;
        if index % 2 == 0 {
            socket.write_all(b"GET /relay/lobby HTTP/1.1\r\nHost: local").await.unwrap();
        }
        halves.push(socket);
    }
    let [mut ann, mut bob] = server.members("lobby").await;
    ann.send("hi").await;
    assert_eq!(bob.text().await, "hi");
    for socket in &mut halves {
        ended(socket).await;
    }
    // Their seats are free again: as many as there are can be taken.
    let _members = server.members::<300>("lobby").await;
}

#[tokio::test]
async fn one_byte_at_a_time_gains_no_time() {
    let server = TestServer::with(|settings| {
        settings.websocket.handshake_timeout = Duration::from_millis(100);
    })
    .await;
    let mut socket = server.tcp().await;
    let began = Instant::now();
    for byte in upgrade("/relay/lobby", &format!("X: {}\r\n", "y".repeat(4_000))).bytes() {
        if socket.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(15), "the whole of it would take longer");
    assert_eq!(status(&head(&mut socket).await), 0);
}

#[tokio::test]
async fn a_body_that_trickles_in_is_given_up() {
    let server = TestServer::with(|settings| {
        settings.http_api.key = "s3cret".into();
        settings.http_api.request_timeout = Duration::from_millis(200);
    })
    .await;
    let mut socket = server.tcp().await;
    let head_only =
        "POST /api/info HTTP/1.1\r\nHost: localhost\r\nX-API-Key: s3cret\r\nContent-Length: 5000\r\n\r\n";
    socket.write_all(head_only.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = socket.into_split();
    let trickling = async {
        while writing.write_all(b" ").await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
        std::future::pending::<()>().await;
    };
    let answer = async {
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let answer = tokio::select! {
        answer = tokio::time::timeout(crate::support::PATIENCE, answer) => answer.expect("it is given up"),
        () = trickling => unreachable!("it never ends"),
    };
    assert_eq!(status(&answer), 408, "{answer}");
}
