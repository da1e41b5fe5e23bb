//! Buckets by name, of which so many are remembered.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use super::bucket::{Bucket, Rate};

/// Parts with a lock each, so that threads seldom wait for each other.
const PARTS: usize = 64;

/// Entries among which the one to forget is sought.
const SAMPLE: usize = 8;

/// `N` buckets for each name. A name is remembered by its hash with a secret; two that share one, which is all but impossible, share
/// their buckets.
///
/// When there is no room for a new name, the one goes that has been idle longest among a few: then its buckets are full again, as they
/// would be if it had been idle for some seconds.
#[derive(Debug)]
pub(super) struct Keyed<const N: usize> {
    parts: Box<[Mutex<Part<N>>]>,
    hasher: RandomState,
    /// Entries that a part may have.
    most: usize,
}

#[derive(Debug, Default)]
struct Part<const N: usize> {
    places: HashMap<u64, usize>,
    entries: Vec<Entry<N>>,
    /// Where the next sample begins.
    hand: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Entry<const N: usize> {
    key: u64,
    buckets: [Bucket; N],
}

impl<const N: usize> Keyed<N> {
    /// Room for at least so many names.
    pub(super) fn new(most: usize) -> Self {
        let part = || Mutex::new(Part { places: HashMap::new(), entries: Vec::new(), hand: 0, evicted: 0 });
        Self {
            parts: (0..PARTS).map(|_| part()).collect(),
            hasher: RandomState::new(),
            most: most.div_ceil(PARTS),
        }
    }

    /// Takes 1 from one of a name's buckets, if it is there.
    pub(super) fn take(&self, name: &str, bucket: usize, rates: &[Rate; N], now: u32) -> bool {
        let key = self.hasher.hash_one(name);
        let mut part = self.part(key).lock();
        let place = match part.places.get(&key) {
            Some(place) => *place,
            None => part.enter(key, rates, now, self.most),
        };
        part.entries[place].buckets[bucket].take(&rates[bucket], 1, now)
    }

    /// Forgets the names of a part of the table whose buckets are all full again.
    pub(super) fn sweep(&self, turn: usize, turns: usize, rates: &[Rate; N], now: u32) {
        let idle = rates.iter().map(Rate::fill_time).max().unwrap_or_default();
        for part in self.parts.iter().skip(turn).step_by(turns) {
            let mut part = part.lock();
            let mut place = 0;
            while let Some(entry) = part.entries.get(place) {
                if entry.idle(now) > idle {
                    part.forget(place);
                } else {
                    place += 1;
                }
            }
            if part.entries.capacity() > 4 * part.entries.len() + SAMPLE {
                part.entries.shrink_to_fit();
                part.places.shrink_to_fit();
            }
        }
    }

    /// How many names are remembered.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().entries.len()).sum()
    }

    /// How many names were forgotten for want of room.
    pub(super) fn evicted(&self) -> u64 {
        self.parts.iter().map(|part| part.lock().evicted).sum()
    }

    fn part(&self, key: u64) -> &Mutex<Part<N>> {
        // The map within the part uses the other bits.
        let place = usize::try_from(key >> 58).unwrap_or_default();
        &self.parts[place % PARTS]
    }
}

impl<const N: usize> Part<N> {
    /// Makes full buckets for a name, and returns their place.
    fn enter(&mut self, key: u64, rates: &[Rate; N], now: u32, most: usize) -> usize {
        if self.entries.len() >= most {
            let count = self.entries.len();
            let sample = (0..SAMPLE.min(count)).map(|step| (self.hand + step) % count);
            if let Some(place) = sample.max_by_key(|place| self.entries[*place].idle(now)) {
                self.forget(place);
                self.evicted += 1;
            }
            self.hand = (self.hand + SAMPLE) % count;
        }
        let buckets = std::array::from_fn(|bucket| Bucket::full(&rates[bucket], now));
        let place = self.entries.len();
        self.entries.push(Entry { key, buckets });
        self.places.insert(key, place);
        place
    }

    fn forget(&mut self, place: usize) {
        let entry = self.entries.swap_remove(place);
        self.places.remove(&entry.key);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.key, place);
        }
    }
}

impl<const N: usize> Entry<N> {
    fn idle(&self, now: u32) -> u32 {
        self.buckets.iter().map(|bucket| bucket.idle(now)).min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> [Rate; 2] {
        [Rate::new(1, 2), Rate::new(1, 1)]
    }

    #[test]
    fn names_and_their_buckets_are_apart() {
        let keyed = Keyed::new(1_000);
        let take = |name, bucket| keyed.take(name, bucket, &rates(), 0);
        assert!(take("ann", 0) && take("ann", 0) && !take("ann", 0));
        assert!(take("ann", 1) && !take("ann", 1));
        assert!(take("bob", 0));
        assert_eq!(keyed.len(), 2);
    }

    #[test]
    fn a_million_names_take_no_more_room_than_is_allowed() {
        let keyed = Keyed::new(6_400);
        for name in 0..1_000_000_u32 {
            assert!(keyed.take(&name.to_string(), 0, &rates(), name / 1_000));
        }
        assert!(keyed.len() <= 6_400, "{}", keyed.len());
        assert_eq!(keyed.len() as u64 + keyed.evicted(), 1_000_000);
        for part in &keyed.parts {
            let part = part.lock();
            assert_eq!(part.places.len(), part.entries.len());
            assert!(part.places.iter().all(|(key, place)| part.entries[*place].key == *key));
        }
    }

    #[test]
    fn whoever_is_busy_is_remembered_while_the_idle_are_forgotten() {
        let keyed = Keyed::new(PARTS * SAMPLE);
        let rates = [Rate::new(1, 1_000)];
        (0..1_000).for_each(|_| assert!(keyed.take("busy", 0, &rates, 0)));
        for name in 0..10_000_u32 {
            keyed.take(&name.to_string(), 0, &rates, name / 10);
            keyed.take("busy", 0, &rates, name / 10);
        }
        assert!(!keyed.take("busy", 0, &rates, 999), "its bucket would be full if it had been forgotten");
    }

    #[test]
    fn whoever_has_been_idle_until_all_is_full_again_is_swept() {
        let keyed = Keyed::new(1_000);
        for name in 0..100_u32 {
            keyed.take(&name.to_string(), 0, &rates(), 0);
        }
        keyed.take("busy", 0, &rates(), 2_000);
        (0..4).for_each(|turn| keyed.sweep(turn, 4, &rates(), 2_000));
        assert_eq!(keyed.len(), 101, "not yet");
        (0..4).for_each(|turn| keyed.sweep(turn, 4, &rates(), 2_001));
        assert_eq!(keyed.len(), 1);
    }
}
