use std::sync::Arc;

use slab::Slab;
use throng_protocol::ChannelName;

use crate::memory::channel::Channel;

/// Every stream, in two orders of idleness: those that hold publications, and those that nobody subscribes to. The longest
/// idle stream of either order is found, and a stream is moved to the end, in constant time.
///
/// It also walks over all streams in steps, for the sweep.
#[derive(Debug, Default)]
pub(super) struct Roster {
    entries: Slab<Entry>,
    ends: [Ends; Order::COUNT],
    cursor: usize,
}

/// Which streams an order holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Those that hold publications.
    Filled,
    /// Those without subscribers.
    Unwatched,
}

/// A stream's channel and its name, which is its key in the engine's map.
pub(super) type Named = (ChannelName, Arc<Channel>);

#[derive(Debug)]
struct Entry {
    named: Named,
    links: [Option<Links>; Order::COUNT],
}

/// The neighbours in one order.
#[derive(Clone, Copy, Debug, Default)]
struct Links {
    before: Option<usize>,
    after: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    oldest: Option<usize>,
    newest: Option<usize>,
    count: usize,
}

impl Order {
    const COUNT: usize = 2;
}

impl Roster {
    /// Adds a stream that is in no order yet. The returned slot stands for it until it is removed.
    pub(super) fn insert(&mut self, named: Named) -> usize {
        self.entries.insert(Entry { named, links: [None; Order::COUNT] })
    }

    pub(super) fn remove(&mut self, slot: usize) {
        self.unlink(slot, Order::Filled);
        self.unlink(slot, Order::Unwatched);
        self.entries.remove(slot);
    }

    /// Puts a stream into an order, as the one used last, or takes it out.
    pub(super) fn set(&mut self, slot: usize, order: Order, member: bool) {
        self.unlink(slot, order);
        if member {
            self.link(slot, order);
        }
    }

    /// Makes a stream the one used last, in the orders that it is in.
    pub(super) fn touch(&mut self, slot: usize) {
        for order in [Order::Filled, Order::Unwatched] {
            let member = self.entries[slot].links[order as usize].is_some();
            self.set(slot, order, member);
        }
    }

    pub(super) fn oldest(&self, order: Order) -> Option<Named> {
        self.ends[order as usize].oldest.map(|slot| self.entries[slot].named.clone())
    }

    /// Streams in an order.
    pub(super) const fn count(&self, order: Order) -> usize {
        self.ends[order as usize].count
    }

    /// Slots in use or free: how far a whole walk goes.
    pub(super) fn extent(&self) -> usize {
        self.entries.capacity()
    }

    /// The streams in the next `slots` slots; after the last slot the walk starts anew.
    pub(super) fn walk(&mut self, slots: usize) -> Vec<Named> {
        let end = self.cursor.saturating_add(slots);
        let found = (self.cursor..end.min(self.extent())).filter_map(|slot| self.entries.get(slot));
        let found = found.map(|entry| entry.named.clone()).collect();
        self.cursor = end;
        if end >= self.extent() {
            self.cursor = 0;
            if self.entries.len() < self.extent() / 4 {
                self.entries.shrink_to_fit();
            }
        }
        found
    }

    fn link(&mut self, slot: usize, order: Order) {
        let order = order as usize;
        let before = self.ends[order].newest.replace(slot);
        self.entries[slot].links[order] = Some(Links { before, after: None });
        match before {
            Some(before) => self.links(before, order).after = Some(slot),
            None => self.ends[order].oldest = Some(slot),
        }
        self.ends[order].count += 1;
    }

    fn unlink(&mut self, slot: usize, order: Order) {
        let order = order as usize;
        let Some(Links { before, after }) = self.entries[slot].links[order].take() else { return };
        match before {
            Some(before) => self.links(before, order).after = after,
            None => self.ends[order].oldest = after,
        }
        match after {
            Some(after) => self.links(after, order).before = before,
            None => self.ends[order].newest = before,
        }
        self.ends[order].count -= 1;
    }

    fn links(&mut self, slot: usize, order: usize) -> &mut Links {
        self.entries[slot].links[order].as_mut().expect("a neighbour is in the same order")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sequence;

    fn named(name: &str) -> Named {
        (name.parse().unwrap(), Arc::new(Channel::new(Sequence::default())))
    }

    fn filled(roster: &Roster) -> Vec<usize> {
        let next = |slot: &usize| roster.entries[*slot].links[0].and_then(|links| links.after);
        let oldest = roster.ends[0].oldest;
        let forward: Vec<_> = std::iter::successors(oldest, next).collect();
        assert_eq!(roster.count(Order::Filled), forward.len());
        assert_eq!(roster.ends[0].newest, forward.last().copied());
        let previous = |slot: &usize| roster.entries[*slot].links[0].and_then(|links| links.before);
        let backward: Vec<_> = std::iter::successors(roster.ends[0].newest, previous).collect();
        assert!(forward.iter().eq(backward.iter().rev()), "{forward:?} {backward:?}");
        forward
    }

    #[test]
    fn streams_stand_in_the_order_in_which_they_were_used() {
        let mut roster = Roster::default();
        let [a, b, c] = ["a", "b", "c"].map(|name| roster.insert(named(name)));
        for slot in [a, b, c] {
            roster.set(slot, Order::Filled, true);
        }
        assert_eq!(filled(&roster), [a, b, c]);
        roster.touch(b);
        assert_eq!(filled(&roster), [a, c, b], "from the middle");
        roster.touch(a);
        assert_eq!(filled(&roster), [c, b, a], "from the front");
        roster.touch(a);
        assert_eq!(filled(&roster), [c, b, a], "from the end");
        roster.set(b, Order::Filled, false);
        roster.touch(b);
        assert_eq!(filled(&roster), [c, a], "one that is in no order stays out");
        roster.remove(c);
        assert_eq!(filled(&roster), [a]);
        assert_eq!(roster.oldest(Order::Filled).unwrap().0.as_str(), "a");
        roster.remove(a);
        assert!(filled(&roster).is_empty() && roster.oldest(Order::Filled).is_none());
    }

    #[test]
    fn a_walk_meets_every_stream_and_starts_anew() {
        let mut roster = Roster::default();
        let slots: Vec<_> = (0..10).map(|n| roster.insert(named(&n.to_string()))).collect();
        roster.remove(slots[3]);
        let steps = roster.extent().div_ceil(4);
        for _ in 0..2 {
            let met: Vec<_> =
                (0..steps).flat_map(|_| roster.walk(4)).map(|(name, _)| name.to_string()).collect();
            assert_eq!(met, ["0", "1", "2", "4", "5", "6", "7", "8", "9"]);
        }
    }

    #[test]
    fn a_roster_that_has_emptied_gives_its_memory_back() {
        let mut roster = Roster::default();
        let slots: Vec<_> = (0..1_000).map(|n| roster.insert(named(&n.to_string()))).collect();
        slots.into_iter().skip(1).for_each(|slot| roster.remove(slot));
        let before = roster.extent();
        assert_eq!(roster.walk(before).len(), 1);
        assert!(roster.extent() < before / 4, "{} of {before}", roster.extent());
        assert_eq!(roster.walk(before).len(), 1, "what is left is still met");
    }
}
