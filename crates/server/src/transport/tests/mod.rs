//! Connections over in-memory streams, in a runtime whose time stands still until everybody waits for it.

mod busy;
mod expiry;
mod revocation;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use throng_protocol::Format;
use throng_protocol::frame::{self, MessageKind, Opcode};
use throng_registry::{ClientId, WireFormat};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, LocalSet, spawn_local, unconstrained};
use tokio::time::Instant;

use super::{Dialogue, Farewell, Socket};
use crate::auth::Tokens;
use crate::config::Settings;
use crate::handlers::{HandlerSet, Handlers};
use crate::listener::Admission;
use crate::metrics::Transport;
use crate::node::Node;
use crate::session::PingStyle;
use crate::shard::{self, Incoming, Opening, Route, ShardCommand};

const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

/// A node with one shard, driven by the test's own runtime.
struct Rig {
    node: Arc<Node>,
    admission: Arc<Admission>,
    shard: JoinHandle<usize>,
}

impl Rig {
    fn start(change: impl FnOnce(&mut Settings, &mut HandlerSet)) -> Self {
        let (mut settings, mut set) = (Settings::default(), HandlerSet::default());
        settings.shards.count = 1;
        change(&mut settings, &mut set);
        let admission = Arc::new(Admission::new(&settings, 100));
        let handlers = Handlers::new(set, 1, Duration::from_secs(1), Some(Handle::current()));
        let node = Arc::new(Node::new(settings, handlers, Tokens::default()).expect("nothing is kept"));
        let id = node.fanout().shards().next().expect("one shard");
        let shard = spawn_local(unconstrained(shard::run(id, Arc::clone(&node))));
        Self { node, admission, shard }
    }

    fn command(&self, command: ShardCommand) {
        let shard = self.node.fanout().shards().next().expect("one shard");
        self.node.fanout().queue(shard).control(command);
    }

    /// Gives the shard a connection whose handshake is done but not answered.
    fn hand_down(&self, stream: DuplexStream, route: Route, leftover: Bytes) {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut seat = self.admission.admit().expect("there is room");
        seat.assign_shard();
        let answer = ANSWER.to_vec();
        let opening = Opening { answer, leftover, route, client: ClientId::random(), peer, seat };
        self.command(ShardCommand::Open(Incoming::Memory(stream), Box::new(opening)));
    }

    /// A client whose handshake has been answered.
    async fn open(&self, route: Route) -> Peer {
        self.open_with(route, Bytes::new()).await
    }

    async fn open_with(&self, route: Route, leftover: Bytes) -> Peer {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.hand_down(far, route, leftover);
        let mut peer = Peer(near);
        assert_eq!(peer.read(ANSWER.len()).await, ANSWER);
        peer
    }

    async fn protocol(&self, ping_style: PingStyle) -> Peer {
        self.open(Route::Protocol { format: Format::Json, ping_style, user: None }).await
    }

    async fn relay(&self) -> Peer {
        self.open(Route::Relay { room: "relay:lobby".parse().expect("a name"), pass: None }).await
    }
}

/// Panics when it is spoken to.
pub(super) struct Bomb;

impl Dialogue for Bomb {
    fn format(&self) -> WireFormat {
        WireFormat::Relay
    }

    fn transport(&self) -> Transport {
        Transport::Echo
    }

    async fn begin(&mut self, socket: &Socket) -> Option<Farewell> {
        let room = "relay:lobby".parse().expect("a name");
        socket.shard.enter_room(socket.slot, &room).await.expect("the engine takes it");
        None
    }

    async fn message(&mut self, _: &Socket, _: MessageKind, _: Bytes) -> Option<Farewell> {
        panic!("as the test asked")
    }

    fn pong(&mut self, _: &[u8]) {}

    fn deadline(&self, _: &Settings) -> Option<std::time::Instant> {
        None
    }

    fn timer(&mut self, _: &Socket, _: std::time::Instant) -> Option<Farewell> {
        None
    }
}

struct Peer(DuplexStream);

