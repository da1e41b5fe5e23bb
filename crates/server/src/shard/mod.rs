//! A shard: one thread that owns a part of the clients for life, their sockets, sessions and outboxes.
//!
//! Each connection has a local task that reads and drives its session. One turn task takes what the shard's queue holds, hands
//! it to the outboxes, and writes every client that has something to write once. Nothing wakes a connection for a delivery.

mod departures;
mod expel;
mod expiries;
mod positions;
mod subscribe;
mod timers;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use rustls::ServerConnection;
use throng_engine::{Engine, EngineError, Revocation};
use throng_protocol::{ChannelName, DisconnectCode, Format};
use throng_registry::{ClientId, OutboxDepth, OutboxLimits, ShardId, ShardTable, Slot, Subscription};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::listener::{Pass, Seat};
use crate::node::{Addressed, Node, Obeyed, Order};
use crate::session::PingStyle;
use crate::tls::TlsStream;

use departures::Departure;
pub(crate) use departures::Member;
pub(crate) use expel::Whom;
pub(crate) use subscribe::{Marks, Prepared};
use timers::Timers;
pub(crate) use turn::run;

/// Which channels are wanted, by their names.
pub(crate) type Wanted = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What a shard's queue carries beside publications.
pub(crate) enum ShardCommand {
    /// Take over a connection whose handshake is done.
    Open(Incoming, Box<Opening>),
    /// Have these clients obey.
    Order { slots: Vec<Slot>, order: Order, obeyed: Obeyed },
    /// Tell how many subscribers each channel has that is wanted.
    Channels { wanted: Wanted, answer: mpsc::Sender<Vec<(ChannelName, usize)>> },
    /// Tell for whom most waits.
    Deepest { count: usize, answer: mpsc::Sender<Vec<(ClientId, OutboxDepth)>> },
    /// End what a revocation means, among these clients or among all.
    Expel { whom: Whom, revocation: Arc<Revocation> },
    /// Close every client, take no new one, and end when the last has gone.
    Stop,
    /// End now, whoever is left.
    Cut,
    /// Panic, as only a defect does.
    #[cfg(test)]
    Fail,
}

impl fmt::Debug for ShardCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(..) => "Open",
            Self::Order { .. } => "Order",
            Self::Channels { .. } => "Channels",
            Self::Deepest { .. } => "Deepest",
            Self::Expel { .. } => "Expel",
            Self::Stop => "Stop",
            Self::Cut => "Cut",
            #[cfg(test)]
            Self::Fail => "Fail",
        })
    }
}

/// A connection on its way from the listener to its shard.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The answer to the handshake, which the shard sends once it has taken the client in.
    pub(crate) answer: Vec<u8>,
    /// What the client sent right behind its handshake.
    pub(crate) leftover: Bytes,
    pub(crate) route: Route,
    pub(crate) client: ClientId,
    pub(crate) peer: SocketAddr,
    pub(crate) seat: Seat,
}

/// What a connection is for.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// The Centrifuge protocol.
    Protocol {
        format: Format,
        ping_style: PingStyle,
        /// The user that a trusted proxy named.
        user: Option<Box<str>>,
    },
    /// A room of the plain relay, as the channel it is, and what the client has shown to come in.
    Relay { room: ChannelName, pass: Option<Arc<Pass>> },
    /// Messages come back as they are.
    Echo,
    /// The first message makes the connection's task panic, as only a defect does.
    #[cfg(test)]
    Bomb,
}

/// A byte stream that can be given to another thread.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A socket that no runtime watches now; its shard's runtime will.
    Tcp(std::net::TcpStream),
    /// The same with TLS over it, whose handshake is done. What it has read of the peer's messages is in it.
    Tls(std::net::TcpStream, Box<ServerConnection>),
    /// A stream that needs no runtime.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

impl Incoming {
    /// Makes the stream one of this thread's.
    pub(crate) fn into_local(self) -> io::Result<SharedStream> {
        Ok(match self {
            Self::Tcp(socket) => Rc::new(RefCell::new(TcpStream::from_std(socket)?)),
            Self::Tls(socket, tls) => {
                Rc::new(RefCell::new(TlsStream::new(TcpStream::from_std(socket)?, tls)))
            }
            #[cfg(test)]
            Self::Memory(stream) => Rc::new(RefCell::new(stream)),
        })
    }
}

/// A byte stream that was upgraded to a WebSocket.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Bytes that it has taken and still holds, because its socket is full. A write of nothing passes them on.
    fn held(&self) -> usize {
        0
    }

    /// Tells the peer, below WebSocket, that nothing more will come, where there is a way to. Waits for nothing.
    fn part(&mut self) {}
}

impl Stream for TcpStream {}

impl Stream for TlsStream<TcpStream> {
    fn held(&self) -> usize {
        Self::held(self)
    }

    fn part(&mut self) {
        Self::part(self);
    }
}

#[cfg(test)]
impl Stream for tokio::io::DuplexStream {}

/// A connection's stream: its task reads from it, the turn task writes to it, neither across an await.
pub(crate) type SharedStream = Rc<RefCell<dyn Stream>>;

/// What a shard keeps beside each client of its table.
pub(crate) struct Conn {
    pub(crate) stream: SharedStream,
    /// Wakes the connection's task.
    pub(crate) waker: Waker,
    pub(crate) deadline: Option<Instant>,
    /// The deadline has passed and the task has not looked yet.
    pub(crate) fired: bool,
    /// The shard wants the connection closed.
    pub(crate) stop: Option<DisconnectCode>,
    /// Who the client is, once it has connected.
    pub(crate) member: Option<Box<Member>>,
    /// What the client's task is to do.
    #[expect(clippy::box_collection, reason = "every idle connection would pay for an empty queue")]
    pub(crate) orders: Option<Box<VecDeque<Addressed>>>,
}

