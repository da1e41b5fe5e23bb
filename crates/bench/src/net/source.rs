//! Local addresses to connect from, so that ports do not run out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Connections from one address before the next one is taken. The kernel has about 28,000 ports per address and
/// destination, and searches them one by one once more than half of them are in use.
const PER_ADDRESS: u32 = 12_000;
/// Addresses that are used in turn; by the time the first one comes again its old connections are gone.
const ADDRESSES: u32 = 200;

/// Chooses the local address of each connection.
#[derive(Debug)]
pub(crate) struct Sources {
    loopback: bool,
    used: u32,
}

impl Sources {
    pub(crate) fn towards(target: SocketAddr) -> Self {
        // Only the whole of 127.0.0.0/8 is ours without configuration.
        let loopback = match target.ip() {
            IpAddr::V4(address) => address.is_loopback(),
            IpAddr::V6(_) => false,
        };
        Self { loopback, used: 0 }
    }

    /// The address to bind the next connection to; `None` leaves the choice to the kernel.
    pub(crate) fn next(&mut self) -> Option<SocketAddr> {
        let index = (self.used / PER_ADDRESS) % ADDRESSES;
        self.used = self.used.wrapping_add(1);
        if !self.loopback || index == 0 {
            return None;
        }
        let address = u32::from(Ipv4Addr::LOCALHOST) + index;
        Some(SocketAddr::from((Ipv4Addr::from(address), 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_takes_another_address_before_ports_run_short() {
        let mut sources = Sources::towards("127.0.0.1:8080".parse().unwrap());
        let addresses: Vec<_> = (0..PER_ADDRESS * 2 + 1).map(|_| sources.next()).collect();
        assert_eq!(addresses[PER_ADDRESS as usize - 1], None);
        assert_eq!(addresses[PER_ADDRESS as usize], Some("127.0.0.2:0".parse().unwrap()));
        assert_eq!(addresses[PER_ADDRESS as usize * 2], Some("127.0.0.3:0".parse().unwrap()));
    }

    #[test]
    fn any_other_destination_is_left_to_the_kernel() {
        let mut sources = Sources::towards("192.0.2.1:80".parse().unwrap());
        assert!((0..PER_ADDRESS * 2).all(|_| sources.next().is_none()));
    }
}
