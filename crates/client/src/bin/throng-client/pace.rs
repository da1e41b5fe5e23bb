use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How far behind its time something may be made up for. Timers are no finer than a millisecond.
const SLACK: Duration = Duration::from_millis(10);

/// Spreads what happens evenly over time.
pub(crate) struct Pace {
    period: Duration,
    due: Instant,
}

impl Pace {
    /// So many a second; more than zero.
    pub(crate) fn new(rate: f64) -> Self {
        Self { period: Duration::from_secs_f64(rate.recip()), due: Instant::now() }
    }

    /// Waits for the next turn. What stood still for long does not hurry afterwards.
    pub(crate) async fn turn(&mut self) {
        let now = Instant::now();
        self.due = self.due.max(now.checked_sub(SLACK).unwrap_or(now));
        if self.due > now {
            sleep_until(self.due).await;
        }
        self.due += self.period;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pace_is_kept_and_a_pause_is_not_made_up_for() {
        for (rate, turns, expected) in [(10.0, 11, 1.0), (5_000.0, 5_001, 1.0), (0.5, 3, 4.0)] {
            let start = Instant::now();
            let mut pace = Pace::new(rate);
            for _ in 0..turns {
                pace.turn().await;
            }
            let took = start.elapsed().as_secs_f64();
            assert!((took - expected).abs() < 0.01, "{rate}: {took}");
        }
        let mut pace = Pace::new(100.0);
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..101 {
            pace.turn().await;
        }
        assert!(start.elapsed() > Duration::from_millis(950), "{:?}", start.elapsed());
    }
}
