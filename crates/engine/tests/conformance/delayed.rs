use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::task::{Context, Poll};
use std::time::Duration;

use throng_engine::conformance::Recorder;
use throng_engine::{
    Busy, Delivery, Engine, EngineError, Event, History, HistoryOptions, HistoryQuery, MemoryEngine, Origin,
    PresenceStats, PublishOptions, Published, Revocation, Revocations, Sequence, Sink, Snapshot, Subject,
};
use throng_protocol::{ChannelName, ClientInfo};

/// A memory engine behind a wire, as it were: every call waits on its way there and back, and deliveries come on another
/// thread, some time after the publisher has its answer.
pub(crate) struct Delayed {
    inner: MemoryEngine<Wire>,
    calls: AtomicUsize,
}

pub(crate) struct Wire {
    recorder: Recorder,
    deliveries: Sender<(ChannelName, Delivery)>,
}

impl Delayed {
    pub(crate) fn new(recorder: Recorder, memory: impl FnOnce(Wire) -> MemoryEngine<Wire>) -> Self {
        let (deliveries, arriving) = mpsc::channel::<(ChannelName, Delivery)>();
        let to = recorder.clone();
        // Ends with the engine, which holds the sender.
        std::thread::spawn(move || {
            for (number, (channel, delivery)) in arriving.into_iter().enumerate() {
                if number % 16 == 0 {
                    std::thread::sleep(Duration::from_micros(200));
                }
                to.deliver((), &channel, delivery);
            }
        });
        Self { inner: memory(Wire { recorder, deliveries }), calls: AtomicUsize::new(0) }
    }

    /// A way of changing length.
    fn way(&self) -> Way {
        Way(self.calls.fetch_add(1, Ordering::Relaxed) % 4)
    }
}

impl Sink for Wire {
    type Ticket = ();

    fn reserve(&self, channel: &ChannelName) -> Result<(), Busy> {
        self.recorder.reserve(channel)
    }

    fn deliver(&self, (): (), channel: &ChannelName, delivery: Delivery) {
        self.deliveries.send((channel.clone(), delivery)).expect("the other end lives as long as this one");
    }

    fn revoked(&self, revocation: &Revocation) {
        self.recorder.revoked(revocation);
    }
}

/// Lets its task be polled so many times before it is done.
struct Way(usize);

impl Future for Way {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        std::thread::yield_now();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Engine for Delayed {
    async fn publish(
        &self,
        channel: &ChannelName,
        event: Event,
        options: &PublishOptions,
    ) -> Result<Published, EngineError> {
        self.way().await;
        let published = self.inner.publish(channel, event, options).await;
        self.way().await;
        published
    }

    async fn subscribe(&self, channel: &ChannelName) -> Result<Sequence, EngineError> {
        self.way().await;
        let sequence = self.inner.subscribe(channel).await;
        self.way().await;
        sequence
    }

    fn unsubscribe(&self, channel: &ChannelName) {
        self.inner.unsubscribe(channel);
    }

    async fn position(
        &self,
        channel: &ChannelName,
        history: Option<&HistoryOptions>,
    ) -> Result<Snapshot, EngineError> {
        self.way().await;
        let snapshot = self.inner.position(channel, history).await;
        self.way().await;
        snapshot
    }

    async fn history(
        &self,
        channel: &ChannelName,
        options: &HistoryOptions,
        query: &HistoryQuery,
    ) -> Result<History, EngineError> {
        self.way().await;
        let history = self.inner.history(channel, options, query).await;
        self.way().await;
        history
    }

    async fn remove_history(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.way().await;
        self.inner.remove_history(channel).await
    }

    async fn add_presence(
        &self,
        channel: &ChannelName,
        client: Origin,
        info: Arc<ClientInfo>,
    ) -> Result<(), EngineError> {
        self.way().await;
        self.inner.add_presence(channel, client, info).await
    }

    async fn remove_presence(&self, channel: &ChannelName, client: Origin) -> Result<(), EngineError> {
        self.way().await;
        self.inner.remove_presence(channel, client).await
    }

    async fn presence(&self, channel: &ChannelName) -> Result<Vec<(Origin, Arc<ClientInfo>)>, EngineError> {
        self.way().await;
        self.inner.presence(channel).await
    }

    async fn presence_stats(&self, channel: &ChannelName) -> Result<PresenceStats, EngineError> {
        self.way().await;
        self.inner.presence_stats(channel).await
    }
    fn revocations(&self) -> &Revocations {
        self.inner.revocations()
    }

    async fn revoke(&self, revocation: Revocation) -> Result<(), EngineError> {
        self.way().await;
        self.inner.revoke(revocation).await
    }

    async fn pardon(&self, subject: &Subject) -> Result<bool, EngineError> {
        self.way().await;
        self.inner.pardon(subject).await
    }
}
