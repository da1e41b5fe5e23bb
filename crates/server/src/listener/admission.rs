use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use throng_registry::ShardId;

use crate::config::Settings;

/// Who may take a connection: so many in all, so many per address. Also counts how many each shard was given.
#[derive(Debug)]
pub(crate) struct Admission {
    taken: AtomicUsize,
    limit: usize,
    /// Connections of each address that has any; no larger than the number of connections.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    address_limit: usize,
    limit_loopback: bool,
    shards: Box<[AtomicUsize]>,
}

/// Why a connection was not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// All seats are taken.
    Full,
    /// All seats of this address are taken.
    Address,
}

impl Admission {
    pub(crate) fn new(settings: &Settings, limit: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            limit,
            addresses: Mutex::default(),
            address_limit: settings.client.address_connection_limit,
            limit_loopback: settings.client.address_limit_includes_loopback,
            shards: (0..settings.shards.count).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Connections that may be open at once.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a seat for a connection from this address.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Refusal> {
        let free = |taken: usize| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, free).map_err(|_| Refusal::Full)?;
        let mut seat = Seat { admission: Arc::clone(self), address: None, shard: None };
        let address = network(address);
        if self.limit_loopback || !address.is_loopback() {
            let mut addresses = self.addresses.lock();
            let seats = addresses.entry(address).or_default();
            // An address is in the map only while it has a seat, so a refusal never leaves an empty entry behind.
            if *seats >= self.address_limit.max(1) {
                return Err(Refusal::Address);
            }
            *seats += 1;
            seat.address = Some(address);
        }
        Ok(seat)
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
    address: Option<IpAddr>,
    shard: Option<ShardId>,
}

impl Seat {
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
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(shard) = self.shard {
            self.admission.shards[shard.index()].fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(address) = self.address {
            let mut addresses = self.admission.addresses.lock();
            if let Some(seats) = addresses.get_mut(&address) {
                *seats -= 1;
                if *seats == 0 {
                    addresses.remove(&address);
                }
            }
        }
        self.admission.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(limit: usize, address_limit: usize) -> Arc<Admission> {
        let mut settings = Settings::default();
        settings.client.address_connection_limit = address_limit;
        settings.shards.count = 2;
        Arc::new(Admission::new(&settings, limit))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn seats_in_all_are_bounded_and_come_back() {
        let admission = admission(2, 10);
        let one = admission.admit(address("10.0.0.1")).unwrap();
        let _two = admission.admit(address("10.0.0.2")).unwrap();
        assert_eq!(admission.admit(address("10.0.0.3")).unwrap_err(), Refusal::Full);
        drop(one);
        assert!(admission.admit(address("10.0.0.3")).is_ok());
    }

    #[test]
    fn seats_of_an_address_are_bounded_but_loopback_is_exempt() {
        let admission = admission(10, 1);
        let _one = admission.admit(address("10.0.0.1")).unwrap();
        assert_eq!(admission.admit(address("10.0.0.1")).unwrap_err(), Refusal::Address);
        assert_eq!(admission.admit(address("::ffff:10.0.0.1")).unwrap_err(), Refusal::Address);
        let _local = [(); 3].map(|()| admission.admit(address("127.0.0.1")).unwrap());
    }

    #[test]
    fn a_refused_address_takes_no_seat_and_a_gone_one_no_memory() {
        let admission = admission(2, 1);
        let one = admission.admit(address("10.0.0.1")).unwrap();
        admission.admit(address("10.0.0.1")).unwrap_err();
        assert_eq!(admission.taken.load(Ordering::Relaxed), 1);
        drop(one);
        assert!(admission.addresses.lock().is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let admission = admission(10, 1);
        let _one = admission.admit(address("2001:db8::1")).unwrap();
        assert_eq!(admission.admit(address("2001:db8::2")).unwrap_err(), Refusal::Address);
        assert!(admission.admit(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn connections_go_to_the_shard_with_the_fewest() {
        let admission = admission(10, 10);
        let mut seats = [(); 3].map(|()| admission.admit(address("10.0.0.1")).unwrap());
        let shards = seats.each_mut().map(|seat| seat.assign_shard().index());
        assert_eq!(shards, [0, 1, 0]);
        let [first, _second, third] = seats;
        drop((first, third));
        assert_eq!(admission.admit(address("10.0.0.1")).unwrap().assign_shard().index(), 0);
    }
}
