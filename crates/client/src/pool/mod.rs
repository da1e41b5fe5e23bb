//! Connections that are kept for whoever needs one.

mod builder;
mod core;
mod error;
mod hub;
mod keeper;
mod lease;
mod servers;
mod spread;
mod stats;

use std::sync::Arc;

use tokio::time::{Instant, timeout, timeout_at};

use self::{
    builder::Limits,
    hub::{Hub, Permit, is_connected},
};
pub use self::{
    builder::PoolBuilder,
    error::PoolError,
    lease::{PoolSubscription, PooledClient, SharedClient},
    stats::{ClosedCounts, PoolStats},
};
use crate::{Client, ClientBuilder, Disconnect, Payload, RequestError, SubscribeOptions, task::OwnedTask};

/// The channel that a health check asks about.
const CHECK_CHANNEL: &str = "pool-check";

/// Connections to one or several servers: at most so many, opened when they are needed, checked before they are
/// handed out, closed when nobody needs them.
///
/// - [`get`](Self::get) gives a connection to one holder, who has it alone until the [`PooledClient`] is dropped. First come,
///   first served; who waits longer than [`PoolBuilder::wait_timeout`] gets an error.
/// - [`subscribe`](Self::subscribe) and [`publish`](Self::publish) use shared, long-lived connections. A channel always
///   has the same one, so what is published to it keeps its order; the channels are spread evenly over all of them.
///
/// Every call may be dropped at any time: what it held or was about to get goes to the next caller.
///
/// Clones are handles of the same pool. When the last one is dropped the pool ends at once, without goodbyes, except for
/// connections that are handed out: these end when they come back. [`close`](Self::close) ends it properly.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use throng_client::{Client, Pool};
///
/// let pool = Pool::builder(Client::builder("ws://one.example"))
///     .server(Client::builder("ws://two.example"))
///     .max_connections(8)
///     .shared_connections(4)
///     .build()?;
///
/// let mut orders = pool.subscribe("orders").await?;
/// pool.publish("orders", r#"{"tea":2}"#).await?;
/// println!("{:?}", orders.next_publication().await);
///
/// let client = pool.get().await?; // nobody else has this connection
/// println!("{:?}", client.presence("orders").await?);
/// drop(client); // gives it back
///
/// println!("{:?}", pool.stats());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Pool {
    hub: Arc<Hub>,
    limits: Limits,
    /// Ends with the last handle.
    _keeper: Arc<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    hub: Arc<Hub>,
    _task: OwnedTask<()>,
}

impl Pool {
    /// Begins with the settings of a client, which all connections to this server get.
    pub fn builder(server: ClientBuilder) -> PoolBuilder {
        PoolBuilder::new(server)
    }

    fn new(hub: Arc<Hub>, limits: Limits, task: OwnedTask<()>) -> Self {
        let keeper = Arc::new(Keeper { hub: Arc::clone(&hub), _task: task });
        Self { hub, limits, _keeper: keeper }
    }

    /// A connection for this caller alone, until it is dropped: one that was returned, or else a new one. Waits while all are
    /// in use. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`PoolError`], except for `Request` and `Subscribe`.
    pub async fn get(&self) -> Result<PooledClient, PoolError> {
        let turn = || self.hub.servers.turn();
        self.in_time(async |wait| self.checked_out(turn, wait).await).await
    }

