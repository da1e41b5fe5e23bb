//! Random calls, each of which the memory engine must answer as a naive model of it does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod naive;
mod operation;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use throng_engine::conformance::Recorder;
use throng_engine::{
    Busy, Engine, EngineError, Epoch, EpochMismatch, Event, HistoryOptions, HistoryQuery, ManualClock,
    MemoryEngine, MemoryLimits, Message, Origin, Position, PresenceStats, PublishOptions, Published,
    Sequence,
};
use throng_protocol::{ChannelName, ClientInfo, Payload, Publication, StreamPosition};

use crate::naive::{KEY_TTL, Limits, META_TTL, Naive, Outcome, Place, Sent, TTL};
use crate::operation::{CHANNELS, Operation, Publish, Read, Whose, operations};

/// Time that every operation takes: streams are told apart by their last use only if it differs by as much.
const STEP: Duration = Duration::from_millis(100);

/// An engine and its model, side by side.
struct Pair {
    engine: MemoryEngine<Recorder>,
    clock: ManualClock,
    naive: Naive,
    names: [ChannelName; CHANNELS],
    /// Sequence of the last event of each channel that the node is subscribed to.
    sequences: [Sequence; CHANNELS],
    /// How much each channel has had.
    delivered: [usize; CHANNELS],
    /// The engine's epochs by the model's.
    epochs: BTreeMap<usize, Epoch>,
    texts: usize,
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory engine answers inline")
}

fn options(size: usize) -> HistoryOptions {
    HistoryOptions { size, ttl: TTL, meta_ttl: META_TTL }
}

fn event(text: &str) -> Event {
    let publication = Publication { data: Payload::from(text.to_owned()), ..Publication::default() };
    Event::new(Message::Publication(Arc::new(publication)))
}

fn words(data: &Payload) -> String {
    String::from_utf8_lossy(data.as_bytes()).into_owned()
}

fn limits(streams: usize, bytes: usize) -> MemoryLimits {
    MemoryLimits { streams, bytes, idempotency_ttl: KEY_TTL, ..MemoryLimits::default() }
}

/// What a publication costs that is not the first of its stream.
fn cost() -> usize {
    let engine = MemoryEngine::new(Recorder::default(), limits(10, 1 << 20));
    let publish = || {
        let options = PublishOptions { history: Some(options(10)), ..PublishOptions::default() };
        now(engine.publish(&"x".parse().unwrap(), event("00000000"), &options)).unwrap();
        engine.sizes().bytes
    };
    let first = publish();
    publish() - first
}

impl Pair {
    fn new(limit: Limits) -> Self {
        let clock = ManualClock::default();
        let engine =
            MemoryEngine::with_clock(Recorder::default(), limits(limit.streams, limit.bytes), clock.clock());
        Self {
            engine,
            clock,
            naive: Naive::new(limit),
            names: std::array::from_fn(|number| number.to_string().parse().unwrap()),
            sequences: Default::default(),
            delivered: Default::default(),
            epochs: BTreeMap::new(),
            texts: 0,
        }
    }

    fn advance(&mut self, time: Duration) {
        self.clock.advance(time);
        self.naive.now += time;
    }

    fn perform(&mut self, operation: &Operation) {
        self.advance(STEP);
        match *operation {
            Operation::Publish(ref how) => self.publish(how),
            Operation::Join { channel } => self.join(channel),
            Operation::Subscribe { channel } => self.subscribe(channel),
            Operation::Unsubscribe { channel } => {
                self.engine.unsubscribe(&self.names[channel]);
                self.naive.unsubscribe(channel);
            }
            Operation::Position { channel } => self.position(channel),
            Operation::History(ref read) => self.history(read),
            Operation::RemoveHistory { channel } => {
                now(self.engine.remove_history(&self.names[channel])).unwrap();
                self.naive.remove_history(channel);
            }
            Operation::AddPresence { channel, client, user } => {
                let info = Arc::new(ClientInfo { user: user.into(), ..ClientInfo::default() });
                now(self.engine.add_presence(&self.names[channel], Origin(client), info)).unwrap();
                self.naive.channels[channel].present.insert(client, user);
            }
            Operation::RemovePresence { channel, client } => {
                now(self.engine.remove_presence(&self.names[channel], Origin(client))).unwrap();
                self.naive.channels[channel].present.remove(&client);
            }
            Operation::Advance { seconds } => self.advance(Duration::from_secs(seconds)),
            Operation::Sweep => self.sweep(),
        }
        self.check_presence();
    }

    fn publish(&mut self, how: &Publish) {
        self.texts += 1;
        let text = format!("{:08}", self.texts);
        let options = PublishOptions {
            history: how.size.map(options),
            idempotency_key: how.key.map(Into::into),
            version: how.version,
            version_epoch: how.version_epoch.into(),
            delta: how.delta,
        };
        let (outcome, sent) = self.naive.publish(how, &text);
        self.engine.sink().set_busy(how.busy);
        let published = now(self.engine.publish(&self.names[how.channel], event(&text), &options));
        self.engine.sink().set_busy(false);
        let told = published.as_ref().ok().and_then(|published| published.position);
        let mut done = |place: Option<Place>, suppressed| {
            let position = place.map(|place| self.learned(place, told.expect("a position is told")));
            Ok(Published { position, suppressed })
        };
        let expected = match outcome {
            Outcome::Passed => done(None, false),
            Outcome::Stored(place) => done(Some(place), false),
            Outcome::Repeated(place) => done(place, true),
            Outcome::Refused => Err(EngineError::Busy(Busy)),
        };
        assert_eq!(published, expected);
        self.check_delivery(how.channel, sent, Some(&text));
    }

