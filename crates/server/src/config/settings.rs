//! The settings that the rest of the server trusts: plain values, every one with a default.

use std::{borrow::Cow, net::SocketAddr, num::NonZero, thread, time::Duration};

use throng_registry::ShardId;

use super::{
    channel::{Channel, ChannelOptions},
    client::{Client, Rpc},
    door::{HttpServer, Memory},
    engine::Engine,
    http_api::HttpApi,
};

/// Everything that can be set. [`Settings::default`] is what `throng-server` uses without any configuration.
///
/// Names follow the configuration file: `settings.client.ping_interval` is `ping_interval` of the table `[client]`.
///
/// ```
/// use throng_server::config::Settings;
///
/// let mut settings = Settings::default();
/// settings.http_server.port = 0; // any free port
/// assert!(settings.relay_enabled(), "the relay is open on a loopback address");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Where the server listens.
    pub http_server: HttpServer,
    /// What one client connection may use, and how it is watched.
    pub client: Client,
    /// The WebSocket endpoint of the protocol.
    pub websocket: WebSocket,
    /// Channels and their options.
    pub channel: Channel,
    /// Where streams, presence and idempotency keys live.
    pub engine: Engine,
    /// The HTTP server API.
    pub http_api: HttpApi,
    /// What the server answers to calls by itself.
    pub rpc: Rpc,
    /// The plain relay, `/relay/{room}` and upgrades of `/`.
    pub relay: Relay,
    /// The endpoint `/echo`, which sends back what it gets.
    pub echo: Echo,
    /// The threads that own the connections.
    pub shards: Shards,
    /// How the server stops.
    pub shutdown: Shutdown,
    /// What the binary logs, and how.
    pub log: Log,
    /// The endpoint `/health`.
    pub health: Health,
    /// The endpoint `/metrics`.
    pub prometheus: Prometheus,
    /// How much memory the process may take.
    pub memory: Memory,
}

impl Settings {
    /// Address and port to listen on.
    pub const fn listen_address(&self) -> SocketAddr {
        SocketAddr::new(self.http_server.address, self.http_server.port)
    }

    /// Address and port of the API, health and metrics; `None` if they are served where everything else is.
    pub fn internal_listen_address(&self) -> Option<SocketAddr> {
        let HttpServer { address, port, internal_address, internal_port, .. } = self.http_server;
        let internal = SocketAddr::new(internal_address.unwrap_or(address), internal_port.unwrap_or(port));
        // Port 0 stands for another port each time.
        (internal != self.listen_address() || internal_port == Some(0)).then_some(internal)
    }

    /// Whether only programs on this machine can reach the server; for what is internal see
    /// [`internals_listen_on_loopback`](Self::internals_listen_on_loopback).
    pub const fn listens_on_loopback(&self) -> bool {
        self.http_server.address.to_canonical().is_loopback()
    }

    /// Whether only programs on this machine can reach health, metrics, and the API where it is not external.
    pub fn internals_listen_on_loopback(&self) -> bool {
        let address = self.internal_listen_address().map_or(self.http_server.address, |address| address.ip());
        address.to_canonical().is_loopback()
    }

    /// Whether only programs on this machine can reach the API.
    pub fn api_listens_on_loopback(&self) -> bool {
        self.internals_listen_on_loopback() && (!self.http_api.external || self.listens_on_loopback())
    }

    /// Whether there is a key to check tokens with, so that clients can show who they are.
    pub fn checks_tokens(&self) -> bool {
        let Client { token, subscription_token, insecure_skip_token_signature_verify: unchecked, .. } =
            &self.client;
        *unchecked || token.has_keys() || (subscription_token.enabled && subscription_token.token.has_keys())
    }

    /// Whether a client without a token may connect: where [`Client::allow_anonymous_connect_without_token`] says so, and on a
    /// loopback address as long as there is no key to check tokens with.
    pub fn anonymous_allowed(&self) -> bool {
        let is_first_try = self.listens_on_loopback() && !self.checks_tokens();
        is_first_try || self.client.allow_anonymous_connect_without_token
    }

