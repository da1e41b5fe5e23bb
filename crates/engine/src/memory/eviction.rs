use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashmap::mapref::entry::Entry;
use throng_protocol::ChannelName;

use crate::memory::channel::Channel;
use crate::memory::roster::Order;
use crate::{MemoryEngine, Sink};

/// Slots that a step of the sweep takes at once, so that the roster's lock is held for microseconds.
const STEP_SLOTS: usize = 256;
/// Slots that a sweep looks at in any case.
const MIN_SWEEP_SLOTS: usize = 1_024;
/// Sweeps in which every stream is looked at.
const SWEEPS: usize = 32;

impl<S: Sink> MemoryEngine<S> {
    /// Frees what has expired: publications, streams and idempotency keys. Call it about once a second.
    ///
    /// Whoever uses a stream never sees what has expired, swept or not; this is about memory. The work of one call is bounded:
    /// it looks at one stream in 32, or 1,024 if that is more, and at a bounded number of keys.
    pub fn sweep(&self) {
        let now = self.clock.now();
        let slots = (self.ledger.extent() / SWEEPS).max(MIN_SWEEP_SLOTS).min(self.ledger.extent());
        for start in (0..slots).step_by(STEP_SLOTS) {
            for (name, channel) in self.ledger.walk(STEP_SLOTS.min(slots - start)) {
                let mut held = channel.hold(&name, &self.ledger);
                held.expire(now);
                let unused = held.is_unused();
                drop(held);
                if unused {
                    self.forget(&name, &channel);
                }
            }
        }
        self.dedup.sweep(now);
        self.register.sweep();
    }

    /// Evicts while there is more than the limits allow. Whoever made it too much calls this with no lock held, and waits for
    /// those who came before, so that no thread adds a second one while its first is too much.
    pub(super) fn enforce_limits(&self) {
        if !self.has_excess_bytes() && !self.has_excess_streams() {
            return;
        }
        let _turn = self.evicting.lock();
        while self.has_excess_streams() && self.evict_stream() {}
        while self.has_excess_bytes() && self.evict_publications(self.limits.bytes) {}
    }

    /// Drops publications of the longest idle streams until there are so many bytes fewer, or none. Returns how many there are
    /// fewer.
    ///
    /// The streams keep their positions, so that whoever recovers is told what is lost. Publishers wait for at most 1 MiB of it.
    pub fn shed(&self, bytes: usize) -> usize {
        const STEP: usize = 1 << 20;

        let before = self.ledger.usage().bytes;
        let target = before.saturating_sub(bytes);
        // Publishers that go on meanwhile do not keep it busy for ever.
        for step in 1..=bytes.min(before).div_ceil(STEP) {
            let limit = before.saturating_sub(step * STEP).max(target);
            let _turn = self.evicting.lock();
            while self.ledger.usage().bytes > limit && self.evict_publications(limit) {}
        }
        before.saturating_sub(self.ledger.usage().bytes)
    }

    /// Forgets a channel that nobody needs any more.
    pub(super) fn forget(&self, name: &ChannelName, channel: &Arc<Channel>) {
        let Entry::Occupied(entry) = self.channels.entry(name.clone()) else { return };
        if !Arc::ptr_eq(entry.get(), channel) {
            return;
        }
        let mut held = channel.hold(name, &self.ledger);
        if held.is_unused() {
            held.removed = true;
            self.floor.fetch_max(held.top.get(), Ordering::AcqRel);
            drop(held);
            entry.remove();
        }
    }

    fn has_excess_bytes(&self) -> bool {
        self.ledger.usage().bytes > self.limits.bytes
    }

    fn has_excess_streams(&self) -> bool {
        self.ledger.streams() > self.limits.streams && self.ledger.unwatched() > 0
    }

    /// Returns whether there was a stream to look at.
    fn evict_stream(&self) -> bool {
        let Some((name, channel)) = self.ledger.oldest(Order::Unwatched) else { return false };
        let mut held = channel.hold(&name, &self.ledger);
        // Someone may have subscribed since.
        if held.subscribers == 0
            && let Some(stream) = held.stream()
        {
            let publications = stream.usage().publications as u64;
            self.ledger.evicted_publications.fetch_add(publications, Ordering::Relaxed);
            self.ledger.evicted_streams.fetch_add(1, Ordering::Relaxed);
            held.end_stream();
        }
        drop(held);
        self.forget(&name, &channel);
        true
    }

    /// Returns whether there was a stream to look at.
    fn evict_publications(&self, limit: usize) -> bool {
        let Some((name, channel)) = self.ledger.oldest(Order::Filled) else { return false };
        let mut held = channel.hold(&name, &self.ledger);
        let excess = self.ledger.usage().bytes.saturating_sub(limit);
        if let Some(stream) = held.stream() {
            let evicted = stream.shed(excess) as u64;
            self.ledger.evicted_publications.fetch_add(evicted, Ordering::Relaxed);
        }
        true
    }
}
