//! The embedded engine.

mod channel;
mod dedup;
mod limits;
mod presence;
mod sizes;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use throng_protocol::{ChannelName, ClientInfo, Publication};

pub use self::limits::MemoryLimits;
pub use self::sizes::MemorySizes;

use self::channel::Channel;
use self::dedup::Dedup;
use self::presence::Presence;
use self::stream::{Stored, Stream};
use crate::{
    Clock, Delivery, Engine, EngineError, Event, History, HistoryOptions, HistoryQuery, Message, Origin,
    PresenceStats, PublishOptions, Published, Sequence, Sink, Snapshot,
};

/// The embedded engine: one node, everything in memory, every call answered inline without a task switch.
///
/// A channel takes memory only while the node is subscribed to it or it has a stream, so publishing without history to ever
/// new names costs nothing.
#[derive(Debug)]
pub struct MemoryEngine<S> {
    channels: DashMap<ChannelName, Arc<Channel>>,
    /// At least the top of every channel that was removed. A channel that comes back into use continues above it, so that an
    /// event still on its way from before is never taken for a new one.
    floor: AtomicU64,
    presence: Presence,
    dedup: Dedup,
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
            clock,
            sink,
        }
    }

    /// Where events go.
    pub const fn sink(&self) -> &S {
        &self.sink
    }

    /// What the engine holds now.
    pub fn sizes(&self) -> MemorySizes {
        MemorySizes {
            channels: self.channels.len(),
            presence_members: self.presence.member_count(),
            idempotency_keys: self.dedup.key_count(),
        }
    }

    /// The channel, with the map's guard already released.
    fn channel(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        self.channels.get(name).map(|channel| Arc::clone(&channel))
    }

    /// The channel, made if it is not there.
    fn channel_or_new(&self, name: &ChannelName) -> Arc<Channel> {
        self.channel(name).unwrap_or_else(|| {
            let new = || Arc::new(Channel::new(Sequence::new(self.floor.load(Ordering::Acquire))));
            Arc::clone(&self.channels.entry(name.clone()).or_insert_with(new))
        })
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
            let mut state = channel.lock();
            if state.removed {
                continue;
            }
            let is_publication = matches!(event.message, Message::Publication(_));
            if state.subscribers > 0 {
                let ticket = self.sink.reserve(name)?;
                state.top = state.top.next();
                let delivery = Delivery { sequence: state.top, position: None, previous: None, event };
                self.sink.deliver(ticket, name, delivery);
            }
            if let Some(stream) = &mut state.stream
                && is_publication
            {
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
            let mut state = channel.lock();
            if state.removed {
                continue;
            }
            state.expire(now);
            if let Some(stream) = state.stream.as_deref().filter(|stream| stream.is_stale(options)) {
                return Ok(Published { position: Some(stream.position()), suppressed: true });
            }
            let ticket = if state.subscribers > 0 { Some(self.sink.reserve(name)?) } else { None };
            let stream = state.stream.get_or_insert_with(|| Box::new(Stream::new(history, now)));
            let Stored { publication, position, previous } = stream.push(publication, history, options, now);
            if let Some(ticket) = ticket {
                state.top = state.top.next();
                let event = Event { message: Message::Publication(publication), except };
                let delivery = Delivery { sequence: state.top, position: Some(position), previous, event };
                self.sink.deliver(ticket, name, delivery);
            }
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

    async fn subscribe(&self, channel: &ChannelName) -> Result<Sequence, EngineError> {
        let channel = self
            .channels
            .entry(channel.clone())
            .or_insert_with(|| Arc::new(Channel::new(Sequence::new(self.floor.load(Ordering::Acquire)))));
        let mut state = channel.lock();
        state.subscribers += 1;
        Ok(state.top)
    }

    fn unsubscribe(&self, channel: &ChannelName) {
        let Entry::Occupied(entry) = self.channels.entry(channel.clone()) else { return };
        let mut state = entry.get().lock();
        state.subscribers = state.subscribers.saturating_sub(1);
        if state.subscribers == 0 && state.stream.is_none() {
            state.removed = true;
            self.floor.fetch_max(state.top.get(), Ordering::AcqRel);
            drop(state);
            entry.remove();
        }
    }

    async fn position(
        &self,
        channel: &ChannelName,
        history: Option<&HistoryOptions>,
    ) -> Result<Snapshot, EngineError> {
        let Some(options) = history else {
            let sequence = self.channel(channel).map(|channel| channel.lock().top).unwrap_or_default();
            return Ok(Snapshot { sequence, position: None });
        };
        let now = self.clock.now();
        loop {
            let channel = self.channel_or_new(channel);
            let mut state = channel.lock();
            if !state.removed {
                let position = Some(state.stream(options, now).position());
                return Ok(Snapshot { sequence: state.top, position });
            }
        }
    }

    async fn history(
        &self,
        channel: &ChannelName,
        options: &HistoryOptions,
        query: &HistoryQuery,
    ) -> Result<History, EngineError> {
        let now = self.clock.now();
        loop {
            let channel = self.channel_or_new(channel);
            let mut state = channel.lock();
            if !state.removed {
                let sequence = state.top;
                let stream = state.stream(options, now);
                let (position, publications) = (stream.position(), stream.read(query));
                return Ok(History { sequence, position, publications });
            }
        }
    }

    async fn remove_history(&self, channel: &ChannelName) -> Result<(), EngineError> {
        if let Some(channel) = self.channel(channel)
            && let Some(stream) = &mut channel.lock().stream
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
