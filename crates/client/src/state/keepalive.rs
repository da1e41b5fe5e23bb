use std::time::{Duration, Instant};

/// Finds dead connections where no protocol does: asks with a WebSocket ping when nothing arrived for `interval`, and
/// gives the peer `grace` to answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    interval: Duration,
    grace: Duration,
    heard: Instant,
    asked: bool,
}

/// What a deadline of the keepalive asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Check {
    /// Send a ping.
    Ping,
    /// The peer is gone: nothing arrived for so long.
    Silent(Duration),
}

impl Keepalive {
    pub(crate) const fn new(interval: Duration, grace: Duration, now: Instant) -> Self {
        Self { interval, grace, heard: now, asked: false }
    }

    /// Something arrived, whatever it is.
    pub(crate) const fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = false;
    }

    /// What is to be done by now, if anything.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Check> {
        if now < self.deadline() {
            return None;
        }
        if self.asked {
            return Some(Check::Silent(self.interval + self.grace));
        }
        self.asked = true;
        Some(Check::Ping)
    }

    /// When [`due`](Self::due) will have something to say.
    pub(crate) fn deadline(&self) -> Instant {
        self.heard + if self.asked { self.interval + self.grace } else { self.interval }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_asked_about_once_and_then_is_the_end() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(25 * SECOND, 10 * SECOND, start);
        assert_eq!(keepalive.due(start + 24 * SECOND), None);
        assert_eq!(keepalive.due(start + 25 * SECOND), Some(Check::Ping));
        assert_eq!(keepalive.due(start + 34 * SECOND), None);
        assert_eq!(keepalive.due(start + 35 * SECOND), Some(Check::Silent(35 * SECOND)));
    }

    #[test]
    fn whatever_arrives_starts_the_interval_again() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(25 * SECOND, 10 * SECOND, start);
        keepalive.heard(start + 20 * SECOND);
        assert_eq!(keepalive.deadline(), start + 45 * SECOND);
        assert_eq!(keepalive.due(start + 45 * SECOND), Some(Check::Ping));
        keepalive.heard(start + 46 * SECOND);
        assert_eq!(keepalive.due(start + 55 * SECOND), None);
        assert_eq!(keepalive.due(start + 71 * SECOND), Some(Check::Ping));
    }
}
