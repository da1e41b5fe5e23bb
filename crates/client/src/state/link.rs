use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{Backoff, Disconnect};

/// When a client tries again, and when it stops trying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReconnectPolicy {
    pub(crate) backoff: Backoff,
    /// Attempts in a row that may fail; none: as many as it takes.
    pub(crate) max_attempts: Option<u32>,
    /// A connection that lasted so long ends the backoff: the next loss starts again at its base.
    pub(crate) settle: Duration,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self { backoff: Backoff::default(), max_attempts: None, settle: Duration::from_secs(5) }
    }
}

/// The life of one connection after another, without the sockets: who speaks a protocol on top of it (or none, as the
/// relay does) tells what happened, and is told what to do.
///
/// ```text
///            start              opened             established
///   Idle ───────────► Dialing ─────────► Greeting ─────────────► Open
///     ▲                  ▲  │ lost           │ lost                │ lost
///     │ lost, terminal   │  ▼                ▼                     ▼
///     └──────────────────┴─ Waiting ◄────────┴─────────────────────┘
///                     due
/// ```
/// Where there has to be a token first, Preparing stands before Dialing: it is lost like an attempt when there is none.
#[derive(Debug)]
pub(crate) struct Link {
    policy: ReconnectPolicy,
    phase: Phase,
    /// Attempts that failed since the last one that succeeded.
    failures: u32,
    /// Attempts that have failed over all time: which server's turn it is. The loss of a connection is none, so the next
    /// attempt is to the same server.
    turn: usize,
    /// Exponent of the next wait. Not the same as `failures`: a server that accepts and drops at once must not be hit
    /// at full speed, so only a connection that lasted resets this.
    step: u32,
    random: SmallRng,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Not started, or stopped for good.
    Idle,
    Waiting {
        until: Instant,
    },
    /// What the attempt needs is being got, which has its own deadline.
    Preparing,
    /// The socket is being opened, which has its own deadline.
    Dialing,
    /// The socket is open, the protocol's own introduction is under way and has its own deadline.
    Greeting,
    Open {
        since: Instant,
    },
}

/// What to do after a connection or an attempt was lost.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Try again when [`Link::due`] says so.
    Retry,
    /// Stop for good, with this reason.
    Stop(Disconnect),
}

