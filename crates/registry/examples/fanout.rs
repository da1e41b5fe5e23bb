//! One message in, a throng out, without a socket: a table with ten thousand members and one publication.
//!
//! Run it with `cargo run -p throng-registry --example fanout`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::VecDeque;
use std::task::Poll;

use throng_protocol::ChannelName;
use throng_protocol::frame::MessageKind;
use throng_registry::{
    ChannelRules, Fanout, Frames, OutboxLimits, QueueEntry, ShardTable, Subscription, WireFormat,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let fanout = Fanout::<()>::new(1, 16);
    let shard = fanout.shards().next().ok_or("a fan-out has at least one shard")?;
    let mut table = ShardTable::<usize>::new(OutboxLimits::default());
    let room: ChannelName = "relay:lobby".parse()?;

    for _ in 0..10_000 {
        let member = table.insert(WireFormat::Relay, 0);
        if table.enter(member, &room, ChannelRules::default()) {
            fanout.directory().join(&room, shard);
        }
        table.subscribe(member, &room, Subscription::default(), |_reply| ())?;
    }

    let ticket = fanout.reserve(&room).ok_or("the queue is full")?;
    fanout.deliver(ticket, &room, 1, None, Frames::relay(MessageKind::Text, "hello".into()), None);

    let mut entries = VecDeque::new();
    fanout.queue(shard).drain(16, &mut entries);
    for entry in entries {
        if let QueueEntry::Broadcast(broadcast) = entry {
            println!("one queue entry, {} deliveries", table.deliver(&broadcast));
        }
    }
    table.flush(|received, slices| {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        *received += bytes;
        Poll::Ready(Ok(bytes))
    });
    let received: usize = table.slots().filter_map(|member| table.attachment(member)).sum();
    println!("{received} bytes written in {} calls", table.counters().writes);
    Ok(())
}
