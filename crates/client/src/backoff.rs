use std::time::Duration;

/// Exponential backoff with full jitter: the wait before attempt `n` lies anywhere in `[0, min(cap, base * 2^n))`.
///
/// The whole range is used, not only its upper half, because what matters after a server restart is that its
/// clients do not come back together. The random number is an argument, so the same number always gives the same wait.
///
/// ```
/// use std::time::Duration;
/// use throng_client::Backoff;
///
/// let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(20));
/// assert_eq!(backoff.ceiling(0), Duration::from_millis(500));
/// assert_eq!(backoff.ceiling(3), Duration::from_secs(4));
/// assert_eq!(backoff.ceiling(60), Duration::from_secs(20));
/// // Half of the random range is half of the ceiling.
/// assert_eq!(backoff.delay(3, u64::MAX / 2 + 1), Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// Ceilings start at `base` and double until they reach `cap`. With a cap below the base the cap wins.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// The longest wait before attempt `attempt`, counted from 0.
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// The wait before attempt `attempt`, counted from 0. `random` is uniform over all of `u64`.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let ceiling = self.ceiling(attempt);
        // random / 2^64 of the ceiling, in nanoseconds. A ceiling beyond 584 years saturates.
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        let scaled = (u128::from(nanos) * u128::from(random)) >> u64::BITS;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
    }
}

/// 500 ms, doubling up to 20 s.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(20))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    use super::*;

    proptest! {
        #[test]
        fn every_wait_lies_below_its_ceiling(
            base_ms in 0_u64..100_000,
            cap_ms in 0_u64..1_000_000,
            attempt in 0_u32..200,
            random: u64,
        ) {
            let backoff = Backoff::new(Duration::from_millis(base_ms), Duration::from_millis(cap_ms));
            let exact = (u128::from(base_ms) << attempt.min(64)).min(u128::from(cap_ms));
            let ceiling = backoff.ceiling(attempt);
            // 2^32 times a base of at least 1 ms is beyond any cap drawn here, so clamping the factor changes nothing.
            prop_assert_eq!(ceiling.as_millis(), exact);
            let delay = backoff.delay(attempt, random);
            prop_assert!(delay < ceiling || ceiling.is_zero());
        }

        #[test]
        fn a_larger_random_number_never_waits_less(attempt in 0_u32..12, one: u64, other: u64) {
            let backoff = Backoff::default();
            let (small, large) = (one.min(other), one.max(other));
            prop_assert!(backoff.delay(attempt, small) <= backoff.delay(attempt, large));
        }
    }

    #[test]
    fn waits_are_spread_evenly_over_the_whole_range() {
        // Ten thousand clients come back after a restart. In each tenth of the range a tenth is expected: 1000, with a
        // standard deviation of 30. The seed is fixed, so this either always holds or never does.
        let backoff = Backoff::default();
        let mut random = SmallRng::seed_from_u64(7);
        for attempt in [0, 2, 5, 9] {
            let ceiling = backoff.ceiling(attempt).as_nanos();
            let mut tenths = [0_u32; 10];
            for _ in 0..10_000 {
                let delay = backoff.delay(attempt, random.random()).as_nanos();
                tenths[usize::try_from(delay * 10 / ceiling).unwrap()] += 1;
            }
            for (tenth, count) in tenths.into_iter().enumerate() {
                assert!((850..=1150).contains(&count), "attempt {attempt}, tenth {tenth}: {count}");
            }
        }
    }

    #[test]
    fn the_extremes_of_the_random_number_are_zero_and_just_below_the_ceiling() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(4, 0), Duration::ZERO);
        assert_eq!(backoff.delay(4, u64::MAX), Duration::from_secs(8) - Duration::from_nanos(1));
    }
}
