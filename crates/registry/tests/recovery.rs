//! Streams read over and over by clients that come, go, read slowly and recover, with an engine that answers late: of every
//! stream a client reads each publication once and in order, from where it began, whatever happens in between.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use throng_engine::{
    Busy, Delivery, Engine, Event, History, HistoryOptions, HistoryQuery, MemoryEngine, MemoryLimits,
    Message, PublishOptions, Sink,
};
use throng_protocol::frame::{Opcode, encode_into};
use throng_protocol::{ChannelName, Format, Limits, Payload, Publication, PushEvent, Reply, StreamPosition};
use throng_registry::{
    ChannelRules, Fanout, Frames, OutboxLimits, QueueEntry, ShardId, ShardTable, Slot, SlowPolicy,
    StreamMark, Subscription, Ticket, WireFormat,
};

const SHARDS: usize = 2;
const PUBLISHERS: usize = 2;
const PUBLICATIONS: usize = 3_000;
const ROUNDS: usize = 6_000;
const CLIENTS: usize = 8;

/// One channel for each.
const POLICIES: [SlowPolicy; 4] =
    [SlowPolicy::DropOldest, SlowPolicy::DropNewest, SlowPolicy::KeepLatest, SlowPolicy::Disconnect];

/// Few messages, so that slow readers lose some; many bytes, so that whoever recovers much is not slow for it.
const LIMITS: OutboxLimits =
    OutboxLimits { client_bytes: 16 << 20, client_messages: 24, shard_bytes: 1 << 30 };

const HISTORY: HistoryOptions = HistoryOptions {
    size: PUBLISHERS * PUBLICATIONS,
    ttl: Duration::from_secs(3_600),
    meta_ttl: Duration::from_secs(3_600),
};

struct Node {
    engine: MemoryEngine<Spread>,
    fanout: Arc<Fanout<()>>,
    publishing: AtomicUsize,
    /// A shard has panicked, so that nobody empties its queue any more.
    failed: AtomicBool,
}

struct Spread(Arc<Fanout<()>>);

impl Sink for Spread {
    type Ticket = Ticket<()>;

    fn reserve(&self, channel: &ChannelName) -> Result<Self::Ticket, Busy> {
        self.0.reserve(channel).ok_or(Busy)
    }

    fn deliver(&self, ticket: Self::Ticket, channel: &ChannelName, delivery: Delivery) {
        let Delivery { sequence, position, previous, event } = delivery;
        let Message::Publication(publication) = event.message else { panic!("nothing else is published") };
        let stream =
            position.map(|position| StreamMark { epoch: position.epoch.id(), offset: position.offset });
        let frames = Frames::publication(channel.clone(), publication, previous, true);
        self.0.deliver(ticket, channel, sequence.get(), stream, frames, None);
    }
}

/// The memory engine answers inline.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("an answer without waiting")
}

/// Small, fast and reproducible; quality does not matter here.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

fn channel(number: usize) -> ChannelName {
    number.to_string().parse().unwrap()
}

impl Node {
    fn publish(&self, number: usize) {
        let publication = Publication { data: Payload::from("1"), ..Publication::default() };
        let event = Event::new(Message::Publication(Arc::new(publication)));
        let how = PublishOptions { history: Some(HISTORY), ..PublishOptions::default() };
        while now(self.engine.publish(&channel(number), event.clone(), &how)).is_err() {
            assert!(!self.failed.load(Ordering::Relaxed), "a shard has failed");
            std::thread::yield_now();
        }
    }

