//! Who stands before the server, and how much memory it may take: tables `[http_server]`, `[http_server.proxy]` and `[memory]`.

use std::net::{IpAddr, Ipv4Addr};

use super::{network::Network, tls::Tls};

/// Where the server listens: table `[http_server]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HttpServer {
    /// Address to listen on. Default 127.0.0.1.
    pub address: IpAddr,
    /// Port to listen on; 0 takes any free one. Default 8080.
    pub port: u16,
    /// Address for the API, health and metrics; `None` is `address`. Default `None`. See
    /// [`Settings::internal_listen_address`](super::Settings::internal_listen_address).
    pub internal_address: Option<IpAddr>,
    /// Port for the API, health and metrics; `None` is `port`, 0 takes any free one. Default `None`.
    pub internal_port: Option<u16>,
    /// Proxies before the server.
    pub proxy: Proxy,
    /// TLS, for both addresses. Off by default.
    pub tls: Tls,
}

impl Default for HttpServer {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            internal_address: None,
            internal_port: None,
            proxy: Proxy::default(),
            tls: Tls::default(),
        }
    }
}

/// Proxies before the server, which say whom they speak for: table `[http_server.proxy]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Proxy {
    /// How they say it. Default: there are none.
    pub protocol: ProxyProtocol,
    /// Networks whose word is believed; not empty if there is a protocol. Default none.
    pub trusted_networks: Vec<Network>,
}

impl Proxy {
    /// Whether the word of this address is believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_networks.iter().any(|network| network.contains(address))
    }
}

/// How proxies say whom they speak for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ProxyProtocol {
    /// There are none; nobody's word is believed.
    #[default]
    None,
    /// By the header `Forwarded` (RFC 7239).
    Forwarded,
    /// By the header `X-Forwarded-For`.
    XForwardedFor,
    /// By the PROXY protocol, version 1 or 2, before everything else on the connection.
    Proxy,
}

/// How much memory the process may take: table `[memory]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Memory {
    /// Bytes of resident memory above which new WebSocket connections get 503 and history shrinks; `None` is three quarters of
    /// what the system, or the control group of the process, has. Default `None`.
    pub soft_limit: Option<usize>,
}
