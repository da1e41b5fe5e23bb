use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt as _};
use throng_protocol::{ClientInfo, ErrorReply, Publication, StreamPosition};

use crate::{
    Disconnect, JsonSubscription,
    driver::Shared,
    mailbox::{Delivery, MailboxReceiver},
    state::{Place, SubscriptionKey, Told},
};

/// A subscription to one channel: a stream of what happens there.
///
/// It outlives connections: after a loss the client subscribes again by itself, and the stream tells so with
/// [`Event::Subscribing`] and [`Event::Subscribed`]. The stream ends after [`Event::Unsubscribed`].
/// Dropping it unsubscribes.
///
/// The reader may fall behind by as much as its [`QueueBounds`](crate::QueueBounds) allow. Beyond that the oldest events
/// are dropped, and [`Event::Missed`] tells how many; or what else [`SlowReader`](crate::SlowReader) says. The connection
/// and the other subscriptions never wait for a slow reader.
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
    events: MailboxReceiver<Told>,
    /// After the event that was handed out last.
    place: Option<Place>,
    shared: Arc<Shared>,
}

/// What happens in a channel that one is subscribed to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message was published. Each publication of a stream comes once and in order, those that were recovered before
    /// those that are new. The payload shares the buffer that it arrived in; whoever keeps it for long keeps
    /// [`Payload::detached`](crate::Payload::detached).
    Publication(Publication),
    /// Someone joined the channel, where the server tells this; see
    /// [`SubscribeOptions::join_leave`](crate::SubscribeOptions::join_leave). Comes for this client itself, too.
    Join(ClientInfo),
    /// Someone left the channel, where the server tells this.
    Leave(ClientInfo),
    /// The subscription is interrupted, by a lost connection or by the server, and is being renewed.
    Subscribing,
    /// The subscription is back after an interruption. What was published meanwhile follows, or else [`Event::Gap`],
    /// if the subscription [is recoverable](Subscription::is_recoverable); otherwise it is lost.
    Subscribed,
    /// Publications are missing: the server no longer has what was published meanwhile, or the stream was replaced, or
    /// the namespace gives back only the newest. Whoever shows a state loads it anew.
    Gap {
        /// The last publication before those that are missing; what the server was asked to go on from.
        since: StreamPosition,
        /// The last publication that is missing; what follows comes after it. The difference of the offsets is how many
        /// are missing, if the epochs are the same. None when the server keeps no stream any more.
        current: Option<StreamPosition>,
    },
    /// So many events were dropped here because this stream was read too slowly.
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
    /// The command that renews it has grown longer than one frame may be.
    #[error("the request has {bytes} bytes, at most {max} fit a frame")]
    TooLong {
        /// The request's length, in bytes as encoded.
        bytes: usize,
        /// The limit, [`ClientBuilder::max_frame_bytes`](crate::ClientBuilder::max_frame_bytes).
        max: usize,
    },
    /// The token getter says that there is no token for this channel
    /// ([`TokenError::Unauthorized`](crate::TokenError::Unauthorized)).
    #[error("not authorized by the token getter")]
    Unauthorized,
    /// The stream was read too slowly, and [`SlowReader::Unsubscribe`](crate::SlowReader::Unsubscribe) was chosen. What
    /// came after the events before this one was not kept.
    #[error("the stream was read too slowly")]
    TooSlow,
    /// A server-side subscription that the server did not set up again after an interruption.
    #[error("not subscribed by the server any more")]
    Withdrawn,
    /// The client has stopped, with this reason.
    #[error("the client has stopped")]
    Stopped(#[source] Disconnect),
}

impl Subscription {
    pub(crate) const fn new(
        key: SubscriptionKey,
        events: MailboxReceiver<Told>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { key, events, place: None, shared }
    }

    pub(crate) fn starts_at(&mut self, place: Option<Place>) {
        self.place = place;
    }

    /// The channel.
    pub fn channel(&self) -> &str {
        &self.key.channel
    }

    /// Where the reader of this stream stands: the place of the publication that was handed out last. Given to
    /// [`SubscribeOptions::since`](crate::SubscribeOptions::since), a later subscription goes on from there, also one of
    /// another run of the program. After [`Event::Missed`] it is still the place before what was dropped.
    /// None when the server keeps no stream of the channel, or does not tell.
    pub fn position(&self) -> Option<StreamPosition> {
        self.place.as_ref().map(Place::position)
    }

    /// True when the server has granted recovery, as far as the events say that were handed out.
    pub fn is_recoverable(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.recoverable)
    }

    /// Reads payloads as JSON from now on, each as a `T`.
    pub const fn json<T: serde::de::DeserializeOwned>(self) -> JsonSubscription<T> {
        JsonSubscription::new(self)
    }

    /// The next publication; none when the subscription is over. Skips all other events, also [`Event::Gap`] and
    /// [`Event::Missed`]: for readers to whom it does not matter what they missed. Cancel safe.
    pub async fn next_publication(&mut self) -> Option<Publication> {
        while let Some(event) = self.next().await {
            if let Event::Publication(publication) = event {
                return Some(publication);
            }
        }
        None
    }
}

impl Event {
    /// What it weighs in a queue.
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Self::Publication(publication) => publication.data.len(),
            Self::Join(_)
            | Self::Leave(_)
            | Self::Subscribing
            | Self::Subscribed
            | Self::Gap { .. }
            | Self::Missed(_)
            | Self::Unsubscribed(_) => 0,
        }
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_next(context).map(|delivery| {
            delivery.map(|delivery| match delivery {
                Delivery::Missed(count) => Event::Missed(count),
                Delivery::Event(Told { event, place }) => {
                    self.place = place;
                    event
                }
            })
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.abandon(self.key.clone());
    }
}
