//! What is remembered of the addresses that connect: how fast they come, and how often they fail.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::Client;
use crate::limits::{Bucket, Rate, ticks};
use crate::metrics::Number;

/// Addresses that share a place: beyond so many in one, the one that was silent for longest is forgotten.
const WAYS: usize = 8;

/// Places. Together they take about 1 MiB, whoever comes.
const SETS: usize = 4_096;

/// Addresses that can be remembered.
#[cfg(test)]
const CAPACITY: usize = SETS * WAYS;

/// A table of fixed size. An address that is forgotten is one without a past, so whoever could fill the table, which takes
/// thousands of networks, gains for each of them what a newcomer may do.
#[derive(Debug)]
pub(super) struct Addresses {
    sets: Box<[Mutex<[Entry; WAYS]>]>,
    hasher: RandomState,
    rate: Rate,
    failure_limit: u32,
    failure_window: u64,
    occupied: Number,
    forgotten: Number,
}

/// Why an address must wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hasty {
    /// It opens connections too fast.
    Rate,
    /// Too many of its handshakes failed; it is let in again after so long.
    Failures(Duration),
}

/// One address. Times are milliseconds on the caller's clock, and one more, so that 0 is an entry that nobody has.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    key: u64,
    seen: u64,
    connections: Bucket,
    failing_since: u64,
    failures: u32,
}

/// So many in a second, and so many at once.
pub(super) fn rate(per_second: usize, burst: usize) -> Rate {
    let most = |count| u32::try_from(count).unwrap_or(u32::MAX);
    Rate::new(most(per_second), most(burst))
}

impl Addresses {
    pub(super) fn new(client: &Client) -> Self {
        Self {
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            rate: rate(client.address_connection_rate, client.address_connection_burst),
            failure_limit: u32::try_from(client.address_failure_limit).unwrap_or(u32::MAX),
            failure_window: milliseconds(client.address_failure_window),
            occupied: Number::default(),
            forgotten: Number::default(),
        }
    }

    /// Lets a network's connection in. `now` is the time since any fixed moment.
    pub(super) fn connect(&self, network: IpAddr, now: Duration) -> Result<(), Hasty> {
        self.with(network, now, |entry| {
            let since = milliseconds(now).saturating_sub(entry.failing_since);
            if entry.failures >= self.failure_limit && since < self.failure_window {
                return Err(Hasty::Failures(Duration::from_millis(self.failure_window - since)));
            }
            if entry.connections.take(&self.rate, 1, ticks(now)) { Ok(()) } else { Err(Hasty::Rate) }
        })
    }

    /// Notes that a handshake of the network has failed.
    pub(super) fn failed(&self, network: IpAddr, now: Duration) {
        let moment = milliseconds(now);
        self.with(network, now, |entry| {
            if entry.failures == 0 || moment.saturating_sub(entry.failing_since) >= self.failure_window {
                entry.failing_since = moment;
                entry.failures = 0;
            }
            entry.failures = entry.failures.saturating_add(1);
        });
    }

    /// How many are remembered, and how many have been forgotten to make room.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.occupied.get(), self.forgotten.get())
    }

    fn with<T>(&self, network: IpAddr, now: Duration, change: impl FnOnce(&mut Entry) -> T) -> T {
        let key = key(network);
        let hash = usize::try_from(self.hasher.hash_one(key) % SETS as u64).unwrap_or_default();
        let mut set = self.sets[hash].lock();
        let index = set.iter().position(|entry| entry.seen > 0 && entry.key == key).unwrap_or_else(|| {
            let stalest = (0..WAYS).min_by_key(|index| set[*index].seen).unwrap_or_default();
            if set[stalest].seen == 0 {
                self.occupied.add(1)
            } else {
                self.forgotten.add(1)
            }
            set[stalest] =
                Entry { key, connections: Bucket::full(&self.rate, ticks(now)), ..Entry::default() };
            stalest
        });
        set[index].seen = milliseconds(now) + 1;
        change(&mut set[index])
    }
}

