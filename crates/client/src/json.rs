use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use throng_protocol::Publication;

use crate::{Event, Subscription};

/// A [`Subscription`] whose payloads are read as JSON; made by [`Subscription::json`].
///
/// A payload that is no `T` is an item, [`JsonEvent::Unreadable`], and the stream goes on.
///
/// ```no_run
/// # async fn example(client: throng_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt as _;
/// use throng_client::JsonEvent;
///
/// #[derive(serde::Deserialize)]
/// struct Tick {
///     price: f64,
/// }
///
/// let mut ticks = client.subscribe("ticks").await?.json::<Tick>();
/// while let Some(event) = ticks.next().await {
///     match event {
///         JsonEvent::Value { value, publication } => println!("{}: {}", publication.offset, value.price),
///         JsonEvent::Unreadable(error) => eprintln!("{error}"),
///         JsonEvent::Other(other) => println!("{other:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a subscription unsubscribes"]
pub struct JsonSubscription<T> {
    subscription: Subscription,
    reads: PhantomData<fn() -> T>,
}

/// What happens in a channel whose payloads are read as JSON.
///
/// ```
/// use throng_client::JsonEvent;
///
/// fn value<T>(event: JsonEvent<T>) -> Option<T> {
///     match event {
///         JsonEvent::Value { value, .. } => Some(value),
///         JsonEvent::Unreadable(_) | JsonEvent::Other(_) => None,
///     }
/// }
/// # let _ = value::<u32>;
/// ```
#[derive(Clone, Debug)]
pub enum JsonEvent<T> {
    /// A message was published, and read.
    Value {
        /// What its payload says.
        value: T,
        /// The publication as it came, payload included.
        publication: Publication,
    },
    /// A message was published whose payload is no `T`.
    Unreadable(DecodeJsonError),
    /// Anything else; never [`Event::Publication`].
    Other(Event),
}

/// A payload is not what it was to be read as.
///
/// ```
/// # async fn example(mut ticks: throng_client::JsonSubscription<f64>) {
/// if let Some(Err(error)) = ticks.next_value().await {
///     eprintln!("offset {}: {error}", error.publication.offset);
/// }
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error("a payload of {} bytes is not what was expected", publication.data.len())]
pub struct DecodeJsonError {
    /// The publication as it came.
    pub publication: Publication,
    /// What is wrong with its payload, and where.
    #[source]
    pub source: Arc<serde_json::Error>,
}

impl<T: DeserializeOwned> JsonSubscription<T> {
    pub(crate) const fn new(subscription: Subscription) -> Self {
        Self { subscription, reads: PhantomData }
    }

    /// The next value; none when the subscription is over. Skips all other events, as
    /// [`Subscription::next_publication`] does. Cancel safe.
    ///
    /// # Errors
    ///
    /// The payload is no `T`; the next call goes on with the next publication.
    pub async fn next_value(&mut self) -> Option<Result<T, DecodeJsonError>> {
        while let Some(event) = self.next().await {
            match event {
                JsonEvent::Value { value, .. } => return Some(Ok(value)),
                JsonEvent::Unreadable(error) => return Some(Err(error)),
                JsonEvent::Other(_) => {}
            }
        }
        None
    }
}

impl<T> JsonSubscription<T> {
    /// The subscription underneath, for its channel and its place.
    pub const fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Goes on with payloads as they are.
    pub fn into_inner(self) -> Subscription {
        self.subscription
    }
}

impl<T: DeserializeOwned> Stream for JsonSubscription<T> {
    type Item = JsonEvent<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<JsonEvent<T>>> {
        self.subscription.poll_next_unpin(context).map(|event| event.map(read))
    }
}

impl<T> fmt::Debug for JsonSubscription<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("JsonSubscription").field(&self.subscription).finish()
    }
}

fn read<T: DeserializeOwned>(event: Event) -> JsonEvent<T> {
    match event {
        Event::Publication(publication) => match serde_json::from_slice(publication.data.as_bytes()) {
            Ok(value) => JsonEvent::Value { value, publication },
            Err(source) => JsonEvent::Unreadable(DecodeJsonError { publication, source: Arc::new(source) }),
        },
        other @ (Event::Join(_)
        | Event::Leave(_)
        | Event::Subscribing
        | Event::Subscribed
        | Event::Gap { .. }
        | Event::Missed(_)
        | Event::Unsubscribed(_)) => JsonEvent::Other(other),
    }
}
