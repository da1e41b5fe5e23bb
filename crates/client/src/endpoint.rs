use std::{fmt, net::IpAddr};

use http::Uri;

/// Where a server is: a checked `ws://` or `wss://` URL.
///
/// `http://` and `https://` are taken as `ws://` and `wss://`, and a text without a scheme as `ws://`, so that what
/// stands in a browser's address bar works. A URL without a path is a *base*: [`or_path`](Self::or_path) completes it.
/// `Display` leaves the query out, because that is where some servers want a token.
///
/// ```
/// # use throng_client::Endpoint;
/// let base: Endpoint = "https://chat.example".parse()?;
/// assert_eq!(base.or_path("/echo").to_string(), "wss://chat.example/echo");
/// let full: Endpoint = "localhost:8080/relay/lobby?token=secret".parse()?;
/// assert_eq!(full.or_path("/echo").to_string(), "ws://localhost:8080/relay/lobby");
/// # Ok::<(), throng_client::EndpointError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    uri: Uri,
}

impl Endpoint {
    /// Where the Centrifuge protocol is spoken, on throng and on Centrifugo.
    pub const PROTOCOL_PATH: &str = "/connection/websocket";

    /// Completes a base with a path; a URL that has a path of its own stays as it is.
    ///
    /// # Panics
    ///
    /// When `path` is not a path: it starts with `/` and holds only characters that a URL may hold.
    #[must_use]
    pub fn or_path(&self, path: &str) -> Self {
        if self.uri.path() != "/" {
            return self.clone();
        }
        let path_and_query = match self.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(path_and_query.parse().expect("the caller gives a path"));
        Self { uri: Uri::from_parts(parts).expect("scheme and authority are unchanged") }
    }

    /// The relay of a room on a base; a URL that has a path of its own stays as it is.
    ///
    /// Characters of the room that a path cannot hold are percent-encoded.
    ///
    /// ```
    /// # use throng_client::Endpoint;
    /// let base: Endpoint = "ws://127.0.0.1:8080".parse()?;
    /// assert_eq!(base.or_relay("tea room").to_string(), "ws://127.0.0.1:8080/relay/tea%20room");
    /// # Ok::<(), throng_client::EndpointError>(())
    /// ```
    #[must_use]
    pub fn or_relay(&self, room: &str) -> Self {
        self.or_path(&format!("/relay/{}", percent_encoded(room)))
    }

    /// True when the path is given, so that [`or_path`](Self::or_path) changes nothing.
    pub fn has_path(&self) -> bool {
        self.uri.path() != "/"
    }

    /// True for `wss`.
    pub fn is_secure(&self) -> bool {
        self.uri.scheme_str() == Some("wss")
    }

    /// True when the host is this machine: `localhost`, `127.0.0.0/8` or `::1`.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Host name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The host as a URL has it: an IPv6 address in its brackets.
    pub(crate) fn bracketed_host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    /// TCP port: what the URL says, else 443 for `wss` and 80 for `ws`.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_secure() { 443 } else { 80 })
    }

    /// True when the URL names a port, so that [`port`](Self::port) is no assumption.
    pub fn has_port(&self) -> bool {
        self.uri.port().is_some()
    }

    /// The path: `/` when the URL names none.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The whole URL as text, its query included: not for logs.
    pub fn to_url(&self) -> String {
        self.uri.to_string()
    }

    /// The whole URL, query included.
    pub(crate) const fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(EndpointError::Empty);
        }
        if text.contains('#') {
            return Err(EndpointError::Fragment);
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("ws", text));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            _ => return Err(EndpointError::Scheme(scheme.to_owned())),
        };
        if rest.is_empty() || rest.starts_with(['/', ':', '?']) {
            return Err(EndpointError::NoHost);
        }
        let uri: Uri = format!("{scheme}://{rest}").parse()?;
        let authority = uri.authority().ok_or(EndpointError::NoHost)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::UserInfo);
        }
        // `http` lets a port of any length through and then says that there is none.
        if authority.port_u16().is_none() && authority.as_str() != authority.host() {
            return Err(EndpointError::Port);
        }
        Ok(Self { uri })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let path = if self.has_path() { self.uri.path() } else { "" };
        write!(formatter, "{scheme}://{authority}{path}")
    }
}

