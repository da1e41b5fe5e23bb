//! A publisher and a subscriber that behave well, on a thread of their own, for as long as the day lasts.

use std::{
    mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Builder,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use super::tls::{self, Trust};

/// Time between two publications.
const PACE: Duration = Duration::from_millis(2);
/// A publication that leaves later than this is measured from when it was due: the server held its publisher up.
const LATE: Duration = Duration::from_millis(4);
/// Longest wait for a handshake, an answer, or the last publications of a phase.
const LIMIT: Duration = Duration::from_secs(5);
const CHANNEL: &str = "pair";

type Link = WebSocketStream<Box<dyn Socket>>;

/// What the pair speaks on: TCP, or TLS on it.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// How the pair fared in one phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase {
    pub(super) sent: usize,
    pub(super) received: usize,
    pub(super) p99: Duration,
    /// What must not happen to those who behave well.
    pub(super) trouble: Option<String>,
}

/// The pair, which publishes and receives until it is dropped.
#[derive(Debug)]
pub(super) struct Pair {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    stop: AtomicBool,
    /// Nothing is sent while this is set.
    rests: AtomicBool,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    sent: usize,
    latencies: Vec<Duration>,
    trouble: Option<String>,
}

impl Pair {
    /// Connects both, with this connection token if it is not empty.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(super) fn start(address: SocketAddr, trust: Option<Trust>, token: &str) -> Result<Self> {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            stop: AtomicBool::new(false),
            rests: AtomicBool::new(true),
            tally: Mutex::default(),
        });
        let (inside, token) = (Arc::clone(&shared), token.to_owned());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new()
            .name("pair".into())
            .spawn(move || runtime.block_on(inside.live(address, trust, &token)))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Begins a phase.
    pub(super) fn begin(&self) {
        *self.shared.tally() = Tally::default();
        self.shared.rests.store(false, Ordering::Release);
    }

    /// Ends a phase: nothing more is sent, and what was sent is waited for.
    pub(super) fn end(&self) -> Phase {
        self.shared.rests.store(true, Ordering::Release);
        let deadline = Instant::now() + LIMIT;
        // A publication may just be leaving.
        thread::sleep(PACE * 2);
        loop {
            let tally = self.shared.tally();
            let missing = tally.latencies.len() < tally.sent && tally.trouble.is_none();
            drop(tally);
            if !missing || Instant::now() > deadline {
                break;
            }
            thread::sleep(PACE);
        }
        let Tally { sent, mut latencies, trouble } = mem::take(&mut *self.shared.tally());
        Phase { sent, received: latencies.len(), p99: p99(&mut latencies), trouble }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of it has been reported where it happened.
            let _ = thread.join();
        }
    }
}

fn p99(latencies: &mut [Duration]) -> Duration {
    latencies.sort_unstable();
    let rank = (latencies.len() * 99).div_ceil(100);
    latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Connects, and again when the connection was lost, which is noted.
    async fn live(&self, address: SocketAddr, trust: Option<Trust>, token: &str) {
        while !self.stops() {
            if let Err(error) = self.exchange(address, trust, token).await {
                self.tally().trouble.get_or_insert(format!("{error:#}"));
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    async fn exchange(&self, address: SocketAddr, trust: Option<Trust>, token: &str) -> Result<()> {
        let mut publisher = dial(address, trust, token).await.context("the publisher cannot connect")?;
        let mut subscriber = dial(address, trust, token).await.context("the subscriber cannot connect")?;
        let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{CHANNEL}"}}}}"#);
        ask(&mut subscriber, &subscribe).await.context("the subscriber cannot subscribe")?;
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut number = 2_u64;
        while !self.stops() {
            tokio::select! {
                due = pace.tick() => if !self.rests.load(Ordering::Acquire) {
                    number += 1;
                    self.publish(&mut publisher, number, due.into_std()).await.context("the publisher")?;
                },
                message = publisher.next() => self.answered(&mut publisher, message).await.context("the publisher")?,
                message = subscriber.next() => self.arrived(&mut subscriber, message).await.context("the subscriber")?,
            }
        }
        Ok(())
    }

    async fn publish(&self, publisher: &mut Link, number: u64, due: Instant) -> Result<()> {
        let now = Instant::now();
        let since = if now.duration_since(due) > LATE { due } else { now };
        let stamp = since.duration_since(self.start).as_nanos();
        let command =
            format!(r#"{{"id":{number},"publish":{{"channel":"{CHANNEL}","data":{{"t":{stamp}}}}}}}"#);
        self.tally().sent += 1;
        timeout(LIMIT, publisher.send(Message::text(command)))
            .await
            .context("the server takes nothing")??;
        Ok(())
    }

    /// Reads the publisher's answers: none may be an error.
    async fn answered(&self, link: &mut Link, message: Option<Received>) -> Result<()> {
        for reply in read(link, message).await? {
            if let Some(error) = reply.get("error") {
                bail!("was refused: {error}");
            }
        }
        Ok(())
    }

    async fn arrived(&self, link: &mut Link, message: Option<Received>) -> Result<()> {
        let now = self.start.elapsed();
        for reply in read(link, message).await? {
            if let Some(stamp) = reply["push"]["pub"]["data"]["t"].as_u64() {
                self.tally().latencies.push(now.saturating_sub(Duration::from_nanos(stamp)));
            }
        }
        Ok(())
    }
}

type Received = Result<Message, tokio_tungstenite::tungstenite::Error>;

async fn dial(address: SocketAddr, trust: Option<Trust>, token: &str) -> Result<Link> {
    let stream = timeout(LIMIT, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    let stream: Box<dyn Socket> = match trust {
        None => Box::new(stream),
        Some(trust) => Box::new(tls::secured(trust, address, stream).await?),
    };
    let url = format!("ws://{address}/connection/websocket");
    let (mut link, _) =
        timeout(LIMIT, client_async(url, stream)).await.context("the handshake is late")??;
    ask(&mut link, &format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#)).await?;
    Ok(link)
}

/// Sends a command and waits for a message that is no error.
async fn ask(link: &mut Link, command: &str) -> Result<()> {
    link.send(Message::text(command)).await?;
    let message = timeout(LIMIT, link.next()).await.context("no answer came")?;
    match read(link, message).await?.iter().find_map(|reply| reply.get("error")) {
        Some(error) => bail!("refused: {error}"),
        None => Ok(()),
    }
}

/// The replies of a message; pings are answered.
async fn read(link: &mut Link, message: Option<Received>) -> Result<Vec<Value>> {
    let text = match message.context("the connection was lost")?? {
        Message::Text(text) => text,
        Message::Close(frame) => bail!("was sent away: {frame:?}"),
        Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(Vec::new()),
    };
    let replies = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    if replies.iter().any(|reply| reply.as_object().is_some_and(serde_json::Map::is_empty)) {
        link.send(Message::text("{}")).await?;
    }
    Ok(replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p99_is_what_one_in_a_hundred_exceeds() {
        let mut latencies: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(p99(&mut latencies), Duration::from_millis(198));
        assert_eq!(p99(&mut [Duration::from_millis(7)]), Duration::from_millis(7));
        assert_eq!(p99(&mut []), Duration::ZERO);
    }

    #[test]
    fn a_pair_without_a_server_is_in_trouble() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let pair = Pair::start(nobody, None, "").unwrap();
        pair.begin();
        while pair.shared.tally().trouble.is_none() {
            thread::yield_now();
        }
        assert!(pair.end().trouble.unwrap().contains("cannot connect"));
    }
}
