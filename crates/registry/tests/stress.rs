//! Joining, leaving, disconnecting and publishing at once, on many threads. Every client's wire is read back afterwards:
//! between a subscription and its end stand exactly the publications above its start, in order, and none elsewhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::Poll;

use futures_util::FutureExt;
use throng_engine::{
    Busy, Delivery, Engine, Event, MemoryEngine, MemoryLimits, Message, PublishOptions, Sink,
};
use throng_protocol::frame::{MessageKind, Opcode, encode_into};
use throng_protocol::{ChannelName, Payload};
use throng_registry::{
    ChannelRules, Fanout, Frames, OutboxLimits, QueueEntry, ShardId, ShardTable, Slot, Subscription, Ticket,
    WireFormat,
};

const SHARDS: usize = 3;
const PUBLISHERS: usize = 3;
const CHANNELS: usize = 4;
const PUBLICATIONS: usize = 1_500;
const ROUNDS: usize = 2_000;
const CLIENTS: usize = 12;

/// What a server's node does with engine and registry.
struct Node {
    engine: MemoryEngine<Spread>,
    fanout: Arc<Fanout<()>>,
    publishing: AtomicUsize,
}

struct Spread(Arc<Fanout<()>>);

impl Sink for Spread {
    type Ticket = Ticket<()>;

    fn reserve(&self, channel: &ChannelName) -> Result<Self::Ticket, Busy> {
        self.0.reserve(channel).ok_or(Busy)
    }

    fn deliver(&self, ticket: Self::Ticket, channel: &ChannelName, delivery: Delivery) {
        let sequence = delivery.sequence;
        let data = Payload::from(format!("pub {channel} {}", sequence.get()).into_bytes());
        self.0.deliver(ticket, channel, sequence.get(), None, Frames::relay(MessageKind::Text, data), None);
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
        let event = Event::new(Message::Relay { kind: MessageKind::Text, data: Payload::from("") });
        while now(self.engine.publish(&channel(number), event.clone(), &PublishOptions::default())).is_err() {
            std::thread::yield_now();
        }
    }

    fn leave(&self, name: &ChannelName, shard: ShardId) {
        self.fanout.directory().leave(name, shard);
        self.engine.unsubscribe(name);
    }
}

type Wire = Vec<u8>;

struct Shard<'n> {
    node: &'n Node,
    id: ShardId,
    table: ShardTable<Wire>,
    clients: Vec<Slot>,
    /// What the wires of clients that are gone carried.
    finished: Vec<Wire>,
    random: Random,
}

fn write(wire: &mut Wire, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    slices.iter().for_each(|slice| wire.extend_from_slice(slice));
    Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
}

impl Shard<'_> {
    fn say(&mut self, slot: Slot, text: &str) {
        self.table.send(slot, |out| encode_into(Opcode::Text, text.as_bytes(), out));
    }

    fn subscribe(&mut self, slot: Slot, number: usize) {
        let name = channel(number);
        if self.table.is_subscribed(slot, &name) {
            return;
        }
        let start = if self.table.enter(slot, &name, ChannelRules::default()) {
            self.node.fanout.directory().join(&name, self.id);
            now(self.node.engine.subscribe(&name))
        } else {
            now(self.node.engine.position(&name, None)).map(|snapshot| snapshot.sequence)
        };
        let start = start.unwrap().get();
        let subscription = Subscription { sequence: start, ..Subscription::default() };
        let reply = format!("sub {number} {start}");
        let encode = |out: &mut _| encode_into(Opcode::Text, reply.as_bytes(), out);
        self.table.subscribe(slot, &name, subscription, encode).unwrap();
    }

    fn unsubscribe(&mut self, slot: Slot, number: usize) {
        let name = channel(number);
        let Some(ended) = self.table.unsubscribe(slot, &name) else { return };
        if ended.leave {
            self.node.leave(&name, self.id);
        }
        self.say(slot, &format!("unsub {number} 0"));
    }

    fn disconnect(&mut self, at: usize) {
        self.turn();
        let slot = self.clients.swap_remove(at);
        let (wire, ended) = self.table.remove(slot).unwrap();
        for (name, _) in ended.iter().filter(|(_, ended)| ended.leave) {
            self.node.leave(name, self.id);
        }
        self.finished.push(wire);
    }

    fn turn(&mut self) {
        let mut entries = VecDeque::new();
        self.node.fanout.queue(self.id).drain(64, &mut entries);
        for entry in entries {
            if let QueueEntry::Broadcast(broadcast) = entry {
                self.table.deliver(&broadcast);
            }
        }
        self.table.flush(write);
    }

    fn act(&mut self) {
        if self.clients.len() < CLIENTS {
            self.clients.push(self.table.insert(WireFormat::Relay, Wire::new()));
        }
        let at = self.random.below(self.clients.len());
        let (slot, number) = (self.clients[at], self.random.below(CHANNELS));
        match self.random.below(10) {
            0..=3 => self.subscribe(slot, number),
            4..=6 => self.unsubscribe(slot, number),
            7 => self.disconnect(at),
            _ => self.turn(),
        }
    }

    fn run(mut self) -> Vec<Wire> {
        for _ in 0..ROUNDS {
            self.act();
        }
        while self.node.publishing.load(Ordering::Acquire) > 0 || !self.node.fanout.queue(self.id).is_empty()
        {
            self.turn();
        }
        while !self.clients.is_empty() {
            self.disconnect(0);
        }
        assert_eq!(self.table.sizes(), (0, 0, 0));
        self.finished
    }
}