/// Why a text is no [`Endpoint`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is no text.
    #[error("the URL is empty")]
    Empty,
    /// The scheme is none of `ws`, `wss`, `http`, `https`.
    #[error("unknown scheme {0:?}: a server's URL starts with ws:// or wss://")]
    Scheme(String),
    /// There is no host.
    #[error("the URL names no host")]
    NoHost,
    /// The port is no number from 0 to 65,535.
    #[error("the URL's port is not a number from 0 to 65535")]
    Port,
    /// User and password in a URL end up in logs.
    #[error("the URL holds a user or password, which a WebSocket handshake cannot carry")]
    UserInfo,
    /// A fragment is never sent to a server; a `#` that belongs to a name is written `%23`.
    #[error("the URL holds a '#', which is never sent to a server; write it as %23")]
    Fragment,
    /// Some character or part is not allowed in a URL.
    #[error("not a URL")]
    Invalid(#[from] http::uri::InvalidUri),
}

/// Keeps what RFC 3986 calls unreserved and encodes the rest.
fn percent_encoded(segment: &str) -> String {
    use fmt::Write as _;

    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_base_is_completed_and_a_full_url_is_left_alone() {
        for (text, expected) in [
            ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/connection/websocket"),
            ("ws://127.0.0.1:8080/", "ws://127.0.0.1:8080/connection/websocket"),
            ("http://example.org", "ws://example.org/connection/websocket"),
            ("HTTPS://example.org", "wss://example.org/connection/websocket"),
            ("localhost:8080", "ws://localhost:8080/connection/websocket"),
            ("ws://[::1]:8080", "ws://[::1]:8080/connection/websocket"),
            ("wss://example.org/chat", "wss://example.org/chat"),
            ("example.org/chat/", "ws://example.org/chat/"),
        ] {
            assert_eq!(endpoint(text).or_path(Endpoint::PROTOCOL_PATH).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn the_query_is_sent_but_not_shown() {
        let url = endpoint("ws://example.org?token=secret").or_path("/echo");
        assert_eq!(url.to_string(), "ws://example.org/echo");
        assert_eq!(url.uri().to_string(), "ws://example.org/echo?token=secret");
    }

    #[test]
    fn host_and_port_are_what_a_socket_needs() {
        for (text, host, port, loopback) in [
            ("ws://[::1]:8080", "::1", 8080, true),
            ("ws://127.1.2.3", "127.1.2.3", 80, true),
            ("wss://localhost", "localhost", 443, true),
            ("wss://example.org:1", "example.org", 1, false),
        ] {
            let endpoint = endpoint(text);
            assert_eq!((endpoint.host(), endpoint.port(), endpoint.is_loopback()), (host, port, loopback));
            assert_eq!(endpoint.has_port(), text.ends_with(&format!(":{port}")), "{text}");
        }
    }

    #[test]
    fn a_room_may_hold_any_character() {
        for (room, path) in [
            ("lobby", "/relay/lobby"),
            ("a/b?c#d", "/relay/a%2Fb%3Fc%23d"),
            ("Straße 5", "/relay/Stra%C3%9Fe%205"),
            ("100%", "/relay/100%25"),
        ] {
            assert_eq!(endpoint("ws://h").or_relay(room).uri().path(), path);
        }
        assert_eq!(endpoint("ws://h/mine").or_relay("lobby").uri().path(), "/mine");
    }

    #[test]
    fn what_is_no_url_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "the URL is empty"),
            ("ftp://h", "unknown scheme \"ftp\": a server's URL starts with ws:// or wss://"),
            ("ws://", "the URL names no host"),
            ("ws:///path", "the URL names no host"),
            ("ws://:80", "the URL names no host"),
            ("ws://h:99999", "the URL's port is not a number from 0 to 65535"),
            ("ws://h:", "the URL's port is not a number from 0 to 65535"),
            (
                "ws://ann:secret@h",
                "the URL holds a user or password, which a WebSocket handshake cannot carry",
            ),
            ("ws://h/relay/#a", "the URL holds a '#', which is never sent to a server; write it as %23"),
            ("ws://h h", "not a URL"),
        ] {
            assert_eq!(text.parse::<Endpoint>().map_err(|error| error.to_string()), Err(reason.to_owned()));
        }
    }
}
