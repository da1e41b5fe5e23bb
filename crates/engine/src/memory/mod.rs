//! The embedded engine.

mod channel;
mod dedup;
mod eviction;
mod ledger;
mod limits;
mod presence;
mod revoke;
mod roster;
mod sizes;
mod store;
mod stream;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use throng_protocol::{ChannelName, ClientInfo, Publication};

pub use self::limits::MemoryLimits;
pub use self::sizes::MemorySizes;
pub use self::store::StoreError;

use self::channel::Channel;
use self::dedup::Dedup;
use self::ledger::{Ledger, Usage};
use self::presence::Presence;
use self::revoke::Register;
use self::stream::{Stored, Stream};
use crate::{
    Clock, Delivery, Engine, EngineError, Event, History, HistoryOptions, HistoryQuery, Message, Origin,
    PresenceStats, PublishOptions, Published, Revocation, Revocations, Sequence, Sink, Snapshot, Subject,
};

/// The embedded engine: one node, everything in memory, every call answered inline without a task switch.
///
/// A channel takes memory only while the node is subscribed to it or it has a stream, so publishing without history to ever
/// new names costs nothing.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use throng_engine::conformance::{Recorder, block_on};
/// use throng_engine::{
///     Engine, Event, HistoryOptions, HistoryQuery, MemoryEngine, MemoryLimits, Message, PublishOptions,
/// };
/// use throng_protocol::{ChannelName, Publication, StreamPosition};
///
/// # block_on(async {
/// let engine = MemoryEngine::new(Recorder::default(), MemoryLimits::default());
/// let news: ChannelName = "news".parse()?;
/// let history =
///     HistoryOptions { size: 100, ttl: Duration::from_secs(300), meta_ttl: Duration::from_secs(3_600) };
/// let options = PublishOptions { history: Some(history), ..PublishOptions::default() };
/// for data in ["1", "2", "3"] {
///     let publication = Publication { data: data.into(), ..Publication::default() };
///     engine.publish(&news, Event::new(Message::Publication(Arc::new(publication))), &options).await?;
/// }
///
/// // What came after the first publication?
/// let since = Some(StreamPosition { offset: 1, epoch: String::new() });
/// let read = engine.history(&news, &history, &HistoryQuery { since, ..HistoryQuery::default() }).await?;
/// assert_eq!(read.position.offset, 3);
/// let offsets: Vec<u64> = read.publications?.iter().map(|publication| publication.offset).collect();
/// assert_eq!(offsets, [2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # What is forgotten, and when
///
/// - Publications beyond their channel's size and time, the stream after its `meta_ttl`, and idempotency keys after theirs:
///   nobody sees them any more. [`sweep`](Self::sweep) frees their memory. A stream keeps its epoch while it has subscribers.
/// - When publications take more than [`MemoryLimits::bytes`], those of the stream that has been idle longest go, the oldest
///   first, until they take less; then those of the next. Offset and epoch stay, so that whoever recovers is told what it
///   cannot get. Idle is a stream that is neither published to nor read, measured in steps of 100 ms.
/// - When there are more than [`MemoryLimits::streams`], the stream that has been idle longest without a subscriber goes, with
///   its epoch. Streams with subscribers stay: the limits of connections and of their subscriptions bound them.
/// - When a stripe of idempotency keys (one of 64, or fewer if the limit is small) has used up its share, its oldest key goes.
///
/// Whoever publishes evicts what its publication made too much before it goes on, so the limits are exceeded by at most one
/// publication for each thread that publishes. Finding what to evict takes constant time.
#[derive(Debug)]
pub struct MemoryEngine<S> {
    channels: DashMap<ChannelName, Arc<Channel>>,
    /// At least the top of every channel that was removed. A channel that comes back into use continues above it, so that an
    /// event still on its way from before is never taken for a new one.
    floor: AtomicU64,
    presence: Presence,
    dedup: Dedup,
    register: Register,
    ledger: Ledger,
    limits: MemoryLimits,
    /// Held by the one thread that evicts, so that two do not both make up for the same excess.
    evicting: Mutex<()>,
    clock: Clock,
    sink: S,
}

impl<S: Sink> MemoryEngine<S> {
    /// An engine without channels that hands events to `sink`.
    pub fn new(sink: S, limits: MemoryLimits) -> Self {
        Self::with_clock(sink, limits, Clock::system())
    }

    /// An engine that reads the time from `clock`.
    pub fn with_clock(sink: S, limits: MemoryLimits, clock: Clock) -> Self {
        Self {
            channels: DashMap::new(),
            floor: AtomicU64::new(0),
            presence: Presence::default(),
            dedup: Dedup::new(limits.idempotency_keys, limits.idempotency_ttl),
            register: Register::new(limits.revocations, clock.clone()),
            ledger: Ledger::default(),
            limits,
            evicting: Mutex::new(()),
            clock,
            sink,
        }
    }

