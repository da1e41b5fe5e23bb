mod carry;
mod conditions;
mod cutter;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

pub(crate) use self::carry::reset;
use self::{
    carry::carry,
    conditions::{Conditions, Flow},
};
pub use self::{
    conditions::{Ending, Side, Way},
    cutter::{Cut, Cutter},
};

/// The way between clients and a server: a TCP port that passes everything on to the server, until the test wants it to fail.
///
/// Everything is said for all connections, those that are there and those that come; [`restore`](Self::restore) takes it all back.
/// Up to 256 KiB for each connection and direction are on their way inside the link, besides what the system buffers.
/// Dropping the link ends its connections.
///
/// ```
/// use std::time::Duration;
/// use throng_testkit::{Link, TestServer, Way};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = TestServer::start().await;
/// let link = Link::to(server.address()).await;
/// let url = link.url(); // for the client
/// link.delay(Way::Both, Duration::from_millis(20)); // a server far away
/// link.slow(Way::ToClient, 10_000); // over a bad line: bytes per second
/// link.stall(Way::ToServer); // that is stuck
/// link.cut(); // and then breaks
/// link.restore();
/// # server.stop().await;
/// # }
/// ```
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Ends with this, and the connections with it.
    _accepting: JoinSet<()>,
}

/// What has passed a [`Link`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct LinkCounts {
    /// Connections that clients have made, also those that were refused.
    pub connections: u64,
    /// Connections that are there now.
    pub open: u64,
    /// Bytes passed on to clients.
    pub bytes_to_client: u64,
    /// Bytes passed on to the server.
    pub bytes_to_server: u64,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    conditions: watch::Sender<Conditions>,
    connections: AtomicU64,
    open: AtomicU64,
    /// By [`Way::index`].
    bytes: [AtomicU64; 2],
}

impl Link {
    /// A link to a server, on a free port of 127.0.0.1.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("127.0.0.1 has no free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let shared = Arc::new(Shared {
            server,
            conditions: watch::Sender::new(Conditions::default()),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
            bytes: [AtomicU64::new(0), AtomicU64::new(0)],
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _accepting: accepting }
    }

    /// The URL of the server by way of this link, `ws://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Address and port of the link.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has passed so far.
    #[must_use]
    pub fn counts(&self) -> LinkCounts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { connections, open, bytes: [to_client, to_server], .. } = &*self.shared;
        LinkCounts {
            connections: get(connections),
            open: get(open),
            bytes_to_client: get(to_client),
            bytes_to_server: get(to_server),
        }
    }

    /// Breaks all connections with a reset, and refuses new ones until [`restore`](Self::restore).
    pub fn cut(&self) {
        self.shared.conditions.send_modify(|conditions| {
            conditions.is_up = false;
            conditions.end(Ending::Reset);
        });
    }

    /// Ends all connections in this manner, and takes new ones.
    pub fn end(&self, how: Ending) {
        self.shared.conditions.send_modify(|conditions| conditions.end(how));
    }

    /// Ends all connections in this manner once so many more bytes have passed in a direction ([`Way::Both`]: in the first one that
    /// comes to it), in the middle of a message if need be. Takes new connections. Returns when that has happened, which is never if
    /// too little is sent. Dropping the future does not take it back; [`restore`](Self::restore) does.
    pub async fn end_after(&self, way: Way, bytes: u64, how: Ending) {
        let mut conditions = self.shared.conditions.subscribe();
        let mut generation = 0;
        self.shared.conditions.send_modify(|conditions| {
            generation = conditions.generation;
            for index in way.indices() {
                conditions.flows[index].ends_after = Some((bytes, how));
            }
        });
        // An error is impossible while `self` is borrowed.
        let _ = conditions.wait_for(|conditions| conditions.generation != generation).await;
    }

    /// Passes nothing on in a direction any more. The sender notices only that what it writes is not taken once all buffers are full.
    pub fn stall(&self, way: Way) {
        self.change(way, |flow| flow.stalled = true);
    }

    /// Loses everything in a direction: it is taken from the sender and reaches nobody.
    pub fn lose(&self, way: Way) {
        self.change(way, |flow| flow.lost = true);
    }

    /// Passes at most so many bytes per second on in a direction, each connection by itself; at least 1.
    pub fn slow(&self, way: Way, bytes_per_second: u32) {
        self.change(way, |flow| flow.bytes_per_second = Some(bytes_per_second.max(1)));
    }

    /// Passes everything on so much later in a direction, in order and without lowering the rate by it.
    pub fn delay(&self, way: Way, delay: Duration) {
        self.change(way, |flow| flow.delay = delay);
    }

    /// Everything as it was at first. Connections that were ended or lost bytes stay as they are.
    pub fn restore(&self) {
        self.shared.conditions.send_modify(|conditions| {
            *conditions = Conditions {
                generation: conditions.generation,
                ending: conditions.ending,
                ..Conditions::default()
            };
        });
    }

    /// Waits until the counts fulfil a condition; panics after [`PATIENCE`](crate::PATIENCE).
    pub async fn until(&self, awaited: &str, condition: impl Fn(&LinkCounts) -> bool) {
        const PAUSE: Duration = Duration::from_millis(1);

        crate::bounded::patiently(awaited, async {
            while !condition(&self.counts()) {
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
    }

    fn change(&self, way: Way, change: impl Fn(&mut Flow)) {
        self.shared.conditions.send_modify(|conditions| {
            for index in way.indices() {
                change(&mut conditions.flows[index]);
            }
        });
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("the link takes connections");
        while connections.try_join_next().is_some() {}
        shared.connections.fetch_add(1, Ordering::Relaxed);
        // One look decides both, so that no cut falls between them.
        let mut conditions = shared.conditions.subscribe();
        let (is_up, generation) = {
            let now = conditions.borrow_and_update();
            (now.is_up, now.generation)
        };
        match is_up {
            true => drop(connections.spawn(connect(client, Arc::clone(&shared), conditions, generation))),
            false => reset(client),
        }
    }
}

async fn connect(
    client: TcpStream,
    shared: Arc<Shared>,
    conditions: watch::Receiver<Conditions>,
    generation: u64,
) {
    match TcpStream::connect(shared.server).await {
        Ok(server) => carry(client, server, &shared, conditions, generation).await,
        // What a client would see without the link, as nearly as it can be had.
        Err(_) => reset(client),
    }
}
