//! Who is really there, when proxies stand before the server. Whoever is not trusted can claim nothing.

#[cfg(test)]
mod check;
mod forwarded;
mod header;

use std::io;
use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt};

use self::forwarded::ForwardedError;
use self::header::{HeaderError, Progress};
use crate::config::{Proxy, ProxyProtocol};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Bytes that show whether a connection begins with a PROXY header.
pub(super) const TELLING: usize = 12;

/// Why a PROXY header was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderFault {
    #[error(transparent)]
    Malformed(#[from] HeaderError),
    #[error("it ended before its PROXY header did")]
    Broken(#[from] io::Error),
}

/// Whom connections come from, by the settings.
#[derive(Debug)]
pub(super) struct Proxies {
    settings: Proxy,
}

impl Proxies {
    pub(super) const fn new(settings: Proxy) -> Self {
        Self { settings }
    }

    /// Whether a connection from this peer begins with a PROXY header.
    pub(super) fn sends_header(&self, peer: IpAddr) -> bool {
        self.settings.protocol == ProxyProtocol::Proxy && self.settings.trusts(peer)
    }

    /// Whether the requests of this peer say whom they come from.
    pub(super) fn forwards(&self, peer: IpAddr) -> bool {
        match self.settings.protocol {
            ProxyProtocol::None | ProxyProtocol::Proxy => false,
            ProxyProtocol::Forwarded | ProxyProtocol::XForwardedFor => self.settings.trusts(peer),
        }
    }

    /// Whether a user that this peer's requests name can be believed: always where no proxies are configured, for then nothing
    /// is known of them.
    pub(super) fn may_name_users(&self, peer: IpAddr) -> bool {
        self.settings.protocol == ProxyProtocol::None || self.settings.trusts(peer)
    }

    /// The address that a request comes from. The port of one that a proxy names is not known, and 0.
    pub(super) fn origin_of(
        &self,
        peer: SocketAddr,
        headers: &HeaderMap,
    ) -> Result<SocketAddr, ForwardedError> {
        if !self.forwards(peer.ip()) {
            return Ok(peer);
        }
        let trusts = |address| self.settings.trusts(address);
        let values = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
        let address = match self.settings.protocol {
            ProxyProtocol::Forwarded => forwarded::by_forwarded(peer.ip(), values(FORWARDED), trusts)?,
            ProxyProtocol::XForwardedFor => {
                forwarded::by_x_forwarded_for(peer.ip(), values(X_FORWARDED_FOR), trusts)?
            }
            ProxyProtocol::None | ProxyProtocol::Proxy => peer.ip(),
        };
        Ok(if address == peer.ip() { peer } else { SocketAddr::new(address, 0) })
    }
}

/// Whether a connection that begins so begins with a PROXY header.
pub(super) fn is_header(begin: &[u8]) -> bool {
    header::begins(begin)
}

/// Reads a PROXY header, and nothing that follows it. Returns whom the proxy speaks for, if it does not speak for itself.
///
/// Not cancel safe: the connection is of no use then.
pub(super) async fn read_header(
    socket: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, HeaderFault> {
    let mut bytes = Vec::new();
    loop {
        match header::read(&bytes)? {
            Progress::Complete(header) => return Ok(header.client),
            Progress::Needs(more) => {
                let before = bytes.len();
                (&mut *socket).take(more as u64).read_to_end(&mut bytes).await?;
                if bytes.len() < before + more {
                    // Say what is wrong with what came, if it is not just its end.
                    header::read(&bytes)?;
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(protocol: ProxyProtocol) -> Proxies {
        let mut settings = Proxy { protocol, ..Proxy::default() };
        settings.trusted_networks = vec!["10.0.0.0/8".parse().unwrap()];
        Proxies::new(settings)
    }

    fn origin(proxies: &Proxies, peer: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
        headers.append(FORWARDED, HeaderValue::from_static("for=192.0.2.2"));
        proxies.origin_of(peer.parse().unwrap(), &headers).unwrap().to_string()
    }

    #[test]
    fn only_the_header_of_the_settings_from_a_trusted_network_counts() {
        let trusted = "10.1.2.3:5000";
        assert_eq!(origin(&proxies(ProxyProtocol::XForwardedFor), trusted), "192.0.2.1:0");
        assert_eq!(origin(&proxies(ProxyProtocol::Forwarded), trusted), "192.0.2.2:0");
        for protocol in [ProxyProtocol::None, ProxyProtocol::Proxy] {
            assert_eq!(origin(&proxies(protocol), trusted), trusted);
        }
        for protocol in [ProxyProtocol::XForwardedFor, ProxyProtocol::Forwarded] {
            assert_eq!(origin(&proxies(protocol), "203.0.113.1:5000"), "203.0.113.1:5000");
        }
    }

    #[test]
    fn only_trusted_networks_send_a_header_before_everything_else() {
        let is_sent = |protocol, peer: &str| proxies(protocol).sends_header(peer.parse().unwrap());
        assert!(
            is_sent(ProxyProtocol::Proxy, "10.0.0.1") && is_sent(ProxyProtocol::Proxy, "::ffff:10.0.0.1")
        );
        assert!(!is_sent(ProxyProtocol::Proxy, "203.0.113.1"));
        assert!(!is_sent(ProxyProtocol::None, "10.0.0.1") && !is_sent(ProxyProtocol::Forwarded, "10.0.0.1"));
    }

    #[tokio::test]
    async fn a_header_is_read_to_its_end_and_no_further() {
        let mut bytes: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\nGET /";
        let client = read_header(&mut bytes).await.unwrap();
        assert_eq!(client, Some("192.0.2.1:4711".parse().unwrap()));
        assert_eq!(bytes, b"GET /");
        for broken in ["", "PROXY TCP4 192", "GET / HTTP/1.1\r\nHost: localhost\r\n"] {
            assert!(read_header(&mut broken.as_bytes()).await.is_err(), "{broken}");
        }
    }

    #[test]
    fn what_holds_for_any_header_holds_for_the_seeds() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/proxy_header");
        let files: Vec<_> = std::fs::read_dir(seeds).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() > 10);
        files.iter().for_each(|file| check::header(&std::fs::read(file).unwrap()));
    }

    proptest::proptest! {
        #[test]
        fn what_holds_for_any_header_holds(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            check::header(&bytes);
            check::header(&[b"\r\n\r\n\0\r\nQUIT\n\x21".as_slice(), &bytes].concat());
        }

        #[test]
        fn what_holds_for_any_line_holds(text in "(PROXY (TCP4|TCP6|UNKNOWN)?[ 0-9a-f.:]{0,110}(\r\n|\n)?.{0,9})?") {
            check::header(text.as_bytes());
        }

        #[test]
        fn what_a_proxy_writes_is_what_is_read(ip: IpAddr, port: u16) {
            let client = SocketAddr::new(ip, port);
            let wanted = SocketAddr::new(ip.to_canonical(), port);
            for header in check::round_trip(client).unwrap() {
                proptest::prop_assert_eq!(header.client, Some(wanted));
            }
        }
    }
}
