use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::memory::roster::{Named, Order, Roster};

/// What all streams together hold, and which of them has been idle longest.
///
/// A stream's channel is settled with the ledger each time its lock is released, so the figures are never far from the truth.
/// The roster's lock is a leaf: nothing else is locked under it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    roster: Mutex<Roster>,
    streams: AtomicUsize,
    unwatched: AtomicUsize,
    publications: AtomicUsize,
    bytes: AtomicUsize,
    pub(super) evicted_publications: AtomicU64,
    pub(super) evicted_streams: AtomicU64,
    pub(super) expired_publications: AtomicU64,
    pub(super) expired_streams: AtomicU64,
}

/// What the ledger knows of a stream.
#[derive(Debug)]
pub(super) struct Account {
    slot: usize,
    usage: Usage,
    watched: bool,
    used: Instant,
}

/// What a stream holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Usage {
    pub(super) publications: usize,
    pub(super) bytes: usize,
}

impl Ledger {
    /// Streams are put in order of last use only this exactly, so that a busy one does not take the roster's lock each time.
    pub(super) const USE_STEP: Duration = Duration::from_millis(100);

    /// Takes up a new stream that holds nothing.
    pub(super) fn open(&self, named: Named, watched: bool, used: Instant) -> Account {
        let mut roster = self.roster.lock();
        let slot = roster.insert(named);
        roster.set(slot, Order::Unwatched, !watched);
        self.unwatched.store(roster.count(Order::Unwatched), Ordering::Relaxed);
        self.streams.fetch_add(1, Ordering::Relaxed);
        Account { slot, usage: Usage::default(), watched, used }
    }

    /// Takes note of what became of a stream.
    pub(super) fn settle(&self, account: &mut Account, usage: Usage, watched: bool, used: Instant) {
        let was_filled = account.usage.publications > 0;
        let is_filled = usage.publications > 0;
        let is_used = used.saturating_duration_since(account.used) >= Self::USE_STEP;
        if was_filled != is_filled || account.watched != watched || is_used {
            let mut roster = self.roster.lock();
            if is_used {
                roster.touch(account.slot);
                account.used = used;
            }
            if was_filled != is_filled {
                roster.set(account.slot, Order::Filled, is_filled);
            }
            if account.watched != watched {
                roster.set(account.slot, Order::Unwatched, !watched);
                self.unwatched.store(roster.count(Order::Unwatched), Ordering::Relaxed);
                account.watched = watched;
            }
        }
        if account.usage != usage {
            change(&self.publications, account.usage.publications, usage.publications);
            change(&self.bytes, account.usage.bytes, usage.bytes);
            account.usage = usage;
        }
    }

    /// Forgets a stream that is gone with all it held.
    pub(super) fn close(&self, account: &Account) {
        let mut roster = self.roster.lock();
        roster.remove(account.slot);
        self.unwatched.store(roster.count(Order::Unwatched), Ordering::Relaxed);
        self.streams.fetch_sub(1, Ordering::Relaxed);
        change(&self.publications, account.usage.publications, 0);
        change(&self.bytes, account.usage.bytes, 0);
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Streams whose channels have no subscribers.
    pub(super) fn unwatched(&self) -> usize {
        self.unwatched.load(Ordering::Relaxed)
    }

    pub(super) fn usage(&self) -> Usage {
        let [publications, bytes] =
            [&self.publications, &self.bytes].map(|counter| counter.load(Ordering::Relaxed));
        Usage { publications, bytes }
    }

    /// The longest idle stream of an order.
    pub(super) fn oldest(&self, order: Order) -> Option<Named> {
        self.roster.lock().oldest(order)
    }

    /// How far a walk over all streams goes.
    pub(super) fn extent(&self) -> usize {
        self.roster.lock().extent()
    }

    /// The streams that the next `slots` steps of a walk meet.
    pub(super) fn walk(&self, slots: usize) -> Vec<Named> {
        self.roster.lock().walk(slots)
    }
}

fn change(counter: &AtomicUsize, before: usize, after: usize) {
    if after >= before {
        counter.fetch_add(after - before, Ordering::Relaxed);
    } else {
        counter.fetch_sub(before - after, Ordering::Relaxed);
    }
}
