//! One connection's HTTP: how long it may take, when it ends, and how it parts.

use std::future::poll_fn;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1::Connection;
use hyper::service::HttpService;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::held::Held;
use super::line::Line;
use crate::http::Body;

/// How long what a peer still sends is read away, after the answer.
const PARTING: Duration = Duration::from_secs(1);

/// How much is read away.
const PARTING_BYTES: usize = 1 << 20;

/// How long a connection may still go on. What serves its requests sets it, what attends it obeys.
///
/// ```text
/// accepted ─ head, `patience` ─> one answer, `patience` ─> closed
///                            └─> welcome: [ request ─> answer, idle ]* ─> closed
/// ```
#[derive(Debug)]
pub(super) struct Visit(Mutex<State>);

#[derive(Debug)]
struct State {
    deadline: Instant,
    /// A deadline that no other can move.
    latest: Option<Instant>,
    /// The peer has shown a key: a stop of the server lets its request end.
    welcome: bool,
    /// A request has come.
    has_asked: bool,
    /// The peer may be sending a body that nobody reads.
    has_body: bool,
}

/// How a connection's HTTP ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// As HTTP has it, or by an error.
    Served(hyper::Result<()>),
    /// Its time was over.
    Late,
    /// The server stops.
    Stopped,
}

impl Visit {
    pub(super) fn until(deadline: Instant) -> Self {
        let state = State { deadline, latest: None, welcome: false, has_asked: false, has_body: false };
        Self(Mutex::new(state))
    }

    /// Notes that a request has come: its answer must be made and taken until then.
    pub(super) fn request(&self, has_body: bool, deadline: Instant) {
        let mut state = self.0.lock();
        state.has_asked = true;
        state.has_body = has_body;
        state.deadline = deadline;
    }

    /// Notes that the peer has shown a key: its answer may be made until then.
    pub(super) fn welcome(&self, deadline: Instant) {
        let mut state = self.0.lock();
        state.welcome = true;
        state.deadline = deadline;
    }

    /// Notes that an answer is ready: it must be taken, and another request come, until then.
    pub(super) fn answered(&self, deadline: Instant) {
        self.0.lock().deadline = deadline;
    }

    pub(super) fn has_asked(&self) -> bool {
        self.0.lock().has_asked
    }

    pub(super) fn has_body(&self) -> bool {
        self.0.lock().has_body
    }

    fn deadline(&self) -> Instant {
        let state = self.0.lock();
        state.latest.map_or(state.deadline, |latest| latest.min(state.deadline))
    }

    /// Whether the visitor may end what it has begun; no later than then.
    fn may_finish(&self, latest: Instant) -> bool {
        let mut state = self.0.lock();
        state.latest = Some(latest);
        state.welcome
    }
}

/// Serves a connection until it ends, its time is over, or the server stops and no request that is welcome is in hand. Such a
/// request has `grace` then.
pub(super) async fn attend<S>(
    connection: &mut Connection<Held, S>,
    visit: &Visit,
    stop: &CancellationToken,
    grace: Duration,
) -> Ended
where
    S: HttpService<Incoming, ResBody = Body> + Unpin,
    S::Future: Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut alarm = pin!(sleep_until(visit.deadline()));
    let mut stopping = pin!(stop.cancelled());
    let mut told = false;
    poll_fn(|cx| {
        // Whatever is served may have set another deadline, and being told to stop may end a connection that is idle.
        loop {
            if let Poll::Ready(served) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(Ended::Served(served));
            }
            if told || stopping.as_mut().poll(cx).is_pending() {
                break;
            }
            told = true;
            if !visit.may_finish(Instant::now() + grace) {
                return Poll::Ready(Ended::Stopped);
            }
            Pin::new(&mut *connection).graceful_shutdown();
        }
        let deadline = visit.deadline();
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        alarm.as_mut().poll(cx).map(|()| Ended::Late)
    })
    .await
}

/// Reads away what the peer still sends: a socket that is closed with something unread is reset, and the reset would overtake
/// the answer. Bounded in time and bytes.
pub(super) async fn part(line: Line) {
    let socket = line.part();
    // If that fails the peer is gone, and nothing will be read.
    let _ = socket2::SockRef::from(&socket).shutdown(Shutdown::Write);
    let reading = async {
        let mut left = PARTING_BYTES;
        let mut buffer = vec![0; 4_096];
        while left > 0 && socket.readable().await.is_ok() {
            match socket.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(bytes) => left = left.saturating_sub(bytes),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // However it ends: the connection does.
    let _ = timeout(PARTING, reading).await;
}
