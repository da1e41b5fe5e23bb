//! The settings that the rest of the server trusts: plain values, every one with a default.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZero,
    thread,
    time::Duration,
};

use throng_registry::ShardId;

use super::channel::{Channel, ChannelOptions};

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
}

impl Settings {
    /// Address and port to listen on.
    pub const fn listen_address(&self) -> SocketAddr {
        SocketAddr::new(self.http_server.address, self.http_server.port)
    }

    /// Whether only programs on this machine can reach the server.
    pub const fn listens_on_loopback(&self) -> bool {
        self.http_server.address.to_canonical().is_loopback()
    }

    /// Whether a client without a token may connect: always on a loopback address, elsewhere when
    /// [`Client::allow_anonymous_connect_without_token`] says so.
    pub const fn anonymous_allowed(&self) -> bool {
        self.listens_on_loopback() || self.client.allow_anonymous_connect_without_token
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
        self.http_api.insecure || !self.http_api.key.is_empty()
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
        self.prometheus.enabled.unwrap_or_else(|| self.listens_on_loopback())
    }
}

/// Where the server listens: table `[http_server]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HttpServer {
    /// Address to listen on. Default 127.0.0.1.
    pub address: IpAddr,
    /// Port to listen on; 0 takes any free one. Default 8080.
    pub port: u16,
}

impl Default for HttpServer {
    fn default() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 8080 }
    }
}

/// What one client connection may use, and how it is watched: table `[client]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Client {
    /// Whether clients without a token may connect when the address is no loopback address. Default false, and as
    /// long as no other authentication exists, such an address then is refused at start.
    pub allow_anonymous_connect_without_token: bool,
    /// `Origin` headers that may connect, as patterns with `*`; an empty list refuses every `Origin`. Default `None`:
    /// the server's own host, and loopback hosts.
    pub allowed_origins: Option<Vec<String>>,
    /// Time between the server's pings; `None` sends none. Default 25 s.
    pub ping_interval: Option<Duration>,
    /// Time allowed for the answer to a ping, shorter than `ping_interval`; `None` does not wait for one. Default 8 s.
    pub pong_timeout: Option<Duration>,
    /// Time within which a new connection must send its connect command. Default 10 s.
    pub stale_close_delay: Duration,
    /// Channels one connection may be subscribed to. Default 128.
    pub channel_limit: usize,
    /// Bytes one connection's outbox may hold. Default 1 MiB.
    pub queue_max_size: usize,
    /// Messages one connection's outbox may hold. Default 8192.
    pub queue_max_messages: usize,
    /// Commands one frame may carry. Default 1024.
    pub frame_command_limit: usize,
    /// Connections in all; `None` takes what the limit of open files allows. Default `None`.
    pub connection_limit: Option<usize>,
    /// Connections per remote address. Default 1024.
    pub address_connection_limit: usize,
    /// Whether loopback addresses fall under `address_connection_limit`, too. Default false.
    pub address_limit_includes_loopback: bool,
    /// Connections one user may have; `None` is no limit. Default `None`.
    pub user_connection_limit: Option<usize>,
    /// Publications one history request of a client may return. Default 300.
    pub history_max_publication_limit: usize,
    /// Publications that are recovered in one go; who has missed more is told so. Default 300.
    pub recovery_max_publication_limit: usize,
    /// Time between two checks that positioned subscriptions stand where their streams are. Default 40 s.
    pub channel_position_check_delay: Duration,
    /// Whether the connect reply tells the server's time. Default false.
    pub connect_include_server_time: bool,
    /// Header of the handshake in which a trusted proxy names the user; it must not let clients set it. Default none.
    pub user_id_http_header: String,
    /// The channel that each user is subscribed to without asking.
    pub subscribe_to_user_personal_channel: PersonalChannel,
    /// Time that a handler of the application has to answer. Default 5 s.
    pub handler_timeout: Duration,
    /// Handlers of the application that may run at once. Default 1024.
    pub handler_limit: usize,
}

/// The channel that each user is subscribed to without asking: table `[client.subscribe_to_user_personal_channel]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PersonalChannel {
    /// Whether there are such channels: `#` and the user. Default false.
    pub enabled: bool,
    /// Their namespace. Default none.
    pub personal_channel_namespace: String,
    /// Whether a user's new connection ends the older ones (3504). Default false.
    pub single_connection: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            allow_anonymous_connect_without_token: false,
            allowed_origins: None,
            ping_interval: Some(Duration::from_secs(25)),
            pong_timeout: Some(Duration::from_secs(8)),
            stale_close_delay: Duration::from_secs(10),
            channel_limit: 128,
            queue_max_size: 1024 * 1024,
            queue_max_messages: 8192,
            frame_command_limit: 1024,
            connection_limit: None,
            address_connection_limit: 1024,
            address_limit_includes_loopback: false,
            user_connection_limit: None,
            history_max_publication_limit: 300,
            recovery_max_publication_limit: 300,
            channel_position_check_delay: Duration::from_secs(40),
            connect_include_server_time: false,
            user_id_http_header: String::new(),
            subscribe_to_user_personal_channel: PersonalChannel::default(),
            handler_timeout: Duration::from_secs(5),
            handler_limit: 1024,
        }
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

/// Where streams, presence and idempotency keys live: table `[engine]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Engine {
    /// The bounds of the embedded engine.
    pub memory: MemoryEngine,
}

/// The bounds of the embedded engine: table `[engine.memory]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MemoryEngine {
    /// Channels that may have a stream; beyond it the longest idle ones are forgotten. Default 1,000,000.
    pub max_streams: usize,
    /// Bytes that kept publications may take; beyond it those of the longest idle streams go. Default 256 MiB.
    pub max_bytes: usize,
    /// Idempotency keys whose results are kept; beyond it the oldest go. Default 100,000.
    pub idempotency_keys: usize,
    /// How long the result of an idempotency key is kept. Default 300 s.
    pub idempotency_ttl: Duration,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self {
            max_streams: 1_000_000,
            max_bytes: 256 << 20,
            idempotency_keys: 100_000,
            idempotency_ttl: Duration::from_secs(300),
        }
    }
}

/// The HTTP server API: table `[http_api]`. It is off until there is a key.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct HttpApi {
    /// What callers must show; empty switches the API off. Default empty.
    pub key: String,
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
            key: String::new(),
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

impl fmt::Debug for HttpApi {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpApi")
            .field("key", &if self.key.is_empty() { "" } else { "***" })
            .field("handler_prefix", &self.handler_prefix)
            .field("insecure", &self.insecure)
            .field("error_mode_transport", &self.error_mode_transport)
            .field("body_size_limit", &self.body_size_limit)
            .field("max_concurrent_requests", &self.max_concurrent_requests)
            .field("request_timeout", &self.request_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .finish()
    }
}

/// What the server answers to calls by itself: table `[rpc]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Rpc {
    /// A method that clients can call to see whether the server answers.
    pub ping: RpcPing,
}

/// A method that clients can call to see whether the server answers: table `[rpc.ping]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RpcPing {
    /// Whether it is there. Default false.
    pub enabled: bool,
    /// Its name. Default `ping`.
    pub method: String,
}

impl Default for RpcPing {
    fn default() -> Self {
        Self { enabled: false, method: "ping".to_owned() }
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
}