    fn join(&mut self, channel: usize) {
        let join = Event::new(Message::Join(Arc::default()));
        now(self.engine.publish(&self.names[channel], join, &PublishOptions::default())).unwrap();
        let is_watched = self.naive.channels[channel].subscribers > 0;
        self.check_delivery(channel, is_watched.then_some(Sent { place: None, previous: None }), None);
    }

    fn subscribe(&mut self, channel: usize) {
        let sequence = now(self.engine.subscribe(&self.names[channel])).unwrap();
        if self.naive.channels[channel].subscribers > 0 {
            assert_eq!(sequence, self.sequences[channel], "the last event's");
        } else {
            assert!(sequence >= self.sequences[channel], "never below what was delivered");
        }
        self.sequences[channel] = sequence;
        self.naive.subscribe(channel);
    }

    fn position(&mut self, channel: usize) {
        let place = self.naive.position(channel);
        let snapshot = now(self.engine.position(&self.names[channel], Some(&options(3)))).unwrap();
        let position = snapshot.position.unwrap();
        assert_eq!(position, self.learned(place, position));
        if self.naive.channels[channel].subscribers > 0 {
            assert_eq!(snapshot.sequence, self.sequences[channel]);
        }
    }

    fn history(&mut self, read: &Read) {
        let (place, found) = self.naive.history(read);
        let since = read.since.map(|(offset, whose)| {
            let epoch = match whose {
                Whose::Nobodys => String::new(),
                // If the stream is only made by this call nobody can name its epoch.
                Whose::Own => self.epochs.get(&place.1).map(ToString::to_string).unwrap_or_default(),
                Whose::Foreign => "_".into(),
            };
            StreamPosition { offset, epoch }
        });
        let query = HistoryQuery { since, limit: read.limit, reverse: read.reverse };
        let history = now(self.engine.history(&self.names[read.channel], &options(3), &query)).unwrap();
        assert_eq!(history.position, self.learned(place, history.position));
        let text = |publication: &Arc<Publication>| (publication.offset, words(&publication.data));
        let publications =
            history.publications.map(|publications| publications.iter().map(text).collect::<Vec<_>>());
        assert_eq!(publications, found.ok_or(EpochMismatch));
    }

    fn sweep(&mut self) {
        self.engine.sweep();
        let sizes = self.engine.sizes();
        assert_eq!((sizes.streams, sizes.publications, sizes.bytes), self.naive.sizes());
        assert_eq!(sizes.channels, self.naive.in_use());
        let members: usize = self.naive.channels.iter().map(|channel| channel.present.len()).sum();
        assert_eq!(sizes.presence_members, members);
    }

    /// What the channel has had since the last look is this, or nothing.
    fn check_delivery(&mut self, channel: usize, sent: Option<Sent>, text: Option<&str>) {
        let deliveries = self.engine.sink().deliveries(&self.names[channel]);
        let new = &deliveries[self.delivered[channel]..];
        assert_eq!(new.len(), usize::from(sent.is_some()), "how much was delivered");
        self.delivered[channel] = deliveries.len();
        let (Some(sent), [delivery]) = (sent, new) else { return };
        self.sequences[channel] = self.sequences[channel].next();
        assert_eq!(delivery.sequence, self.sequences[channel]);
        assert_eq!(delivery.previous.as_ref().map(words), sent.previous, "the base for a patch");
        let position = sent.place.map(|place| self.learned(place, delivery.position.expect("it is stored")));
        assert_eq!(delivery.position, position);
        if let Message::Publication(publication) = &delivery.event.message {
            assert_eq!(Some(&*words(&publication.data)), text);
            assert_eq!(publication.offset, sent.place.map_or(0, |(offset, _)| offset));
        }
    }

    fn check_presence(&self) {
        for (name, channel) in self.names.iter().zip(&self.naive.channels) {
            let users: HashSet<_> = channel.present.values().collect();
            let expected = PresenceStats { clients: channel.present.len(), users: users.len() };
            assert_eq!(now(self.engine.presence_stats(name)).unwrap(), expected);
            let present = now(self.engine.presence(name)).unwrap();
            let present: BTreeMap<_, _> =
                present.iter().map(|(client, info)| (client.0, &*info.user)).collect();
            assert_eq!(present, channel.present);
        }
    }

    /// The model's place in the engine's words. An epoch that the model has made since is learned from what the engine says,
    /// if no other was called so.
    fn learned(&mut self, (offset, epoch): Place, told: Position) -> Position {
        let is_new = !self.epochs.values().any(|known| *known == told.epoch);
        let epoch = *self.epochs.entry(epoch).or_insert_with(|| {
            assert!(is_new, "a new stream has a new epoch");
            told.epoch
        });
        Position { offset, epoch }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_does_what_its_model_does(operations in operations()) {
        let mut pair = Pair::new(Limits { streams: CHANNELS, bytes: 1 << 30, cost: cost() });
        operations.iter().for_each(|operation| pair.perform(operation));
        pair.sweep();
    }

    #[test]
    fn an_engine_with_little_room_forgets_what_its_model_forgets(
        operations in operations(),
        streams in 0..CHANNELS,
        publications in 0..8_usize,
    ) {
        let cost = cost();
        let mut pair = Pair::new(Limits { streams, bytes: publications * cost, cost });
        for operation in &operations {
            pair.perform(operation);
            // The model forgets at once what has expired, and so evicts nothing else for it.
            pair.sweep();
        }
    }
}