/// Bytes of the read buffer that all connections of a shard share.
const READ_BUFFER: usize = 64 * 1024;

/// The state of a shard. Its parts are borrowed for single steps, never across an await.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) node: Arc<Node>,
    pub(crate) table: RefCell<ShardTable<Conn>>,
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    timers: RefCell<Timers>,
    turn: Cell<Option<Waker>>,
    stopping: Cell<bool>,
    /// Clients that were told of the stop and did not answer in time.
    unanswered: Cell<usize>,
    /// A client has gone since the last turn.
    shrunk: Cell<bool>,
    /// What is left to do for clients that are gone.
    departures: RefCell<VecDeque<Departure>>,
    departed: Rc<Notify>,
    /// A turn is under way. It stays true if the turn panics.
    in_turn: Cell<bool>,
}

impl Shard {
    fn new(id: ShardId, node: Arc<Node>) -> Self {
        let settings = &node.settings;
        let limits = OutboxLimits {
            client_bytes: settings.client.queue_max_size,
            client_messages: settings.client.queue_max_messages,
            shard_bytes: settings.shards.backlog_max_size,
        };
        Self {
            id,
            table: RefCell::new(ShardTable::new(limits)),
            read_buffer: RefCell::new(vec![0; READ_BUFFER].into_boxed_slice()),
            timers: RefCell::default(),
            turn: Cell::new(None),
            stopping: Cell::new(false),
            unanswered: Cell::new(0),
            shrunk: Cell::new(false),
            departures: RefCell::default(),
            departed: Rc::default(),
            in_turn: Cell::new(false),
            node,
        }
    }

    /// Notes that a client did not answer its close frame in time.
    pub(crate) fn count_unanswered(&self) {
        if self.stopping.get() {
            self.unanswered.set(self.unanswered.get() + 1);
        }
    }

    /// Whether a turn is under way, or was when the shard died.
    pub(crate) fn is_in_turn(&self) -> bool {
        self.in_turn.get()
    }

    /// Has the turn task run once all connections that are ready have been heard.
    pub(crate) fn wake_turn(&self) {
        if let Some(waker) = self.turn.take() {
            waker.wake();
        }
    }

    /// Puts frames of a client's own into its outbox.
    pub(crate) fn send(&self, slot: Slot, write: impl FnOnce(&mut bytes::BytesMut)) {
        self.table.borrow_mut().send(slot, write);
        self.wake_turn();
    }

    /// Sets when a client's task is to be woken next; `None` for never.
    pub(crate) fn set_deadline(&self, slot: Slot, deadline: Option<Instant>) {
        let mut table = self.table.borrow_mut();
        let Some(conn) = table.attachment_mut(slot) else { return };
        // What has fired was the deadline that is replaced here.
        conn.fired = false;
        let before = std::mem::replace(&mut conn.deadline, deadline);
        if before == deadline {
            return;
        }
        let mut timers = self.timers.borrow_mut();
        timers.cancel(before, slot);
        if timers.schedule(deadline, slot) {
            drop(timers);
            self.wake_turn();
        }
    }

    /// Subscribes a member of a relay room: it gets what is said from now on.
    ///
    /// # Errors
    ///
    /// The engine's; then nothing has changed.
    pub(crate) async fn enter_room(&self, slot: Slot, room: &ChannelName) -> Result<(), EngineError> {
        let rules = self.node.namespaces.relay().rules;
        let first = self.table.borrow_mut().enter(slot, room, rules);
        let joined = self.node.join(room, self.id, first).await;
        let is_in = joined.is_ok() || !first;
        let position = match joined {
            Ok(()) => self.node.engine().position(room, None).await,
            Err(error) => Err(error),
        };
        match &position {
            Ok(start) => {
                let subscription = Subscription { sequence: start.sequence.get(), ..Subscription::default() };
                // A client that has gone meanwhile took its entry along.
                let _ = self.table.borrow_mut().subscribe(slot, room, subscription, |_| ());
            }
            Err(_) if self.table.borrow_mut().abandon(slot, room) && is_in => {
                self.node.leave(room, self.id);
            }
            Err(_) => {}
        }
        position.map(|_| ())
    }

    /// Does something with what is known of a connected client.
    pub(crate) fn with_member<T>(&self, slot: Slot, act: impl FnOnce(&mut Member) -> T) -> Option<T> {
        self.table.borrow_mut().attachment_mut(slot)?.member.as_mut().map(|member| act(member))
    }

    /// Notes who a client is.
    pub(crate) fn introduce(&self, slot: Slot, member: Member) {
        if let Some(conn) = self.table.borrow_mut().attachment_mut(slot) {
            conn.member = Some(Box::new(member));
        }
    }

    /// Wakes the tasks of clients to whom something happened.
    fn notify_changed(&self) {
        let mut table = self.table.borrow_mut();
        for slot in table.take_changed() {
            if let Some(conn) = table.attachment(slot) {
                conn.waker.wake_by_ref();
            }
        }
    }

    /// Removes a client and all that is known of it here.
    pub(crate) fn remove(&self, slot: Slot) {
        self.set_deadline(slot, None);
        self.forsake(slot);
        let removed = self.table.borrow_mut().remove(slot);
        let Some((_, ended)) = removed else { return };
        // A subscription that was still being made.
        for (channel, _) in ended.iter().filter(|(_, ended)| ended.leave) {
            self.node.leave(channel, self.id);
        }
        // The turn counts who is left: for the metrics, for its memory, and for its end.
        self.shrunk.set(true);
        self.wake_turn();
    }
}

/// The time, as tests may control it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
