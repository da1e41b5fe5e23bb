use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use throng_registry::ShardId;
use tokio::time::Instant;

use super::addresses::{Addresses, Hasty, rate};
use crate::config::Settings;
use crate::limits::{Bucket, Rate, ticks};

/// Who may take a connection: so many in all, so many per address, so fast. Also counts how many each shard was given.
#[derive(Debug)]
pub(crate) struct Admission {
    taken: AtomicUsize,
    limit: usize,
    /// `None` where everybody is known, and addresses have no limits.
    addresses: Option<AddressLimits>,
    /// How many may be upgraded in a second.
    upgrades: Option<(Rate, Mutex<Bucket>)>,
    since: Instant,
    shards: Box<[AtomicUsize]>,
}

/// What one address may.
#[derive(Debug)]
struct AddressLimits {
    /// Connections of each address that has any; no larger than the number of connections.
    seats: Mutex<HashMap<IpAddr, usize>>,
    limit: usize,
    limit_loopback: bool,
    known: Addresses,
}

/// Why a connection was not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// All seats are taken.
    Full,
    /// All seats of this address are taken.
    Address,
    /// The address opens connections too fast.
    AddressRate,
    /// Too many handshakes of the address failed; it may come again after so long.
    AddressFailures(Duration),
}

impl Admission {
    /// For the public: with limits for each address.
    pub(crate) fn new(settings: &Settings, limit: usize) -> Self {
        let client = &settings.client;
        let since = Instant::now();
        let upgrades = client.connection_rate_limit.map(|limit| rate(limit, limit));
        Self {
            taken: AtomicUsize::new(0),
            limit,
            addresses: Some(AddressLimits {
                seats: Mutex::default(),
                limit: client.address_connection_limit,
                limit_loopback: client.address_limit_includes_loopback,
                known: Addresses::new(client),
            }),
            upgrades: upgrades.map(|rate| (rate, Mutex::new(Bucket::full(&rate, 0)))),
            since,
            shards: (0..settings.shards.count).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// For those who run the server, and come to an address of their own. None of them can be upgraded.
    pub(crate) fn internal(limit: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            limit,
            addresses: None,
            upgrades: None,
            since: Instant::now(),
            shards: Box::default(),
        }
    }

    /// Connections that may be open at once.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a seat for a connection from an address that is yet to be [claimed](Seat::claim).
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Seat, Refusal> {
        let free = |taken: usize| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, free).map_err(|_| Refusal::Full)?;
        Ok(Seat { admission: Arc::clone(self), claimed: None, address: None, shard: None })
    }

    /// Whether one more connection may be upgraded now, which is counted then.
    pub(crate) fn may_upgrade(&self) -> bool {
        let Some((rate, bucket)) = &self.upgrades else { return true };
        bucket.lock().take(rate, 1, ticks(self.since.elapsed()))
    }

    /// Notes that a handshake of the address has failed.
    pub(crate) fn failed(&self, address: IpAddr) {
        let address = network(address);
        if let Some(limits) = self.limits_for(address) {
            limits.known.failed(address, self.since.elapsed());
        }
    }

    /// How many addresses are remembered, and how many have been forgotten to make room.
    pub(crate) fn addresses(&self) -> (u64, u64) {
        self.addresses.as_ref().map(|limits| limits.known.counts()).unwrap_or_default()
    }

    /// The limits of a network, unless it is exempt.
    fn limits_for(&self, network: IpAddr) -> Option<&AddressLimits> {
        self.addresses.as_ref().filter(|limits| limits.limit_loopback || !network.is_loopback())
    }
}

/// What counts as one address: an IPv4 address, or the /64 network of an IPv6 address, which one host may own alone.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))
        }
        other => other,
    }
}

/// One connection's place, from accepting to closing. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Seat {
    admission: Arc<Admission>,
    /// Whose seat it is.
    claimed: Option<IpAddr>,
    /// The network that it counts for, if it counts.
    address: Option<IpAddr>,
    shard: Option<ShardId>,
}

impl Seat {
    /// Counts the seat for an address, and no longer for the one that it counted for before: behind a proxy one connection may
    /// carry several clients' requests.
    pub(crate) fn claim(&mut self, address: IpAddr) -> Result<(), Refusal> {
        let address = network(address);
        if self.claimed == Some(address) {
            return Ok(());
        }
        self.release();
        let admission = Arc::clone(&self.admission);
        if let Some(limits) = admission.limits_for(address) {
            limits.known.connect(address, admission.since.elapsed()).map_err(|hasty| match hasty {
                Hasty::Rate => Refusal::AddressRate,
                Hasty::Failures(time) => Refusal::AddressFailures(time),
            })?;
            let mut seats = limits.seats.lock();
            let taken = seats.entry(address).or_default();
            // An address is in the map only while it has a seat, so a refusal never leaves an empty entry behind.
            if *taken >= limits.limit.max(1) {
                return Err(Refusal::Address);
            }
            *taken += 1;
            self.address = Some(address);
        }
        self.claimed = Some(address);
        Ok(())
    }

