use std::net::IpAddr;

use super::HttpProxy;
use crate::{BuildError, Endpoint};

/// What the environment says about proxies, as far as a client asks.
pub(crate) struct Environment<'a>(Lookup<'a>);

/// The value of a variable, by its name.
type Lookup<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// One entry of `no_proxy`.
#[derive(Debug, Eq, PartialEq)]
enum Around<'a> {
    Everything,
    /// This host and all below it.
    Domain(&'a str),
    /// Addresses whose first bits are these.
    Network(IpAddr, u8),
}

impl Environment<'static> {
    /// The variables of this process.
    pub(crate) fn of_process() -> Self {
        Self(Box::new(|name| std::env::var(name).ok()))
    }
}

impl Environment<'_> {
    /// The proxy for a server, if there is one.
    ///
    /// # Errors
    ///
    /// [`BuildError::Proxy`] when a variable holds something that cannot be used. To go around the proxy in silence is
    /// not what whoever has set it wants.
    pub(crate) fn proxy_for(&self, endpoint: &Endpoint) -> Result<Option<HttpProxy>, BuildError> {
        if endpoint.is_loopback() || self.goes_around(endpoint) {
            return Ok(None);
        }
        let in_cgi = (self.0)("REQUEST_METHOD").is_some();
        let names = match (endpoint.is_secure(), in_cgi) {
            (true, _) => ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"].as_slice(),
            (false, false) => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
            (false, true) => &["http_proxy", "all_proxy", "ALL_PROXY"],
        };
        let Some((name, url)) = names.iter().find_map(|name| Some((name, self.value(name)?))) else {
            return Ok(None);
        };
        HttpProxy::parse(&url)
            .map(Some)
            .map_err(|reason| BuildError::Proxy { origin: format!("the variable {name}"), reason })
    }

    /// An empty value is none, as a way to switch a variable off.
    fn value(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.trim().is_empty())
    }

    fn goes_around(&self, endpoint: &Endpoint) -> bool {
        let list = self.value("no_proxy").or_else(|| self.value("NO_PROXY")).unwrap_or_default();
        list.split([',', ' ']).any(|entry| entry_matches(entry.trim(), endpoint))
    }
}

fn entry_matches(entry: &str, endpoint: &Endpoint) -> bool {
    let (around, port) = parse(entry);
    if port.is_some_and(|port| port != endpoint.port()) {
        return false;
    }
    let host = endpoint.host().trim_end_matches('.');
    match around {
        None => false,
        Some(Around::Everything) => true,
        Some(Around::Network(network, bits)) => {
            host.parse().is_ok_and(|address| is_within(address, network, bits))
        }
        Some(Around::Domain(domain)) => {
            let (Some(cut), domain) = (host.len().checked_sub(domain.len()), domain.as_bytes()) else {
                return false;
            };
            let (before, end) = host.as_bytes().split_at(cut);
            end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with(b"."))
        }
    }
}

