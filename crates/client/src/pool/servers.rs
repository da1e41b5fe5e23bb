//! Which server the next connection goes to.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::{Backoff, Client, ClientBuilder, ConnectError, Disconnect, PoolError};

/// The servers of a pool, and which of them could not be reached lately.
#[derive(Debug)]
pub(super) struct Servers {
    builders: Vec<ClientBuilder>,
    standing: Mutex<Standing>,
    next: AtomicUsize,
}

/// Who failed lately. Without sockets and clocks.
#[derive(Debug)]
struct Standing {
    backoff: Backoff,
    /// For each server: failures in a row, and until when the others come first.
    failures: Vec<(u32, Option<Instant>)>,
}

impl Servers {
    pub(super) fn new(builders: Vec<ClientBuilder>) -> Self {
        let standing = Standing { backoff: Backoff::default(), failures: vec![(0, None); builders.len()] };
        Self { builders, standing: Mutex::new(standing), next: AtomicUsize::new(0) }
    }

    /// Whose turn it is.
    pub(super) fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Opens a connection to the first server that takes one, beginning with number `first`. When none does, all are
    /// tried again after a wait, until the deadline at the latest. Cancel safe: what was begun is dropped.
    ///
    /// # Errors
    ///
    /// All servers refuse for good, or the settings of one are wrong. `last` is why the latest attempt failed.
    pub(super) async fn open(
        &self,
        first: usize,
        deadline: tokio::time::Instant,
        last: &mut Option<Disconnect>,
    ) -> Result<Client, PoolError> {
        let backoff = Backoff::default();
        let mut round = 0_u32;
        loop {
            let order = self.standing().order(first, now());
            let mut refused = true;
            for (tried, &server) in order.iter().enumerate() {
                // A server that says nothing leaves time for those after it.
                let left = deadline.saturating_duration_since(tokio::time::Instant::now());
                let share = left / u32::try_from(order.len() - tried).unwrap_or(u32::MAX);
                let attempt = self.builders[server].clone().connect();
                match tokio::time::timeout(share, Box::pin(attempt)).await {
                    Ok(Ok(client)) => {
                        self.standing().succeeded(server);
                        return Ok(client);
                    }
                    Ok(Err(ConnectError::Build(error))) => return Err(error.into()),
                    Ok(Err(ConnectError::Failed(reason))) => {
                        refused &= !reason.reconnects();
                        *last = Some(reason);
                    }
                    Err(_) => refused = false,
                }
                self.standing().failed(server, now(), rand::random());
            }
            match last {
                Some(reason) if refused => return Err(PoolError::Refused(reason.clone())),
                Some(_) | None => tokio::time::sleep(backoff.delay(round, rand::random())).await,
            }
            round = round.saturating_add(1);
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// All servers, in turn from `first` on; those that failed lately come last, the one that has waited longest first.
    fn order(&self, first: usize, now: Instant) -> Vec<usize> {
        let count = self.failures.len();
        let mut order: Vec<usize> = (0..count).map(|step| (first % count + step) % count).collect();
        order.sort_by_key(|server| self.failures[*server].1.filter(|until| *until > now)); // stable
        order
    }

    fn succeeded(&mut self, server: usize) {
        self.failures[server] = (0, None);
    }

    fn failed(&mut self, server: usize, now: Instant, random: u64) {
        let (count, until) = &mut self.failures[server];
        *until = Some(now + self.backoff.delay(*count, random));
        *count = count.saturating_add(1);
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn servers_take_turns_and_those_that_failed_lately_come_last_for_a_while() {
        let backoff = Backoff::default();
        let mut standing = Standing { backoff, failures: vec![(0, None); 3] };
        let now = Instant::now();
        for (first, order) in [(0, [0, 1, 2]), (1, [1, 2, 0]), (5, [2, 0, 1])] {
            assert_eq!(standing.order(first, now), order);
        }
        standing.failed(1, now, u64::MAX); // half a second
        standing.failed(0, now, u64::MAX / 2);
        assert_eq!(standing.order(0, now), [2, 0, 1]);
        assert_eq!(standing.order(0, now + Duration::from_millis(300)), [0, 2, 1]);
        assert_eq!(standing.order(0, now + Duration::from_millis(500)), [0, 1, 2]);
        standing.failed(1, now, u64::MAX); // a second, as it is the second in a row
        assert_eq!(standing.order(1, now + Duration::from_millis(900)), [2, 0, 1]);
        standing.succeeded(1);
        assert_eq!(standing.order(1, now), [1, 2, 0]);
    }
}
