use futures_util::StreamExt as _;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::{Backoff, CloseError, Disconnect, RelayEvent, WhenFull};

async fn connected(network: &mut Network, builder: RelayBuilder) -> (RelayClient, Peer<DuplexStream>) {
    let (client, peer) = tokio::join!(builder.connect(), network.accept());
    let mut client = client.unwrap();
    assert!(matches!(client.next().await, Some(RelayEvent::Connected)));
    (client, peer)
}

#[tokio::test(start_paused = true)]
async fn text_stays_text_and_binary_stays_binary() {
    let mut network = Network::new();
    let builder = network.relay();
    let (mut client, mut peer) = connected(&mut network, builder).await;
    assert_eq!(peer.path(), "/relay/lobby");
    client.send("héllo").await.unwrap();
    client.send(vec![0, 255]).await.unwrap();
    let (text, binary) = (peer.message().await.unwrap(), peer.message().await.unwrap());
    assert_eq!((&text, &binary), (&Message::text("héllo"), &Message::binary(vec![0, 255])));
    for message in [text, binary] {
        peer.send(message).await;
    }
    assert!(matches!(client.next().await, Some(RelayEvent::Text(text)) if text == "héllo"));
    assert!(matches!(client.next().await, Some(RelayEvent::Binary(bytes)) if bytes[..] == [0, 255]));
}

#[tokio::test(start_paused = true)]
async fn a_lost_relay_comes_back_and_sends_what_was_written_meanwhile() {
    let mut network = Network::new();
    let builder = network.relay();
    let (mut client, peer) = connected(&mut network, builder).await;
    peer.close(1001, "going away").await;
    assert!(matches!(
        client.next().await,
        Some(RelayEvent::Disconnected(Disconnect::Closed { code: 1001, .. }))
    ));
    client.send("one").await.unwrap();
    network.attempt().await.refuse();
    client.send("two").await.unwrap();
    let mut peer = network.accept().await;
    assert_eq!(peer.message().await, Some(Message::text("one")));
    assert_eq!(peer.message().await, Some(Message::text("two")));
    assert!(matches!(client.next().await, Some(RelayEvent::Disconnected(Disconnect::Unreachable { .. }))));
    assert!(matches!(client.next().await, Some(RelayEvent::Connected)));
}

#[tokio::test(start_paused = true)]
async fn a_terminal_close_code_ends_a_relay() {
    let mut network = Network::new();
    let builder = network.relay();
    let (mut client, peer) = connected(&mut network, builder).await;
    peer.close(3503, "force disconnect").await;
    assert!(matches!(client.next().await, Some(RelayEvent::Stopped(Disconnect::Closed { code: 3503, .. }))));
    assert!(client.next().await.is_none());
    assert!(matches!(client.send("late").await, Err(crate::SendError::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_left_when_it_does_not_answer() {
    let mut network = Network::new();
    let builder = network.relay().backoff(Backoff::new(Duration::ZERO, Duration::ZERO));
    let (mut client, mut peer) = connected(&mut network, builder).await;
    // Reading answers the pings, so this peer is kept.
    let read = tokio::time::timeout(100 * SECOND, peer.message());
    assert!(read.await.is_err(), "nothing but pings");
    // Now it no longer reads. The last ping was answered at 100 s.
    let (lost, waited) = timed(client.next()).await;
    assert!(
        matches!(lost, Some(RelayEvent::Disconnected(Disconnect::Silent { waited })) if waited == 35 * SECOND)
    );
    assert!(waited <= 35 * SECOND, "{waited:?}");
    let _peer = network.accept().await;
    assert!(matches!(client.next().await, Some(RelayEvent::Connected)));
}

#[tokio::test(start_paused = true)]
async fn closing_a_relay_sends_what_is_queued_first() {
    let mut network = Network::new();
    let builder = network.relay();
    let (client, mut peer) = connected(&mut network, builder).await;
    for number in 0..200 {
        client.send(number.to_string()).await.unwrap();
    }
    let server = async {
        for number in 0..200 {
            assert_eq!(peer.message().await, Some(Message::text(number.to_string())));
        }
        peer.closed().await
    };
    let (closed, code) = tokio::join!(client.close(), server);
    assert!(closed.is_ok());
    assert_eq!(code, Some(1000));
}

#[tokio::test(start_paused = true)]
async fn closing_a_relay_tells_what_was_not_sent() {
    let network = Network::new();
    let client = network.relay().build().unwrap();
    client.send("one").await.unwrap();
    client.send("two").await.unwrap();
    assert!(matches!(client.close().await, Err(CloseError::NotConnected { messages: 2 })));

    let mut network = Network::new();
    let builder = network.relay();
    let (client, peer) = connected(&mut network, builder).await;
    client.send("one").await.unwrap();
    let (closed, waited) = timed(client.close()).await;
    assert!(matches!(closed, Err(CloseError::Unconfirmed)));
    assert_eq!(waited, 5 * SECOND);
    drop(peer);

    let mut network = Network::new();
    let builder = network.relay();
    let (client, peer) = connected(&mut network, builder).await;
    client.send("too long for this server").await.unwrap();
    let (closed, ()) = tokio::join!(client.close(), peer.close(1009, "message too big"));
    assert!(matches!(closed, Err(CloseError::Closed(Disconnect::Closed { code: 1009, .. }))), "{closed:?}");

    let mut network = Network::new();
    let builder = network.relay();
    let (mut client, mut peer) = connected(&mut network, builder).await;
    client.send("one").await.unwrap();
    assert_eq!(peer.message().await, Some(Message::text("one")));
    drop(peer);
    assert!(matches!(client.next().await, Some(RelayEvent::Disconnected(_))));
    assert!(matches!(client.close().await, Err(CloseError::Unconfirmed)));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_senders_wait_and_cutting_them_off_sends_nothing() {
    let mut network = Network::new();
    let client = network.relay().build().unwrap();
    let sender = client.sender();
    let mut sent = 0;
    while tokio::time::timeout(SECOND, sender.send(sent.to_string())).await.is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 256);
    let mut peer = network.accept().await;
    sender.send("last").await.unwrap();
    for number in 0..sent {
        assert_eq!(peer.message().await, Some(Message::text(number.to_string())));
    }
    assert_eq!(peer.message().await, Some(Message::text("last")));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_that_drops_its_oldest_tells_how_many_before_it_sends_on() {
    let mut network = Network::new();
    let mut client = network.relay().send_queue(2, WhenFull::DropOldest).build().unwrap();
    for number in 0..5 {
        client.send(number.to_string()).await.unwrap();
    }
    let mut peer = network.accept().await;
    assert!(matches!(client.next().await, Some(RelayEvent::Dropped(3))));
    assert!(matches!(client.next().await, Some(RelayEvent::Connected)));
    assert_eq!(peer.message().await, Some(Message::text("3")));
    assert_eq!(peer.message().await, Some(Message::text("4")));

    let client = network.relay().send_queue(1, WhenFull::Fail).build().unwrap();
    client.send("one").await.unwrap();
    assert!(matches!(client.send("two").await, Err(crate::SendError::QueueFull { messages: 1 })));
}
