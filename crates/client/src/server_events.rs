use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;
use throng_protocol::Payload;

use crate::{
    Event,
    mailbox::{Delivery, MailboxReceiver},
};

/// A stream of what happens without having been asked for: in the channels that the server has subscribed this client
/// to, and messages outside of channels. See
/// [`ClientBuilder::connect_with_events`](crate::ClientBuilder::connect_with_events).
///
/// It outlives connections: after a loss the client tells the server how far each of these channels was read, and gets
/// what it has missed, or [`Event::Gap`]. The stream ends with the client. Dropping it lets go of the events and keeps
/// the subscriptions, which are the server's.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt as _;
/// use throng_client::{Client, Event, ServerEvent};
///
/// let (client, mut events) = Client::builder("ws://127.0.0.1:8080").connect_with_events().await?;
/// while let Some(event) = events.next().await {
///     match event {
///         ServerEvent::Channel { channel, event: Event::Publication(publication) } => {
///             println!("{channel}: {:?}", publication.data);
///         }
///         ServerEvent::Message(data) => println!("{data:?}"),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ServerEvents {
    events: MailboxReceiver<ServerEvent>,
}

/// Something that happens without having been asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "nearly all events are of the large kind")]
pub enum ServerEvent {
    /// Something happened in a channel that the server has subscribed this client to. [`Event::Subscribed`] is the first
    /// event of such a channel, [`Event::Unsubscribed`] the last.
    Channel {
        /// The channel.
        channel: Arc<str>,
        /// What happened.
        event: Event,
    },
    /// A message to this client, outside of channels.
    Message(Payload),
    /// So many events, older than those that follow, were dropped because this stream was read too slowly.
    Missed(u64),
}

impl ServerEvents {
    pub(crate) const fn new(events: MailboxReceiver<ServerEvent>) -> Self {
        Self { events }
    }
}

impl Stream for ServerEvents {
    type Item = ServerEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ServerEvent>> {
        self.events.poll_next(context).map(|delivery| {
            delivery.map(|delivery| match delivery {
                Delivery::Missed(count) => ServerEvent::Missed(count),
                Delivery::Event(event) => event,
            })
        })
    }
}
