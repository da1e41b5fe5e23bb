use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;
use throng_registry::ClientId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Admission;
use super::admission::{Refusal, Seat};
use super::guest::Guest;
use super::handshake::{Refused, crowded};
use super::held::Held;
use super::hosts::Hosts;
use super::line::Line;
use super::proxy::{self, Proxies};
use super::visit::{Ended, attend, part};
use crate::config::{AllowedOrigins, Proxy};
use crate::http::{Api, Serves};
use crate::limits::{Bucket, Rate, ticks};
use crate::memory::Crowd;
use crate::metrics::Handshake;
use crate::node::Node;
use crate::shard::{Opening, ShardCommand};
use crate::tls::{Keeper, Outcome, speaks_tls};

/// Connections that may be told at once that there is no room for them; more are closed without a word.
const REFUSALS: usize = 16;

/// How long a client may take to ask before it is told that there is no room. Silent ones must not keep others from hearing it.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// How long accepting rests when the process or the system is out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Log lines about refused clients: so many in a second, and so many at once. Whoever wants to fill the disk gets no further.
const TELLING: [u32; 2] = [5, 50];

/// An address that is listened to.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    pub(crate) admission: Arc<Admission>,
    pub(crate) serves: Serves,
    /// TLS, if it is spoken there.
    pub(crate) tls: Option<Arc<Keeper>>,
}

/// What every connection's task needs.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) node: Arc<Node>,
    pub(super) admission: Arc<Admission>,
    pub(super) serves: Serves,
    pub(super) origins: AllowedOrigins,
    pub(super) hosts: Hosts,
    pub(super) proxies: Proxies,
    pub(super) api: Arc<Api>,
    tls: Option<Arc<Keeper>>,
    refusals: Semaphore,
    crowd: Crowd,
    told: (Rate, Mutex<Bucket>),
    since: Instant,
    stop: CancellationToken,
}

