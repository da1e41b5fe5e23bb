//! When a connection or a subscription is over. Reference sections 3.4 and 3.19.

use std::time::{Duration, Instant};

use crate::node::left;

/// Longest time that a client is told, in seconds: a year.
const LONGEST: u64 = 31_536_000;

/// When something is over unless it is prolonged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Expiry {
    /// In Unix seconds.
    pub(crate) at: i64,
    /// The client is told, and has to see to it that it is prolonged.
    pub(crate) told: bool,
}

impl Expiry {
    /// What a client that has to prolong it is told: the seconds it has, at least one.
    pub(crate) fn ttl(self) -> Option<u32> {
        self.told.then(|| ttl(self.at))
    }

    /// The moment after which it ends, once the grace is over, too; `None` if that is too far away to be told from never.
    pub(crate) fn deadline(self, now: Instant, grace: Duration) -> Option<Instant> {
        now.checked_add(left(self.at).checked_add(grace)?)
    }
}

/// The seconds until a moment, in Unix seconds, as clients are told: at least one, at most a year.
pub(crate) fn ttl(at: i64) -> u32 {
    u32::try_from(left(at).as_secs().clamp(1, LONGEST)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::node::is_past;

    fn in_seconds(seconds: i64) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_secs()).unwrap() + seconds
    }

    #[test]
    fn clients_are_told_at_least_a_second_and_at_most_a_year() {
        assert_eq!(ttl(in_seconds(-10)), 1);
        assert!((99..=100).contains(&ttl(in_seconds(100))));
        assert_eq!(ttl(i64::MAX), 31_536_000);
        let quiet = Expiry { at: in_seconds(100), told: false };
        assert_eq!(quiet.ttl(), None);
    }

    #[test]
    fn a_moment_is_over_from_its_second_on_and_those_before_time_are() {
        for (at, expected) in
            [(in_seconds(0), true), (in_seconds(2), false), (0, true), (-1, true), (i64::MIN, true)]
        {
            assert_eq!(is_past(at), expected, "{at}");
        }
    }

    #[test]
    fn a_deadline_counts_the_grace_and_never_overflows() {
        let now = Instant::now();
        let at = |at| Expiry { at, told: true }.deadline(now, Duration::from_secs(25));
        let seconds = (at(in_seconds(100)).unwrap() - now).as_secs();
        assert!((124..=125).contains(&seconds), "{seconds}");
        assert_eq!(at(-5), Some(now + Duration::from_secs(25)));
        // Whatever the clock can hold, it does not panic.
        let _ = at(i64::MAX);
    }
}
