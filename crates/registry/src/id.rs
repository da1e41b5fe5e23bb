use std::fmt;

use uuid::Uuid;

/// Identity of one connection: a random UUID (version 4), the `client` of the protocol and the correlation id of the logs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(Uuid);

impl ClientId {
    /// A new id from the operating system's random source.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id with these 128 bits.
    #[must_use]
    pub const fn from_u128(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }

    /// The id's 128 bits.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}

impl fmt::Display for ClientId {
    /// Lower-case hexadecimal with hyphens, 36 bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a shard on its node, from 0.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShardId(u8);

impl ShardId {
    /// How many shards a node may have: a channel keeps one bit for each.
    pub const MAX_SHARDS: usize = 64;

    /// The shard with this number, or `None` from [`MAX_SHARDS`](Self::MAX_SHARDS) on.
    #[must_use]
    pub fn new(number: usize) -> Option<Self> {
        (number < Self::MAX_SHARDS).then_some(u8::try_from(number).ok()).flatten().map(Self)
    }

    /// The shard's number.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which shards something concerns: one bit for each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ShardSet(u64);

impl ShardSet {
    /// Adds a shard; false if it was there.
    pub const fn insert(&mut self, shard: ShardId) -> bool {
        let before = self.0;
        self.0 |= 1 << shard.0;
        self.0 != before
    }

    /// Removes a shard; false if it was not there.
    pub const fn remove(&mut self, shard: ShardId) -> bool {
        let before = self.0;
        self.0 &= !(1 << shard.0);
        self.0 != before
    }

    /// Whether no shard is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The shards in the set, lowest first.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let shard = u8::try_from(rest.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
            rest &= rest - 1;
            Some(ShardId(shard))
        })
    }
}

/// Where a client lives: its shard, its slot there, and a generation that tells it from the slot's earlier tenants.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ClientKey {
    /// The shard that owns the client for life.
    pub shard: ShardId,
    /// The client's place in that shard's table.
    pub slot: Slot,
}

/// A place in a shard's table together with its tenant's generation; a stale slot finds nobody.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_set_lists_what_was_inserted_and_not_removed() {
        let shards = |numbers: &[usize]| numbers.iter().filter_map(|n| ShardId::new(*n)).collect::<Vec<_>>();
        let mut set = ShardSet::default();
        assert!(set.is_empty());
        for shard in shards(&[63, 0, 5]) {
            assert!(set.insert(shard));
            assert!(!set.insert(shard));
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), shards(&[0, 5, 63]));
        assert!(set.remove(shards(&[5])[0]));
        assert!(!set.remove(shards(&[5])[0]));
        assert_eq!(set.iter().collect::<Vec<_>>(), shards(&[0, 63]));
    }

    #[test]
    fn a_shard_beyond_the_last_bit_does_not_exist() {
        assert_eq!(ShardId::new(64), None);
        assert_eq!(ShardId::new(63).map(ShardId::index), Some(63));
    }
}
