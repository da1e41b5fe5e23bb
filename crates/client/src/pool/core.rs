//! Who waits, who is idle, and what to close next: the pool without sockets, tasks and clocks.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::stats::{ClosedCounts, PoolStats};

/// What bounds a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections of all kinds, those that are being opened or closed included.
    pub(super) connections: usize,
    /// Callers that wait.
    pub(super) waiting: usize,
    /// Shared connections among the connections.
    pub(super) shared: usize,
    /// After how long an unused connection is closed.
    pub(super) idle: Duration,
}

/// The books of a pool. Every connection is in exactly one place, and the sum of the places never exceeds
/// [`Bounds::connections`]:
///
/// ```text
///            admit                    release                   expire
///   room ─────────────► in use ◄──────────────────► idle ─────────────────► closing ──► room
///                          │          admit                                   ▲   closed
///                          │ promote                                          │
///                          └────────────► shared ─────────────────────────────┘
///                                          expire, or unused while others wait
/// ```
///
/// `C` is a connection, `W` is how a caller that waits is reached. What is returned as a [`Woken`] is to be handed over
/// outside of any lock; if that caller is gone, the grant is given back by [`release`](Self::release).
#[derive(Debug)]
pub(super) struct Core<C, W> {
    bounds: Bounds,
    in_use: usize,
    /// Those that were returned last are at the end, and are handed out first: the others grow old.
    idle: Vec<Unused<C>>,
    shared: Vec<Option<Shared<C>>>,
    closing: usize,
    /// The part of `closing` that nobody has taken over yet.
    to_close: Vec<C>,
    waiting: VecDeque<(Ticket, W)>,
    tickets: u64,
    generations: u64,
    ended: bool,
    opened: u64,
    closed: ClosedCounts,
    timed_out: u64,
    refused: u64,
}

/// A connection that nobody uses.
#[derive(Debug)]
pub(super) struct Unused<C> {
    pub(super) connection: C,
    pub(super) since: Instant,
}

/// The right to one connection: one that was idle, or none yet.
#[derive(Debug)]
pub(super) struct Grant<C>(pub(super) Option<Unused<C>>);

/// A caller whose turn it is.
pub(super) type Woken<C, W> = Option<(W, Grant<C>)>;

/// The place of one caller in the queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ticket(u64);

/// Which connection of a slot is meant; slots are used again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Generation(u64);

/// Why a caller may not wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoPlace {
    /// So many wait, and that is the most.
    Full(usize),
    /// The pool is closed.
    Ended,
}

/// Why a connection was given up without a goodbye.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// It was not connected, or did not answer.
    Unhealthy,
    /// Its client has stopped for good.
    Stopped,
}

#[derive(Debug)]
struct Shared<C> {
    connection: C,
    generation: Generation,
    users: usize,
    /// When the last user left.
    since: Instant,
}

