//! The one door to the engine and the registry: whoever publishes or subscribes, over whatever transport, comes through here.

use std::sync::Arc;
use std::time::Duration;

use throng_engine::{
    Busy, Delivery, Engine, EngineError, Event, MemoryEngine, MemoryLimits, Message, Origin, PublishOptions,
    Sequence, Sink,
};
use throng_protocol::ChannelName;
use throng_registry::{ClientId, Directory, Fanout, Frames, ShardId, Ticket};
use tokio::time::Instant;

use crate::config::Settings;
use crate::metrics::Metrics;
use crate::session::Rules;
use crate::shard::ShardCommand;

/// How often a publisher that waits looks for room.
const RETRY: Duration = Duration::from_millis(1);

/// What all shards and the listener of a server share.
#[derive(Debug)]
pub(crate) struct Node {
    engine: MemoryEngine<Spread>,
    fanout: Arc<Fanout<ShardCommand>>,
    pub(crate) settings: Settings,
    pub(crate) rules: Arc<Rules>,
    pub(crate) metrics: Metrics,
}

impl Node {
    pub(crate) fn new(settings: Settings) -> Self {
        let fanout = Arc::new(Fanout::new(settings.shards.count, settings.shards.queue_capacity));
        Self {
            engine: MemoryEngine::new(Spread(Arc::clone(&fanout)), MemoryLimits::default()),
            metrics: Metrics::new(fanout.shards().count()),
            rules: Arc::new(Rules::new(&settings)),
            fanout,
            settings,
        }
    }

    pub(crate) fn fanout(&self) -> &Fanout<ShardCommand> {
        &self.fanout
    }

    pub(crate) fn directory(&self) -> &Directory {
        self.fanout.directory()
    }

    /// Whether every shard is alive.
    pub(crate) fn is_healthy(&self) -> bool {
        self.metrics.shards_alive.get() >= self.metrics.shards.len() as u64
    }

    /// Publishes an event to a channel. While a shard's queue is full the publisher is paced: it waits for room, no longer than
    /// `wait`.
    ///
    /// # Errors
    ///
    /// [`EngineError::Busy`] when there was no room in all that time; nothing was published.
    pub(crate) async fn publish(
        &self,
        channel: &ChannelName,
        event: Event,
        wait: Duration,
    ) -> Result<(), EngineError> {
        let options = PublishOptions::default();
        let mut outcome = self.engine.publish(channel, event.clone(), &options).await;
        if outcome.is_err() && !wait.is_zero() {
            self.metrics.publishers_paced.add(1);
            let deadline = Instant::now() + wait;
            while outcome.is_err() && Instant::now() < deadline {
                tokio::time::sleep(RETRY).await;
                outcome = self.engine.publish(channel, event.clone(), &options).await;
            }
        }
        match outcome {
            Ok(_) => self.metrics.publications.add(1),
            Err(_) => self.metrics.publications_refused.add(1),
        }
        outcome.map(|_| ())
    }

    /// Waits, no longer than `wait`, until the queues that the channel's publications enter are short.
    ///
    /// For those who publish a lot in one go: they would fill the queues, and whoever publishes little would find no room and
    /// wait behind all of it.
    pub(crate) async fn ease(&self, channel: &ChannelName, wait: Duration) {
        /// Broadcasts that a shard works off soon, whoever listens to them.
        const SHORT: usize = 64;

        let deadline = Instant::now() + wait;
        let mut looks = 0;
        while self.fanout.is_crowded(channel, SHORT) && Instant::now() < deadline {
            // The queue of the publisher's own shard empties as soon as the shard has its turn.
            match looks {
                0..2 => tokio::task::yield_now().await,
                _ => tokio::time::sleep(RETRY).await,
            }
            looks += 1;
        }
    }

    /// Gives a shard's new subscriber of a channel its position: all events above it will reach the shard. `first` says that
    /// the shard had no subscriber of the channel before; if it fails then, the shard is not in the channel.
    pub(crate) async fn subscribe(
        &self,
        channel: &ChannelName,
        shard: ShardId,
        first: bool,
    ) -> Result<Sequence, EngineError> {
        if !first {
            return Ok(self.engine.position(channel, None).await?.sequence);
        }
        // The shard must be able to receive before the position is read, or what is published in between is lost.
        self.directory().join(channel, shard);
        let position = self.engine.subscribe(channel).await;
        if position.is_err() {
            self.directory().leave(channel, shard);
        }
        position
    }

    /// Notes that the shard's last subscriber of a channel is gone.
    pub(crate) fn unsubscribe(&self, channel: &ChannelName, shard: ShardId) {
        self.directory().leave(channel, shard);
        self.engine.unsubscribe(channel);
    }
}

/// The engine's sink: spreads each event over the queues of the shards that have subscribers.
#[derive(Debug)]
struct Spread(Arc<Fanout<ShardCommand>>);

impl Sink for Spread {
    type Ticket = Ticket<ShardCommand>;

    fn reserve(&self, channel: &ChannelName) -> Result<Self::Ticket, Busy> {
        self.0.reserve(channel).ok_or(Busy)
    }

    fn deliver(&self, ticket: Self::Ticket, channel: &ChannelName, delivery: Delivery) {
        let Delivery { sequence, event, .. } = delivery;
        let frames = match event.message {
            Message::Publication(publication) => Frames::publication(channel.clone(), publication),
            Message::Relay { kind, data } => Frames::relay(kind, data),
            // Nobody publishes these here; the registry has no frames for them.
            Message::Join(_) | Message::Leave(_) => return,
        };
        let except = event.except.map(|Origin(bits)| ClientId::from_u128(bits));
        self.0.deliver(ticket, channel, sequence.get(), frames, except);
    }
}