    /// Keeps revocations in a file in this directory, which is made if it is not there, and takes over those that the file holds.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file cannot be used, for example because it is damaged.
    pub fn keep_in(mut self, directory: &Path) -> Result<Self, StoreError> {
        self.register.keep_in(directory)?;
        Ok(self)
    }

    /// Writes what is still to be written and closes the file of [`keep_in`](Self::keep_in). What is revoked after that is not
    /// kept.
    pub fn close(&self) {
        self.register.close();
    }

    /// Where events go.
    pub const fn sink(&self) -> &S {
        &self.sink
    }

    /// What the engine holds now.
    pub fn sizes(&self) -> MemorySizes {
        let Usage { publications, bytes } = self.ledger.usage();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MemorySizes {
            channels: self.channels.len(),
            streams: self.ledger.streams(),
            publications,
            bytes,
            presence_members: self.presence.member_count(),
            idempotency_keys: self.dedup.key_count(),
            revocations: self.register.list().len(),
            evicted_publications: count(&self.ledger.evicted_publications),
            evicted_streams: count(&self.ledger.evicted_streams),
            expired_publications: count(&self.ledger.expired_publications),
            expired_streams: count(&self.ledger.expired_streams),
            evicted_idempotency_keys: self.dedup.evicted(),
        }
    }

    /// The channel, with the map's guard already released.
    fn channel(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        self.channels.get(name).map(|channel| Arc::clone(&channel))
    }

    /// The channel, made if it is not there.
    fn channel_or_new(&self, name: &ChannelName) -> Arc<Channel> {
        let entry = || self.channels.entry(name.clone()).or_insert_with(|| self.new_channel());
        self.channel(name).unwrap_or_else(|| Arc::clone(&entry()))
    }

    fn new_channel(&self) -> Arc<Channel> {
        Arc::new(Channel::new(Sequence::new(self.floor.load(Ordering::Acquire))))
    }

    /// Reads the channel's stream, made if it is not there, at the sequence that is given with it.
    fn with_stream<T>(
        &self,
        name: &ChannelName,
        options: &HistoryOptions,
        read: impl Fn(Sequence, &mut Stream) -> T,
    ) -> T {
        let now = self.clock.now();
        loop {
            let channel = self.channel_or_new(name);
            let mut held = channel.hold(name, &self.ledger);
            if held.removed {
                continue;
            }
            held.expire(now);
            let sequence = held.top;
            let stream = held.stream_or_new(options, now);
            stream.renew(options, now);
            let result = read(sequence, stream);
            drop(held);
            self.enforce_limits();
            return result;
        }
    }

    fn publish_once(
        &self,
        name: &ChannelName,
        event: Event,
        options: &PublishOptions,
    ) -> Result<Published, EngineError> {
        match (event, &options.history) {
            (Event { message: Message::Publication(publication), except }, Some(history)) => {
                self.publish_stored(name, publication, except, history, options)
            }
            (event, _) => self.publish_passing(name, event),
        }
    }

    /// Publishes what no stream keeps.
    fn publish_passing(&self, name: &ChannelName, event: Event) -> Result<Published, EngineError> {
        while let Some(channel) = self.channel(name) {
            let mut held = channel.hold(name, &self.ledger);
            if held.removed {
                continue;
            }
            let is_publication = matches!(event.message, Message::Publication(_));
            if held.subscribers > 0 {
                let ticket = self.sink.reserve(name)?;
                held.top = held.top.next();
                let delivery = Delivery { sequence: held.top, position: None, previous: None, event };
                self.sink.deliver(ticket, name, delivery);
            }
            if is_publication && let Some(stream) = held.stream() {
                stream.unchain();
            }
            break;
        }
        Ok(Published::default())
    }

    fn publish_stored(
        &self,
        name: &ChannelName,
        mut publication: Arc<Publication>,
        except: Option<Origin>,
        history: &HistoryOptions,
        options: &PublishOptions,
    ) -> Result<Published, EngineError> {
        detach(Arc::make_mut(&mut publication));
        let now = self.clock.now();
        loop {
            let channel = self.channel_or_new(name);
            let mut held = channel.hold(name, &self.ledger);
            if held.removed {
                continue;
            }
            held.expire(now);
            if let Some(stream) = held.stream().filter(|stream| stream.is_stale(options)) {
                return Ok(Published { position: Some(stream.position()), suppressed: true });
            }
            let ticket = if held.subscribers > 0 { Some(self.sink.reserve(name)?) } else { None };
            let stream = held.stream_or_new(history, now);
            let Stored { publication, position, previous } = stream.push(publication, history, options, now);
            if let Some(ticket) = ticket {
                held.top = held.top.next();
                let event = Event { message: Message::Publication(publication), except };
                let delivery = Delivery { sequence: held.top, position: Some(position), previous, event };
                self.sink.deliver(ticket, name, delivery);
            }
            drop(held);
            self.enforce_limits();
            return Ok(Published { position: Some(position), suppressed: false });
        }
    }
}