impl<C, W> Core<C, W> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            in_use: 0,
            idle: Vec::new(),
            shared: (0..bounds.shared).map(|_| None).collect(),
            closing: 0,
            to_close: Vec::new(),
            waiting: VecDeque::new(),
            tickets: 0,
            generations: 0,
            ended: false,
            opened: 0,
            closed: ClosedCounts::default(),
            timed_out: 0,
            refused: 0,
        }
    }

    /// A grant, if one is free at once and nobody has waited for it.
    pub(super) fn admit(&mut self) -> Option<Grant<C>> {
        if self.ended || !self.waiting.is_empty() {
            return None;
        }
        if let Some(unused) = self.idle.pop() {
            self.in_use += 1;
            return Some(Grant(Some(unused)));
        }
        self.has_room().then(|| {
            self.in_use += 1;
            Grant(None)
        })
    }

    /// Joins the end of the queue. A shared connection without users makes way.
    pub(super) fn wait(&mut self, caller: W) -> Result<Ticket, NoPlace> {
        if self.ended {
            return Err(NoPlace::Ended);
        }
        if self.waiting.len() >= self.bounds.waiting {
            self.refused += 1;
            return Err(NoPlace::Full(self.bounds.waiting));
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.push_back((ticket, caller));
        if self.closing < self.waiting.len() {
            self.evict();
        }
        Ok(ticket)
    }

    /// Leaves the queue, if the turn has not come yet.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<W> {
        let place = self.waiting.iter().position(|(waiting, _)| *waiting == ticket)?;
        self.waiting.remove(place).map(|(_, caller)| caller)
    }

    /// Gives a grant back, with the connection if there is one that is worth keeping. It goes to whoever has waited longest.
    pub(super) fn release(&mut self, connection: Option<Unused<C>>) -> Woken<C, W> {
        self.in_use -= 1;
        let Some(unused) = connection else { return self.freed() };
        if self.ended {
            self.closed.by_pool += 1;
            self.part_with(unused.connection);
            return None;
        }
        match self.waiting.pop_front() {
            Some((_, caller)) => {
                self.in_use += 1;
                Some((caller, Grant(Some(unused))))
            }
            None => {
                self.idle.push(unused);
                None
            }
        }
    }

    /// Another idle connection for the holder of a grant whose own one is of no use.
    pub(super) fn spare(&mut self) -> Option<Unused<C>> {
        self.idle.pop()
    }

    /// The holder of a grant has opened a connection.
    pub(super) const fn opened(&mut self) {
        self.opened += 1;
    }

    /// A connection was given up without a goodbye.
    pub(super) const fn discarded(&mut self, fault: Fault) {
        match fault {
            Fault::Unhealthy => self.closed.unhealthy += 1,
            Fault::Stopped => self.closed.stopped += 1,
        }
    }

    /// A caller has waited to its deadline.
    pub(super) const fn timed_out(&mut self) {
        self.timed_out += 1;
    }

    /// Turns the connection of a grant, which ends with this, into the shared one of a slot, with one user.
    pub(super) fn promote(&mut self, slot: usize, connection: C, now: Instant) -> Generation {
        self.in_use -= 1;
        self.generations += 1;
        let generation = Generation(self.generations);
        self.shared[slot] = Some(Shared { connection, generation, users: 1, since: now });
        generation
    }

    /// A user of a shared connection leaves.
    pub(super) fn leave(&mut self, slot: usize, generation: Generation, now: Instant) {
        let Some(shared) = self.shared[slot].as_mut().filter(|shared| shared.generation == generation) else {
            return; // the connection was replaced meanwhile
        };
        shared.users -= 1;
        shared.since = now;
        if shared.users == 0 && self.closing < self.waiting.len() {
            self.evict();
        }
    }

    /// Takes out of a slot what has no use any more. The connection is to be dropped outside of any lock.
    pub(super) fn take_stopped(
        &mut self,
        slot: usize,
        is_stopped: impl FnOnce(&C) -> bool,
    ) -> (Option<C>, Woken<C, W>) {
        let Some(shared) = self.shared[slot].take_if(|shared| is_stopped(&shared.connection)) else {
            return (None, None);
        };
        self.closed.stopped += 1;
        (Some(shared.connection), self.freed())
    }

    /// Marks for closing what nobody has used for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_old = |since: Instant| now.saturating_duration_since(since) >= self.bounds.idle;
        let mut old: Vec<C> =
            self.idle.extract_if(.., |unused| is_old(unused.since)).map(|unused| unused.connection).collect();
        let unused = |shared: &mut Shared<C>| shared.users == 0 && is_old(shared.since);
        let shared = self.shared.iter_mut().filter_map(|slot| slot.take_if(unused));
        old.extend(shared.map(|shared| shared.connection));
        for connection in old {
            self.closed.idle += 1;
            self.part_with(connection);
        }
    }

    /// When [`expire`](Self::expire) will find something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let idle = self.idle.iter().map(|unused| unused.since);
        let shared = self.shared.iter().flatten().filter(|shared| shared.users == 0);
        idle.chain(shared.map(|shared| shared.since)).min().map(|since| since + self.bounds.idle)
    }

    /// Takes out the idle connections that are of no use. They are to be dropped outside of any lock.
    pub(super) fn take_unhealthy(&mut self, is_healthy: impl Fn(&C) -> bool) -> Vec<C> {
        let ill = self.idle.extract_if(.., |unused| !is_healthy(&unused.connection));
        let ill: Vec<C> = ill.map(|unused| unused.connection).collect();
        self.closed.unhealthy += ill.len() as u64;
        ill
    }

    /// Takes over what is to be closed; [`closed`](Self::closed) is owed for each.
    pub(super) fn take_closing(&mut self) -> Vec<C> {
        std::mem::take(&mut self.to_close)
    }

    /// A connection that was to be closed is gone.
    pub(super) fn closed(&mut self) -> Woken<C, W> {
        self.closing -= 1;
        self.freed()
    }

    /// No more grants. All that nobody holds is to be closed; who waits is told by what is done with the returned.
    pub(super) fn end(&mut self) -> Vec<W> {
        self.ended = true;
        let idle = std::mem::take(&mut self.idle).into_iter().map(|unused| unused.connection);
        let shared = self.shared.iter_mut().filter_map(Option::take).map(|shared| shared.connection);
        for connection in idle.chain(shared).collect::<Vec<_>>() {
            self.closed.by_pool += 1;
            self.part_with(connection);
        }
        std::mem::take(&mut self.waiting).into_iter().map(|(_, caller)| caller).collect()
    }

    pub(super) const fn is_ended(&self) -> bool {
        self.ended
    }

    /// True when there is no connection and nobody who might open one.
    pub(super) fn is_empty(&self) -> bool {
        self.total() == 0
    }

    pub(super) fn stats(&self) -> PoolStats {
        PoolStats {
            in_use: self.in_use,
            idle: self.idle.len(),
            shared: self.shared.iter().flatten().count(),
            shared_users: self.shared.iter().flatten().map(|shared| shared.users).sum(),
            closing: self.closing,
            waiting: self.waiting.len(),
            opened: self.opened,
            closed: self.closed,
            timed_out: self.timed_out,
            refused: self.refused,
        }
    }

    /// Hands room that has become free to whoever has waited longest.
    fn freed(&mut self) -> Woken<C, W> {
        if self.ended || !self.has_room() {
            return None;
        }
        let (_, caller) = self.waiting.pop_front()?;
        self.in_use += 1;
        Some((caller, Grant(None)))
    }

    /// Marks for closing the shared connection that has been without users for longest.
    fn evict(&mut self) {
        let unused = |shared: &Shared<C>| (shared.users == 0).then_some(shared.since);
        let slots = self.shared.iter_mut().filter(|slot| slot.as_ref().and_then(unused).is_some());
        let oldest = slots.min_by_key(|slot| slot.as_ref().map(|shared| shared.since));
        if let Some(shared) = oldest.and_then(Option::take) {
            self.closed.evicted += 1;
            self.part_with(shared.connection);
        }
    }

    fn part_with(&mut self, connection: C) {
        self.closing += 1;
        self.to_close.push(connection);
    }

    fn has_room(&self) -> bool {
        self.total() < self.bounds.connections
    }

    fn total(&self) -> usize {
        self.in_use + self.idle.len() + self.shared.iter().flatten().count() + self.closing
    }
}

impl<C: Clone, W> Core<C, W> {
    /// One more user of a slot's connection, if there is one.
    pub(super) fn join(&mut self, slot: usize) -> Option<(C, Generation)> {
        let shared = self.shared[slot].as_mut()?;
        shared.users += 1;
        Some((shared.connection.clone(), shared.generation))
    }
}

#[cfg(test)]
mod tests;
