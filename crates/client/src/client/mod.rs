//! The handle of a client: subscribes, asks, and follows the connection.

mod builder;
mod requests;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use throng_protocol::{Format, TagsFilter};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    builder::ClientBuilder,
    requests::{History, HistoryQuery, PresenceStats},
};
use crate::{
    Disconnect, SubscribeError, SubscribeOptions, Subscription,
    driver::Shared,
    mailbox::mailbox_with,
    options::Options,
    send_queue::RequestQueue,
    state::{NewSubscription, SubscriptionKey},
    task::OwnedTask,
};

/// New subscriptions that wait in front of the task. A full queue makes `subscribe` wait.
const SUBSCRIPTION_QUEUE: usize = 256;

/// A client of a server that speaks the Centrifuge protocol, over one connection after another.
///
/// Clones are handles of the same client. When the last one is dropped the client ends at once, without a closing
/// handshake; [`close`](Self::close) ends it properly.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use throng_client::Client;
///
/// let client = Client::builder("ws://127.0.0.1:8080").connect().await?;
/// let mut news = client.subscribe("news").await?;
/// client.publish("news", r#"{"text":"hello"}"#).await?;
/// if let Some(publication) = news.next_publication().await {
///     println!("{:?}", publication.data);
/// }
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

/// Where a client stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// An attempt is under way, or the next one is being waited for.
    Connecting {
        /// Attempts that failed since the client was last connected.
        failures: u32,
        /// Why there is no connection; none before the first attempt has failed.
        last: Option<Disconnect>,
    },
    /// Connected.
    Connected {
        /// The id that the server gave this connection.
        client: String,
    },
    /// Stopped for good.
    Disconnected(Disconnect),
}

/// Follows a client's [`State`]. A state that was replaced before it was looked at is skipped.
#[derive(Clone, Debug)]
pub struct StateWatch {
    receiver: watch::Receiver<State>,
}

#[derive(Debug)]
struct Inner {
    subscriptions: mpsc::Sender<NewSubscription>,
    requests: Arc<RequestQueue>,
    shared: Arc<Shared>,
    state: watch::Receiver<State>,
    options: Options,
    format: Format,
    generations: AtomicU64,
    /// Ends with this.
    _task: OwnedTask<()>,
}

impl Client {
    /// Begins with a server's URL: `ws://`, `wss://`, `http://` or `https://`. Without a path,
    /// [`Endpoint::PROTOCOL_PATH`](crate::Endpoint::PROTOCOL_PATH) is added.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    /// Subscribes to a channel and returns when the server has confirmed it.
    ///
    /// Waits for as long as it takes: without a connection until there is one, and after a refusal that is for the
    /// moment only until it is taken back. Wrap it in [`tokio::time::timeout`] for a bound; dropping the future
    /// takes the wish back.
    ///
    /// # Errors
    ///
    /// The server's refusal; or there is a subscription to this channel already; or the client has stopped.
    pub async fn subscribe(&self, channel: &str) -> Result<Subscription, SubscribeError> {
        self.subscribe_with(channel, SubscribeOptions::default()).await
    }

    /// Subscribes as [`subscribe`](Self::subscribe) does, with wishes: recovery of what is missed, who joins and leaves,
    /// compression, a filter.
    ///
    /// ```no_run
    /// # async fn example(client: throng_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use futures_util::StreamExt as _;
    /// use throng_client::{Event, SubscribeOptions};
    ///
    /// let options = SubscribeOptions { recoverable: true, ..SubscribeOptions::default() };
    /// let mut orders = client.subscribe_with("orders", options).await?;
    /// while let Some(event) = orders.next().await {
    ///     match event {
    ///         Event::Publication(order) => println!("{:?}", order.data),
    ///         Event::Gap { since, current } => println!("missing: after {since:?} to {current:?}"),
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe); or the options contradict each other.
    pub async fn subscribe_with(
        &self,
        channel: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, SubscribeError> {
        self.check(channel, &options)?;
        let generation = self.inner.generations.fetch_add(1, Ordering::Relaxed);
        let key = SubscriptionKey { channel: channel.into(), generation };
        let (events, reader) =
            mailbox_with(options.queue.unwrap_or(self.inner.options.queue), options.slow_reader);
        // From here on, dropping this future drops the subscription, which takes the wish back. Declared before the
        // receiver, so dropped after it: who sees the subscription abandoned also sees that nobody waits for it.
        let mut subscription = Subscription::new(key.clone(), reader, Arc::clone(&self.inner.shared));
        let (ready, confirmed) = oneshot::channel();
        let new = NewSubscription { key, options: Box::new(options), events, ready };
        let stopped = |_| SubscribeError::Stopped(self.stop_reason());
        self.inner.subscriptions.send(new).await.map_err(|_| stopped(()))?;
        subscription.starts_at(confirmed.await.map_err(|_| stopped(()))??);
        Ok(subscription)
    }

    /// Closes the client: what was dropped or is unanswered ends, the server gets a closing handshake, and the task
    /// ends. Takes at most 5 s. All handles of the client are stopped by it.
    pub async fn close(&self) {
        self.inner.shared.close();
        let mut state = self.inner.state.clone();
        // An error means that the task is gone without a word, which is as closed as can be.
        let _ = state.wait_for(|state| matches!(state, State::Disconnected(_))).await;
    }

    /// Where the client stands now.
    pub fn state(&self) -> State {
        self.inner.state.borrow().clone()
    }

    /// Follows where the client stands.
    pub fn watch(&self) -> StateWatch {
        StateWatch { receiver: self.inner.state.clone() }
    }

    /// Waits until the client is connected.
    ///
    /// # Errors
    ///
    /// Why the client has stopped, if it has.
    pub async fn connected(&self) -> Result<(), Disconnect> {
        let mut state = self.inner.state.clone();
        let settled = |state: &State| !matches!(state, State::Connecting { .. });
        match state.wait_for(settled).await.as_deref() {
            Ok(State::Disconnected(reason)) => Err(reason.clone()),
            Ok(State::Connected { .. } | State::Connecting { .. }) => Ok(()),
            Err(_) => Err(Disconnect::ByApplication),
        }
    }

    fn check(&self, channel: &str, options: &SubscribeOptions) -> Result<(), SubscribeError> {
        if channel.is_empty() {
            return Err(SubscribeError::EmptyChannel);
        }
        if let Some(filter) = &options.tags_filter {
            TagsFilter::compile(filter)?;
            if options.delta {
                return Err(SubscribeError::DeltaWithFilter);
            }
        }
        let data = &options.data;
        if self.inner.format == Format::Json && !data.is_empty() && !data.is_json() {
            return Err(SubscribeError::NotJson);
        }
        Ok(())
    }

    fn stop_reason(&self) -> Disconnect {
        match &*self.inner.state.borrow() {
            State::Disconnected(reason) => reason.clone(),
            // The task ended without a word: its runtime was shut down.
            State::Connecting { .. } | State::Connected { .. } => Disconnect::ByApplication,
        }
    }
}

impl StateWatch {
    /// The state now. Later calls of [`changed`](Self::changed) wait for a newer one.
    pub fn current(&mut self) -> State {
        self.receiver.borrow_and_update().clone()
    }

    /// The next state that this has not shown yet; none when the client has ended. Cancel safe.
    pub async fn changed(&mut self) -> Option<State> {
        self.receiver.changed().await.ok()?;
        Some(self.current())
    }
}
