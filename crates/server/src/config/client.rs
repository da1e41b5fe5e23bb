//! What clients may use and call: tables `[client]` and `[rpc]`.

use std::time::Duration;

use super::token::{SubscriptionToken, Token};

/// What one client connection may use, and how it is watched: table `[client]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Client {
    /// Whether clients without a token may connect also where the address is no loopback address, or where there is a key for
    /// tokens. Default false, and without any authentication an address that is no loopback address is refused at start.
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
    /// Time that a connection has, once it is over, to be prolonged before it ends. Default 25 s.
    pub expired_close_delay: Duration,
    /// Time that a subscription has, once it is over, to be prolonged before it ends. Default 25 s.
    pub expired_sub_close_delay: Duration,
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
    /// Connections in all that may be upgraded in a second; `None` is no limit. Default `None`.
    pub connection_rate_limit: Option<usize>,
    /// Connections per second that one remote address may open, once `address_connection_burst` is used up. Default 100.
    pub address_connection_rate: usize,
    /// Connections that one remote address may open at once. Default 1024.
    pub address_connection_burst: usize,
    /// Handshakes of one remote address that may fail in `address_failure_window`; then its connections are refused until that
    /// is over. Default 100.
    pub address_failure_limit: usize,
    /// Time in which failed handshakes of an address are counted together. Default 1 minute.
    pub address_failure_window: Duration,
    /// Whether loopback addresses fall under the limits per address, too. Default false.
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
    /// Whether tokens without a user are refused (3507). Default false.
    pub disallow_anonymous_connection_tokens: bool,
    /// Whether tokens are believed without a look at their signatures; on loopback addresses only. Default false.
    pub insecure_skip_token_signature_verify: bool,
    /// How tokens are checked.
    pub token: Token,
    /// How subscription tokens are checked, if otherwise.
    pub subscription_token: SubscriptionToken,
    /// The channel that each user is subscribed to without asking.
    pub subscribe_to_user_personal_channel: PersonalChannel,
    /// Time that a handler of the application has to answer. Default 5 s.
    pub handler_timeout: Duration,
    /// Handlers of the application that may run at once. Default 1024.
    pub handler_limit: usize,
    /// How long revocations hold.
    pub revocation: Revocation,
    /// How much clients may do, and how fast.
    pub limits: Limits,
}

/// How long revocations hold: table `[client.revocation]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Revocation {
    /// How long one holds unless it says less; no token should be valid for longer. Default 720 h.
    pub ttl: Duration,
}

impl Default for Revocation {
    fn default() -> Self {
        Self { ttl: Duration::from_hours(720) }
    }
}

/// How much clients may do in a second: table `[client.limits]`. In a burst, so much of it may come at once as otherwise in
/// [`burst`](Self::burst).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Whether connections from loopback addresses are limited, too. Default false.
    pub include_loopback: bool,
    /// Time whose worth may come at once. Default 5 s.
    pub burst: Duration,
    /// Commands, messages of the relay, pings and pongs of one connection. Default 500.
    pub connection_commands: usize,
    /// Bytes of one connection, all that comes through its socket after the handshake. Default 2 MiB.
    pub connection_bytes: usize,
    /// Publications of one connection. Default 200.
    pub connection_publish: usize,
    /// Subscriptions of one connection. Default 100.
    pub connection_subscribe: usize,
    /// Commands of one connection that fail. Default 50.
    pub connection_errors: usize,
    /// Publications of one user. Default 1000.
    pub user_publish: usize,
    /// Subscriptions of one user. Default 2000.
    pub user_subscribe: usize,
    /// Times that one user reads history. Default 2000.
    pub user_history: usize,
    /// Times that one user reads presence. Default 1000.
    pub user_presence: usize,
    /// Calls and messages of one user. Default 1000.
    pub user_rpc: usize,
    /// Publications of clients to one channel. Default 5000.
    pub channel_publish: usize,
    /// Users whose use is remembered; beyond it those that have been idle are forgotten. Default 100,000.
    pub users: usize,
    /// Channels whose use is remembered; beyond it those that have been idle are forgotten. Default 100,000.
    pub channels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            include_loopback: false,
            burst: Duration::from_secs(5),
            connection_commands: 500,
            connection_bytes: 2 * 1024 * 1024,
            connection_publish: 200,
            connection_subscribe: 100,
            connection_errors: 50,
            user_publish: 1_000,
            user_subscribe: 2_000,
            user_history: 2_000,
            user_presence: 1_000,
            user_rpc: 1_000,
            channel_publish: 5_000,
            users: 100_000,
            channels: 100_000,
        }
    }
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
            expired_close_delay: Duration::from_secs(25),
            expired_sub_close_delay: Duration::from_secs(25),
            channel_limit: 128,
            queue_max_size: 1024 * 1024,
            queue_max_messages: 8192,
            frame_command_limit: 1024,
            connection_limit: None,
            address_connection_limit: 1024,
            connection_rate_limit: None,
            address_connection_rate: 100,
            address_connection_burst: 1024,
            address_failure_limit: 100,
            address_failure_window: Duration::from_mins(1),
            address_limit_includes_loopback: false,
            user_connection_limit: None,
            history_max_publication_limit: 300,
            recovery_max_publication_limit: 300,
            channel_position_check_delay: Duration::from_secs(40),
            connect_include_server_time: false,
            user_id_http_header: String::new(),
            disallow_anonymous_connection_tokens: false,
            insecure_skip_token_signature_verify: false,
            token: Token::default(),
            subscription_token: SubscriptionToken::default(),
            subscribe_to_user_personal_channel: PersonalChannel::default(),
            handler_timeout: Duration::from_secs(5),
            handler_limit: 1024,
            revocation: Revocation::default(),
            limits: Limits::default(),
        }
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
