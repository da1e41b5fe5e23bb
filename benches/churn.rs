//! What do coming and going cost in the registry, and does it depend on how many are there? A ladder of clients, each
//! subscribed to one channel of a hundred. Unit: clients that come, subscribe and go.

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throng_protocol::ChannelName;
use throng_registry::{
    ChannelRules, Client, ClientId, ClientKey, Directory, OutboxLimits, ShardId, ShardTable, Slot,
    Subscription, WireFormat,
};

const CLIENTS: [usize; 4] = [100, 1_000, 10_000, 100_000];
const MEMBERS: usize = 100;

/// One shard of a node.
struct Shard {
    directory: Directory,
    id: ShardId,
    table: ShardTable<ClientId>,
    next: u128,
}

impl Shard {
    fn with_clients(clients: usize) -> Self {
        let mut shard = Self {
            directory: Directory::new(),
            id: ShardId::new(0).expect("there is a first shard"),
            table: ShardTable::new(OutboxLimits::default()),
            next: 0,
        };
        for number in 0..clients {
            let slot = shard.connect();
            shard.subscribe(slot, &channel(number / MEMBERS));
        }
        shard
    }

    fn connect(&mut self) -> Slot {
        self.next += 1;
        let id = ClientId::from_u128(self.next.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
        let slot = self.table.insert(WireFormat::Json, id);
        let user = Arc::from("");
        let key = ClientKey { shard: self.id, slot };
        self.directory.connect(id, Client { key, user, format: WireFormat::Json });
        slot
    }

    fn subscribe(&mut self, slot: Slot, name: &ChannelName) {
        if self.table.enter(slot, name, ChannelRules::default()) {
            self.directory.join(name, self.id);
        }
        let entered = self.table.subscribe(slot, name, Subscription::default(), |_reply| ());
        assert_eq!(entered, Ok(()));
    }

    fn unsubscribe(&mut self, slot: Slot, name: &ChannelName) {
        if self.table.unsubscribe(slot, name).is_some_and(|ended| ended.leave) {
            self.directory.leave(name, self.id);
        }
    }

    fn disconnect(&mut self, slot: Slot) {
        let (id, ended) = self.table.remove(slot).expect("the client is there");
        for (name, _) in ended.iter().filter(|(_, ended)| ended.leave) {
            self.directory.leave(name, self.id);
        }
        self.directory.disconnect(id);
    }
}

fn channel(number: usize) -> ChannelName {
    format!("room:{number}").parse().expect("a valid name")
}

/// A client comes, subscribes to a channel and goes without a word.
fn come_and_go(criterion: &mut Criterion) {
    for (title, name) in
        [("into a channel that is there", channel(0)), ("into a new channel", channel(usize::MAX))]
    {
        let mut group = criterion.benchmark_group(format!("come, subscribe and go, {title}"));
        group.throughput(Throughput::Elements(1));
        for clients in CLIENTS {
            let mut shard = Shard::with_clients(clients);
            group.bench_function(BenchmarkId::from_parameter(clients), |bencher| {
                bencher.iter(|| {
                    let slot = shard.connect();
                    shard.subscribe(slot, &name);
                    shard.disconnect(slot);
                });
            });
            assert_eq!(shard.directory.client_count(), clients);
        }
    }
}

/// A client that stays changes its mind.
fn subscribe_and_unsubscribe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("subscribe and unsubscribe");
    group.throughput(Throughput::Elements(1));
    for clients in CLIENTS {
        let mut shard = Shard::with_clients(clients);
        let (slot, name) = (shard.connect(), channel(0));
        group.bench_function(BenchmarkId::from_parameter(clients), |bencher| {
            bencher.iter(|| {
                shard.subscribe(slot, &name);
                shard.unsubscribe(slot, &name);
            });
        });
    }
}

criterion_group!(churn, come_and_go, subscribe_and_unsubscribe);
criterion_main!(churn);
