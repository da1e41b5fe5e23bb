use std::collections::HashMap;
use std::time::Instant;

use throng_protocol::ChannelName;

/// When a client's connection, and those of its subscriptions that do not last, are over.
///
/// Holds at most one entry for each subscription of the client, and is there only for clients that have one. The client's one
/// deadline stands for all of them: when it has passed, they are looked through once.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    connection: Option<Instant>,
    subscriptions: HashMap<ChannelName, Instant>,
    /// No subscription is over before.
    earliest: Option<Instant>,
}

impl Expiries {
    /// Sets when the connection is over.
    pub(super) const fn set_connection(&mut self, at: Option<Instant>) {
        self.connection = at;
    }

    /// Sets when a subscription is over.
    pub(super) fn set(&mut self, channel: &ChannelName, at: Option<Instant>) {
        match at {
            Some(at) => {
                self.subscriptions.insert(channel.clone(), at);
                self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
            }
            None => {
                self.subscriptions.remove(channel);
                if self.subscriptions.is_empty() {
                    self.subscriptions.shrink_to_fit();
                    self.earliest = None;
                }
            }
        }
    }

    /// Whether nothing is ever over.
    pub(super) fn is_empty(&self) -> bool {
        self.connection.is_none() && self.subscriptions.is_empty()
    }

    /// When to look next. Perhaps nothing is over then, because a subscription was prolonged or has ended.
    pub(super) fn next(&self) -> Option<Instant> {
        self.connection.into_iter().chain(self.earliest).min()
    }

    /// Whether the connection is over.
    pub(super) fn has_connection_ended(&self, now: Instant) -> bool {
        self.connection.is_some_and(|at| at <= now)
    }

    /// Takes the subscriptions that are over, in the order of their names.
    pub(super) fn take(&mut self, now: Instant) -> Vec<ChannelName> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        let mut over: Vec<_> =
            self.subscriptions.extract_if(|_, at| *at <= now).map(|(channel, _)| channel).collect();
        over.sort_unstable();
        self.earliest = self.subscriptions.values().min().copied();
        over
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(number: u64) -> ChannelName {
        format!("channel{number:04}").parse().unwrap()
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn each_subscription_is_over_once_and_in_its_time() {
        let start = Instant::now();
        let mut expiries = Expiries::default();
        for number in 0..1_000 {
            expiries.set(&name(number), Some(after(start, 1 + number % 10)));
        }
        let mut seen = Vec::new();
        for second in 1..=10 {
            assert_eq!(expiries.next(), Some(after(start, second)));
            let over = expiries.take(after(start, second));
            assert_eq!(over.len(), 100);
            seen.extend(over);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1_000);
        assert!(expiries.is_empty() && expiries.next().is_none());
    }

    #[test]
    fn what_is_prolonged_or_has_ended_is_not_over() {
        let start = Instant::now();
        let mut expiries = Expiries::default();
        for number in 0..3 {
            expiries.set(&name(number), Some(after(start, 1)));
        }
        expiries.set(&name(1), Some(after(start, 5)));
        expiries.set(&name(2), None);
        assert_eq!(expiries.take(after(start, 1)), [name(0)]);
        assert_eq!(expiries.next(), Some(after(start, 5)));
        expiries.set(&name(1), None);
        assert_eq!(expiries.next(), None);
        assert!(expiries.take(after(start, 10)).is_empty());
    }

    #[test]
    fn the_connection_counts_beside_its_subscriptions() {
        let start = Instant::now();
        let mut expiries = Expiries::default();
        expiries.set(&name(0), Some(after(start, 3)));
        expiries.set_connection(Some(after(start, 2)));
        assert_eq!(expiries.next(), Some(after(start, 2)));
        assert!(!expiries.has_connection_ended(after(start, 1)));
        assert!(expiries.has_connection_ended(after(start, 2)));
        expiries.set_connection(None);
        assert_eq!(expiries.next(), Some(after(start, 3)));
    }
}
