use std::{sync::Arc, time::Duration};

use super::{Pool, core::Bounds, hub::Hub, keeper::keep, servers::Servers};
use crate::{BuildError, ClientBuilder, task::OwnedTask};

/// Settings of a [`Pool`].
///
/// ```
/// use std::time::Duration;
/// use throng_client::{Client, Format, Pool};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = |url| Client::builder(url).format(Format::Protobuf).name("shop", "1.0");
/// let pool = Pool::builder(client("ws://one.example"))
///     .server(client("ws://two.example"))
///     .max_connections(20)
///     .shared_connections(8)
///     .wait_timeout(Duration::from_secs(2))
///     .idle_timeout(Duration::from_secs(300))
///     .build()?;
/// # drop(pool);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct PoolBuilder {
    servers: Vec<ClientBuilder>,
    bounds: Bounds,
    limits: Limits,
}

/// How long a pool waits, and what it trusts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) wait: Duration,
    /// After how long without use a connection is asked for a sign of life before it is handed out.
    pub(super) check_after: Duration,
    pub(super) check_timeout: Duration,
}

impl PoolBuilder {
    pub(super) fn new(server: ClientBuilder) -> Self {
        let bounds = Bounds { connections: 10, waiting: 1_024, shared: 4, idle: Duration::from_secs(60) };
        let limits = Limits {
            wait: Duration::from_secs(5),
            check_after: Duration::from_secs(10),
            check_timeout: Duration::from_secs(1),
        };
        Self { servers: vec![server], bounds, limits }
    }

    /// One more server. New connections go to the servers in turn, and past one that could not be reached lately.
    pub fn server(mut self, server: ClientBuilder) -> Self {
        self.servers.push(server);
        self
    }

    /// Most connections at any time, those that are being opened and closed included. Default 10, at least 1.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.bounds.connections = connections.max(1);
        self
    }

    /// Over how many of these connections subscriptions and publishes are spread, by their channels. Each is opened when
    /// it is first used and counts while it is open; the rest is for [`Pool::get`]. Default 4; at least 1, and at most the
    /// maximum of connections: then `get` gets none while all of them have users.
    pub fn shared_connections(mut self, connections: usize) -> Self {
        self.bounds.shared = connections.max(1);
        self
    }

    /// Most callers that wait for a connection to become free; further ones get
    /// [`PoolError::TooManyWaiting`](crate::PoolError::TooManyWaiting) at once. Default 1,024.
    pub const fn max_waiting(mut self, callers: usize) -> Self {
        self.bounds.waiting = callers;
        self
    }

    /// How long a caller waits for a connection: to become free, to be checked, and to be opened, all together.
    /// Default 5 s.
    pub const fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.limits.wait = timeout;
        self
    }

    /// After how long without use a connection is closed. Default 60 s.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.idle = timeout;
        self
    }

    /// A connection that nobody has used for `after` has to answer a cheap request (the presence of a channel that is
    /// named `pool-check`; a refusal is as good an answer) within `timeout` before it is handed out; otherwise it is given
    /// up. One that is known to be cut is never handed out. Default 10 s and 1 s.
    pub const fn health_check(mut self, after: Duration, timeout: Duration) -> Self {
        self.limits.check_after = after;
        self.limits.check_timeout = timeout;
        self
    }

    /// Starts the pool. It opens no connection before one is asked for.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoRuntime`] outside of a Tokio runtime. What is wrong with the settings of a server is told when a
    /// connection to it is opened.
    pub fn build(self) -> Result<Pool, BuildError> {
        let Self { servers, mut bounds, limits } = self;
        bounds.shared = bounds.shared.min(bounds.connections);
        let hub = Arc::new(Hub::new(bounds, Servers::new(servers)));
        let task = OwnedTask::spawn(keep(Arc::clone(&hub)))?;
        Ok(Pool::new(hub, limits, task))
    }
}
