//! Opens connections at a bounded pace.

use std::io;

use super::Net;
use crate::plan::ConnectPlan;

/// Opens the connections `0..total`, so many at a time and, if asked, no more than so many per second.
#[derive(Debug)]
pub(crate) struct Ramp {
    next: usize,
    total: usize,
    concurrency: usize,
    interval_ns: f64,
    started_ns: Option<u64>,
}

impl Ramp {
    pub(crate) fn new(total: usize, plan: &ConnectPlan) -> Self {
        Self {
            next: 0,
            total,
            concurrency: plan.concurrency,
            interval_ns: plan.per_second.map_or(0.0, |rate| 1e9 / rate),
            started_ns: None,
        }
    }

    /// Starts what may be started now; `place` says which room a connection joins and whether it subscribes.
    ///
    /// # Errors
    ///
    /// A socket could not be made.
    pub(crate) fn advance(
        &mut self,
        net: &mut Net,
        mut place: impl FnMut(usize) -> (u32, bool),
    ) -> io::Result<()> {
        let now_ns = net.clock.now_ns();
        let started_ns = *self.started_ns.get_or_insert(now_ns);
        while self.next < self.total
            && net.opening() < self.concurrency
            && self.next as f64 * self.interval_ns <= (now_ns - started_ns) as f64
        {
            let (room, subscribes) = place(self.next);
            net.connect(self.next, room, subscribes)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Whether every connection has been started.
    pub(crate) const fn is_done(&self) -> bool {
        self.next == self.total
    }

    /// Connections that have been started.
    pub(crate) const fn started(&self) -> usize {
        self.next
    }
}
