use std::time::Instant;

use throng_registry::ClientId;

use crate::config::Settings;

/// How a connection is pinged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PingStyle {
    /// The protocol's own ping, an empty reply (reference section 3.3).
    Application,
    /// Ping frames of RFC 6455, which every WebSocket client answers by itself.
    Frame,
}

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Beat {
    /// Nothing yet.
    Nothing,
    /// Send a ping; where it can carry a payload, this one, which the answer must bring back.
    Ping([u8; 4]),
    /// The client did not answer the last one in time.
    NoPong,
}

/// A connection's ping clock. The first ping comes after half to one interval, so that clients that connected together are
/// not pinged together.
///
/// Interval and timeout are asked for again each time, because every idle connection would have to pay for a copy of them.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    next_ping: Instant,
    /// Until when the answer to the last ping must be there.
    pong_due: Option<Instant>,
    /// The payload of a ping that has not been answered. It is random: who does not read cannot answer.
    outstanding: Option<[u8; 4]>,
}

impl Heartbeat {
    pub(crate) fn new(settings: &Settings, client: ClientId, now: Instant) -> Self {
        // The id is random; its low bits are as good as any other random number.
        let share = f64::from((client.as_u128() & 0xffff) as u16) / f64::from(u16::MAX);
        let first = settings.client.ping_interval.unwrap_or_default().mul_f64(0.5 + share / 2.0);
        Self { next_ping: now + first, pong_due: None, outstanding: None }
    }

    /// When [`poll`](Self::poll) has something to say; `None` if never.
    pub(crate) fn deadline(&self, settings: &Settings) -> Option<Instant> {
        settings.client.ping_interval?;
        Some(self.pong_due.map_or(self.next_ping, |due| due.min(self.next_ping)))
    }

    /// What is due now.
    pub(crate) fn poll(&mut self, settings: &Settings, now: Instant) -> Beat {
        let Some(interval) = settings.client.ping_interval else { return Beat::Nothing };
        if self.pong_due.is_some_and(|due| due <= now) {
            return Beat::NoPong;
        }
        if now < self.next_ping {
            return Beat::Nothing;
        }
        self.next_ping = now + interval;
        let [.., a, b, c, d] = ClientId::random().as_u128().to_be_bytes();
        self.outstanding = Some([a, b, c, d]);
        self.pong_due = settings.client.pong_timeout.map(|timeout| now + timeout);
        Beat::Ping([a, b, c, d])
    }

    /// Takes a pong of the protocol; false if no ping waited for one.
    pub(crate) fn pong(&mut self) -> bool {
        self.pong_due = None;
        self.outstanding.take().is_some()
    }

    /// Takes a pong frame. One that does not answer the last ping counts for nothing (RFC 6455 section 5.5.3 allows it).
    pub(crate) fn pong_frame(&mut self, payload: &[u8]) {
        if self.outstanding.is_some_and(|expected| expected == payload) {
            self.pong();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(25);
    const TIMEOUT: Duration = Duration::from_secs(8);

    fn heartbeat(random: u128) -> (Heartbeat, Instant) {
        let now = Instant::now();
        (Heartbeat::new(&Settings::default(), ClientId::from_u128(random), now), now)
    }

    #[test]
    fn the_first_ping_comes_after_half_to_one_interval() {
        let (earliest, now) = heartbeat(0);
        assert_eq!(earliest.deadline(&Settings::default()), Some(now + INTERVAL / 2));
        let (latest, now) = heartbeat(0xffff);
        assert_eq!(latest.deadline(&Settings::default()), Some(now + INTERVAL));
    }

    #[test]
    fn a_ping_that_is_answered_is_followed_by_the_next() {
        let (mut heartbeat, now) = heartbeat(0xffff);
        assert_eq!(heartbeat.poll(&Settings::default(), now), Beat::Nothing);
        assert!(matches!(heartbeat.poll(&Settings::default(), now + INTERVAL), Beat::Ping(_)));
        assert!(heartbeat.pong());
        assert_eq!(heartbeat.deadline(&Settings::default()), Some(now + INTERVAL * 2));
        assert!(matches!(heartbeat.poll(&Settings::default(), now + INTERVAL * 2), Beat::Ping(_)));
    }

    #[test]
    fn a_ping_that_is_not_answered_in_time_is_reported() {
        let (mut heartbeat, now) = heartbeat(0xffff);
        assert!(matches!(heartbeat.poll(&Settings::default(), now + INTERVAL), Beat::Ping(_)));
        assert_eq!(heartbeat.deadline(&Settings::default()), Some(now + INTERVAL + TIMEOUT));
        assert_eq!(heartbeat.poll(&Settings::default(), now + INTERVAL + TIMEOUT), Beat::NoPong);
    }

    #[test]
    fn a_pong_counts_only_while_a_ping_is_outstanding() {
        let (mut heartbeat, now) = heartbeat(0xffff);
        assert!(!heartbeat.pong());
        heartbeat.poll(&Settings::default(), now + INTERVAL);
        assert!(heartbeat.pong());
        assert!(!heartbeat.pong());
    }

    #[test]
    fn a_pong_frame_must_bring_the_pings_payload_back() {
        let (mut heartbeat, now) = heartbeat(0xffff);
        let Beat::Ping(payload) = heartbeat.poll(&Settings::default(), now + INTERVAL) else {
            panic!("no ping")
        };
        heartbeat.pong_frame(b"");
        assert_eq!(heartbeat.deadline(&Settings::default()), Some(now + INTERVAL + TIMEOUT));
        heartbeat.pong_frame(&payload);
        assert_eq!(heartbeat.deadline(&Settings::default()), Some(now + INTERVAL * 2));
    }

    #[test]
    fn without_an_interval_nothing_is_ever_due() {
        let mut settings = Settings::default();
        settings.client.ping_interval = None;
        let now = Instant::now();
        let mut heartbeat = Heartbeat::new(&settings, ClientId::from_u128(1), now);
        assert_eq!(heartbeat.deadline(&settings), None);
        assert_eq!(heartbeat.poll(&settings, now + INTERVAL * 100), Beat::Nothing);
    }
}