    /// Options of channels without a namespace: those that were set; else everything that a first try needs, where clients need no
    /// token and no namespaces were set; else all off.
    pub fn without_namespace(&self) -> Cow<'_, ChannelOptions> {
        match &self.channel.without_namespace {
            Some(options) => Cow::Borrowed(options),
            None if self.channels_are_open() => Cow::Owned(ChannelOptions::open()),
            None => Cow::Owned(ChannelOptions::default()),
        }
    }

    /// Whether everybody may do everything in channels, because clients need no token and nothing was said of channels.
    pub fn channels_are_open(&self) -> bool {
        let nothing_said = self.channel.without_namespace.is_none() && self.channel.namespaces.is_empty();
        nothing_said && self.anonymous_allowed()
    }

    /// Whether the HTTP server API is on.
    pub fn http_api_enabled(&self) -> bool {
        !self.http_api.disabled && (self.http_api.insecure || !self.http_api.key.is_empty())
    }

    /// Whether the relay is served: as [`Relay::enabled`] says, else on a loopback address only.
    pub fn relay_enabled(&self) -> bool {
        self.relay.enabled.unwrap_or_else(|| self.listens_on_loopback())
    }

    /// Whether `/echo` is served: as [`Echo::enabled`] says, else on a loopback address only.
    pub fn echo_enabled(&self) -> bool {
        self.echo.enabled.unwrap_or_else(|| self.listens_on_loopback())
    }

    /// Whether `/metrics` is served: as [`Prometheus::enabled`] says, else on a loopback address only.
    pub fn prometheus_enabled(&self) -> bool {
        self.prometheus.enabled.unwrap_or_else(|| self.internals_listen_on_loopback())
    }
}

/// The WebSocket endpoint of the protocol: table `[websocket]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WebSocket {
    /// Path of the endpoint. Default `/connection/websocket`.
    pub handler_prefix: String,
    /// Bytes one message from a client may have. Default 64 KiB.
    pub message_size_limit: usize,
    /// Time within which a new connection must have sent its request. Default 10 s.
    pub handshake_timeout: Duration,
    /// Bytes the head of an HTTP request may have. Default 16 KiB.
    pub header_max_size: usize,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            handler_prefix: "/connection/websocket".into(),
            message_size_limit: 64 * 1024,
            handshake_timeout: Duration::from_secs(10),
            header_max_size: 16 * 1024,
        }
    }
}

/// The plain relay: table `[relay]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Relay {
    /// Whether the relay is served; `None` serves it on a loopback address only. Default `None`. Ask
    /// [`Settings::relay_enabled`].
    pub enabled: Option<bool>,
    /// Room of an upgrade on `/`. Default `lobby`.
    pub default_room: String,
    /// Bytes one message may have. Default 64 KiB.
    pub message_size_limit: usize,
}

impl Default for Relay {
    fn default() -> Self {
        Self { enabled: None, default_room: "lobby".into(), message_size_limit: 64 * 1024 }
    }
}

/// The endpoint `/echo`: table `[echo]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Echo {
    /// Whether `/echo` is served; `None` serves it on a loopback address only. Default `None`. Ask
    /// [`Settings::echo_enabled`].
    pub enabled: Option<bool>,
    /// Bytes one message may have. Default 16 MiB.
    pub message_size_limit: usize,
    /// Frames one message may be cut into. Default 65,536.
    pub max_fragments: u32,
}

impl Default for Echo {
    fn default() -> Self {
        Self { enabled: None, message_size_limit: 16 * 1024 * 1024, max_fragments: 65_536 }
    }
}

/// The threads that own the connections: table `[shards]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Shards {
    /// Number of shards, 1 to [`MAX_COUNT`](Self::MAX_COUNT). Default: the number of cores this process may use.
    pub count: usize,
    /// Publications one shard's queue may hold. Default 1024.
    pub queue_capacity: usize,
    /// Time a publisher waits for room in the queues before it is refused. Default 250 ms.
    pub publish_wait: Duration,
    /// Bytes that the outboxes of one shard may hold together. Default 256 MiB.
    pub backlog_max_size: usize,
}

impl Shards {
    /// The largest number of shards: a channel keeps one bit for each.
    pub const MAX_COUNT: usize = ShardId::MAX_SHARDS;
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            count: thread::available_parallelism().map_or(1, NonZero::get).min(Self::MAX_COUNT),
            queue_capacity: 1024,
            publish_wait: Duration::from_millis(250),
            backlog_max_size: 256 * 1024 * 1024,
        }
    }
}

