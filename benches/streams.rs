//! What does the delivery contract cost? A publication with and without history on its way to 1,000 subscribers, the same as
//! patches, the recovery of 300 publications, and the statistics of 10,000 present clients. Units: deliveries, recoveries, calls.

use std::{
    collections::VecDeque,
    hint::black_box,
    io::{self, IoSlice},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt;
use throng_engine::{
    Busy, Delivery, Engine, Event, HistoryOptions, HistoryQuery, MemoryEngine, MemoryLimits, Message, Origin,
    PublishOptions, Sink,
};
use throng_protocol::{
    ChannelName, ClientInfo, Format, Outcome, Payload, Publication, Reply, StreamPosition, SubscribeResult,
};
use throng_registry::{
    Broadcast, ChannelRules, Fanout, Frames, OutboxLimits, QueueEntry, ShardTable, StreamMark, Subscription,
    Ticket, WireFormat,
};

const MEMBERS: usize = 1_000;
const QUEUE: usize = 64;

/// The way from the engine to the shard's queue, as the server has it.
struct Spread(Arc<Fanout<()>>);

impl Sink for Spread {
    type Ticket = Ticket<()>;

    fn reserve(&self, channel: &ChannelName) -> Result<Self::Ticket, Busy> {
        self.0.reserve(channel).ok_or(Busy)
    }

    fn deliver(&self, ticket: Self::Ticket, channel: &ChannelName, delivery: Delivery) {
        let Delivery { sequence, position, previous, event } = delivery;
        let Message::Publication(publication) = event.message else { return };
        let frames = Frames::publication(channel.clone(), publication, previous, true);
        let stream =
            position.map(|position| StreamMark { epoch: position.epoch.id(), offset: position.offset });
        self.0.deliver(ticket, channel, sequence.get(), stream, frames, None);
    }
}

/// A channel with subscribers on one shard, and the engine before it.
struct Channel {
    name: ChannelName,
    engine: MemoryEngine<Spread>,
    fanout: Arc<Fanout<()>>,
    table: ShardTable<usize>,
    entries: VecDeque<QueueEntry<Broadcast, ()>>,
    options: PublishOptions,
    number: u64,
}

const HISTORY: HistoryOptions =
    HistoryOptions { size: 1_000, ttl: Duration::from_secs(300), meta_ttl: Duration::from_secs(3_600) };

impl Channel {
    fn new(members: usize, options: PublishOptions) -> Self {
        let fanout = Arc::new(Fanout::new(1, QUEUE));
        let engine = MemoryEngine::new(Spread(Arc::clone(&fanout)), MemoryLimits::default());
        let name: ChannelName = "news".parse().expect("a valid name");
        let mut table = ShardTable::new(OutboxLimits::default());
        let shard = fanout.shards().next().expect("there is one shard");
        fanout.directory().join(&name, shard);
        now(engine.subscribe(&name)).expect("the memory engine answers");
        let stream = options.history.map(|history| {
            let snapshot = now(engine.position(&name, Some(&history))).expect("the memory engine answers");
            let position = snapshot.position.expect("there is a stream");
            StreamMark { epoch: position.epoch.id(), offset: position.offset }
        });
        for _ in 0..members {
            let slot = table.insert(WireFormat::Json, 0);
            table.enter(slot, &name, ChannelRules::default());
            let positioned = stream.is_some();
            let subscription =
                Subscription { stream, positioned, delta: options.delta, ..Subscription::default() };
            table.subscribe(slot, &name, subscription, |_| ()).expect("it was entered");
        }
        Self { name, engine, fanout, table, entries: VecDeque::new(), options, number: 0 }
    }

    /// Publishes one message and writes it to all subscribers.
    fn turn(&mut self) -> usize {
        self.number += 1;
        let event = Event::new(Message::Publication(Arc::new(publication(self.number))));
        now(self.engine.publish(&self.name, event, &self.options)).expect("the queue has room");
        let shard = self.fanout.shards().next().expect("there is one shard");
        self.fanout.queue(shard).drain(QUEUE, &mut self.entries);
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

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory engine answers inline")
}

fn publication(number: u64) -> Publication {
    let data = format!("{{\"number\":{number},\"text\":\"{}\"}}", "x".repeat(100));
    Publication { data: Payload::from(data), ..Publication::default() }
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one publication to 1,000 subscribers");
    group.throughput(Throughput::Elements(MEMBERS as u64));
    let kept = PublishOptions { history: Some(HISTORY), ..PublishOptions::default() };
    for (name, options) in [
        ("without history", PublishOptions::default()),
        ("with history", kept.clone()),
        ("with history, as patches", PublishOptions { delta: true, ..kept }),
    ] {
        let mut channel = Channel::new(MEMBERS, options);
        group.bench_function(name, |bencher| bencher.iter(|| assert_eq!(channel.turn(), MEMBERS)));
    }
}

fn recovery(criterion: &mut Criterion) {
    let options = PublishOptions { history: Some(HISTORY), ..PublishOptions::default() };
    let mut channel = Channel::new(0, options);
    (0..900).for_each(|_| {
        channel.turn();
    });
    let since = Some(StreamPosition { offset: 600, epoch: String::new() });
    let query = HistoryQuery { since, limit: Some(300), reverse: false };
    let mut out = BytesMut::new();
    criterion.bench_function("recovery of 300 publications, as a JSON reply", |bencher| {
        bencher.iter(|| {
            let history = now(channel.engine.history(&channel.name, &HISTORY, &query)).expect("it is there");
            let publications = history.publications.expect("the epoch matches");
            assert_eq!(publications.len(), 300);
            let publications = publications.into_iter().map(Arc::unwrap_or_clone).collect();
            let result = SubscribeResult { publications, recovered: true, ..SubscribeResult::default() };
            out.clear();
            let reply = Reply::Answer { id: 1, outcome: Ok(Outcome::Subscribe(result)) };
            Format::Json.encode_reply(&reply, &mut out);
            black_box(out.len())
        });
    });
}

fn presence(criterion: &mut Criterion) {
    let channel = Channel::new(0, PublishOptions::default());
    for number in 0..10_000_u128 {
        let info = ClientInfo { user: (number % 5_000).to_string(), ..ClientInfo::default() };
        now(channel.engine.add_presence(&channel.name, Origin(number), Arc::new(info))).expect("it is taken");
    }
    criterion.bench_function("presence statistics of 10,000 clients", |bencher| {
        bencher.iter(|| {
            let stats = now(channel.engine.presence_stats(&channel.name)).expect("it is there");
            assert_eq!((stats.clients, stats.users), (10_000, 5_000));
        });
    });
}

criterion_group!(streams, fan_out, recovery, presence);
criterion_main!(streams);