    /// Reads what follows `since`, or the top alone, and keeps the answer back for so many polls.
    async fn read_late(&self, number: usize, since: Option<StreamPosition>, polls: usize) -> History {
        let limit = since.is_none().then_some(0);
        let query = HistoryQuery { since, limit, reverse: false };
        let history = self.engine.history(&channel(number), &HISTORY, &query).await.unwrap();
        let mut left = polls;
        poll_fn(|_| {
            left = left.saturating_sub(1);
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        history
    }

    fn leave(&self, name: &ChannelName, shard: ShardId) {
        self.fanout.directory().leave(name, shard);
        self.engine.unsubscribe(name);
    }
}

#[derive(Default)]
struct Wire {
    taken: Vec<u8>,
    room: usize,
}

fn write(wire: &mut Wire, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    let before = wire.taken.len();
    for slice in slices {
        let length = slice.len().min(wire.room);
        wire.taken.extend_from_slice(&slice[..length]);
        wire.room -= length;
    }
    match wire.taken.len() - before {
        0 => Poll::Pending,
        bytes => Poll::Ready(Ok(bytes)),
    }
}

/// What a client knows of its channels; it outlives its connections.
#[derive(Default)]
struct Reader {
    /// The last offset of each stream, and its epoch.
    last: HashMap<usize, StreamPosition>,
    open: Vec<usize>,
    read: usize,
    recovered: usize,
}

impl Reader {
    /// Reads whole frames from the front.
    fn read(&mut self, bytes: &mut Vec<u8>) {
        let mut at = 0;
        while let [0x81, first, ..] = bytes[at..] {
            let (header, length) = match (first, bytes.get(at + 2..at + 4)) {
                (126, Some(long)) => (4, usize::from(u16::from_be_bytes([long[0], long[1]]))),
                (126, None) => break,
                _ => (2, usize::from(first)),
            };
            let Some(frame) = bytes.get(at + header..at + header + length) else { break };
            self.take(std::str::from_utf8(frame).unwrap());
            at += header + length;
        }
        bytes.drain(..at);
    }

    fn take(&mut self, text: &str) {
        let words: Vec<_> = text.split(' ').collect();
        match words[..] {
            ["sub", number, epoch, top] => {
                let number = number.parse().unwrap();
                assert!(!self.open.contains(&number));
                self.open.push(number);
                let top = StreamPosition { offset: top.parse().unwrap(), epoch: epoch.to_owned() };
                assert_eq!(self.last.entry(number).or_insert(top).epoch, epoch);
            }
            ["unsub", number] => {
                let number = number.parse().unwrap();
                let at = self.open.iter().position(|open| *open == number).unwrap();
                self.open.swap_remove(at);
            }
            ["recovered", number, offset] => {
                self.recovered += 1;
                self.next(number.parse().unwrap(), offset.parse().unwrap());
            }
            _ => {
                let frame = Bytes::copy_from_slice(text.as_bytes());
                let Some(Ok(Reply::Push(push))) =
                    Format::Json.decode_replies(frame, &Limits::for_replies()).next()
                else {
                    panic!("{text}")
                };
                let PushEvent::Publication(publication) = push.event else { panic!("{text}") };
                self.next(push.channel.parse().unwrap(), publication.offset);
            }
        }
    }

    fn next(&mut self, number: usize, offset: u64) {
        assert!(self.open.contains(&number), "a publication outside of a subscription");
        let last = self.last.get_mut(&number).unwrap();
        assert_eq!(offset, last.offset + 1, "lost, doubled or reordered in channel {number}");
        last.offset = offset;
        self.read += 1;
    }
}

struct Client {
    slot: Slot,
    reader: Reader,
}

/// A subscription whose history is being read.
struct Reading<'n> {
    slot: Slot,
    number: usize,
    history: Pin<Box<dyn Future<Output = History> + Send + 'n>>,
}

struct Shard<'n> {
    node: &'n Node,
    id: ShardId,
    table: ShardTable<Wire>,
    clients: Vec<Client>,
    readings: Vec<Reading<'n>>,
    lost: usize,
    random: Random,
}

impl Drop for Shard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.node.failed.store(true, Ordering::Relaxed);
        }
    }
}

