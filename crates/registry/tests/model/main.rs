//! Random operations on a shard's table, and what every client's bytes say afterwards.
//!
//! The model knows what was published and when each subscription began and ended. It does not repeat the table's decisions; it
//! reads each client's stream as the client would and checks that nothing is doubled, reordered, out of place or lost unsaid.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod reader;
mod world;

use proptest::prelude::*;

use world::{CHANNELS, CLIENTS, NATURES, World};

/// What happens next. Numbers are taken modulo how many there are.
#[derive(Clone, Debug)]
enum Op {
    /// Something is published, to arrive later.
    Publish(usize),
    /// Something is published and gets lost on its way.
    Vanish(usize),
    /// What was published last arrives once more.
    Repeat(usize),
    /// Somebody joins the channel.
    Join(usize),
    /// The channel's stream begins anew.
    NewEpoch(usize),
    /// This many events arrive.
    Arrive(usize),
    /// A client enters a channel, or goes one step further with its subscription.
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    /// The client gets a reply that has nothing to do with channels.
    Reply(usize),
    /// The client's socket takes this many bytes more.
    Room(usize, usize),
    Flush,
    /// The client is gone, and another comes in its place.
    Replace(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let (channel, client) = (0..CHANNELS, 0..CLIENTS);
    prop_oneof![
        12 => channel.clone().prop_map(Op::Publish),
        1 => channel.clone().prop_map(Op::Vanish),
        1 => channel.clone().prop_map(Op::Repeat),
        1 => channel.clone().prop_map(Op::Join),
        1 => channel.clone().prop_map(Op::NewEpoch),
        8 => (1..6_usize).prop_map(Op::Arrive),
        8 => (client.clone(), channel.clone()).prop_map(|(client, channel)| Op::Subscribe(client, channel)),
        2 => (client.clone(), channel).prop_map(|(client, channel)| Op::Unsubscribe(client, channel)),
        2 => client.clone().prop_map(Op::Reply),
        6 => (client.clone(), prop_oneof![0..20_usize, 100..2_000_usize])
            .prop_map(|(client, bytes)| Op::Room(client, bytes)),
        8 => Just(Op::Flush),
        1 => client.prop_map(Op::Replace),
    ]
}

fn run(natures: [usize; CHANNELS], ops: &[Op]) {
    let mut world = World::new(natures);
    for op in ops {
        match *op {
            Op::Publish(channel) => world.publish(channel, false),
            Op::Vanish(channel) => world.publish(channel, true),
            Op::Repeat(channel) => world.repeat(channel),
            Op::Join(channel) => world.join(channel),
            Op::NewEpoch(channel) => world.new_epoch(channel),
            Op::Arrive(count) => world.arrive(count),
            Op::Subscribe(client, channel) => world.subscribe(client, channel),
            Op::Unsubscribe(client, channel) => world.unsubscribe(client, channel),
            Op::Reply(client) => world.reply(client),
            Op::Room(client, bytes) => world.give_room(client, bytes),
            Op::Flush => world.flush(),
            Op::Replace(client) => world.replace(client),
        }
    }
    world.settle_and_check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_client_reads_what_its_subscriptions_promise(
        natures in prop::array::uniform(0..NATURES),
        ops in prop::collection::vec(op(), 1..400),
    ) {
        run(natures, &ops);
    }
}