    /// Assigns the connection to the shard with the fewest.
    pub(crate) fn assign_shard(&mut self) -> ShardId {
        let shards = &self.admission.shards;
        let load = |index: &usize| shards[*index].load(Ordering::Relaxed);
        let index = (0..shards.len()).min_by_key(load).unwrap_or_default();
        let shard = ShardId::new(index).expect("the number of shards is checked at start");
        shards[index].fetch_add(1, Ordering::Relaxed);
        self.shard = Some(shard);
        shard
    }

    fn release(&mut self) {
        self.claimed = None;
        if let (Some(address), Some(limits)) = (self.address.take(), &self.admission.addresses) {
            let mut seats = limits.seats.lock();
            if let Some(taken) = seats.get_mut(&address) {
                *taken -= 1;
                if *taken == 0 {
                    seats.remove(&address);
                }
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(shard) = self.shard {
            self.admission.shards[shard.index()].fetch_sub(1, Ordering::Relaxed);
        }
        self.release();
        self.admission.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(limit: usize, address_limit: usize) -> Arc<Admission> {
        admission_with(limit, |settings| settings.client.address_connection_limit = address_limit)
    }

    fn admission_with(limit: usize, change: impl FnOnce(&mut Settings)) -> Arc<Admission> {
        let mut settings = Settings::default();
        settings.shards.count = 2;
        change(&mut settings);
        Arc::new(Admission::new(&settings, limit))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admit(admission: &Arc<Admission>, text: &str) -> Result<Seat, Refusal> {
        let mut seat = admission.admit()?;
        seat.claim(address(text))?;
        Ok(seat)
    }

    #[test]
    fn seats_in_all_are_bounded_and_come_back() {
        let admission = admission(2, 10);
        let one = admit(&admission, "10.0.0.1").unwrap();
        let _two = admit(&admission, "10.0.0.2").unwrap();
        assert_eq!(admit(&admission, "10.0.0.3").unwrap_err(), Refusal::Full);
        drop(one);
        assert!(admit(&admission, "10.0.0.3").is_ok());
    }

    #[test]
    fn seats_of_an_address_are_bounded_but_loopback_is_exempt() {
        let admission = admission(10, 1);
        let _one = admit(&admission, "10.0.0.1").unwrap();
        assert_eq!(admit(&admission, "10.0.0.1").unwrap_err(), Refusal::Address);
        assert_eq!(admit(&admission, "::ffff:10.0.0.1").unwrap_err(), Refusal::Address);
        let _local = [(); 3].map(|()| admit(&admission, "127.0.0.1").unwrap());
    }

    #[test]
    fn a_refused_address_takes_no_seat_and_a_gone_one_no_memory() {
        let admission = admission(2, 1);
        let one = admit(&admission, "10.0.0.1").unwrap();
        admit(&admission, "10.0.0.1").unwrap_err();
        assert_eq!(admission.taken.load(Ordering::Relaxed), 1);
        drop(one);
        assert!(admission.addresses.as_ref().unwrap().seats.lock().is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let admission = admission(10, 1);
        let _one = admit(&admission, "2001:db8::1").unwrap();
        assert_eq!(admit(&admission, "2001:db8::2").unwrap_err(), Refusal::Address);
        assert!(admit(&admission, "2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn a_seat_that_another_address_claims_counts_for_that_one() {
        let admission = admission(10, 1);
        let mut seat = admit(&admission, "10.0.0.1").unwrap();
        seat.claim(address("10.0.0.1")).unwrap();
        seat.claim(address("10.0.0.2")).unwrap();
        assert!(admit(&admission, "10.0.0.1").is_ok());
        assert_eq!(admit(&admission, "10.0.0.2").unwrap_err(), Refusal::Address);
    }

    #[test]
    fn an_address_that_comes_too_fast_or_fails_too_often_is_refused() {
        let admission = admission_with(10, |settings| {
            settings.client.address_connection_burst = 1;
            settings.client.address_connection_rate = 1;
            settings.client.address_failure_limit = 1;
        });
        admit(&admission, "10.0.0.1").unwrap();
        assert_eq!(admit(&admission, "10.0.0.1").unwrap_err(), Refusal::AddressRate);
        admission.failed(address("2001:db8::1"));
        let refusal = admit(&admission, "2001:db8::2").unwrap_err();
        assert!(matches!(refusal, Refusal::AddressFailures(time) if time > Duration::from_secs(50)));
        admission.failed(address("127.0.0.1"));
        assert!(admit(&admission, "127.0.0.1").is_ok(), "loopback is exempt");
        assert_eq!(admission.taken.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn upgrades_in_all_have_a_rate_if_one_is_set() {
        let free = admission(10, 1);
        assert!((0..1_000).all(|_| free.may_upgrade()));
        let admission = admission_with(10, |settings| settings.client.connection_rate_limit = Some(2));
        assert_eq!([(); 3].map(|()| admission.may_upgrade()), [true, true, false]);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!([(); 2].map(|()| admission.may_upgrade()), [true, false]);
    }

    #[test]
    fn connections_go_to_the_shard_with_the_fewest() {
        let admission = admission(10, 10);
        let mut seats = [(); 3].map(|()| admit(&admission, "10.0.0.1").unwrap());
        let shards = seats.each_mut().map(|seat| seat.assign_shard().index());
        assert_eq!(shards, [0, 1, 0]);
        let [first, _second, third] = seats;
        drop((first, third));
        assert_eq!(admit(&admission, "10.0.0.1").unwrap().assign_shard().index(), 0);
    }
}
