use proptest::prelude::*;
use proptest::sample::select;

/// One call of the engine, or time.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Publish(Publish),
    Join { channel: usize },
    Subscribe { channel: usize },
    Unsubscribe { channel: usize },
    Position { channel: usize },
    History(Read),
    RemoveHistory { channel: usize },
    AddPresence { channel: usize, client: u128, user: &'static str },
    RemovePresence { channel: usize, client: u128 },
    Advance { seconds: u64 },
    Sweep,
}

#[derive(Clone, Debug)]
pub(crate) struct Publish {
    pub(crate) channel: usize,
    /// Size of the history; `None` stores nothing.
    pub(crate) size: Option<usize>,
    pub(crate) key: Option<&'static str>,
    pub(crate) version: u64,
    pub(crate) version_epoch: &'static str,
    pub(crate) delta: bool,
    /// The node has no room at that moment.
    pub(crate) busy: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) channel: usize,
    pub(crate) since: Option<(u64, Whose)>,
    pub(crate) limit: Option<usize>,
    pub(crate) reverse: bool,
}

/// The epoch that a position names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    Nobodys,
    Own,
    Foreign,
}

pub(crate) const CHANNELS: usize = 4;

pub(crate) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 1..120)
}

fn operation() -> impl Strategy<Value = Operation> {
    let channel = || 0..CHANNELS;
    prop_oneof![
        12 => publish().prop_map(Operation::Publish),
        1 => channel().prop_map(|channel| Operation::Join { channel }),
        3 => channel().prop_map(|channel| Operation::Subscribe { channel }),
        3 => channel().prop_map(|channel| Operation::Unsubscribe { channel }),
        2 => channel().prop_map(|channel| Operation::Position { channel }),
        5 => read().prop_map(Operation::History),
        1 => channel().prop_map(|channel| Operation::RemoveHistory { channel }),
        2 => (channel(), 0..3_u128, select(vec!["", "ann", "bob"]))
            .prop_map(|(channel, client, user)| Operation::AddPresence { channel, client, user }),
        1 => (channel(), 0..3_u128)
            .prop_map(|(channel, client)| Operation::RemovePresence { channel, client }),
        2 => select(vec![1, 10, 31, 120, 400]).prop_map(|seconds| Operation::Advance { seconds }),
        1 => Just(Operation::Sweep),
    ]
}

prop_compose! {
    fn publish()(
        channel in 0..CHANNELS,
        size in prop::option::weighted(0.8, 1..5_usize),
        key in prop::option::weighted(0.2, select(vec!["k", "l"])),
        version in prop_oneof![3 => Just(0), 1 => 1..4_u64],
        version_epoch in select(vec!["", "a", "b"]),
        delta in any::<bool>(),
        busy in prop::bool::weighted(0.1),
    ) -> Publish {
        Publish { channel, size, key, version, version_epoch, delta, busy }
    }
}

prop_compose! {
    fn read()(
        channel in 0..CHANNELS,
        since in prop::option::of((0..12_u64, select(vec![Whose::Nobodys, Whose::Own, Whose::Foreign]))),
        limit in prop::option::of(0..4_usize),
        reverse in any::<bool>(),
    ) -> Read {
        Read { channel, since, limit, reverse }
    }
}