/// An entry, and the port that it is for.
fn parse(entry: &str) -> (Option<Around<'_>>, Option<u16>) {
    if let Some(address) = network(entry) {
        return (Some(address), None);
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
        Some(_) | None => (entry, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let around = match host {
        "*" => Some(Around::Everything),
        host => network(host).or_else(|| {
            let domain = host.strip_prefix("*.").or_else(|| host.strip_prefix('.')).unwrap_or(host);
            (!domain.is_empty()).then_some(Around::Domain(domain))
        }),
    };
    (around, port)
}

/// An address, or a network in CIDR notation.
fn network(text: &str) -> Option<Around<'static>> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(all), str::parse).ok().filter(|bits| *bits <= all)?;
    Some(Around::Network(address, bits))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let differ = address.to_bits() ^ network.to_bits();
            differ.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differ = address.to_bits() ^ network.to_bits();
            differ.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let get = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let endpoint = url.parse().unwrap();
        Environment(Box::new(get)).proxy_for(&endpoint).unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn each_scheme_has_its_variable_and_small_letters_go_first() {
        let all = [
            ("HTTPS_PROXY", "http://S:1"),
            ("https_proxy", "http://s:1"),
            ("HTTP_PROXY", "http://P:1"),
            ("http_proxy", "http://p:1"),
            ("ALL_PROXY", "http://A:1"),
            ("all_proxy", "http://a:1"),
        ];
        let chosen = |skip: usize, url| chosen(&all[skip..], url);
        assert_eq!(chosen(0, "wss://example.org").as_deref(), Some("http://s:1"));
        assert_eq!(chosen(2, "wss://example.org").as_deref(), Some("http://a:1"));
        assert_eq!(chosen(2, "ws://example.org").as_deref(), Some("http://p:1"));
        assert_eq!(chosen(4, "ws://example.org").as_deref(), Some("http://a:1"));
        assert_eq!(chosen(6, "ws://example.org"), None);
    }

    #[test]
    fn capitals_and_empty_values_count_as_far_as_they_should() {
        for (variables, expected) in [
            (vec![("HTTP_PROXY", "p:1")], Some("http://p:1")),
            (vec![("HTTP_PROXY", "p:1"), ("REQUEST_METHOD", "GET")], None),
            (vec![("http_proxy", "p:1"), ("REQUEST_METHOD", "GET")], Some("http://p:1")),
            (vec![("http_proxy", ""), ("ALL_PROXY", "a:1")], Some("http://a:1")),
        ] {
            assert_eq!(chosen(&variables, "ws://example.org").as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        for url in ["ws://localhost:8080", "ws://127.0.0.1", "ws://[::1]"] {
            assert_eq!(chosen(&[("all_proxy", "http://p:1")], url), None, "{url}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_domains_networks_and_ports() {
        for (list, url, around) in [
            ("*", "ws://example.org", true),
            ("example.org", "ws://example.org", true),
            ("EXAMPLE.org", "ws://chat.Example.ORG", true),
            (".example.org", "ws://example.org", true),
            ("*.example.org", "ws://chat.example.org", true),
            ("example.org", "ws://notexample.org", false),
            ("example.org", "ws://example.org.evil.net", false),
            ("org", "ws://example.org", true),
            ("example.org:8080", "ws://example.org:8080", true),
            ("example.org:8080", "ws://example.org", false),
            ("a.net, example.org ,b.net", "ws://example.org", true),
            ("a.net example.org", "ws://example.org", true),
            ("", "ws://example.org", false),
            (",,", "ws://example.org", false),
            ("10.0.0.0/8", "ws://10.1.2.3", true),
            ("10.0.0.0/8", "ws://11.1.2.3", false),
            ("10.1.2.3", "ws://10.1.2.3:99", true),
            ("10.1.2.3:98", "ws://10.1.2.3:99", false),
            ("10.0.0.0/33", "ws://10.0.0.0", false),
            ("0.0.0.0/0", "ws://8.8.8.8", true),
            ("fd00::/8", "ws://[fd12::1]", true),
            ("fd00::/8", "ws://[fe12::1]", false),
            ("[fd12::1]:80", "ws://[fd12::1]", true),
        ] {
            for name in ["no_proxy", "NO_PROXY"] {
                let found = chosen(&[("all_proxy", "http://p:1"), (name, list)], url);
                assert_eq!(found.is_none(), around, "{list} for {url}");
            }
        }
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named_and_not_gone_around() {
        let get = |name: &str| (name == "ALL_PROXY").then(|| "socks5://ann:secret@h:1".to_owned());
        let endpoint = "ws://example.org".parse().unwrap();
        let error = Environment(Box::new(get)).proxy_for(&endpoint).err().unwrap();
        let reason = "a proxy with the scheme \"socks5\" is not supported, only http";
        assert_eq!(
            error.to_string(),
            format!("the variable ALL_PROXY names no proxy that can be used: {reason}")
        );
    }
}
