use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt as _};
use throng_protocol::{ClientInfo, ErrorReply, Publication};

use crate::{
    Disconnect,
    driver::Shared,
    mailbox::{Delivery, MailboxReceiver},
    state::SubscriptionKey,
};

/// A subscription to one channel: a stream of what happens there.
///
/// It outlives connections: after a loss the client subscribes again by itself, and the stream tells so with
/// [`Event::Subscribing`] and [`Event::Subscribed`]. The stream ends after [`Event::Unsubscribed`].
/// Dropping it unsubscribes.
///
/// The reader may fall behind by as much as the client's [`QueueBounds`](crate::QueueBounds) allow. Beyond that the
/// oldest events are dropped, and [`Event::Missed`] tells how many; the connection and the other subscriptions never
/// wait for a slow reader.
///
/// ```no_run
/// # async fn example(client: throng_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt as _;
/// use throng_client::Event;
///
/// let mut news = client.subscribe("news").await?;
/// while let Some(event) = news.next().await {
///     match event {
///         Event::Publication(publication) => println!("{:?}", publication.data),
///         Event::Missed(count) => println!("{count} were too much for me"),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping a subscription unsubscribes"]
pub struct Subscription {
    key: SubscriptionKey,
    events: MailboxReceiver<Event>,
    shared: Arc<Shared>,
}

/// What happens in a channel that one is subscribed to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message was published. Its payload shares the buffer that it arrived in; whoever keeps it for long keeps
    /// [`Payload::detached`](crate::Payload::detached).
    Publication(Publication),
    /// Someone joined the channel, where the server tells this.
    Join(ClientInfo),
    /// Someone left the channel, where the server tells this.
    Leave(ClientInfo),
    /// The subscription is interrupted, by a lost connection or by the server, and is being renewed. What is published
    /// until [`Event::Subscribed`] is not received.
    Subscribing,
    /// The subscription is back after an interruption.
    Subscribed,
    /// So many events, older than those that follow, were dropped because this stream was read too slowly.
    Missed(u64),
    /// The subscription is over. The last event.
    Unsubscribed(UnsubscribeReason),
}

/// Why a subscription is over.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnsubscribeReason {
    /// The server removed it.
    #[error("unsubscribed by the server: {reason} ({code})")]
    Server {
        /// The code, below 2500.
        code: u32,
        /// The server's words.
        reason: String,
    },
    /// The server refused to renew it.
    #[error("refused by the server: {0}")]
    Refused(ErrorReply),
    /// The client has stopped, with this reason.
    #[error("the client has stopped")]
    Stopped(#[source] Disconnect),
}

impl Subscription {
    pub(crate) const fn new(
        key: SubscriptionKey,
        events: MailboxReceiver<Event>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { key, events, shared }
    }

    /// The channel.
    pub fn channel(&self) -> &str {
        &self.key.channel
    }

    /// The next publication; none when the subscription is over. Skips all other events, also [`Event::Missed`]: for
    /// readers to whom it does not matter what they missed. Cancel safe.
    pub async fn next_publication(&mut self) -> Option<Publication> {
        while let Some(event) = self.next().await {
            if let Event::Publication(publication) = event {
                return Some(publication);
            }
        }
        None
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_next(context).map(|delivery| {
            delivery.map(|delivery| match delivery {
                Delivery::Missed(count) => Event::Missed(count),
                Delivery::Event(event) => event,
            })
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.abandon(self.key.clone());
    }
}
