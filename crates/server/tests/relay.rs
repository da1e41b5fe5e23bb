//! The plain relay, as bare WebSocket clients see it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "the test awaits its tasks itself")]

mod support;

use support::TestServer;
use tokio_tungstenite::tungstenite::{Bytes, Message};

#[tokio::test]
async fn a_message_reaches_every_other_member_once_and_not_its_sender() {
    let server = TestServer::start().await;
    let [mut ann, mut bob, mut cid] = server.members("lobby").await;
    ann.send("hi").await;
    assert_eq!(bob.text().await, "hi");
    assert_eq!(cid.text().await, "hi");
    for client in [&mut ann, &mut bob, &mut cid] {
        client.assert_silent().await;
    }
    drop([ann, bob, cid]);
    server.stop().await;
}

#[tokio::test]
async fn text_stays_text_and_binary_stays_binary() {
    let server = TestServer::start().await;
    let [mut ann, mut bob] = server.members("lobby").await;
    let messages = [
        Message::text("ü€"),
        Message::binary(&[0, 255, 10][..]),
        Message::text(""),
        Message::binary(Bytes::new()),
    ];
    for message in &messages {
        ann.send_message(message.clone()).await;
    }
    for message in messages {
        assert_eq!(bob.message().await, message);
    }
}

#[tokio::test]
async fn rooms_do_not_hear_each_other() {
    let server = TestServer::start().await;
    let [mut ann, mut bob] = server.members("one").await;
    let [mut eve] = server.members("two").await;
    ann.send("for one").await;
    assert_eq!(bob.text().await, "for one");
    eve.assert_silent().await;
}

#[tokio::test]
async fn the_root_is_the_lobby() {
    let server = TestServer::start().await;
    let [mut ann] = server.members("lobby").await;
    let mut bob = server.client("/").await;
    bob.send("from the root").await;
    assert_eq!(ann.text().await, "from the root");
}

#[tokio::test]
async fn everything_said_by_many_arrives_in_the_order_of_each_speaker() {
    const EACH: usize = 500;
    let server = TestServer::start().await;
    let mut members = server.members::<4>("lobby").await;
    for number in 0..EACH {
        for (speaker, member) in members.iter_mut().enumerate() {
            member.send(format!("{speaker} {number}")).await;
        }
    }
    for (listener, member) in members.iter_mut().enumerate() {
        let mut next = [0; 4];
        for _ in 0..3 * EACH {
            let text = member.text().await;
            let (speaker, number) = text.split_once(' ').unwrap();
            let speaker: usize = speaker.parse().unwrap();
            assert_ne!(speaker, listener, "nobody hears itself");
            assert_eq!(number.parse(), Ok(next[speaker]));
            next[speaker] += 1;
        }
    }
}

#[tokio::test]
async fn a_member_that_has_its_handshake_answered_misses_nothing() {
    let server = TestServer::start().await;
    let [mut ann] = server.members("lobby").await;
    for number in 0..50 {
        let [mut bob] = server.members("lobby").await;
        ann.send(number.to_string()).await;
        assert_eq!(bob.text().await, number.to_string());
    }
}

#[tokio::test]
async fn pings_are_answered_and_a_close_gets_the_closing_handshake() {
    let server = TestServer::start().await;
    let [mut ann] = server.members("lobby").await;
    ann.send_message(Message::Ping(Bytes::from_static(b"abc"))).await;
    assert_eq!(ann.message().await, Message::Pong(Bytes::from_static(b"abc")));
    ann.socket.close(None).await.unwrap();
    assert_eq!(ann.message().await, Message::Close(None));
    server.until("nobody is left", |running| running.connection_count() == 0).await;
    assert_eq!(server.running.channel_count(), 0);
}

#[tokio::test]
async fn a_message_in_many_fragments_is_one_message() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let server = TestServer::start().await;
    let [mut ann, mut bob] = server.members("lobby").await;
    for (number, part) in ["a", "b", "c"].into_iter().enumerate() {
        let opcode = OpCode::Data(if number == 0 { Data::Text } else { Data::Continue });
        ann.send_message(Message::Frame(Frame::message(part, opcode, number == 2))).await;
    }
    assert_eq!(bob.text().await, "abc");
}

#[tokio::test]
async fn a_full_shard_queue_paces_the_sender_and_loses_nothing() {
    const COUNT: usize = 2_000;
    let server = TestServer::with(|settings| settings.shards.queue_capacity = 4).await;
    let [mut ann, mut bob] = server.members("lobby").await;
    let sending = tokio::spawn(async move {
        for number in 0..COUNT {
            ann.send(number.to_string()).await;
        }
        ann
    });
    for number in 0..COUNT {
        assert_eq!(bob.text().await, number.to_string());
    }
    drop(sending.await.unwrap());
    assert!(server.metric("throng_publishers_paced_total").await > 0);
}
