use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use throng_server::config::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::party::{Party, Stream};
use crate::support::{Client, PATIENCE};

/// A client of the JSON protocol in a channel.
async fn subscribed(party: &Party, channel: &str) -> Client<Stream> {
    let mut client = party.client("/connection/websocket").await;
    client.ask(r#"{"id":1,"connect":{}}"#).await;
    client.ask(&json!({"id": 2, "subscribe": {"channel": channel}}).to_string()).await;
    client
}

#[tokio::test]
async fn a_broadcast_reaches_every_member_in_order() {
    let party = Party::start().await;
    let mut members: [_; 20] = party.members("lobby").await;
    for number in 0..200 {
        members[0].send(number.to_string()).await;
    }
    for member in &mut members[1..] {
        for number in 0..200 {
            assert_eq!(member.text().await, number.to_string());
        }
    }
    drop(members);
    party.server.stop().await;
}

#[tokio::test]
async fn the_protocol_is_spoken_as_without_tls() {
    let party = Party::start().await;
    let (mut ann, mut bob) = (subscribed(&party, "news").await, subscribed(&party, "news").await);
    bob.send(r#"{"id":3,"publish":{"channel":"news","data":"hello"}}"#).await;
    let published = loop {
        let push = ann.json().await;
        if push["push"]["pub"].is_object() {
            break push;
        }
    };
    assert_eq!(published["push"]["pub"]["data"], "hello");
    drop((ann, bob));
    party.server.stop().await;
}

#[tokio::test]
async fn the_server_api_is_served_over_tls() {
    let party = Party::with(|settings, _, _| settings.http_api.key = "s3cret".into()).await;
    let mut stream = party.connect(&party.config, "localhost").await.unwrap();
    // Two requests on one connection.
    for _ in 0..2 {
        let request =
            b"POST /api/info HTTP/1.1\r\nHost: a.test\r\nX-API-Key: s3cret\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}}") {
            answer.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn large_messages_go_both_ways() {
    let party = Party::start().await;
    let mut echo = party.client("/echo").await;
    for length in [1, 125, 16_384, 16_385, 65_536, 1 << 20, 8 << 20] {
        let sent: Vec<u8> = (0..length).map(|at: usize| at.to_le_bytes()[0]).collect();
        echo.send_message(Message::binary(sent.clone())).await;
        let Message::Binary(heard) = echo.message().await else { panic!("not binary") };
        assert!(heard == sent, "{length}");
    }
    drop(echo);
    party.server.stop().await;
}

#[tokio::test]
async fn what_is_sent_right_behind_the_handshake_is_not_lost() {
    let party = Party::start().await;
    let mut stream = party.connect(&party.config, "localhost").await.unwrap();
    let request = "GET /echo HTTP/1.1\r\nHost: throng.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // The first message is in the same record as the request, the second in one of its own behind it.
    let first = [request.as_bytes(), b"\x81\x83\0\0\0\0one"].concat();
    stream.write_all(&first).await.unwrap();
    stream.write_all(b"\x81\x83\0\0\0\0two").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x81\x03one\x81\x03two") {
        answer.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_connection_cut_without_a_goodbye_leaves_nothing_behind() {
    let party = Party::start().await;
    let [ann, mut bob] = party.members("lobby").await;
    let (mut socket, mut tls) = ann.socket.into_inner().into_inner();
    // Half a record.
    let mut record = Vec::new();
    std::io::Write::write_all(&mut tls.writer(), b"\x81\x85\0\0\0\0hello").unwrap();
    tls.write_tls(&mut record).unwrap();
    socket.write_all(&record[..record.len() / 2]).await.unwrap();
    drop(socket);
    party.server.until("one is left", |running| running.connection_count() == 1).await;
    // A reset in the middle of everything.
    let [carl] = party.members("lobby").await;
    socket2::SockRef::from(&carl.socket.get_ref().get_ref().0).set_linger(Some(Duration::ZERO)).unwrap();
    drop(carl);
    party.server.until("one is left", |running| running.connection_count() == 1).await;
    let [mut dora] = party.members("lobby").await;
    dora.send("hello").await;
    assert_eq!(bob.text().await, "hello");
    drop([bob, dora]);
    party.server.stop().await;
}

#[tokio::test]
async fn a_record_that_was_tampered_with_ends_its_connection_alone() {
    let party = Party::start().await;
    let [ann, mut bob, mut carl] = party.members("lobby").await;
    let (mut socket, mut tls) = ann.socket.into_inner().into_inner();
    let mut record = Vec::new();
    std::io::Write::write_all(&mut tls.writer(), b"\x81\x85\0\0\0\0hello").unwrap();
    tls.write_tls(&mut record).unwrap();
    *record.last_mut().unwrap() ^= 1;
    socket.write_all(&record).await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("it ends").unwrap();
    carl.send("still here").await;
    assert_eq!(bob.text().await, "still here");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_ended_as_slow_and_its_memory_is_bounded() {
    const OUTBOX: usize = 256 << 10;
    let party = Party::with(|settings: &mut Settings, _, _| settings.client.queue_max_size = OUTBOX).await;
    let [stalled, mut reader, mut publisher] = party.members("lobby").await;
    let padding = "x".repeat(60_000);
    let mut deepest = 0;
    while party.metric("throng_slow_disconnects_total").await == 0 {
        publisher.send(padding.as_str()).await;
        assert_eq!(reader.text().await.len(), padding.len(), "the other member gets everything");
        deepest = deepest.max(party.metric("throng_outbox_bytes").await);
    }
    // What is sealed and not sent is charged, too.
    let most = (OUTBOX + 2 * padding.len() + (64 << 10)) as u64;
    assert!((1..=most).contains(&deepest), "{deepest}");
    drop(stalled);
    party.server.until("it is gone", |running| running.connection_count() == 2).await;
    party.until_metric("throng_outbox_bytes", 0).await;
}

#[tokio::test]
async fn who_reads_late_gets_everything_that_fits_the_outbox() {
    let party = Party::with(|settings, _, _| {
        settings.client.queue_max_size = 32 << 20;
        settings.shards.backlog_max_size = 64 << 20;
    })
    .await;
    let [mut late, mut publisher] = party.members("lobby").await;
    let padding = "x".repeat(50_000);
    let mut sent = 0;
    while party.metric("throng_outbox_bytes").await < 4 << 20 {
        for _ in 0..20 {
            publisher.send(format!("{sent} {padding}")).await;
            sent += 1;
        }
    }
    for number in 0..sent {
        assert!(late.text().await.starts_with(&format!("{number} ")), "{number}");
    }
    party.until_metric("throng_outbox_bytes", 0).await;
    drop([late, publisher]);
    party.server.stop().await;
}

#[tokio::test]
async fn a_stopping_server_says_goodbye_to_websocket_and_to_tls() {
    let party = Party::start().await;
    let mut client = subscribed(&party, "news").await;
    let heard = async {
        loop {
            match timeout(PATIENCE, client.socket.next()).await.expect("nothing comes") {
                Some(Ok(Message::Close(Some(close)))) => break assert_eq!(u16::from(close.code), 3001),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        client.socket.flush().await.unwrap();
        let mut stream = client.socket.into_inner();
        // A stream that ends without the goodbye of TLS is an error here.
        timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("it stays open").unwrap();
    };
    let (report, ()) = tokio::join!(timeout(PATIENCE, party.server.running.shutdown()), heard);
    let report = report.unwrap();
    assert_eq!((report.closed, report.cut), (1, 0));
}
