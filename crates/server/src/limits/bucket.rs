use std::time::Duration;

/// How much may pass: so much in a second, and so much at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

/// A token bucket in eight bytes. It reads no clock: the caller says the time, in milliseconds that may begin anew at 2³².
///
/// In any stretch of time it lets through at most the burst, and the rate times that stretch. Credit is kept in thousandths, so that
/// nothing is lost to rounding, however often it is asked. The default is an empty one.
///
/// ```
/// use throng_server::limits::{Bucket, Rate};
///
/// let rate = Rate::new(2, 3); // two a second, three at once
/// let mut bucket = Bucket::full(&rate, 0);
/// assert!(bucket.take(&rate, 3, 0));
/// assert!(!bucket.take(&rate, 1, 499));
/// assert!(bucket.take(&rate, 1, 500));
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bucket {
    /// What is left, in thousandths.
    left: u32,
    /// When it was last filled.
    at: u32,
}

/// Threads read the clock one after the other and come to a shared bucket in another order: a time that is so much earlier at most,
/// in milliseconds, is no long idle time that has begun anew.
const STALE: u32 = 60_000;

impl Rate {
    /// Most that may pass at once.
    pub const MAX_BURST: u32 = u32::MAX / 1_000;

    /// A rate. Both numbers are at least 1, and the burst is at most [`MAX_BURST`](Self::MAX_BURST): others are set to the nearest.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: per_second.max(1), burst: burst.clamp(1, Self::MAX_BURST) }
    }

    /// Milliseconds after which an empty bucket is full.
    #[must_use]
    pub fn fill_time(&self) -> u32 {
        (self.burst * 1_000).div_ceil(self.per_second)
    }
}

/// A time since any fixed moment as buckets count it: in milliseconds that begin anew at 2³².
#[must_use]
pub const fn ticks(time: Duration) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "it begins anew, as it says")]
    let ticks = time.as_millis() as u32;
    ticks
}

impl Bucket {
    /// A bucket that holds a burst.
    #[must_use]
    pub const fn full(rate: &Rate, now: u32) -> Self {
        Self { left: rate.burst * 1_000, at: now }
    }

    /// Takes an amount if as much is there; else nothing. More than the burst is never there.
    pub fn take(&mut self, rate: &Rate, amount: u32, now: u32) -> bool {
        self.fill(rate, now);
        let left = amount.checked_mul(1_000).and_then(|amount| self.left.checked_sub(amount));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Milliseconds since it was last asked.
    #[must_use]
    pub fn idle(&self, now: u32) -> u32 {
        let passed = now.wrapping_sub(self.at);
        if passed > u32::MAX - STALE { 0 } else { passed }
    }

    fn fill(&mut self, rate: &Rate, now: u32) {
        let passed = self.idle(now);
        if passed == 0 {
            return;
        }
        // So much a second is as many thousandths a millisecond.
        let left = u64::from(self.left) + u64::from(passed) * u64::from(rate.per_second);
        let most = rate.burst * 1_000;
        self.left = u32::try_from(left).map_or(most, |left| left.min(most));
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_takes_eight_bytes() {
        assert_eq!(size_of::<Bucket>(), 8);
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate() {
        let rate = Rate::new(10, 5);
        let mut bucket = Bucket::full(&rate, 1_000);
        assert!((0..5).all(|_| bucket.take(&rate, 1, 1_000)));
        assert!(!bucket.take(&rate, 1, 1_000));
        let passed = (1_001..=2_000).filter(|now| bucket.take(&rate, 1, *now)).count();
        assert_eq!(passed, 10);
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let rate = Rate::new(1, 10);
        let mut bucket = Bucket::full(&rate, 0);
        assert!(!bucket.take(&rate, 11, 0));
        assert!(bucket.take(&rate, 10, 0));
        assert!(!bucket.take(&rate, u32::MAX, 0));
    }

    #[test]
    fn the_clock_may_begin_anew() {
        let rate = Rate::new(1, 2);
        let mut bucket = Bucket::full(&rate, u32::MAX - 500);
        assert!(bucket.take(&rate, 2, u32::MAX - 500));
        assert!(!bucket.take(&rate, 1, 498));
        assert!(bucket.take(&rate, 1, 500));
    }

    #[test]
    fn a_clock_that_another_thread_read_earlier_gives_nothing() {
        let rate = Rate::new(1_000, 10);
        let mut bucket = Bucket::full(&rate, 5_000);
        assert!(bucket.take(&rate, 10, 5_000));
        assert!(!bucket.take(&rate, 1, 4_990));
        assert!(bucket.take(&rate, 1, 5_001));
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_lets_through_more_than_the_burst_and_its_share(
            per_second in 1..100_000_u32,
            burst in 1..Rate::MAX_BURST,
            start: u32,
            steps in prop::collection::vec((0..5_000_u32, 1..2_000_u32), 1..200),
        ) {
            let rate = Rate::new(per_second, burst);
            let mut bucket = Bucket::full(&rate, start);
            let (mut passed, mut time) = (0_u64, 0_u64);
            let mut refused_needlessly = false;
            // An exact bucket beside it.
            let mut exact = u64::from(burst) * 1_000;
            for (pause, amount) in steps {
                time += u64::from(pause);
                exact = (exact + u64::from(pause) * u64::from(per_second)).min(u64::from(burst) * 1_000);
                let now = start.wrapping_add(u32::try_from(time % (1 << 32)).unwrap());
                let took = bucket.take(&rate, amount, now);
                let should = exact >= u64::from(amount) * 1_000;
                refused_needlessly |= took != should;
                if took {
                    exact -= u64::from(amount) * 1_000;
                    passed += u64::from(amount);
                }
            }
            prop_assert!(!refused_needlessly, "it does as an exact one");
            let most = u64::from(burst) * 1_000 + time * u64::from(per_second);
            prop_assert!(passed * 1_000 <= most, "{passed} in {time} ms");
        }
    }
}