impl Shard<'_> {
    fn connect(&mut self, reader: Reader) {
        let slot = self.table.insert(WireFormat::Json, Wire { taken: Vec::new(), room: 2_000 });
        self.clients.push(Client { slot, reader });
    }

    /// Has the client read all that was sent, so that it knows how far it has come.
    fn catch_up(&mut self, at: usize) {
        let slot = self.clients[at].slot;
        let room = std::mem::replace(&mut self.table.attachment_mut(slot).unwrap().room, usize::MAX);
        self.table.retry(slot);
        self.flush();
        let wire = self.table.attachment_mut(slot).unwrap();
        wire.room = room;
        self.clients[at].reader.read(&mut wire.taken);
    }

    /// Begins a subscription, from where the client stopped if it was subscribed before.
    fn subscribe(&mut self, at: usize, number: usize) {
        let (slot, name) = (self.clients[at].slot, channel(number));
        let under_way = self.readings.iter().any(|it| it.slot == slot && it.number == number);
        if under_way || self.table.is_subscribed(slot, &name) || self.table.ending(slot).is_some() {
            return;
        }
        self.catch_up(at);
        let since = self.clients[at].reader.last.get(&number).cloned();
        let rules = ChannelRules { slow: POLICIES[number], group: 0 };
        if self.table.enter(slot, &name, rules) {
            self.node.fanout.directory().join(&name, self.id);
            now(self.node.engine.subscribe(&name)).unwrap();
        }
        let polls = 1 + self.random.below(4);
        let history = Box::pin(self.node.read_late(number, since, polls));
        self.readings.push(Reading { slot, number, history });
    }

    /// Looks whether the engine has answered, and completes those subscriptions.
    fn complete(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for mut reading in std::mem::take(&mut self.readings) {
            let Poll::Ready(history) = reading.history.as_mut().poll(&mut cx) else {
                self.readings.push(reading);
                continue;
            };
            let Reading { slot, number, .. } = reading;
            let (epoch, top) = (history.position.epoch, history.position.offset);
            let subscription = Subscription {
                sequence: history.sequence.get(),
                stream: Some(StreamMark { epoch: epoch.id(), offset: top }),
                positioned: true,
                ..Subscription::default()
            };
            let reply = |out: &mut BytesMut| {
                let mut say = |text: String| encode_into(Opcode::Text, text.as_bytes(), out);
                say(format!("sub {number} {epoch} {top}"));
                for publication in history.publications.unwrap() {
                    say(format!("recovered {number} {}", publication.offset));
                }
            };
            self.table.subscribe(slot, &channel(number), subscription, reply).unwrap();
        }
    }

    fn unsubscribe(&mut self, slot: Slot, number: usize) {
        let name = channel(number);
        let Some(ended) = self.table.unsubscribe(slot, &name) else { return };
        if ended.leave {
            self.node.leave(&name, self.id);
        }
        // Whoever must go is told nothing more.
        if self.table.ending(slot).is_none() {
            let text = format!("unsub {number}");
            self.table.send(slot, |out| encode_into(Opcode::Text, text.as_bytes(), out));
        }
    }

    /// The connection breaks, also in the middle of a frame, and the client comes back with what it has read.
    fn disconnect(&mut self, at: usize) {
        let Client { slot, mut reader } = self.clients.swap_remove(at);
        self.readings.retain(|reading| reading.slot != slot);
        let (mut wire, ended) = self.table.remove(slot).unwrap();
        ended.iter().filter(|(_, it)| it.leave).for_each(|(name, _)| self.node.leave(name, self.id));
        reader.read(&mut wire.taken);
        reader.open.clear();
        self.connect(reader);
    }

    /// Ends the subscriptions that were lost, as a server does.
    fn end_lost(&mut self) {
        for at in 0..self.clients.len() {
            let slot = self.clients[at].slot;
            for (name, _) in self.table.take_lost(slot) {
                self.lost += 1;
                let number: usize = name.as_str().parse().unwrap();
                assert_ne!(
                    POLICIES[number],
                    SlowPolicy::Disconnect,
                    "nothing was dropped, so nothing is lost"
                );
                self.unsubscribe(slot, number);
            }
        }
    }

    fn flush(&mut self) {
        self.table.flush(write);
        self.end_lost();
        self.table.take_changed();
    }

    fn turn(&mut self) {
        let mut entries = VecDeque::new();
        self.node.fanout.queue(self.id).drain(64, &mut entries);
        for entry in entries {
            if let QueueEntry::Broadcast(broadcast) = entry {
                self.table.deliver(&broadcast);
            }
        }
        self.flush();
    }

    fn act(&mut self) {
        let at = self.random.below(self.clients.len());
        let (slot, number) = (self.clients[at].slot, self.random.below(POLICIES.len()));
        match self.random.below(20) {
            0..=5 => self.subscribe(at, number),
            6 => self.unsubscribe(slot, number),
            7 if self.random.below(8) == 0 || self.table.ending(slot).is_some() => self.disconnect(at),
            8..=10 => self.complete(),
            11..=13 => {
                let room = self.random.below(2_000);
                self.table.attachment_mut(slot).unwrap().room += room;
                self.table.retry(slot);
            }
            _ => self.turn(),
        }
    }

    /// Has every client read every stream to its end.
    fn finish(&mut self) {
        while self.node.publishing.load(Ordering::Acquire) > 0 || !self.node.fanout.queue(self.id).is_empty()
        {
            assert!(!self.node.failed.load(Ordering::Relaxed), "another shard has failed");
            self.turn();
        }
        for at in (0..self.clients.len()).rev() {
            self.disconnect(at);
        }
        for at in 0..self.clients.len() {
            for number in 0..POLICIES.len() {
                self.subscribe(at, number);
            }
        }
        while !self.readings.is_empty() {
            self.complete();
        }
        (0..self.clients.len()).for_each(|at| self.catch_up(at));
    }

    /// How many publications were read, how many of them recovered, and how many subscriptions were lost.
    fn run(&mut self) -> [usize; 3] {
        (0..CLIENTS).for_each(|_| self.connect(Reader::default()));
        for _ in 0..ROUNDS {
            self.act();
        }
        self.finish();
        for client in &self.clients {
            for number in 0..POLICIES.len() {
                let top = now(self.node.engine.position(&channel(number), Some(&HISTORY))).unwrap().position;
                assert_eq!(client.reader.last[&number].offset, top.unwrap().offset, "channel {number}");
            }
        }
        let sum = |of: fn(&Reader) -> usize| self.clients.iter().map(|client| of(&client.reader)).sum();
        [sum(|reader| reader.read), sum(|reader| reader.recovered), self.lost]
    }
}