/// Accepts connections until `stop` is cancelled. Their tasks run in `tasks`.
pub(crate) async fn run(
    listening: Listening,
    node: Arc<Node>,
    api: Arc<Api>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let front = Arc::new(Front::new(&listening, node, api, stop.clone()));
    loop {
        let accepted = tokio::select! {
            accepted = listening.listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                tasks.spawn(Arc::clone(&front).serve(socket, peer));
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                front.node.metrics.accept_errors.add(1);
                tracing::warn!(%error, "cannot accept connections; trying again shortly");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Errors of a connection that ended before it was accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl Front {
    fn new(listening: &Listening, node: Arc<Node>, api: Arc<Api>, stop: CancellationToken) -> Self {
        let Listening { listener, admission, serves, tls } = listening;
        let settings = &node.settings;
        let address = listener.local_addr().unwrap_or(settings.listen_address());
        let origins = settings.client.allowed_origins.as_deref();
        let proxy = match serves {
            Serves::Everything | Serves::Public => settings.http_server.proxy.clone(),
            // Whoever runs the server comes by himself.
            Serves::Internals => Proxy::default(),
        };
        let telling = Rate::new(TELLING[0], TELLING[1]);
        Self {
            admission: Arc::clone(admission),
            serves: *serves,
            origins: AllowedOrigins::new(origins),
            hosts: Hosts::new(address, origins.is_some()),
            proxies: Proxies::new(proxy),
            api,
            tls: tls.clone(),
            refusals: Semaphore::new(REFUSALS),
            crowd: Crowd::default(),
            told: (telling, Mutex::new(Bucket::full(&telling, 0))),
            since: Instant::now(),
            stop,
            node,
        }
    }

    pub(super) fn serves_api(&self) -> bool {
        self.serves.internals() || self.node.settings.http_api.external
    }

    /// Whether one more client can be upgraded, which is counted then.
    pub(super) fn has_room(&self) -> Result<(), Refused> {
        if self.node.memory.is_short() {
            return Err(crowded(Handshake::Memory, "the server is short of memory; try again later\n"));
        }
        if !self.admission.may_upgrade() {
            return Err(crowded(Handshake::Rate, "too many connect at once; try again later\n"));
        }
        Ok(())
    }

    /// How long one who was admitted, or refused, may take for each step towards an answer.
    pub(super) fn patience(&self, admitted: &Result<Seat, Refusal>) -> Duration {
        match admitted {
            Ok(_) => self.node.settings.websocket.handshake_timeout,
            Err(_) => REFUSAL_PATIENCE,
        }
    }

    /// Whether there may be one more log line about a refused client.
    pub(super) fn may_tell(&self) -> bool {
        self.told.1.lock().take(&self.told.0, 1, ticks(self.since.elapsed()))
    }

    async fn serve(self: Arc<Self>, mut socket: TcpStream, peer: SocketAddr) {
        let _one_of_many = self.crowd.enter();
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let mut seat = match self.admission.admit() {
            Ok(seat) => seat,
            Err(refusal) => return self.refuse(socket, [peer; 2], refusal).await,
        };
        let deadline = Instant::now() + self.node.settings.websocket.handshake_timeout;
        let Some(address) = self.identify(&mut socket, peer, deadline).await else { return };
        // Who stands behind a proxy that speaks HTTP is known once its request is there.
        if !self.proxies.forwards(peer.ip())
            && let Err(refusal) = seat.claim(address.ip())
        {
            drop(seat);
            return self.refuse(socket, [peer, address], refusal).await;
        }
        self.serve_http(socket, [peer, address], Ok(seat), deadline).await;
    }

    /// Tells a client that there is no room for it, unless too many are being told.
    async fn refuse(&self, socket: TcpStream, addresses: [SocketAddr; 2], refusal: Refusal) {
        self.node.metrics.handshake(refusal.result());
        if let Ok(_permit) = self.refusals.try_acquire() {
            let deadline = Instant::now() + REFUSAL_PATIENCE;
            self.serve_http(socket, addresses, Err(refusal), deadline).await;
        }
    }

    /// Finds out who is at the other end, or behind it; `None` if it does not say so and should, or does and should not.
    async fn identify(
        &self,
        socket: &mut TcpStream,
        peer: SocketAddr,
        deadline: Instant,
    ) -> Option<SocketAddr> {
        if !self.proxies.sends_header(peer.ip()) {
            return Some(peer);
        }
        let reading = timeout_at(deadline, proxy::read_header(socket));
        match self.stop.run_until_cancelled(reading).await? {
            Ok(Ok(client)) => return Some(client.unwrap_or(peer)),
            Ok(Err(error)) => tracing::debug!(%peer, %error, "connection of a proxy ended"),
            Err(_) => tracing::debug!(%peer, "no PROXY header came in time"),
        }
        self.node.metrics.handshake(Handshake::Proxy);
        None
    }

    /// Answers the request of a connection, which may become a WebSocket by it. One that brings a key for the API may be followed
    /// by others.
    async fn serve_http(
        &self,
        socket: TcpStream,
        addresses: [SocketAddr; 2],
        admitted: Result<Seat, Refusal>,
        deadline: Instant,
    ) {
        let client = ClientId::random();
        let patience = self.patience(&admitted);
        let Some((line, deadline)) = self.open_line(socket, client, addresses, deadline, patience).await
        else {
            return;
        };
        let guest = Guest::new(self, client, addresses, admitted, deadline);
        let held = Held::new(line, Arc::clone(&guest.granted), Arc::clone(&guest.finding));
        let service = service_fn(|request| guest.respond(request));
        let mut connection = self.http().serve_connection(held, service);
        let ended =
            attend(&mut connection, &guest.visit, &self.stop, self.node.settings.shutdown.timeout).await;
        match ended {
            Ended::Served(Ok(())) => {}
            Ended::Served(Err(error)) => {
                if error.is_parse() {
                    guest.failed();
                }
                return tracing::debug!(connection = %client, address = %guest.address(), %error, "HTTP ended");
            }
            Ended::Late => {
                if !guest.visit.has_asked() {
                    guest.failed();
                }
                return tracing::debug!(connection = %client, address = %guest.address(), "its time for HTTP was over");
            }
            Ended::Stopped => return,
        }
        let http1::Parts { io, read_buf, .. } = connection.into_parts();
        let (line, answer) = io.into_parts();
        let has_body = guest.visit.has_body();
        let granted = guest.granted.get().cloned();
        let (seat, peer) = guest.into_seat();
        match (granted, seat) {
            (Some(route), Some(seat)) => {
                let leftover = Bytes::copy_from_slice(&read_buf);
                let opening = Opening { answer, leftover, route, client, peer, seat };
                self.hand_down(line, opening);
            }
            _ if has_body => {
                self.stop.run_until_cancelled(part(line)).await;
            }
            _ => drop(line.part()),
        }
    }

    /// Waits for the first bytes of a connection, and for TLS where that is spoken. Returns what HTTP is spoken on, and until when a
    /// request must be there; `None` if it comes to nothing.
    async fn open_line(
        &self,
        socket: TcpStream,
        client: ClientId,
        [peer, address]: [SocketAddr; 2],
        deadline: Instant,
        patience: Duration,
    ) -> Option<(Line, Instant)> {
        // Buffers are made for those who speak, not for those who merely hold a connection open.
        let mut begin = [0; proxy::TELLING];
        let asked = self.stop.run_until_cancelled(timeout_at(deadline, socket.peek(&mut begin))).await;
        let Some(Ok(Ok(begun))) = asked else {
            tracing::debug!(connection = %client, %peer, "no request came");
            return None;
        };
        if proxy::is_header(&begin[..begun]) {
            self.node.metrics.handshake(Handshake::Proxy);
            tracing::debug!(connection = %client, %peer, "a PROXY header from one who is not trusted");
            return None;
        }
        // Nagle's algorithm would hold back single messages; that it cannot be turned off is no reason to refuse.
        let _ = socket.set_nodelay(true);
        let Some(keeper) = &self.tls else { return Some((Line::Plain(socket), deadline)) };
        let handshake = shake_hands(keeper, socket, begin[0], deadline, patience);
        let outcome = match self.stop.run_until_cancelled(handshake).await? {
            Ok(line) => return Some(line),
            Err(outcome) => outcome,
        };
        if outcome.is_failure() {
            self.admission.failed(address.ip());
        }
        tracing::debug!(connection = %client, %peer, ?outcome, "no TLS");
        None
    }

    fn http(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // The visit's deadline is there for the head, too.
            .header_read_timeout(None)
            .max_buf_size(self.node.settings.websocket.header_max_size.max(8_192));
        builder
    }

    /// Gives an upgraded connection to a shard.
    fn hand_down(&self, line: Line, mut opening: Opening) {
        match line.into_incoming() {
            Ok(incoming) => {
                let shard = opening.seat.assign_shard();
                let command = ShardCommand::Open(incoming, Box::new(opening));
                self.node.fanout().queue(shard).control(command);
            }
            Err(error) => {
                tracing::warn!(connection = %opening.client, peer = %opening.peer, %error, "cannot hand the socket to a shard");
            }
        }
    }
}

/// TLS over a socket on which something that begins with this byte has come, and until when a request must be there.
async fn shake_hands(
    keeper: &Keeper,
    socket: TcpStream,
    first: u8,
    deadline: Instant,
    patience: Duration,
) -> Result<(Line, Instant), Outcome> {
    if !speaks_tls(first) {
        keeper.counts().handshake(Outcome::Plain);
        turn_away(socket, first).await;
        return Err(Outcome::Plain);
    }
    // It is large, and there only while it lasts.
    let shaken = Box::pin(keeper.accept(socket, deadline, patience)).await;
    shaken.map(|(stream, deadline)| (Line::Tls(stream), deadline)).map_err(|error| {
        tracing::debug!(%error, "TLS handshake failed");
        error.outcome()
    })
}

/// Tells a client that does not speak TLS that this port does, if it seems to speak HTTP.
async fn turn_away(socket: TcpStream, first: u8) {
    const ANSWER: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                          Content-Length: 45\r\nConnection: close\r\n\r\n\
                          this port speaks TLS: use https:// or wss://\n";

    if first.is_ascii_uppercase() {
        // The first bytes on a socket find room; if it is broken nobody will miss them.
        let _ = socket.try_write(ANSWER.as_bytes());
        part(Line::Plain(socket)).await;
    }
}
