//! What does a publication cost from the publisher's reservation to the bytes at each subscriber's socket, without the
//! kernel? A ladder of channel sizes, each with one and with 16 publications in the turn. Unit: deliveries.

use std::collections::VecDeque;
use std::sync::Arc;
use std::{
    hint::black_box,
    io::{self, IoSlice},
    task::Poll,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throng_protocol::{ChannelName, Payload, Publication, frame::MessageKind};
use throng_registry::{
    ChannelRules, Fanout, Frames, OutboxLimits, QueueEntry, ShardId, ShardTable, Subscription, WireFormat,
};

const MEMBERS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
/// Publications in one turn.
const TURNS: [usize; 2] = [1, 16];
const QUEUE: usize = 64;

/// A channel whose members all live on one shard, with sockets that take everything.
struct Channel {
    name: ChannelName,
    fanout: Fanout<()>,
    shard: ShardId,
    table: ShardTable<usize>,
    entries: VecDeque<QueueEntry<throng_registry::Broadcast, ()>>,
    sequence: u64,
}

impl Channel {
    fn with_members(members: usize, format: WireFormat) -> Self {
        let fanout = Fanout::new(1, QUEUE);
        let shard = fanout.shards().next().expect("there is one shard");
        let name: ChannelName = "news".parse().expect("a valid name");
        let mut table = ShardTable::new(OutboxLimits::default());
        for _ in 0..members {
            let slot = table.insert(format, 0);
            if table.enter(slot, &name, ChannelRules::default()) {
                fanout.directory().join(&name, shard);
            }
            let entered = table.subscribe(slot, &name, Subscription::default(), |_reply| ());
            assert_eq!(entered, Ok(()));
        }
        Self { name, fanout, shard, table, entries: VecDeque::new(), sequence: 0 }
    }

    /// Publishes and serves one turn; returns the deliveries.
    fn turn(&mut self, publications: usize, frames: impl Fn(&ChannelName) -> Frames) -> usize {
        for _ in 0..publications {
            let ticket = self.fanout.reserve(&self.name).expect("the queue has room for a turn");
            self.sequence += 1;
            self.fanout.deliver(ticket, &self.name, self.sequence, None, frames(&self.name), None);
        }
        self.fanout.queue(self.shard).drain(QUEUE, &mut self.entries);
        let mut deliveries = 0;
        for entry in self.entries.drain(..) {
            if let QueueEntry::Broadcast(broadcast) = entry {
                deliveries += self.table.deliver(&broadcast);
            }
        }
        self.table.flush(take_all);
        deliveries
    }
}

/// A socket that only counts.
fn take_all(taken: &mut usize, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    let bytes = slices.iter().map(|slice| black_box(slice).len()).sum();
    *taken += bytes;
    Poll::Ready(Ok(bytes))
}

fn payload() -> Payload {
    Payload::from(format!("{{\"text\":\"{}\"}}", "x".repeat(117)).into_bytes())
}

fn relay_frames(_: &ChannelName) -> Frames {
    Frames::relay(MessageKind::Text, payload())
}

fn protocol_frames(name: &ChannelName) -> Frames {
    let publication = Publication { data: payload(), ..Publication::default() };
    Frames::publication(name.clone(), Arc::new(publication), None, true)
}

fn fan_out(criterion: &mut Criterion) {
    for publications in TURNS {
        for (format, frames) in [
            (WireFormat::Relay, relay_frames as fn(&ChannelName) -> Frames),
            (WireFormat::Json, protocol_frames),
            (WireFormat::Protobuf, protocol_frames),
        ] {
            let mut group = criterion.benchmark_group(format!("{format:?}, {publications} in a turn"));
            for members in MEMBERS {
                let mut channel = Channel::with_members(members, format);
                group.throughput(Throughput::Elements((members * publications) as u64));
                group.bench_function(BenchmarkId::from_parameter(members), |bencher| {
                    bencher.iter(|| assert_eq!(channel.turn(publications, frames), members * publications));
                });
            }
        }
    }
}

criterion_group!(fanout, fan_out);
criterion_main!(fanout);
