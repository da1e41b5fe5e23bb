use std::{
    fmt,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::time::Instant;

use super::{
    core::Unused,
    hub::{Permit, User},
};
use crate::{Client, Event, Subscription};

/// A connection of a [`Pool`](crate::Pool) for one holder: a [`Client`] that goes back when this is dropped.
///
/// It goes back as it is: a [`Subscription`] that was made on it stays, so use
/// [`Pool::subscribe`](crate::Pool::subscribe) for those that are to last. A clone of the client that is kept longer
/// than this is used beside the next holder. A client that is no longer connected is given up instead.
///
/// ```no_run
/// # async fn example(pool: throng_client::Pool) -> Result<(), Box<dyn std::error::Error>> {
/// let client = pool.get().await?;
/// for number in 0..1_000 {
///     client.publish("numbers", number.to_string()).await?;
/// }
/// drop(client); // the next one may have it
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it gives the connection back"]
pub struct PooledClient {
    client: Client,
    permit: Permit,
}

/// The connection of a [`Pool`](crate::Pool) that carries a channel's subscriptions and publishes. It is shared with
/// others, and stays open at least until this is dropped.
///
/// ```no_run
/// # async fn example(pool: throng_client::Pool) -> Result<(), Box<dyn std::error::Error>> {
/// let news = pool.shared("news").await?;
/// println!("{:?}", news.presence_stats("news").await?);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it allows the connection to be closed"]
pub struct SharedClient {
    client: Client,
    /// Counts this as a user.
    _user: User,
}

/// A [`Subscription`] on one of the connections of a [`Pool`](crate::Pool), which stays open for it.
///
/// A stream of [`Event`]s, as the subscription is. Dropping it unsubscribes.
///
/// ```no_run
/// # async fn example(pool: throng_client::Pool) -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt as _;
///
/// let mut news = pool.subscribe("news").await?;
/// while let Some(event) = news.next().await {
///     println!("{}: {event:?}", news.channel());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping a subscription unsubscribes"]
pub struct PoolSubscription {
    // Before the connection, so that it is dropped first.
    subscription: Subscription,
    _connection: SharedClient,
}

impl PooledClient {
    pub(super) const fn new(client: Client, permit: Permit) -> Self {
        Self { client, permit }
    }
}

impl Deref for PooledClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl fmt::Debug for PooledClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PooledClient").field("state", &self.client.state()).finish_non_exhaustive()
    }
}

impl Drop for PooledClient {
    fn drop(&mut self) {
        // The permit is dropped after this, and takes the connection back with it.
        let since = Instant::now().into_std();
        self.permit.unused = Some(Unused { connection: self.client.clone(), since });
    }
}

impl SharedClient {
    pub(super) const fn new(client: Client, user: User) -> Self {
        Self { client, _user: user }
    }
}

impl Deref for SharedClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl fmt::Debug for SharedClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SharedClient").field("state", &self.client.state()).finish_non_exhaustive()
    }
}

impl PoolSubscription {
    pub(super) const fn new(subscription: Subscription, connection: SharedClient) -> Self {
        Self { subscription, _connection: connection }
    }

    /// The next publication; see [`Subscription::next_publication`]. Cancel safe.
    pub async fn next_publication(&mut self) -> Option<crate::Publication> {
        self.subscription.next_publication().await
    }
}

impl Deref for PoolSubscription {
    type Target = Subscription;

    fn deref(&self) -> &Subscription {
        &self.subscription
    }
}

impl Stream for PoolSubscription {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.subscription).poll_next(context)
    }
}
