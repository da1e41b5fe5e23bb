//! What is the memory engine's own: that it answers inline, what it keeps, and what it forgets. What any engine must do is
//! checked by the conformance suite.

mod copies;
mod eviction;
mod keys;
mod order;
mod revocations;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use throng_protocol::{ChannelName, Payload, Publication};

use crate::conformance::Recorder;
use crate::{
    Engine, Event, HistoryOptions, HistoryQuery, ManualClock, MemoryEngine, MemoryLimits, Message, Position,
    PublishOptions, Published,
};

/// Publications are kept this long, in the tests that use [`stored`].
const TTL: Duration = Duration::from_secs(60);
/// And streams this long.
const META_TTL: Duration = Duration::from_secs(600);

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory engine answers inline")
}

fn name(text: &str) -> ChannelName {
    text.parse().unwrap()
}

fn history() -> HistoryOptions {
    HistoryOptions { size: 100, ttl: TTL, meta_ttl: META_TTL }
}

fn stored() -> PublishOptions {
    PublishOptions { history: Some(history()), ..PublishOptions::default() }
}

fn event(data: impl Into<Payload>) -> Event {
    let publication = Publication { data: data.into(), ..Publication::default() };
    Event::new(Message::Publication(Arc::new(publication)))
}

/// An engine and its time.
struct Node {
    engine: MemoryEngine<Recorder>,
    clock: ManualClock,
}

impl Node {
    fn new(limits: MemoryLimits) -> Self {
        let clock = ManualClock::default();
        let engine = MemoryEngine::with_clock(Recorder::default(), limits, clock.clock());
        Self { engine, clock }
    }

    fn publish(&self, channel: &str, data: &'static str, options: &PublishOptions) -> Published {
        now(self.engine.publish(&name(channel), event(data), options)).unwrap()
    }

    /// Publishes into a stream, and lets a second pass, so that every use of a stream has a time of its own.
    fn store(&self, channel: &str, data: &'static str) -> Position {
        let position = self.publish(channel, data, &stored()).position.unwrap();
        self.clock.advance(Duration::from_secs(1));
        position
    }

    /// The offsets that a channel keeps. Reading is a use, too.
    fn kept(&self, channel: &str) -> Vec<u64> {
        let read = now(self.engine.history(&name(channel), &history(), &HistoryQuery::default())).unwrap();
        self.clock.advance(Duration::from_secs(1));
        read.publications.unwrap().iter().map(|publication| publication.offset).collect()
    }

    fn top(&self, channel: &str) -> Position {
        now(self.engine.position(&name(channel), Some(&history()))).unwrap().position.unwrap()
    }

    fn subscribe(&self, channel: &str) {
        now(self.engine.subscribe(&name(channel))).unwrap();
    }
}
