use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use throng_protocol::ChannelName;

use crate::{Engine, EngineError, Event, Sequence, Sink};

/// The embedded engine: one node, everything in memory, every call answered inline without a task switch.
///
/// A channel takes memory only while the node is subscribed to it, so publishing to ever new names costs nothing.
#[derive(Debug)]
pub struct MemoryEngine<S> {
    channels: DashMap<ChannelName, Arc<Stream>>,
    /// At least the top of every stream that was removed. A channel that comes back into use continues above it, so that an
    /// event still on its way from before is never taken for a new one.
    floor: AtomicU64,
    sink: S,
}

/// One channel's order. Locked from the assignment of a sequence until the sink has taken the event, which is what makes the
/// order of sequences the order of deliveries.
#[derive(Debug, Default)]
struct Stream {
    state: Mutex<StreamState>,
}

#[derive(Debug, Default)]
struct StreamState {
    top: Sequence,
    /// Set when the stream leaves the map; a publisher that still holds it looks the channel up again.
    removed: bool,
    /// How many `subscribe` calls are outstanding; changed only under the map's entry, so that a removal cannot race.
    subscribers: usize,
}

impl<S: Sink> MemoryEngine<S> {
    /// An engine without channels that hands events to `sink`.
    pub fn new(sink: S) -> Self {
        Self { channels: DashMap::new(), floor: AtomicU64::new(0), sink }
    }

    /// Where events go.
    pub const fn sink(&self) -> &S {
        &self.sink
    }

    /// How many channels take memory now.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// The channel's stream, with the map's guard already released.
    fn stream(&self, channel: &ChannelName) -> Option<Arc<Stream>> {
        self.channels.get(channel).map(|stream| Arc::clone(&stream))
    }
}

impl<S: Sink> Engine for MemoryEngine<S> {
    async fn publish(&self, channel: &ChannelName, event: Event) -> Result<(), EngineError> {
        while let Some(stream) = self.stream(channel) {
            let mut state = stream.state.lock();
            if state.removed {
                continue;
            }
            let ticket = self.sink.reserve(channel)?;
            state.top = state.top.next();
            self.sink.deliver(ticket, channel, state.top, event);
            break;
        }
        Ok(())
    }

    async fn subscribe(&self, channel: &ChannelName) -> Result<Sequence, EngineError> {
        let stream = self.channels.entry(channel.clone()).or_insert_with(|| {
            let top = Sequence::new(self.floor.load(Ordering::Acquire));
            Arc::new(Stream { state: Mutex::new(StreamState { top, ..StreamState::default() }) })
        });
        let mut state = stream.state.lock();
        state.subscribers += 1;
        Ok(state.top)
    }

    async fn position(&self, channel: &ChannelName) -> Result<Sequence, EngineError> {
        Ok(self.stream(channel).map(|stream| stream.state.lock().top).unwrap_or_default())
    }

    fn unsubscribe(&self, channel: &ChannelName) {
        let Entry::Occupied(entry) = self.channels.entry(channel.clone()) else { return };
        let mut state = entry.get().state.lock();
        state.subscribers = state.subscribers.saturating_sub(1);
        if state.subscribers == 0 {
            state.removed = true;
            self.floor.fetch_max(state.top.get(), Ordering::AcqRel);
            drop(state);
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::FutureExt;
    use throng_protocol::frame::MessageKind;

    use super::*;
    use crate::{Busy, Message};

    #[derive(Default)]
    struct Log {
        full: AtomicBool,
        taken: Mutex<Vec<Sequence>>,
    }

    impl Sink for Log {
        type Ticket = ();

        fn reserve(&self, _: &ChannelName) -> Result<(), Busy> {
            if self.full.load(Ordering::Relaxed) { Err(Busy) } else { Ok(()) }
        }

        fn deliver(&self, (): (), _: &ChannelName, sequence: Sequence, _: Event) {
            self.taken.lock().push(sequence);
        }
    }

    fn event() -> Event {
        Event::new(Message::Relay { kind: MessageKind::Text, data: "x".into() })
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("the memory engine answers inline")
    }

    fn numbers(engine: &MemoryEngine<Log>) -> Vec<u64> {
        engine.sink().taken.lock().iter().map(|sequence| sequence.get()).collect()
    }

    #[test]
    fn events_of_a_channel_are_numbered_from_its_position() {
        let engine = MemoryEngine::new(Log::default());
        let news = "news".parse().unwrap();
        assert_eq!(now(engine.subscribe(&news)).unwrap(), Sequence::new(0));
        now(engine.publish(&news, event())).unwrap();
        now(engine.publish(&news, event())).unwrap();
        assert_eq!(numbers(&engine), [1, 2]);
        assert_eq!(now(engine.position(&news)).unwrap(), Sequence::new(2));
    }

    #[test]
    fn a_full_queue_refuses_the_event_and_leaves_no_hole() {
        let engine = MemoryEngine::new(Log::default());
        let news = "news".parse().unwrap();
        now(engine.subscribe(&news)).unwrap();
        engine.sink().full.store(true, Ordering::Relaxed);
        assert_eq!(now(engine.publish(&news, event())), Err(EngineError::Busy(Busy)));
        engine.sink().full.store(false, Ordering::Relaxed);
        now(engine.publish(&news, event())).unwrap();
        assert_eq!(numbers(&engine), [1]);
    }

    #[test]
    fn a_channel_without_subscribers_takes_no_memory() {
        let engine = MemoryEngine::new(Log::default());
        let news = "news".parse().unwrap();
        now(engine.publish(&news, event())).unwrap();
        assert_eq!(engine.channel_count(), 0);
        now(engine.subscribe(&news)).unwrap();
        now(engine.subscribe(&news)).unwrap();
        engine.unsubscribe(&news);
        now(engine.publish(&news, event())).unwrap();
        assert_eq!(numbers(&engine), [1], "one subscriber is left");
        engine.unsubscribe(&news);
        assert_eq!(engine.channel_count(), 0);
    }

    #[test]
    fn a_channel_that_comes_back_into_use_continues_above_its_old_sequences() {
        let engine = MemoryEngine::new(Log::default());
        let news = "news".parse().unwrap();
        now(engine.subscribe(&news)).unwrap();
        now(engine.publish(&news, event())).unwrap();
        engine.unsubscribe(&news);
        assert_eq!(now(engine.subscribe(&news)).unwrap(), Sequence::new(1));
        now(engine.publish(&news, event())).unwrap();
        assert_eq!(numbers(&engine), [1, 2]);
    }

    #[test]
    fn a_publisher_that_still_holds_a_removed_stream_can_tell() {
        let engine = MemoryEngine::new(Log::default());
        let news = "news".parse().unwrap();
        now(engine.subscribe(&news)).unwrap();
        let held = engine.stream(&news).unwrap();
        assert!(!held.state.lock().removed);
        engine.unsubscribe(&news);
        assert!(held.state.lock().removed);
    }

    #[test]
    fn threads_that_publish_at_once_are_put_into_one_order() {
        let engine = MemoryEngine::new(Log::default());
        let news: ChannelName = "news".parse().unwrap();
        now(engine.subscribe(&news)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| now(engine.publish(&news, event())).unwrap()));
            }
        });
        assert_eq!(numbers(&engine), (1..=2_000).collect::<Vec<_>>());
    }
}
