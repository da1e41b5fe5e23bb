/// What happens to a client's waiting publications of a channel when more waits for the client than its bounds allow.
///
/// Only what waits because the client's socket is full can be dropped; replies never are. Where nothing is left that may be
/// dropped, the client is ended as slow.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum SlowPolicy {
    /// Nothing is dropped: the client must go.
    #[default]
    Disconnect,
    /// The oldest go first.
    DropOldest,
    /// The newest go first.
    DropNewest,
    /// At any time only the newest of each key waits; beyond the bounds the oldest of those go.
    KeepLatest,
}

impl SlowPolicy {
    /// How many policies there are.
    pub const COUNT: usize = 4;

    /// Its place in a table by policy.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What a channel's configuration says about its deliveries.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChannelRules {
    /// What happens to clients that do not read.
    pub slow: SlowPolicy,
    /// Under which number publications that are dropped are counted; small numbers, from 0.
    pub group: u16,
}

/// Publications dropped, by group and by [`SlowPolicy::index`].
#[derive(Debug, Default)]
pub(crate) struct Dropped(Vec<[u64; SlowPolicy::COUNT]>);

impl Dropped {
    pub(crate) fn count(&mut self, rules: ChannelRules) {
        let group = usize::from(rules.group);
        if self.0.len() <= group {
            self.0.resize(group + 1, [0; SlowPolicy::COUNT]);
        }
        self.0[group][rules.slow.index()] += 1;
    }

    pub(crate) fn by_group(&self) -> &[[u64; SlowPolicy::COUNT]] {
        &self.0
    }
}