/// A network as a number: the first half of an IPv6 address, or an IPv4 address where no IPv6 source has its own.
fn key(network: IpAddr) -> u64 {
    const MULTICAST: u64 = 0xffff_ffff_0000_0000;
    match network {
        IpAddr::V4(v4) => MULTICAST | u64::from(v4.to_bits()),
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 64).unwrap_or_default(),
    }
}

const fn milliseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000) + time.subsec_millis() as u64
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn addresses(change: impl FnOnce(&mut Client)) -> Addresses {
        let mut client = Client::default();
        change(&mut client);
        Addresses::new(&client)
    }

    fn v4(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn an_address_may_come_so_often_at_once_and_then_so_often_in_a_second() {
        let addresses = addresses(|client| {
            client.address_connection_rate = 2;
            client.address_connection_burst = 3;
        });
        for _ in 0..3 {
            assert_eq!(addresses.connect(v4(1), START), Ok(()));
        }
        assert_eq!(addresses.connect(v4(1), START), Err(Hasty::Rate));
        assert_eq!(addresses.connect(v4(2), START), Ok(()), "others are not held back");
        let later = START + Duration::from_millis(500);
        assert_eq!(addresses.connect(v4(1), later), Ok(()));
        assert_eq!(addresses.connect(v4(1), later), Err(Hasty::Rate));
        for _ in 0..3 {
            assert_eq!(addresses.connect(v4(1), START + Duration::from_hours(9)), Ok(()));
        }
        assert_eq!(addresses.connect(v4(1), START + Duration::from_hours(9)), Err(Hasty::Rate));
    }

    #[test]
    fn an_address_that_fails_too_often_waits_until_the_window_is_over() {
        let addresses = addresses(|client| client.address_failure_limit = 2);
        addresses.failed(v4(1), START);
        assert_eq!(addresses.connect(v4(1), START), Ok(()));
        let later = START + Duration::from_secs(20);
        addresses.failed(v4(1), later);
        assert_eq!(addresses.connect(v4(1), later), Err(Hasty::Failures(Duration::from_secs(40))));
        assert_eq!(addresses.connect(v4(2), later), Ok(()));
        let over = START + Duration::from_mins(1);
        assert_eq!(addresses.connect(v4(1), over), Ok(()));
        addresses.failed(v4(1), over);
        assert_eq!(addresses.connect(v4(1), over), Ok(()), "it counts anew");
    }

    #[test]
    fn a_million_addresses_take_no_more_room_than_the_table_has() {
        let addresses = addresses(|_| ());
        for number in 0..1_000_000 {
            assert_eq!(addresses.connect(v4(number), START + Duration::from_micros(number.into())), Ok(()));
        }
        let (remembered, forgotten) = addresses.counts();
        assert!(remembered <= CAPACITY as u64, "{remembered}");
        assert_eq!(remembered + forgotten, 1_000_000);
        let held: usize = addresses.sets.iter().map(|set| set.lock().len()).sum();
        assert_eq!(held, CAPACITY);
        assert!(size_of::<Mutex<[Entry; WAYS]>>() * SETS <= 2 << 20);
    }

    #[test]
    fn who_was_silent_for_longest_is_forgotten_first() {
        let addresses = addresses(|client| client.address_failure_limit = 1);
        addresses.failed(v4(0), START);
        let mut others = 1..;
        let mut now = START;
        // Whoever keeps knocking is not forgotten, however many others come.
        for number in others.by_ref().take(10 * CAPACITY) {
            now += Duration::from_micros(10);
            addresses.connect(v4(number), now).unwrap();
            if number % 64 == 0 {
                assert!(addresses.connect(v4(0), now).is_err(), "after {number} others");
            }
        }
        for number in others.take(10 * CAPACITY) {
            addresses.connect(v4(number), now + Duration::from_millis(1)).unwrap();
        }
        assert_eq!(addresses.connect(v4(0), now), Ok(()), "it has been silent");
    }

    #[test]
    fn networks_have_keys_of_their_own() {
        let v6 = |text: &str| key(text.parse().unwrap());
        assert_ne!(v6("2001:db8::"), v6("2001:db8:0:1::"));
        assert_ne!(v6("::"), key(v4(0)));
    }
}
