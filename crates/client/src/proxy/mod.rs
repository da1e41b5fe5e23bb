//! The way to a server through an HTTP proxy.

mod environment;
mod tunnel;

use base64::{Engine as _, engine::general_purpose::STANDARD};

pub(crate) use self::{environment::Environment, tunnel::open_tunnel};
use crate::{BuildError, Endpoint};

/// The way to the server; see [`ClientBuilder::proxy`](crate::ClientBuilder::proxy).
///
/// ```
/// use throng_client::{Client, Proxy};
///
/// let through = Client::builder("wss://chat.example").proxy(Proxy::Http("http://ann:secret@proxy.example:3128".into()));
/// let around = Client::builder("wss://chat.example").proxy(Proxy::Direct);
/// # let _ = (through, around);
/// ```
#[derive(Clone, Default, Eq, PartialEq)]
pub enum Proxy {
    /// What the environment says, as for other programs: `https_proxy` for `wss`, `http_proxy` for `ws`, else
    /// `all_proxy`; not for the hosts of `no_proxy`, and never for this machine. Each name in small letters goes before
    /// the same in capitals; `HTTP_PROXY` in capitals is not looked at in a CGI program, where a request could set it.
    /// Read when the client is built. The default.
    #[default]
    Environment,
    /// No proxy, whatever the environment says.
    Direct,
    /// This one, for every host: `http://host:port`, with `user:password@` before the host if it wants them. The
    /// connection to the proxy itself is not encrypted; what goes through it to a `wss` server is.
    Http(String),
}

/// A proxy that opens tunnels (the method CONNECT).
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct HttpProxy {
    /// Where it is; the scheme means nothing.
    pub(crate) endpoint: Endpoint,
    /// The value of `Proxy-Authorization`.
    pub(crate) authorization: Option<String>,
}

impl Proxy {
    /// The proxy for a server, if there is one.
    ///
    /// # Errors
    ///
    /// [`BuildError::Proxy`] when it cannot be used.
    pub(crate) fn for_endpoint(&self, endpoint: &Endpoint) -> Result<Option<HttpProxy>, BuildError> {
        match self {
            Self::Direct => Ok(None),
            Self::Http(url) => HttpProxy::parse(url)
                .map(Some)
                .map_err(|reason| BuildError::Proxy { origin: "the setting".to_owned(), reason }),
            Self::Environment => Environment::of_process().proxy_for(endpoint),
        }
    }
}

impl HttpProxy {
    /// Takes a URL apart. The reason for a refusal names no part of it, since it may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(format!("a proxy with the scheme {scheme:?} is not supported, only http"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        let endpoint: Endpoint = format!("ws://{host}").parse().map_err(|error| format!("{error}"))?;
        if endpoint.has_path() || endpoint.uri().query().is_some() {
            return Err("the proxy's URL has a path".to_owned());
        }
        let authorization = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            let plain = [&percent_decoded(user)[..], b":", &percent_decoded(password)].concat();
            format!("Basic {}", STANDARD.encode(plain))
        });
        Ok(Self { endpoint, authorization })
    }
}

/// Without what may be a password.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Environment => "Environment",
            Self::Direct => "Direct",
            Self::Http(_) => "Http(…)",
        })
    }
}

/// As a URL, without user and password.
impl std::fmt::Display for HttpProxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "http://{}:{}", self.endpoint.bracketed_host(), self.endpoint.port())
    }
}

/// What is no percent code stays as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'%').then(|| after.first_chunk::<2>()).flatten();
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_url_is_a_host_a_port_and_perhaps_a_user() {
        for (url, shown, authorization) in [
            ("http://proxy.example:3128", "http://proxy.example:3128", None),
            ("http://proxy.example:3128/", "http://proxy.example:3128", None),
            ("proxy.example", "http://proxy.example:80", None),
            ("http://[::1]:8080", "http://[::1]:8080", None),
            ("http://ann:secret@proxy:1", "http://proxy:1", Some("Basic YW5uOnNlY3JldA==")),
            ("http://ann@proxy:1", "http://proxy:1", Some("Basic YW5uOg==")),
            ("HTTP://a%40b:c%3Ad%zz@proxy:1", "http://proxy:1", Some("Basic YUBiOmM6ZCV6eg==")),
        ] {
            let proxy = HttpProxy::parse(url).unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(proxy.authorization.as_deref(), authorization, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_password() {
        for (url, reason) in [
            ("socks5://ann:secret@h:1", "a proxy with the scheme \"socks5\" is not supported, only http"),
            ("https://h:1", "a proxy with the scheme \"https\" is not supported, only http"),
            ("http://ann:secret@h:1/path", "the proxy's URL has a path"),
            ("http://ann:secret@", "the URL names no host"),
            ("http://ann:secret@h:99999", "the URL's port is not a number from 0 to 65535"),
        ] {
            assert_eq!(HttpProxy::parse(url).err().as_deref(), Some(reason), "{url}");
        }
        assert_eq!(format!("{:?}", Proxy::Http("http://ann:secret@h".to_owned())), "Http(…)");
    }
}
