//! Clients in paused time, over streams in memory, against a server that is played by the test: what takes time here
//! takes it exactly.

mod client;
mod endpoints;
mod pool;
mod pool_cancellation;
mod publish;
mod relay;
mod requests;
mod streams;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tokens;

use std::{io, sync::Arc, time::Duration};

use tokio::{io::DuplexStream, sync::mpsc, time::Instant};

use self::support::Peer;
use crate::{
    Client, ClientBuilder, Endpoint, RelayBuilder, RelayClient,
    dial::{Io, Opener},
};

const SECOND: Duration = Duration::from_secs(1);
/// Small, so that a peer that does not read is felt soon.
const STREAM_BYTES: usize = 4 << 10;

/// What a client's attempts meet, in memory.
struct Network {
    arrivals: mpsc::Receiver<Arrival>,
    opener: Opener,
}

/// One attempt: the test chooses how it ends.
struct Arrival {
    /// What the stream is to.
    endpoint: Endpoint,
    answer: tokio::sync::oneshot::Sender<io::Result<Box<dyn Io>>>,
}

impl Network {
    fn new() -> Self {
        let (sender, arrivals) = mpsc::channel(1);
        let opener: Opener = Arc::new(move |endpoint| {
            let (sender, endpoint) = (sender.clone(), endpoint.clone());
            Box::pin(async move {
                let (answer, opened) = tokio::sync::oneshot::channel();
                sender.send(Arrival { endpoint, answer }).await.expect("the test runs");
                opened.await.expect("the test answers")
            })
        });
        Self { arrivals, opener }
    }

    fn client(&self) -> ClientBuilder {
        let mut builder = Client::builder("ws://test");
        builder.set_opener(Arc::clone(&self.opener));
        builder
    }

    fn relay(&self) -> RelayBuilder {
        let mut builder = RelayClient::builder("ws://test/relay/lobby");
        builder.set_opener(Arc::clone(&self.opener));
        builder
    }

    /// The next attempt.
    async fn attempt(&mut self) -> Arrival {
        self.arrivals.recv().await.expect("a client")
    }

    /// Lets the next attempt succeed.
    async fn accept(&mut self) -> Peer<DuplexStream> {
        let stream = self.attempt().await.connect();
        Peer::accept(stream).await
    }
}

impl Arrival {
    /// The attempt gets a stream.
    fn connect(self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(STREAM_BYTES);
        let _ = self.answer.send(Ok(Box::new(theirs)));
        ours
    }

    /// Nobody listens.
    fn refuse(self) {
        let _ = self.answer.send(Err(io::ErrorKind::ConnectionRefused.into()));
    }
}

/// How much paused time a future takes.
async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    (future.await, start.elapsed())
}
