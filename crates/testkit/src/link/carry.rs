//! One connection of a link.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Shared,
    conditions::{Conditions, Ending, Flow, Side, Way},
};

/// What is read at once.
const CHUNK_BYTES: usize = 4 << 10;
/// Chunks that are on their way; then the sender has to wait.
const CHUNKS: usize = 64;
/// A slow link passes so many pieces in a second, as far as a piece has a byte.
const PIECES_PER_SECOND: u32 = 100;
/// How long an orderly end may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Ends a connection with a reset instead of an end of the stream.
pub(crate) fn reset(stream: TcpStream) {
    // It fails only for a socket that is closed, which is as good.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

/// Passes bytes on in both directions until both have ended by themselves or the link ends them.
pub(super) async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    shared: &Shared,
    mut conditions: watch::Receiver<Conditions>,
    generation: u64,
) {
    let _open = Open::new(&shared.open);
    // What is written arrives at once: the link decides about delays.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let lane = |way| Lane { way, shared, conditions: conditions.clone(), generation };
        let (down, up) = (lane(Way::ToClient), lane(Way::ToServer));
        tokio::select! {
            biased;
            ending = ending(&mut conditions, generation) => Some(ending),
            (down, up) = async { tokio::join!(down.pass(from_server, to_client), up.pass(from_client, to_server)) } => {
                (down.is_err() || up.is_err()).then_some(Ending::Reset)
            }
        }
    };
    match ended {
        None => {}
        Some(Ending::Reset) => {
            reset(client);
            reset(server);
        }
        Some(Ending::Close) => {
            tokio::join!(farewell(client), farewell(server));
        }
        Some(Ending::HalfOpen(side)) => {
            let (mut told, mut untold) = (server, client);
            if side == Side::Server {
                std::mem::swap(&mut told, &mut untold);
            }
            reset(told);
            let generation = conditions.borrow_and_update().generation;
            tokio::select! {
                _ = ending(&mut conditions, generation) => reset(untold),
                () = swallow(&mut untold) => {}
            }
        }
    }
}

/// Waits until the link ends the connections of this generation.
async fn ending(conditions: &mut watch::Receiver<Conditions>, generation: u64) -> Ending {
    match conditions.wait_for(|now| now.generation != generation).await {
        Ok(now) => now.ending,
        // The link is gone.
        Err(_) => Ending::Reset,
    }
}

/// Says that nothing follows, and waits until the other side has said so, too: an end without a reset.
async fn farewell(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let _ = timeout(FAREWELL, swallow(&mut stream)).await;
    }
}

/// Reads until the end.
async fn swallow(stream: &mut TcpStream) {
    let mut buffer = [0; CHUNK_BYTES];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

/// One direction of a connection.
struct Lane<'s> {
    way: Way,
    shared: &'s Shared,
    conditions: watch::Receiver<Conditions>,
    generation: u64,
}

impl Lane<'_> {
    /// Until the end of what is read, which is passed on, or until a side fails.
    async fn pass(self, from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let (way, conditions) = (self.way, self.conditions.clone());
        tokio::try_join!(read(from, way, conditions, sender), self.write(to, receiver))?;
        Ok(())
    }

    async fn write(
        mut self,
        mut to: impl AsyncWrite + Unpin,
        mut chunks: mpsc::Receiver<(Instant, Bytes)>,
    ) -> io::Result<()> {
        while let Some((due, mut chunk)) = chunks.recv().await {
            sleep_until(due).await;
            while !chunk.is_empty() {
                let flow = self.flowing().await;
                let allowed = self.allowance(&flow, chunk.len());
                if !flow.lost {
                    to.write_all(&chunk[..allowed]).await?;
                    self.shared.bytes[self.way.index()].fetch_add(count(allowed), Ordering::Relaxed);
                }
                chunk.advance(allowed);
                if self.spend(allowed) {
                    // Not a byte more, until `ending` has seen it.
                    std::future::pending::<()>().await;
                }
                if let Some(rate) = flow.bytes_per_second {
                    sleep(Duration::from_secs(1) * u32::try_from(allowed).unwrap_or(u32::MAX) / rate).await;
                }
            }
        }
        to.shutdown().await
    }

    /// Waits until this direction is not stalled.
    async fn flowing(&mut self) -> Flow {
        let index = self.way.index();
        match self.conditions.wait_for(|now| !now.flows[index].stalled).await {
            Ok(now) => now.flows[index],
            // The link is gone, and `ending` says so.
            Err(_) => Flow::default(),
        }
    }

    /// How many bytes may pass in one piece; at least 1.
    fn allowance(&self, flow: &Flow, bytes: usize) -> usize {
        let rate =
            flow.bytes_per_second.map_or(usize::MAX, |rate| (rate / PIECES_PER_SECOND).max(1) as usize);
        let left =
            flow.ends_after.map_or(usize::MAX, |(left, _)| usize::try_from(left).unwrap_or(usize::MAX));
        bytes.min(rate).min(left.max(1))
    }

    /// Takes what has passed off what may still pass, and ends all connections when that was all. Returns whether it was.
    fn spend(&self, bytes: usize) -> bool {
        self.shared.conditions.send_if_modified(|now| {
            let generation = now.generation;
            match &mut now.flows[self.way.index()].ends_after {
                Some((left, how)) if generation == self.generation => {
                    *left = left.saturating_sub(count(bytes));
                    let (left, how) = (*left, *how);
                    if left == 0 {
                        now.end(how);
                    }
                    left == 0
                }
                Some(_) | None => false,
            }
        })
    }
}

async fn read(
    mut from: impl AsyncRead + Unpin,
    way: Way,
    conditions: watch::Receiver<Conditions>,
    chunks: mpsc::Sender<(Instant, Bytes)>,
) -> io::Result<()> {
    let mut buffer = [0; CHUNK_BYTES];
    loop {
        let bytes = from.read(&mut buffer).await?;
        let due = Instant::now() + conditions.borrow().flows[way.index()].delay;
        if bytes == 0 || chunks.send((due, Bytes::copy_from_slice(&buffer[..bytes]))).await.is_err() {
            return Ok(());
        }
    }
}

const fn count(bytes: usize) -> u64 {
    bytes as u64
}

/// Counts a connection for as long as it is there.
struct Open<'c>(&'c AtomicU64);

impl<'c> Open<'c> {
    fn new(count: &'c AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
