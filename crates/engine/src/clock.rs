use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Where an engine reads the time: the system's clock, or another that tests move.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<Read>>);

type Read = dyn Fn() -> Instant + Send + Sync;

impl Clock {
    /// The system's monotonic clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that is read by calling `read`, which must never go back. It is called under locks, so it must be quick.
    pub fn from_fn(read: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(read)))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.as_ref().map_or_else(Instant::now, |read| read())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Clock({})", if self.0.is_some() { "custom" } else { "system" })
    }
}

/// A clock that stands still until it is told to move; clones move together.
///
/// ```
/// # use std::time::Duration;
/// # use throng_engine::ManualClock;
/// let manual = ManualClock::default();
/// let clock = manual.clock();
/// let before = clock.now();
/// manual.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now() - before, Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Instant>>);

impl ManualClock {
    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        *self.0.lock() += time;
    }

    /// What an engine reads.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Clock::from_fn(move || *now.lock())
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}