    /// The shared connection of a channel, for requests about it beside [`subscribe`](Self::subscribe) and
    /// [`publish`](Self::publish). Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn shared(&self, channel: &str) -> Result<SharedClient, PoolError> {
        let slot = spread::slot_of(channel, self.hub.gates.len());
        if let Some((client, user)) = self.hub.join(slot) {
            return Ok(SharedClient::new(client, user));
        }
        self.in_time(async |wait| {
            // Who comes while the connection is being opened waits here for its end.
            wait.stage = Stage::Gate;
            let _gate = self.hub.gates[slot].lock().await;
            if let Some((client, user)) = self.hub.join(slot) {
                return Ok(SharedClient::new(client, user));
            }
            let (client, permit) = self.connection(|| slot, wait).await?;
            let user = permit.promote(slot, client.clone());
            Ok(SharedClient::new(client, user))
        })
        .await
    }

    /// Subscribes to a channel on its shared connection, as [`Client::subscribe`] does: it returns when the server has
    /// confirmed it, and only the wait for the connection has a deadline. Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`PoolError::Subscribe`].
    pub async fn subscribe(&self, channel: &str) -> Result<PoolSubscription, PoolError> {
        self.subscribe_with(channel, SubscribeOptions::default()).await
    }

    /// Subscribes as [`subscribe`](Self::subscribe) does, with wishes; see [`Client::subscribe_with`].
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_with(
        &self,
        channel: &str,
        options: SubscribeOptions,
    ) -> Result<PoolSubscription, PoolError> {
        let connection = self.shared(channel).await?;
        let subscription = connection.subscribe_with(channel, options).await?;
        Ok(PoolSubscription::new(subscription, connection))
    }

    /// Publishes to a channel on its shared connection, as [`Client::publish`] does. What is published to one channel is sent
    /// in the order of the calls once the connection is open. Not cancel safe: a dropped call may or may not have
    /// been carried out.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`PoolError::Request`], which tells whether it may have been carried out.
    pub async fn publish(&self, channel: &str, payload: impl Into<Payload>) -> Result<(), PoolError> {
        let connection = self.shared(channel).await?;
        Ok(connection.publish(channel, payload).await?)
    }

    /// What the pool holds and has done.
    pub fn stats(&self) -> PoolStats {
        self.hub.stats()
    }

    /// Closes the pool: who waits gets [`PoolError::Closed`], and all connections are closed with a goodbye, which ends the
    /// subscriptions on them. Waits for those that are handed out to come back; wrap it in [`tokio::time::timeout`] for a
    /// bound. All handles of the pool are closed by it.
    pub async fn close(&self) {
        self.hub.end();
        self.hub.emptied().await;
    }

    async fn checked_out(
        &self,
        first: impl FnOnce() -> usize,
        wait: &mut Wait,
    ) -> Result<PooledClient, PoolError> {
        let (client, permit) = self.connection(first, wait).await?;
        Ok(PooledClient::new(client, permit))
    }

    /// A permit and a healthy connection: an idle one, or a new one that is opened to server `first` if that can be reached.
    async fn connection(
        &self,
        first: impl FnOnce() -> usize,
        wait: &mut Wait,
    ) -> Result<(Client, Permit), PoolError> {
        wait.stage = Stage::Queue;
        let mut permit = self.hub.acquire().await?;
        wait.stage = Stage::Opening;
        // The connection stays with the permit while it is checked, so that it goes back with it.
        while let Some(unused) = &permit.unused {
            let (client, idle) = (unused.connection.clone(), now().saturating_duration_since(unused.since));
            if is_connected(&client) && (idle < self.limits.check_after || self.answers(&client).await) {
                permit.unused = None;
                return Ok((client, permit));
            }
            permit.replace();
        }
        let client = permit.hub().servers.open(first(), wait.deadline, &mut wait.last).await?;
        self.hub.opened();
        Ok((client, permit))
    }

    /// True when the server gives any answer.
    async fn answers(&self, client: &Client) -> bool {
        match timeout(self.limits.check_timeout, client.presence_stats(CHECK_CHANNEL)).await {
            Ok(Ok(_) | Err(RequestError::Refused(_))) => true,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Puts the deadline around a wait for a connection.
    async fn in_time<T>(
        &self,
        work: impl AsyncFnOnce(&mut Wait) -> Result<T, PoolError>,
    ) -> Result<T, PoolError> {
        let waited = self.limits.wait;
        let deadline = Instant::now() + waited;
        let mut wait = Wait { deadline, stage: Stage::Queue, last: None };
        if let Ok(result) = timeout_at(deadline, Box::pin(work(&mut wait))).await {
            return result;
        }
        self.hub.timed_out();
        let none_free = match wait.stage {
            Stage::Queue => true,
            // Whoever opens the connection has the same trouble.
            Stage::Gate => self.stats().waiting > 0,
            Stage::Opening => false,
        };
        Err(if none_free {
            PoolError::NoneFree { waited }
        } else {
            PoolError::NotConnected { waited, last: wait.last }
        })
    }
}

/// How far a wait for a connection has come.
struct Wait {
    deadline: Instant,
    stage: Stage,
    /// Why the latest attempt to open a connection failed.
    last: Option<Disconnect>,
}

/// What a caller waits for.
enum Stage {
    /// A connection that becomes free, or room for one.
    Queue,
    /// Someone else, who opens the same connection.
    Gate,
    /// A connection that is checked or opened.
    Opening,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.hub.orphan();
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
