//! Joining, leaving, disconnecting and publishing at once, on many threads. Every client's wire is read back afterwards:
//! between a subscription and its end stand exactly the publications above its start, in order, and none elsewhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use parking_lot::Mutex;
use throng_protocol::frame::{MessageKind, Opcode, encode_into};
use throng_protocol::{ChannelName, Payload};
use throng_registry::{Fanout, Frames, OutboxLimits, QueueEntry, ShardId, ShardTable, Slot, WireFormat};

const SHARDS: usize = 3;
const PUBLISHERS: usize = 3;
const CHANNELS: usize = 4;
const PUBLICATIONS: usize = 1_500;
const ROUNDS: usize = 2_000;
const CLIENTS: usize = 12;

/// Stands in for the engine: one lock and one sequence for each channel.
struct Node {
    fanout: Fanout<()>,
    tops: Vec<Mutex<u64>>,
    publishing: AtomicUsize,
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
    format!("channel-{number}").parse().unwrap()
}

impl Node {
    fn publish(&self, number: usize) {
        let name = channel(number);
        loop {
            let mut top = self.tops[number].lock();
            let Some(ticket) = self.fanout.reserve(&name) else {
                drop(top);
                std::thread::yield_now();
                continue;
            };
            *top += 1;
            let data = Payload::from(format!("pub {number} {top}").into_bytes());
            return self.fanout.deliver(ticket, &name, *top, Frames::relay(MessageKind::Text, data), None);
        }
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
        if self.table.enter(&name) {
            self.node.fanout.directory().join(&name, self.id);
        }
        let start = *self.node.tops[number].lock();
        self.table.subscribe(slot, &name, start);
        self.say(slot, &format!("sub {number} {start}"));
    }

    fn unsubscribe(&mut self, slot: Slot, number: usize) {
        let name = channel(number);
        let Some(last) = self.table.unsubscribe(slot, &name) else { return };
        if last {
            self.node.fanout.directory().leave(&name, self.id);
        }
        self.say(slot, &format!("unsub {number} 0"));
    }

    fn disconnect(&mut self, at: usize) {
        self.turn();
        let slot = self.clients.swap_remove(at);
        let (wire, emptied) = self.table.remove(slot).unwrap();
        emptied.iter().for_each(|name| self.node.fanout.directory().leave(name, self.id));
        self.finished.push(wire);
    }

    fn turn(&mut self) {
        let mut entries = Vec::new();
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
fn check(wire: &[u8], tops: &[u64]) -> usize {
    let mut next: HashMap<usize, u64> = HashMap::new();
    let mut publications = 0;
    let mut rest = wire;
    while let [0x81, length, tail @ ..] = rest {
        let (text, after) = tail.split_at(usize::from(*length));
        rest = after;
        let text = std::str::from_utf8(text).unwrap();
        let words: Vec<_> = text.split(' ').collect();
        let (number, value) = (words[1].parse().unwrap(), words[2].parse::<u64>().unwrap());
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
    assert!(next.iter().all(|(number, next)| *next <= tops[*number] + 1));
    publications
}

#[test]
fn clients_that_come_and_go_see_exactly_what_was_published_while_they_were_subscribed() {
    let node = Node {
        fanout: Fanout::new(SHARDS, 128),
        tops: (0..CHANNELS).map(|_| Mutex::new(0)).collect(),
        publishing: AtomicUsize::new(PUBLISHERS),
    };
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
                let shard = Shard { node, id, table, clients: Vec::new(), finished: Vec::new(), random };
                start.wait();
                shard.run()
            })
        });
        let shards: Vec<_> = shards.collect();
        shards.into_iter().flat_map(|shard| shard.join().unwrap()).collect()
    });
    let tops: Vec<_> = node.tops.iter().map(|top| *top.lock()).collect();
    let seen: usize = wires.iter().map(|wire| check(wire, &tops)).sum();
    assert!(seen > PUBLICATIONS, "the clients saw something: {seen}");
    assert_eq!(node.fanout.directory().channel_count(), 0, "no channel was left behind");
}