/// How the server stops: table `[shutdown]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Time for all clients together to take their last messages and leave; who is left is cut. Default 30 s.
    pub timeout: Duration,
    /// Time one client has for the closing handshake, also outside a shutdown. Default 5 s.
    pub close_timeout: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), close_timeout: Duration::from_secs(5) }
    }
}

/// What the binary logs, and how: table `[log]`. The library itself only emits `tracing` events.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Log {
    /// `trace`, `debug`, `info`, `warn`, `error`, `none`, or directives such as `info,throng_server=debug`. Default
    /// `info`.
    pub level: String,
    /// Shape of a log line. Default text.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The endpoint `/health`: table `[health]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// Whether `/health` is served. Default true.
    pub enabled: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The endpoint `/metrics`: table `[prometheus]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Prometheus {
    /// Whether `/metrics` is served; `None` serves it on a loopback address only. Default `None`. Ask
    /// [`Settings::prometheus_enabled`].
    pub enabled: Option<bool>,
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn loopback_opens_the_convenient_endpoints_and_other_addresses_close_them() {
        let mut settings = Settings::default();
        assert!(settings.relay_enabled() && settings.echo_enabled() && settings.prometheus_enabled());
        assert!(settings.anonymous_allowed());

        settings.http_server.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert!(!settings.relay_enabled() && !settings.echo_enabled() && !settings.prometheus_enabled());
        assert!(!settings.anonymous_allowed());
    }

    #[test]
    fn a_key_for_tokens_ends_the_time_of_anonymous_clients_and_open_channels() {
        let mut settings = Settings::default();
        settings.client.token.hmac_secret_key = "secret".into();
        assert!(settings.checks_tokens() && !settings.anonymous_allowed() && !settings.channels_are_open());
        assert_eq!(*settings.without_namespace(), ChannelOptions::default());
        settings.client.allow_anonymous_connect_without_token = true;
        assert!(settings.anonymous_allowed());

        let mut settings = Settings::default();
        settings.client.subscription_token.token.hmac_secret_key = "secret".into();
        assert!(!settings.checks_tokens(), "it is not enabled");
        settings.client.subscription_token.enabled = true;
        assert!(settings.checks_tokens());
    }

    #[test]
    fn what_is_set_wins_over_what_the_address_suggests() {
        let mut settings = Settings::default();
        settings.relay.enabled = Some(false);
        assert!(!settings.relay_enabled());

        settings.http_server.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        settings.relay.enabled = Some(true);
        assert!(settings.relay_enabled());
    }

    #[test]
    fn an_ipv4_loopback_address_written_as_ipv6_is_loopback() {
        let mut settings = Settings::default();
        settings.http_server.address = "::ffff:127.0.0.1".parse().unwrap();
        assert!(settings.listens_on_loopback());
    }

    #[test]
    fn what_is_internal_has_an_address_of_its_own_if_it_differs_from_the_public_one() {
        let mut settings = Settings::default();
        assert_eq!(settings.internal_listen_address(), None);
        settings.http_server.internal_address = Some(Ipv4Addr::LOCALHOST.into());
        settings.http_server.internal_port = Some(8080);
        assert_eq!(settings.internal_listen_address(), None, "it is the same");
        settings.http_server.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert_eq!(settings.internal_listen_address(), Some("127.0.0.1:8080".parse().unwrap()));
        settings.http_server.internal_address = None;
        settings.http_server.internal_port = Some(9090);
        assert_eq!(settings.internal_listen_address(), Some("0.0.0.0:9090".parse().unwrap()));
        settings.http_server.internal_port = Some(0);
        settings.http_server.port = 0;
        assert!(settings.internal_listen_address().is_some(), "any free port is another port");
    }

    #[test]
    fn metrics_are_open_where_only_this_machine_reaches_them() {
        let mut settings = Settings::default();
        settings.http_server.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        settings.http_server.internal_address = Some(Ipv4Addr::LOCALHOST.into());
        settings.http_server.internal_port = Some(9090);
        assert!(settings.prometheus_enabled() && settings.api_listens_on_loopback());
        settings.http_api.external = true;
        assert!(!settings.api_listens_on_loopback());
    }
}
