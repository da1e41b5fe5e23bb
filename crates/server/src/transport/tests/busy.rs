//! What a shard and its connections do when everything happens at once.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::future::{join, join_all};
use throng_protocol::{ChannelName, ErrorCode};
use throng_registry::{Broadcast, Frames, Reservation};
use tokio::io::{AsyncRead, ReadBuf};

use super::*;
use crate::node::{Order, Selector};

impl Rig {
    /// Takes all the room that the shard's queue has.
    fn fill_queue(&self) -> Vec<Reservation<Broadcast, ShardCommand>> {
        let shard = self.node.fanout().shards().next().expect("one shard");
        std::iter::from_fn(|| self.node.fanout().queue(shard).reserve()).collect()
    }
}

impl Peer {
    /// Sends many publish commands in one message.
    async fn publish_many(&mut self, count: usize) {
        let command = |id: usize| format!(r#"{{"id":{},"publish":{{"channel":"a","data":1}}}}"#, id + 3);
        let text = (0..count).map(command).collect::<Vec<_>>().join("\n");
        let length = u16::try_from(text.len()).expect("short enough");
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(length.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).await.expect("the server is there");
    }

    async fn publish(&mut self) {
        self.send(Opcode::Text, br#"{"id":9,"publish":{"channel":"a","data":1}}"#).await;
    }

    async fn subscribe(&mut self) {
        self.send(Opcode::Text, br#"{"id":2,"subscribe":{"channel":"a"}}"#).await;
        assert!(self.frame().await.1.contains("subscribe"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_meets_a_deadline_still_says_goodbye() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        tokio::task::yield_now().await;
        rig.command(ShardCommand::Stop);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(peer.close_code().await, 3001);
        peer.send(Opcode::Close, b"").await;
        peer.ended().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_finds_no_room_waits_once_and_is_refused() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        peer.connect().await;
        peer.subscribe().await;
        let taken = rig.fill_queue();
        let start = Instant::now();
        peer.publish_many(100).await;
        for _ in 0..100 {
            assert!(peer.frame().await.1.contains(r#""code":111"#));
        }
        assert!(about(start, 0.25));
        drop(taken);
        tokio::time::advance(Duration::from_secs(1)).await;
        peer.publish().await;
        // Its own publication comes as well, in either order.
        let frames = [peer.frame().await.1, peer.frame().await.1];
        assert!(frames.iter().any(|frame| frame.contains(r#""publish":{}"#)), "{frames:?}");
        drop(peer);
    })
    .await;
}

/// Gives so many orders at once to the clients that are no user's.
async fn refresh_often(rig: &Rig, count: usize) -> Vec<Result<usize, ErrorCode>> {
    let to = Selector::default();
    let refresh = || rig.node.order(&to, Order::Refresh { expire_at: 0, info: None });
    join_all((0..count).map(|_| refresh())).await
}

#[tokio::test(start_paused = true)]
async fn an_order_that_a_busy_connection_cannot_take_is_refused_and_not_counted_as_done() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        peer.connect().await;
        peer.subscribe().await;
        let _taken = rig.fill_queue();
        peer.publish().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut outcomes = refresh_often(rig, 1_025).await;
        assert_eq!(outcomes.pop(), Some(Err(ErrorCode::TooManyRequests)));
        assert!(outcomes.iter().all(|outcome| *outcome == Ok(1)), "{outcomes:?}");
        drop(peer);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_can_always_be_ended() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        peer.connect().await;
        peer.subscribe().await;
        let _taken = rig.fill_queue();
        peer.publish().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let end = Order::Disconnect { code: 3503, reason: "force disconnect".into() };
        let (_, ended) = join(refresh_often(rig, 1_024), rig.node.order(&Selector::default(), end)).await;
        assert_eq!(ended, Ok(1));
        assert!(peer.frame().await.1.contains(r#""code":111"#));
        assert_eq!(peer.close_code().await, 3503, "and nothing of what was ordered before");
        drop(peer);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_publisher_that_is_paced() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        peer.connect().await;
        peer.subscribe().await;
        let _taken = rig.fill_queue();
        peer.publish_many(400).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        rig.command(ShardCommand::Stop);
        let start = Instant::now();
        while peer.frame().await.0 != Opcode::Close.bits() {}
        assert!(start.elapsed() < Duration::from_secs(1));
        drop(peer);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pong_that_is_there_in_time_counts_even_if_it_is_read_late() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        peer.connect().await;
        peer.subscribe().await;
        assert_eq!(peer.frame().await.1, "{}");
        // The connection's task is held up until just after the pong's deadline.
        tokio::time::advance(Duration::from_secs(7) + Duration::from_millis(900)).await;
        let taken = rig.fill_queue();
        peer.publish().await;
        tokio::task::yield_now().await;
        peer.send(Opcode::Text, b"{}").await;
        assert!(peer.frame().await.1.contains(r#""code":111"#));
        drop(taken);
        assert_eq!(peer.frame().await.1, "{}", "the next ping, and no close frame");
        drop(peer);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_heard_between_turns() {
    with_rig(async |rig| {
        let mut members = Vec::new();
        for _ in 0..30 {
            members.push(rig.relay().await);
        }
        let mut echo = rig.open(Route::Echo).await;
        let room: ChannelName = "relay:lobby".parse().expect("a name");
        let shard = rig.node.fanout().shards().next().expect("one shard");
        let frames = Arc::new(Frames::relay(MessageKind::Text, "x".into()));
        echo.send(Opcode::Text, b"hi").await;
        for (sequence, room_for_one) in (1..).zip(rig.fill_queue()) {
            let (channel, frames) = (room.clone(), Arc::clone(&frames));
            room_for_one.fill(Broadcast { channel, sequence, stream: None, frames, except: None });
        }
        assert_eq!(echo.frame().await.1, "hi");
        assert!(rig.node.fanout().queue(shard).depth() > 0, "the queue was not emptied first");
        drop((members, echo));
    })
    .await;
}

/// Notes how many channels there are when a client can read.
struct Spy(Arc<Node>, AtomicUsize);

impl Wake for Spy {
    fn wake(self: Arc<Self>) {
        self.1.store(self.0.directory().channel_count(), Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_has_the_answer_to_its_handshake_is_a_member() {
    with_rig(async |rig| {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let spy = Arc::new(Spy(Arc::clone(&rig.node), AtomicUsize::new(usize::MAX)));
        let waker = Waker::from(Arc::clone(&spy));
        let mut buffer = [0; 8];
        let mut into = ReadBuf::new(&mut buffer);
        assert!(Pin::new(&mut near).poll_read(&mut Context::from_waker(&waker), &mut into).is_pending());
        rig.hand_down(
            far,
            Route::Relay { room: "relay:lobby".parse().expect("a name"), pass: None },
            Bytes::new(),
        );
        while spy.1.load(Ordering::Relaxed) == usize::MAX {
            tokio::task::yield_now().await;
        }
        assert_eq!(spy.1.load(Ordering::Relaxed), 1);
        drop(near);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_never_finished_is_given_up() {
    with_rig(async |rig| {
        let mut member = rig.relay().await;
        member.0.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'x']).await.expect("the server is there");
        let start = Instant::now();
        loop {
            let head = member.read(2).await;
            if head[0] == 0x88 {
                break;
            }
            assert_eq!(head, [0x89, 4], "a ping");
            let payload = member.read(4).await;
            member.send(Opcode::Pong, &payload).await;
        }
        assert!(start.elapsed() <= Duration::from_secs(50), "two ping intervals at most");
        drop(member);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_while_the_shard_stops_is_turned_away() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        rig.command(ShardCommand::Stop);
        let (mut near, far) = tokio::io::duplex(1024);
        rig.hand_down(far, Route::Echo, Bytes::new());
        let mut nothing = Vec::new();
        near.read_to_end(&mut nothing).await.expect("an orderly end");
        assert!(nothing.is_empty());
        assert_eq!(peer.close_code().await, 3001);
        drop(peer);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_into_one_room_does_not_hold_up_another() {
    with_rig(async |rig| {
        let (mut flooder, listener) = (rig.relay().await, rig.relay().await);
        let other = || Route::Relay { room: "relay:other".parse().expect("a name"), pass: None };
        let (mut ann, mut bob) = (rig.open(other()).await, rig.open(other()).await);
        // Thousands of messages in one read.
        let flood = [0x81, 0x81, 0, 0, 0, 0, b'x'].repeat(5_000);
        flooder.0.write_all(&flood).await.expect("the server is there");
        ann.send(Opcode::Text, b"hi").await;
        assert_eq!(bob.frame().await.1, "hi");
        let delivered = rig.node.metrics.shards[0].deliveries.get();
        assert!(delivered < 200, "{delivered} deliveries went before");
        drop((flooder, listener, ann, bob));
    })
    .await;
}
