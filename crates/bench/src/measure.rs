//! What is counted while messages arrive, and the schedule by which they are sent.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::{
    clock::nanos,
    report::Integrity,
    sequence::{Arrival, Sequence},
    wire::stamp::Stamp,
};

/// An empty histogram of nanoseconds up to an hour, true to a thousandth; longer times count as an hour.
pub(crate) fn histogram() -> Histogram<u64> {
    const HOUR_NS: u64 = 3_600_000_000_000;
    Histogram::new_with_bounds(1, HOUR_NS, 3).expect("the bounds are a valid constant")
}

/// Follows every stream (one publisher at one subscriber) and measures what arrives.
#[derive(Debug)]
pub(crate) struct Ledger {
    streams: Vec<Sequence>,
    pub(crate) integrity: Integrity,
    /// From the intended send time, of messages that were due inside the measured time.
    pub(crate) latency_ns: Histogram<u64>,
    /// Deliveries inside the measured time.
    pub(crate) measured: u64,
    /// Deliveries in each second of the measured time.
    pub(crate) timeline: Vec<u64>,
    measuring_from_ns: u64,
    measuring_until_ns: u64,
}

impl Ledger {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            streams: vec![Sequence::default(); streams],
            integrity: Integrity::default(),
            latency_ns: histogram(),
            measured: 0,
            timeline: Vec::new(),
            measuring_from_ns: u64::MAX,
            measuring_until_ns: u64::MAX,
        }
    }

    /// The measured time begins.
    pub(crate) const fn measure_from(&mut self, now_ns: u64) {
        self.measuring_from_ns = now_ns;
    }

    /// The measured time is over; latencies of what was due before still count.
    pub(crate) const fn measure_until(&mut self, now_ns: u64) {
        self.measuring_until_ns = now_ns;
    }

    /// Takes one arrival on a stream; true when it is a delivery, not a repetition.
    pub(crate) fn take(&mut self, stream: usize, stamp: &Stamp, now_ns: u64) -> bool {
        match self.streams[stream].arrived(stamp.sequence) {
            Arrival::InOrder | Arrival::AfterGap { .. } => {}
            Arrival::Late => self.integrity.reordered += 1,
            Arrival::Duplicate => {
                self.integrity.duplicated += 1;
                return false;
            }
        }
        self.integrity.delivered += 1;
        if (self.measuring_from_ns..self.measuring_until_ns).contains(&now_ns) {
            self.measured += 1;
            let second = usize::try_from((now_ns - self.measuring_from_ns) / 1_000_000_000).unwrap_or(0);
            if self.timeline.len() <= second {
                self.timeline.resize(second + 1, 0);
            }
            self.timeline[second] += 1;
        }
        if (self.measuring_from_ns..self.measuring_until_ns).contains(&stamp.due_ns) {
            self.latency_ns.saturating_record(now_ns.saturating_sub(stamp.due_ns));
        }
        true
    }

    /// The number that `stream` awaits.
    pub(crate) fn next_of(&self, stream: usize) -> u32 {
        self.streams[stream].next()
    }

    /// Settles one stream at the end: what of `sent` has not arrived is lost.
    pub(crate) fn settle(&mut self, stream: usize, sent: u32) {
        self.integrity.expected += u64::from(sent);
        self.integrity.lost += u64::from(self.streams[stream].missing_of(sent));
    }
}

/// Evenly spaced points in time at which messages are due, whatever happened to the ones before.
#[derive(Debug)]
pub(crate) struct Schedule {
    start_ns: u64,
    interval_ns: f64,
    next: u64,
    /// How late the generator itself came to each message.
    pub(crate) behind_ns: Histogram<u64>,
}

impl Schedule {
    pub(crate) fn new(start_ns: u64, per_second: f64) -> Self {
        Self { start_ns, interval_ns: 1e9 / per_second, next: 0, behind_ns: histogram() }
    }

    /// When the next message is due.
    pub(crate) fn due_ns(&self) -> u64 {
        let offset = self.next as f64 * self.interval_ns;
        self.start_ns + nanos(Duration::from_secs_f64(offset / 1e9))
    }

    /// The next message has been sent at `now_ns`. While the server takes no more, it is the server that is late.
    pub(crate) fn sent(&mut self, now_ns: u64, held_up: bool) {
        if !held_up {
            self.behind_ns.saturating_record(now_ns.saturating_sub(self.due_ns()));
        }
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(sequence: u32, due_ns: u64) -> Stamp {
        Stamp { room: 0, publisher: 0, sequence, due_ns }
    }

    #[test]
    fn latency_counts_from_the_intended_time_of_measured_messages_only() {
        let mut ledger = Ledger::new(1);
        ledger.take(0, &stamp(0, 5), 900);
        ledger.measure_from(1_000);
        ledger.take(0, &stamp(1, 990), 1_500);
        ledger.take(0, &stamp(2, 1_100), 4_100);
        ledger.measure_until(5_000);
        ledger.take(0, &stamp(3, 4_000), 9_000);
        ledger.take(0, &stamp(4, 6_000), 9_000);
        assert_eq!(ledger.measured, 2);
        assert_eq!(ledger.timeline, [2]);
        assert_eq!(ledger.latency_ns.len(), 2);
        assert_eq!((ledger.latency_ns.min(), ledger.latency_ns.max()), (3_000, 5_003));
    }

    #[test]
    fn a_repetition_is_no_delivery_and_what_never_came_is_lost() {
        let mut ledger = Ledger::new(2);
        for sequence in [0, 2, 2, 1, 4] {
            ledger.take(0, &stamp(sequence, 0), 0);
        }
        ledger.settle(0, 6);
        ledger.settle(1, 6);
        let found = &ledger.integrity;
        assert_eq!((found.expected, found.delivered, found.lost), (12, 4, 8));
        assert_eq!((found.duplicated, found.reordered), (1, 1));
    }

    #[test]
    fn a_late_generator_does_not_move_the_schedule() {
        let mut schedule = Schedule::new(1_000_000, 1_000.0);
        schedule.sent(9_000_000, false);
        assert_eq!(schedule.due_ns(), 2_000_000);
        schedule.sent(9_000_000, true);
        assert_eq!(schedule.due_ns(), 3_000_000);
        assert_eq!(schedule.behind_ns.len(), 1);
        assert!(schedule.behind_ns.max() >= 8_000_000);
    }
}
