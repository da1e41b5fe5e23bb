//! The HTTP server API: table `[http_api]`.

use std::time::Duration;

use super::Secret;

/// The HTTP server API: table `[http_api]`. It is off until there is a key.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HttpApi {
    /// What callers must show; empty switches the API off. Default empty.
    pub key: Secret,
    /// The file that [`Sources`](super::Sources) read `key` from; empty if there was none. A program fills in `key` alone.
    pub key_file: String,
    /// Whether the API is off in spite of a key. Default false.
    pub disabled: bool,
    /// Whether the API is served on the public address, too, where internal endpoints have one of their own. Default false.
    pub external: bool,
    /// Path below which the methods are. Default `/api`.
    pub handler_prefix: String,
    /// Whether callers need no key; on loopback addresses only. Default false.
    pub insecure: bool,
    /// Whether errors are told by the HTTP status. Default false: the status is 200.
    pub error_mode_transport: bool,
    /// Bytes a request's body may have. Default 1 MiB.
    pub body_size_limit: usize,
    /// Requests that may be answered at once; more get 503. Default 256.
    pub max_concurrent_requests: usize,
    /// Time within which a request must be there and is answered. Default 10 s.
    pub request_timeout: Duration,
    /// Time a connection of a caller may be idle between two requests. Default 60 s.
    pub idle_timeout: Duration,
}

impl Default for HttpApi {
    fn default() -> Self {
        Self {
            key: Secret::default(),
            key_file: String::new(),
            disabled: false,
            external: false,
            handler_prefix: "/api".to_owned(),
            insecure: false,
            error_mode_transport: false,
            body_size_limit: 1 << 20,
            max_concurrent_requests: 256,
            request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
        }
    }
}