impl Peer {
    async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).await.expect("the server is there");
        bytes
    }

    /// Sends a frame, masked with zeroes.
    async fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let length = u8::try_from(payload.len()).expect("short");
        let mut frame = vec![0x80 | opcode.bits(), 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).await.expect("the server is there");
    }

    /// The next frame's opcode and payload.
    async fn frame(&mut self) -> (u8, String) {
        let head = self.read(2).await;
        let length = match head[1] {
            126 => u16::from_be_bytes(self.read(2).await.try_into().expect("two bytes")).into(),
            short => usize::from(short),
        };
        assert!(length < 1 << 16 && head[1] < 127, "not long, and not masked");
        let payload = self.read(length).await;
        (head[0] & 0xf, String::from_utf8_lossy(&payload).into_owned())
    }

    /// The code of the close frame that comes next.
    async fn close_code(&mut self) -> u16 {
        let head = self.read(2).await;
        assert_eq!(head[0] & 0xf, Opcode::Close.bits());
        let payload = self.read(usize::from(head[1])).await;
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// The payload of the ping that comes next.
    async fn ping(&mut self) -> Vec<u8> {
        assert_eq!(self.read(2).await, [0x80 | Opcode::Ping.bits(), 4]);
        self.read(4).await
    }

    async fn connect(&mut self) {
        self.send(Opcode::Text, br#"{"id":1,"connect":{}}"#).await;
        assert!(self.frame().await.1.contains(r#""connect""#));
    }

    /// Waits for the end of the stream.
    async fn ended(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.expect("an orderly end");
        assert!(rest.is_empty(), "nothing follows a close frame");
    }
}

/// Runs a test on a rig and checks that nothing is left of its clients.
async fn with_rig(test: impl AsyncFnOnce(&Rig)) {
    with_rig_of(|_, _| (), test).await;
}

/// Does the same with other settings, or with handlers.
async fn with_rig_of(change: impl FnOnce(&mut Settings, &mut HandlerSet), test: impl AsyncFnOnce(&Rig)) {
    let local = LocalSet::new();
    local
        .run_until(async {
            let rig = Rig::start(change);
            test(&rig).await;
            rig.command(ShardCommand::Stop);
            assert_eq!(rig.shard.await.expect("the shard ends in order"), 0);
            assert_eq!((rig.node.directory().client_count(), rig.node.directory().channel_count()), (0, 0));
            assert_eq!(rig.node.metrics.open_connections(), 0);
            assert_eq!(rig.node.metrics.shards[0].clients.get(), 0);
        })
        .await;
}

fn about(instant: Instant, seconds: f64) -> bool {
    (instant.elapsed().as_secs_f64() - seconds).abs() < 0.1
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_connects_is_closed_as_stale() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        let start = Instant::now();
        assert_eq!(peer.close_code().await, 3502);
        assert!(about(start, 10.0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pings_come_every_interval_while_they_are_answered() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        peer.connect().await;
        let start = Instant::now();
        assert_eq!(peer.frame().await.1, "{}");
        assert!((12.4..25.1).contains(&start.elapsed().as_secs_f64()), "the first one is early by chance");
        for _ in 0..3 {
            peer.send(Opcode::Text, b"{}").await;
            let last = Instant::now();
            assert_eq!(peer.frame().await.1, "{}");
            assert!(about(last, 25.0));
        }
        let last = Instant::now();
        assert_eq!(peer.close_code().await, 3012);
        assert!(about(last, 8.0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn relay_members_are_pinged_with_frames() {
    with_rig(async |rig| {
        let mut peer = rig.relay().await;
        let ping = peer.ping().await;
        peer.send(Opcode::Pong, &ping).await;
        peer.ping().await;
        // Who does not read can send pongs, but not the right one.
        peer.send(Opcode::Pong, b"").await;
        assert_eq!(peer.close_code().await, 3012);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_may_ask_for_ping_frames() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Frame).await;
        peer.send(Opcode::Text, br#"{"id":1,"connect":{}}"#).await;
        let (_, reply) = peer.frame().await;
        assert!(!reply.contains("ping") && !reply.contains("pong"), "{reply}");
        let ping = peer.ping().await;
        peer.send(Opcode::Pong, &ping).await;
        peer.ping().await;
        // Who does not read can send pongs, but not the right one.
        peer.send(Opcode::Pong, b"").await;
        assert_eq!(peer.close_code().await, 3012);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_the_close_is_dropped_at_the_deadline() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        peer.send(Opcode::Text, b"not a command").await;
        assert_eq!(peer.close_code().await, 3501);
        let start = Instant::now();
        peer.ended().await;
        assert!(about(start, 5.0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_the_close_is_let_go_at_once() {
    with_rig(async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        peer.send(Opcode::Text, b"not a command").await;
        assert_eq!(peer.close_code().await, 3501);
        let start = Instant::now();
        peer.send(Opcode::Close, &3501_u16.to_be_bytes()).await;
        peer.ended().await;
        assert!(about(start, 0.0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_gets_its_own_code_back() {
    with_rig(async |rig| {
        let mut peer = rig.relay().await;
        peer.send(Opcode::Close, &1000_u16.to_be_bytes()).await;
        assert_eq!(peer.close_code().await, 1000);
        peer.ended().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_each_kind_of_client_in_its_own_words() {
    with_rig(async |rig| {
        let (mut member, mut client) = (rig.relay().await, rig.protocol(PingStyle::Application).await);
        client.connect().await;
        rig.command(ShardCommand::Stop);
        assert_eq!(member.close_code().await, 1001);
        assert_eq!(client.close_code().await, 3001);
        for peer in [&mut member, &mut client] {
            peer.send(Opcode::Close, b"").await;
            peer.ended().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_in_the_middle_of_a_frame_does_not_hold_up_a_stop() {
    with_rig(async |rig| {
        let mut member = rig.relay().await;
        member.0.write_all(&[0x81, 0xfe, 0xff]).await.expect("the server is there");
        tokio::task::yield_now().await;
        rig.command(ShardCommand::Stop);
        assert_eq!(member.close_code().await, 1001);
        drop(member);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_own_connection_and_is_counted() {
    with_rig(async |rig| {
        let (mut bystander, mut bomb) = (rig.relay().await, rig.open(Route::Bomb).await);
        let silent = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        bomb.send(Opcode::Text, b"boom").await;
        bomb.ended().await;
        std::panic::set_hook(silent);
        assert_eq!(rig.node.metrics.panics.get(), 1);
        assert_eq!(rig.node.metrics.open_connections(), 1);
        let mut member = rig.relay().await;
        member.send(Opcode::Text, b"still here").await;
        assert_eq!(bystander.frame().await.1, "still here");
        drop((bystander, member));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_departure_shows_in_the_metrics_without_waiting_for_a_message() {
    with_rig(async |rig| {
        let peer = rig.relay().await;
        let clients = || rig.node.metrics.shards[0].clients.get();
        assert_eq!(clients(), 1);
        drop(peer);
        let gone = async {
            while clients() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(1), gone).await.is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_came_with_the_handshake_is_read_first() {
    with_rig(async |rig| {
        let mut early = frame::encode(Opcode::Text, b"early").to_vec();
        early[1] |= 0x80;
        early.splice(2..2, [0; 4]);
        let mut peer = rig.open_with(Route::Echo, early.into()).await;
        assert_eq!(peer.frame().await.1, "early");
        peer.send(Opcode::Text, b"late").await;
        assert_eq!(peer.frame().await.1, "late");
        drop(peer);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_sides_that_wait_for_each_other_do_not_hold_the_echo_for_ever() {
    with_rig(async |rig| {
        let mut peer = rig.open(Route::Echo).await;
        // The peer sends and never reads, until both directions are full.
        let writing = async {
            loop {
                peer.send(Opcode::Binary, &[7; 100]).await;
            }
        };
        let stuck = tokio::time::timeout(Duration::from_secs(1), writing).await;
        assert!(stuck.is_err(), "the server stopped reading");
        let start = Instant::now();
        let mut rest = Vec::new();
        // Its pings are not answered either, so it is closed in the end.
        let _ = peer.0.read_to_end(&mut rest).await;
        assert!(start.elapsed() < Duration::from_secs(60));
    })
    .await;
}