impl<S: Sink> Engine for MemoryEngine<S> {
    async fn publish(
        &self,
        channel: &ChannelName,
        event: Event,
        options: &PublishOptions,
    ) -> Result<Published, EngineError> {
        match &options.idempotency_key {
            None => self.publish_once(channel, event, options),
            Some(key) => {
                let publish = || self.publish_once(channel, event, options);
                self.dedup.once(channel, key, self.clock.now(), publish)
            }
        }
    }

    async fn subscribe(&self, name: &ChannelName) -> Result<Sequence, EngineError> {
        // The map's guard is kept, so that the channel cannot be removed before it is counted.
        let channel = self.channels.entry(name.clone()).or_insert_with(|| self.new_channel());
        let mut held = channel.hold(name, &self.ledger);
        if held.stream().is_some() {
            // Before it counts as watched, which would keep a stream whose time is over.
            held.expire(self.clock.now());
        }
        held.subscribers += 1;
        Ok(held.top)
    }

    fn unsubscribe(&self, name: &ChannelName) {
        let Entry::Occupied(entry) = self.channels.entry(name.clone()) else { return };
        let channel = Arc::clone(entry.get());
        let mut held = channel.hold(name, &self.ledger);
        if held.subscribers == 1
            && let Some(stream) = held.stream()
        {
            stream.abandon(self.clock.now());
        }
        held.subscribers = held.subscribers.saturating_sub(1);
        let unused = held.is_unused();
        drop(held);
        drop(entry);
        if unused {
            self.forget(name, &channel);
        }
    }

    async fn position(
        &self,
        channel: &ChannelName,
        history: Option<&HistoryOptions>,
    ) -> Result<Snapshot, EngineError> {
        let Some(options) = history else {
            let channel_now = self.channel(channel);
            let sequence = channel_now.map(|found| found.hold(channel, &self.ledger).top).unwrap_or_default();
            return Ok(Snapshot { sequence, position: None });
        };
        let top = |sequence, stream: &mut Stream| Snapshot { sequence, position: Some(stream.position()) };
        Ok(self.with_stream(channel, options, top))
    }

    async fn history(
        &self,
        channel: &ChannelName,
        options: &HistoryOptions,
        query: &HistoryQuery,
    ) -> Result<History, EngineError> {
        let read = |sequence, stream: &mut Stream| History {
            sequence,
            position: stream.position(),
            publications: stream.read(query),
        };
        Ok(self.with_stream(channel, options, read))
    }

    async fn remove_history(&self, name: &ChannelName) -> Result<(), EngineError> {
        if let Some(channel) = self.channel(name)
            && let Some(stream) = channel.hold(name, &self.ledger).stream()
        {
            stream.clear();
        }
        Ok(())
    }

    async fn add_presence(
        &self,
        channel: &ChannelName,
        client: Origin,
        info: Arc<ClientInfo>,
    ) -> Result<(), EngineError> {
        self.presence.add(channel, client, info);
        Ok(())
    }

    async fn remove_presence(&self, channel: &ChannelName, client: Origin) -> Result<(), EngineError> {
        self.presence.remove(channel, client);
        Ok(())
    }

    async fn presence(&self, channel: &ChannelName) -> Result<Vec<(Origin, Arc<ClientInfo>)>, EngineError> {
        Ok(self.presence.list(channel))
    }

    async fn presence_stats(&self, channel: &ChannelName) -> Result<PresenceStats, EngineError> {
        Ok(self.presence.stats(channel))
    }

    fn revocations(&self) -> &Revocations {
        self.register.list()
    }

    async fn revoke(&self, revocation: Revocation) -> Result<(), EngineError> {
        let written = self.register.add(&revocation)?;
        self.sink.revoked(&revocation);
        revoke::awaited(written).await
    }

    async fn pardon(&self, subject: &Subject) -> Result<bool, EngineError> {
        let (removed, written) = self.register.remove(subject);
        revoke::awaited(written).await?;
        Ok(removed)
    }
}

/// Copies what is a slice of a larger buffer, for whoever keeps the publication longer than that buffer.
fn detach(publication: &mut Publication) {
    publication.data = publication.data.detached();
    if let Some(info) = &mut publication.info {
        info.conn_info = info.conn_info.detached();
        info.chan_info = info.chan_info.detached();
    }
}

/// Whether this time has come; `None` never does.
fn is_due(time: Option<Instant>, now: Instant) -> bool {
    time.is_some_and(|time| time <= now)
}

#[cfg(test)]
mod tests;
