//! Which hosts a request may be for.

use std::net::{IpAddr, SocketAddr};

use http::header::HOST;
use http::request;

use crate::config::is_loopback;

/// Keeps web pages away that reach a server on a loopback address by a name of their own.
///
/// A page's host name may be made to mean 127.0.0.1 once the page is loaded ("DNS rebinding"). Its requests then are for the
/// page's own host, and the browser lets it read the answers. What tells them apart is that host.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hosts {
    /// The server can be reached by names that it does not know, or its origins are listed.
    Any,
    /// Only names that nobody else can have, and the address itself.
    Loopback(IpAddr),
}

impl Hosts {
    /// The hosts of a listener at this address.
    pub(super) fn new(listener: SocketAddr, origins_are_listed: bool) -> Self {
        let address = listener.ip().to_canonical();
        if address.is_loopback() && !origins_are_listed { Self::Loopback(address) } else { Self::Any }
    }

    /// Whether the request is for a host that it may be for. Without any host, as in HTTP/1.0, no browser sent it.
    pub(super) fn allow(self, request: &request::Parts) -> bool {
        let Self::Loopback(address) = self else { return true };
        let is_ours =
            |authority: &str| is_loopback(authority) || is_test(authority) || is_at(authority, address);
        let mut hosts = request.headers.get_all(HOST).iter();
        let named = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().is_ok_and(is_ours),
            // With two of them nobody answers the request.
            (None, _) | (Some(_), Some(_)) => true,
        };
        named && request.uri.authority().is_none_or(|authority| is_ours(authority.as_str()))
    }
}

/// Whether a name ends in `.test`, which nobody can register (RFC 6761).
fn is_test(authority: &str) -> bool {
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    host.to_ascii_lowercase().ends_with(".test")
        && host.bytes().all(plain)
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `address` or `address:port` is this address.
fn is_at(authority: &str, address: IpAddr) -> bool {
    let with_port = authority.parse().map(|named: SocketAddr| named.ip());
    let bare = authority.trim_start_matches('[').trim_end_matches(']');
    with_port.or_else(|_| bare.parse()).is_ok_and(|named: IpAddr| named.to_canonical() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(listener: &str, listed: bool, host: &str) -> bool {
        let request = http::Request::get("/").header(HOST, host).body(()).unwrap().into_parts().0;
        Hosts::new(listener.parse().unwrap(), listed).allow(&request)
    }

    #[test]
    fn a_server_on_loopback_knows_its_names() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "app.localhost:8080",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
            "app.test:8080",
        ] {
            assert!(allows("127.0.0.1:8080", false, host), "{host}");
        }
        assert!(allows("[::1]:8080", false, "[::1]:8080"));
    }

    #[test]
    fn a_foreign_name_for_a_loopback_address_is_refused() {
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "192.0.2.1:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example/.localhost",
            "evil.example#.test",
            "x",
        ] {
            assert!(!allows("127.0.0.1:8080", false, host), "{host}");
        }
    }

    #[test]
    fn where_origins_are_listed_or_others_can_come_any_host_may_be_meant() {
        assert!(allows("127.0.0.1:8080", true, "app.example"));
        assert!(allows("0.0.0.0:8080", false, "app.example"));
        assert!(allows("192.0.2.1:8080", false, "app.example"));
    }

    #[test]
    fn the_host_of_the_request_line_counts_too() {
        let request =
            |uri: &str| http::Request::get(uri).header(HOST, "localhost").body(()).unwrap().into_parts().0;
        let hosts = Hosts::new("127.0.0.1:8080".parse().unwrap(), false);
        assert!(hosts.allow(&request("http://localhost/")));
        assert!(!hosts.allow(&request("http://evil.example/")));
        let without = http::Request::get("/").body(()).unwrap().into_parts().0;
        assert!(hosts.allow(&without));
    }
}
