use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    BuildError, Endpoint, Proxy, QueueBounds,
    dial::{Dialer, Target},
    state::ReconnectPolicy,
};

/// Headers that belong to the opening handshake itself.
const HANDSHAKE_HEADERS: [&str; 8] = [
    "connection",
    "content-length",
    "host",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
];

/// What every kind of client can set about its connections.
#[derive(Clone)]
pub(crate) struct Options {
    /// In the order in which they are tried; at least one.
    pub(crate) urls: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) proxy: Proxy,
    pub(crate) reconnect: ReconnectPolicy,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_message_bytes: usize,
    pub(crate) queue: QueueBounds,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// How a test opens its streams.
    #[cfg(test)]
    pub(crate) opener: Option<crate::dial::Opener>,
}

impl Options {
    pub(crate) fn new(url: String) -> Self {
        Self {
            urls: vec![url],
            headers: Vec::new(),
            proxy: Proxy::default(),
            reconnect: ReconnectPolicy::default(),
            connect_timeout: Duration::from_secs(10),
            max_message_bytes: 16 << 20,
            queue: QueueBounds::default(),
            tls: None,
            #[cfg(test)]
            opener: None,
        }
    }

    /// The servers, in the order in which they are tried.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, BuildError> {
        self.urls.iter().map(|url| Ok(url.parse()?)).collect()
    }

    pub(crate) fn dialer(
        &self,
        endpoints: Vec<Endpoint>,
        subprotocol: Option<&'static str>,
    ) -> Result<Dialer, BuildError> {
        let mut tls = self.tls.clone();
        let targets = endpoints
            .into_iter()
            .map(|endpoint| {
                let proxy = self.proxy.for_endpoint(&endpoint)?;
                Target::new(endpoint, proxy, &mut tls)
            })
            .collect::<Result<_, BuildError>>()?;
        let dialer =
            Dialer::new(targets, self.headers()?, subprotocol, self.max_message_bytes, self.connect_timeout);
        #[cfg(test)]
        if let Some(opener) = &self.opener {
            return Ok(dialer.with_opener(Arc::clone(opener)));
        }
        Ok(dialer)
    }

    fn headers(&self) -> Result<HeaderMap, BuildError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let bad = |reason| BuildError::Header { name: name.clone(), reason };
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("this is no header's name"))?;
            if HANDSHAKE_HEADERS.contains(&key.as_str()) {
                return Err(bad("it belongs to the handshake itself"));
            }
            let mut value =
                HeaderValue::from_str(value).map_err(|_| bad("its value holds what a header cannot"))?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
        Ok(headers)
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Options")
            .field("reconnect", &self.reconnect)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_message_bytes", &self.max_message_bytes)
            .field("queue", &self.queue)
            .finish_non_exhaustive() // the URL's query may hold a token
    }
}

/// The setters that the builders share, over a field `options`.
macro_rules! option_setters {
    () => {
        /// One more server, with the same setting as the first: after a failed attempt the next one is tried, in turn,
        /// and after the loss of a connection first the one that it was to. A server that refuses for good (see
        /// [`Disconnect::reconnects`](crate::Disconnect::reconnects)) stops the client; the others are not asked.
        pub fn endpoint(mut self, url: impl Into<String>) -> Self {
            self.options.urls.push(url.into());
            self
        }

        /// A header for the opening handshake, beside those that it needs. Given twice it is sent twice. Not shown by
        /// `Debug`.
        pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.options.headers.push((name.into(), value.into()));
            self
        }

        /// The way to the server. Default: what the environment says of proxies.
        pub fn proxy(mut self, proxy: $crate::Proxy) -> Self {
            self.options.proxy = proxy;
            self
        }

        /// How long to wait between attempts. Default 500 ms, doubling up to 20 s, with full jitter. Starts again at
        /// its base once a connection has lasted 5 s.
        pub fn backoff(mut self, backoff: $crate::Backoff) -> Self {
            self.options.reconnect.backoff = backoff;
            self
        }

        /// How many attempts in a row may fail before the client stops with
        /// [`Disconnect::GaveUp`](crate::Disconnect::GaveUp). 0: a lost connection is not tried again.
        /// Default: as many as it takes.
        pub fn max_attempts(mut self, attempts: u32) -> Self {
            self.options.reconnect.max_attempts = Some(attempts);
            self
        }

        /// Time for one attempt: name resolution, TCP, TLS and the opening handshake together. Default 10 s.
        pub fn connect_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.connect_timeout = timeout;
            self
        }

        /// Longest WebSocket message that is received, in bytes. A longer one stops the client with
        /// [`Disconnect::MessageTooLong`](crate::Disconnect::MessageTooLong). Default 16 MiB.
        pub fn max_message_bytes(mut self, bytes: usize) -> Self {
            self.options.max_message_bytes = bytes;
            self
        }

        /// How far a reader may fall behind before the oldest events are dropped. Default 1,024 events, 4 MiB.
        pub fn queue(mut self, bounds: $crate::QueueBounds) -> Self {
            self.options.queue = bounds;
            self
        }

        /// TLS settings for `wss`, for example with an own root certificate. Default: TLS 1.2 and 1.3, and the
        /// root certificates of the system (or of the file that the variable `SSL_CERT_FILE` names).
        pub fn tls_config(mut self, config: std::sync::Arc<rustls::ClientConfig>) -> Self {
            self.options.tls = Some(config);
            self
        }

        /// Runs over something else than TCP.
        #[cfg(test)]
        pub(crate) fn set_opener(&mut self, opener: $crate::dial::Opener) {
            self.options.opener = Some(opener);
        }
    };
}
pub(crate) use option_setters;