/// Checks one client's wire; returns how many publications it carried.
fn check(wire: &[u8]) -> usize {
    let mut next: HashMap<usize, u64> = HashMap::new();
    let mut publications = 0;
    let mut rest = wire;
    while let [0x81, length, tail @ ..] = rest {
        let (text, after) = tail.split_at(usize::from(*length));
        rest = after;
        let text = std::str::from_utf8(text).unwrap();
        let words: Vec<_> = text.split(' ').collect();
        let (number, value) = (words[1].parse::<usize>().unwrap(), words[2].parse::<u64>().unwrap());
        match words[0] {
            "sub" => assert_eq!(next.insert(number, value + 1), None),
            "unsub" => assert!(next.remove(&number).is_some()),
            _ => {
                let expected = next.get_mut(&number).expect("a publication outside a subscription");
                assert_eq!(value, *expected, "lost, doubled or reordered in channel {number}");
                *expected += 1;
                publications += 1;
            }
        }
    }
    assert!(rest.is_empty(), "a whole number of frames");
    publications
}

#[test]
fn clients_that_come_and_go_see_exactly_what_was_published_while_they_were_subscribed() {
    let fanout = Arc::new(Fanout::new(SHARDS, 128));
    let engine = MemoryEngine::new(Spread(Arc::clone(&fanout)), MemoryLimits::default());
    let node = Node { engine, fanout, publishing: AtomicUsize::new(PUBLISHERS) };
    let start = Barrier::new(SHARDS + PUBLISHERS);
    let wires: Vec<Wire> = std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (node, start) = (&node, &start);
            scope.spawn(move || {
                start.wait();
                (0..PUBLICATIONS).for_each(|count| node.publish((count + publisher) % CHANNELS));
                node.publishing.fetch_sub(1, Ordering::Release);
            });
        }
        let shards = node.fanout.shards().map(|id| {
            let (node, start) = (&node, &start);
            scope.spawn(move || {
                let (table, random) =
                    (ShardTable::new(OutboxLimits::default()), Random(id.index() as u64 + 1));
                let mut shard = Shard { node, id, table, clients: Vec::new(), finished: Vec::new(), random };
                // With somebody there the publishers cannot be done before the shards have had a turn: the queues hold them up.
                (0..10 * CHANNELS).for_each(|_| shard.act());
                start.wait();
                shard.run()
            })
        });
        let shards: Vec<_> = shards.collect();
        shards.into_iter().flat_map(|shard| shard.join().unwrap()).collect()
    });
    let seen: usize = wires.iter().map(|wire| check(wire)).sum();
    assert!(seen > PUBLICATIONS, "the clients saw something: {seen}");
    assert_eq!(node.fanout.directory().channel_count(), 0, "no channel was left behind");
    assert_eq!(node.engine.sizes().channels, 0, "neither in the engine");
}