impl Link {
    /// `seed` makes the waits; every client takes its own at random.
    pub(crate) fn new(policy: ReconnectPolicy, seed: u64) -> Self {
        Self {
            policy,
            phase: Phase::Idle,
            failures: 0,
            turn: 0,
            step: 0,
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// An attempt begins now: the first one, or one that was prepared.
    pub(crate) const fn start(&mut self) {
        self.phase = Phase::Dialing;
    }

    /// An attempt begins with getting what it needs; [`start`](Self::start) follows.
    pub(crate) const fn prepare(&mut self) {
        self.phase = Phase::Preparing;
    }

    /// The socket is open.
    pub(crate) const fn opened(&mut self) {
        self.phase = Phase::Greeting;
    }

    /// The connection works: this attempt succeeded.
    pub(crate) const fn established(&mut self, now: Instant) {
        self.phase = Phase::Open { since: now };
        self.failures = 0;
    }

    /// The connection, or the attempt, is over.
    pub(crate) fn lost(&mut self, reason: Disconnect, now: Instant) -> Verdict {
        let reconnects = reason.reconnects();
        self.lost_and(reconnects, reason, now)
    }

    /// The same, where it is not the reason alone that decides whether to try again.
    pub(crate) fn lost_and(&mut self, reconnects: bool, reason: Disconnect, now: Instant) -> Verdict {
        match self.phase {
            Phase::Open { since } if now.duration_since(since) >= self.policy.settle => self.step = 0,
            Phase::Open { .. } => {}
            Phase::Idle | Phase::Waiting { .. } | Phase::Preparing => self.failures += 1,
            Phase::Dialing | Phase::Greeting => {
                self.failures += 1;
                self.turn = self.turn.wrapping_add(1);
            }
        }
        if !reconnects {
            self.phase = Phase::Idle;
            return Verdict::Stop(reason);
        }
        if self.policy.max_attempts.is_some_and(|max| self.failures >= max) {
            self.phase = Phase::Idle;
            let attempts = self.failures;
            return Verdict::Stop(Disconnect::GaveUp { attempts, last: Arc::new(reason) });
        }
        let delay = self.policy.backoff.delay(self.step, self.random.next_u64());
        self.step = self.step.saturating_add(1);
        self.phase = Phase::Waiting { until: now + delay };
        Verdict::Retry
    }

    /// Stop for good.
    pub(crate) const fn stop(&mut self) {
        self.phase = Phase::Idle;
    }

    /// True when a wait is over: a socket is to be opened now.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        let due = self.deadline().is_some_and(|until| until <= now);
        if due {
            self.start();
        }
        due
    }

    /// When [`due`](Self::due) will be true.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Idle | Phase::Preparing | Phase::Dialing | Phase::Greeting | Phase::Open { .. } => None,
        }
    }

    /// True while an attempt waits for what it needs.
    pub(crate) const fn is_preparing(&self) -> bool {
        matches!(self.phase, Phase::Preparing)
    }

    /// True while there is a socket.
    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Greeting | Phase::Open { .. })
    }

    /// True while the connection works.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// Which server is to be tried, where there are several.
    pub(crate) const fn turn(&self) -> usize {
        self.turn
    }

    /// Attempts that failed since the last one that succeeded.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn link(max_attempts: Option<u32>) -> Link {
        Link::new(ReconnectPolicy { max_attempts, ..ReconnectPolicy::default() }, 1)
    }

    fn closed(code: u16) -> Disconnect {
        Disconnect::Closed { code, reason: "test".to_owned() }
    }

    /// Loses the connection and returns the wait until the next attempt, which it begins.
    fn retry(link: &mut Link, now: &mut Instant) -> Duration {
        assert!(matches!(link.lost(closed(1006), *now), Verdict::Retry));
        let until = link.deadline().expect("a wait has an end");
        let wait = until - *now;
        if let Some(early) = wait.checked_sub(Duration::from_nanos(1)) {
            assert!(!link.due(*now + early));
        }
        *now = until;
        assert!(link.due(*now));
        wait
    }

    #[test]
    fn each_failed_attempt_doubles_the_ceiling_of_the_wait_up_to_the_cap() {
        let backoff = Backoff::default();
        let mut longest = [Duration::ZERO; 10];
        for seed in 0..200 {
            let mut link = Link::new(ReconnectPolicy::default(), seed);
            let mut now = Instant::now();
            link.start();
            for (attempt, longest) in longest.iter_mut().enumerate() {
                let wait = retry(&mut link, &mut now);
                assert!(wait < backoff.ceiling(u32::try_from(attempt).unwrap()));
                *longest = wait.max(*longest);
            }
        }
        for (attempt, longest) in longest.into_iter().enumerate() {
            assert!(
                longest > backoff.ceiling(u32::try_from(attempt).unwrap()) * 9 / 10,
                "{attempt}: {longest:?}"
            );
        }
    }

    #[test]
    fn a_connection_that_lasted_resets_the_wait_and_one_that_did_not_does_not() {
        for (lasted, reset) in [(SECOND, false), (5 * SECOND, true)] {
            let mut link = link(None);
            let mut now = Instant::now();
            link.start();
            for _ in 0..6 {
                retry(&mut link, &mut now);
            }
            link.opened();
            link.established(now);
            assert_eq!(link.failures(), 0);
            now += lasted;
            retry(&mut link, &mut now);
            assert_eq!(link.step, if reset { 1 } else { 7 });
        }
    }

    #[test]
    fn a_terminal_reason_stops_at_once() {
        for code in [1009, 3500, 3501, 3999, 4500, 4999] {
            let mut link = link(None);
            let now = Instant::now();
            link.start();
            link.opened();
            link.established(now);
            let verdict = link.lost(closed(code), now);
            assert!(matches!(verdict, Verdict::Stop(Disconnect::Closed { code: told, .. }) if told == code));
            assert_eq!(link.deadline(), None);
            assert!(!link.due(now + 100 * SECOND));
        }
    }

    #[test]
    fn the_maximum_of_attempts_counts_failures_in_a_row() {
        let mut link = link(Some(3));
        let mut now = Instant::now();
        link.start();
        retry(&mut link, &mut now);
        retry(&mut link, &mut now);
        link.opened();
        link.established(now);
        // The loss of a working connection is no failed attempt, so three more are allowed.
        retry(&mut link, &mut now);
        retry(&mut link, &mut now);
        retry(&mut link, &mut now);
        let verdict = link.lost(closed(1006), now);
        assert!(matches!(verdict, Verdict::Stop(Disconnect::GaveUp { attempts: 3, .. })));
    }
}
