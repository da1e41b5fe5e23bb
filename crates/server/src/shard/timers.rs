use std::collections::BTreeSet;
use std::time::Instant;

use throng_registry::Slot;

/// The next deadline of each client of a shard. One per client, so its memory is bounded by theirs.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Slot)>);

impl Timers {
    /// Adds a client's deadline; true if it is now the earliest.
    pub(super) fn schedule(&mut self, deadline: Option<Instant>, slot: Slot) -> bool {
        let Some(deadline) = deadline else { return false };
        let earliest = self.next().is_none_or(|next| deadline < next);
        self.0.insert((deadline, slot));
        earliest
    }

    /// Removes a client's deadline.
    pub(super) fn cancel(&mut self, deadline: Option<Instant>, slot: Slot) {
        if let Some(deadline) = deadline {
            self.0.remove(&(deadline, slot));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(deadline, _)| *deadline)
    }

    /// Takes a client whose deadline has passed.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Slot> {
        let (deadline, _) = self.0.first()?;
        if *deadline > now {
            return None;
        }
        self.0.pop_first().map(|(_, slot)| slot)
    }
}
