//! The one door to the engine and the registry: whoever publishes or subscribes, over whatever transport, comes through here.

mod moment;
mod namespaces;
mod orders;
mod revocations;
mod spread;
mod streams;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use throng_engine::{
    Engine, EngineError, Event, MemoryEngine, MemoryLimits, MemorySizes, Message, PublishOptions, Published,
    StoreError,
};
use throng_protocol::ChannelName;
use throng_registry::{Directory, Fanout, ShardId};
use tokio::time::Instant;

pub(crate) use moment::{is_past, left};
pub(crate) use namespaces::{Namespace, Namespaces, PRIVATE_PREFIX, USER_BOUNDARY};
pub(crate) use orders::{Addressed, Obeyed, Order, Overrides, Selector, ServerSubscription};
pub(crate) use revocations::{RevocationCounts, RevokeError};
pub(crate) use streams::PublishHow;

use crate::auth::Tokens;
use crate::config::Settings;
use crate::handlers::Handlers;
use crate::limits::Limits;
use crate::memory::MemoryGuard;
use crate::metrics::Metrics;
use crate::session::Rules;
use crate::shard::ShardCommand;

use spread::Spread;

/// How often a publisher that waits looks for room.
const RETRY: Duration = Duration::from_millis(1);

/// What all shards and the listener of a server share.
#[derive(Debug)]
pub(crate) struct Node {
    engine: MemoryEngine<Spread>,
    fanout: Arc<Fanout<ShardCommand>>,
    pub(crate) namespaces: Arc<Namespaces>,
    pub(crate) settings: Settings,
    pub(crate) rules: Arc<Rules>,
    pub(crate) handlers: Handlers,
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) memory: MemoryGuard,
}

impl Node {
    /// # Errors
    ///
    /// [`StoreError`] if what is kept in the data directory cannot be used.
    pub(crate) fn new(settings: Settings, handlers: Handlers, tokens: Tokens) -> Result<Self, StoreError> {
        let fanout = Arc::new(Fanout::new(settings.shards.count, settings.shards.queue_capacity));
        let namespaces = Arc::new(Namespaces::new(&settings));
        let memory = &settings.engine.memory;
        let limits = MemoryLimits {
            streams: memory.max_streams,
            bytes: memory.max_bytes,
            idempotency_keys: memory.idempotency_keys,
            idempotency_ttl: memory.idempotency_ttl,
            revocations: memory.revocations,
        };
        let mut engine = MemoryEngine::new(Spread::new(Arc::clone(&fanout), Arc::clone(&namespaces)), limits);
        if !memory.data_dir.is_empty() {
            engine = engine.keep_in(Path::new(&memory.data_dir))?;
        }
        Ok(Self {
            engine,
            memory: MemoryGuard::new(settings.memory.soft_limit),
            metrics: Metrics::new(fanout.shards().count(), namespaces.all().len()),
            rules: Arc::new(Rules::new(&settings, Arc::clone(&namespaces), &handlers)),
            limits: Limits::new(&settings.client.limits),
            fanout,
            namespaces,
            settings,
            handlers,
            tokens,
        })
    }

    pub(crate) fn fanout(&self) -> &Fanout<ShardCommand> {
        &self.fanout
    }

    pub(crate) fn directory(&self) -> &Directory {
        self.fanout.directory()
    }

    pub(crate) const fn engine(&self) -> &impl Engine {
        &self.engine
    }

    /// Whether every shard is alive.
    pub(crate) fn is_healthy(&self) -> bool {
        self.metrics.shards_alive.get() >= self.metrics.shards.len() as u64
    }

    /// Lets go of what has expired in the engine, and of what limits need not remember.
    pub(crate) fn sweep(&self) {
        self.engine.sweep();
        self.limits.sweep();
    }

    /// Closes what is kept in the data directory, so that another server can open it.
    pub(crate) fn close(&self) {
        self.engine.close();
    }

    /// Drops about so many bytes of history, the longest idle streams' first, and returns how many it were.
    pub(crate) fn shed_history(&self, bytes: usize) -> usize {
        self.engine.shed(bytes)
    }

    /// What the engine holds.
    pub(crate) fn engine_sizes(&self) -> MemorySizes {
        self.engine.sizes()
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
        options: &PublishOptions,
        wait: Duration,
    ) -> Result<Published, EngineError> {
        let outcome = self.paced(channel, event, options, wait).await;
        match &outcome {
            Ok(Published { suppressed: true, .. }) => self.metrics.publications_suppressed.add(1),
            Ok(_) => self.metrics.publications.add(1),
            Err(_) => self.metrics.publications_refused.add(1),
        }
        outcome
    }

    /// Tells a channel that a client has joined or left.
    ///
    /// # Errors
    ///
    /// [`EngineError::Busy`] when there was no room for as long as a publisher waits; nobody was told.
    pub(crate) async fn announce(&self, channel: &ChannelName, message: Message) -> Result<(), EngineError> {
        let wait = self.settings.shards.publish_wait;
        let outcome = self.paced(channel, Event::new(message), &PublishOptions::default(), wait).await;
        if outcome.is_err() {
            self.metrics.announcements_dropped.add(1);
        }
        outcome.map(|_| ())
    }

    /// Publishes as soon as there is room, no later than `wait`.
    async fn paced(
        &self,
        channel: &ChannelName,
        event: Event,
        options: &PublishOptions,
        wait: Duration,
    ) -> Result<Published, EngineError> {
        let mut outcome = self.engine.publish(channel, event.clone(), options).await;
        if outcome.is_err() && !wait.is_zero() {
            self.metrics.publishers_paced.add(1);
            let deadline = Instant::now() + wait;
            while outcome.is_err() && Instant::now() < deadline {
                tokio::time::sleep(RETRY).await;
                outcome = self.engine.publish(channel, event.clone(), options).await;
            }
        }
        outcome
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

    /// Makes sure that all events of a channel reach the shard. `first` says that the shard had no subscriber of the channel
    /// before; if it fails then, the shard is not in the channel.
    pub(crate) async fn join(
        &self,
        channel: &ChannelName,
        shard: ShardId,
        first: bool,
    ) -> Result<(), EngineError> {
        if first {
            // The shard must be able to receive before a position is read, or what is published in between is lost.
            self.directory().join(channel, shard);
            if let Err(error) = self.engine.subscribe(channel).await {
                self.directory().leave(channel, shard);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Notes that the shard's last subscriber of a channel is gone.
    pub(crate) fn leave(&self, channel: &ChannelName, shard: ShardId) {
        self.directory().leave(channel, shard);
        self.engine.unsubscribe(channel);
    }
}