#[test]
fn whoever_comes_back_reads_every_publication_once_and_in_order() {
    let fanout = Arc::new(Fanout::new(SHARDS, 128));
    let engine = MemoryEngine::new(Spread(Arc::clone(&fanout)), MemoryLimits::default());
    let (publishing, failed) = (AtomicUsize::new(PUBLISHERS), AtomicBool::new(false));
    let node = Node { engine, fanout, publishing, failed };
    let start = Barrier::new(SHARDS + PUBLISHERS);
    let counts: Vec<[usize; 3]> = std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (node, start) = (&node, &start);
            scope.spawn(move || {
                start.wait();
                (0..PUBLICATIONS).for_each(|count| node.publish((count + publisher) % POLICIES.len()));
                node.publishing.fetch_sub(1, Ordering::Release);
            });
        }
        let shards = node.fanout.shards().map(|id| {
            let (node, start) = (&node, &start);
            scope.spawn(move || {
                let mut shard = Shard {
                    node,
                    id,
                    table: ShardTable::new(LIMITS),
                    clients: Vec::new(),
                    readings: Vec::new(),
                    lost: 0,
                    random: Random(id.index() as u64 + 1),
                };
                start.wait();
                shard.run()
            })
        });
        let shards: Vec<_> = shards.collect();
        shards.into_iter().map(|shard| shard.join().unwrap()).collect()
    });
    for [read, recovered, lost] in counts {
        assert!(read > PUBLICATIONS && recovered > 0 && lost > 0, "{read} {recovered} {lost}");
        assert!(recovered < read, "some of it came live");
    }
}
