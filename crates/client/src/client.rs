use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use throng_protocol::{Format, Limits, Outcome, Payload, PublishRequest, Request};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::unconstrained,
};

use crate::{
    BuildError, ConnectError, Disconnect, Endpoint, RequestError, SubscribeError, Subscription,
    driver::{Driver, Order, Shared},
    mailbox::mailbox,
    options::{Options, option_setters},
    state::{Conversation, NewSubscription, RequestOrder, Settings, SubscriptionKey},
    task::OwnedTask,
};

/// Orders that wait in front of the task. A full queue makes `publish` and `subscribe` wait.
const ORDER_QUEUE: usize = 256;

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

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `connect` or `build` is called"]
pub struct ClientBuilder {
    options: Options,
    settings: Settings,
}

#[derive(Debug)]
struct Inner {
    orders: mpsc::Sender<Order>,
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
    /// [`Endpoint::PROTOCOL_PATH`] is added.
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
        if channel.is_empty() {
            return Err(SubscribeError::EmptyChannel);
        }
        let generation = self.inner.generations.fetch_add(1, Ordering::Relaxed);
        let key = SubscriptionKey { channel: channel.into(), generation };
        let (events, reader) = mailbox(self.inner.options.queue);
        // From here on, dropping this future drops the subscription, which takes the wish back. Declared before the
        // receiver, so dropped after it: who sees the subscription abandoned also sees that nobody waits for it.
        let subscription = Subscription::new(key.clone(), reader, Arc::clone(&self.inner.shared));
        let (ready, confirmed) = oneshot::channel();
        let order = Order::Subscribe(NewSubscription { key, events, ready });
        let stopped = |_| SubscribeError::Stopped(self.stop_reason());
        self.inner.orders.send(order).await.map_err(|_| stopped(()))?;
        confirmed.await.map_err(|_| stopped(()))??;
        Ok(subscription)
    }

    /// Publishes to a channel and returns when the server has acknowledged it.
    ///
    /// On a JSON connection the payload has to be JSON text. Several calls may be under way at once: they share frames,
    /// and the server sees them in the order in which they were first polled. Without a connection it waits for one, at
    /// most for the command timeout. Not cancel safe: a dropped call may or may not have been carried out.
    ///
    /// # Errors
    ///
    /// [`RequestError`] tells whether it was refused, was never sent, or may have been carried out.
    pub async fn publish(&self, channel: &str, payload: impl Into<Payload>) -> Result<(), RequestError> {
        if channel.is_empty() {
            return Err(RequestError::EmptyChannel);
        }
        let data = payload.into();
        if self.inner.format == Format::Json && !data.is_json() {
            return Err(RequestError::NotJson);
        }
        let request = PublishRequest { channel: channel.to_owned(), data, ..PublishRequest::default() };
        self.request(Request::Publish(request)).await.map(drop)
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

    async fn request(&self, request: Request) -> Result<Outcome, RequestError> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Request(RequestOrder { request, answer });
        // Unconstrained, because the cooperative budget would make a call wait without a place in the queue, and calls
        // behind it overtake.
        let queued = unconstrained(self.inner.orders.send(order)).await;
        queued.map_err(|_| RequestError::Stopped(self.stop_reason()))?;
        answered.await.unwrap_or_else(|_| Err(RequestError::Stopped(self.stop_reason())))
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

impl ClientBuilder {
    fn new(url: String) -> Self {
        let options = Options::new(url);
        let settings = Settings {
            format: Format::Json,
            reconnect: options.reconnect,
            command_timeout: Duration::from_secs(5),
            ping_grace: Duration::from_secs(10),
            max_frame_bytes: 65_536,
            max_pending: 4_096,
            name: "rust".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: Limits::for_replies(),
        };
        Self { options, settings }
    }

    option_setters!();

    /// The wire format. Default [`Format::Json`].
    pub const fn format(mut self, format: Format) -> Self {
        self.settings.format = format;
        self
    }

    /// Time for the server's answer to a command, and for a connection to send one on. Default 5 s.
    pub const fn command_timeout(mut self, timeout: Duration) -> Self {
        self.settings.command_timeout = timeout;
        self
    }

    /// How much later than the server has promised its ping may come before the connection counts as dead. Default 10 s.
    pub const fn ping_grace(mut self, grace: Duration) -> Self {
        self.settings.ping_grace = grace;
        self
    }

    /// Largest WebSocket message to send, in bytes: what the server takes. Commands are put together up to this size,
    /// and a longer one is refused without being sent, because the server would end the connection. Default 65,536.
    pub const fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_frame_bytes = bytes;
        self
    }

    /// Requests that may be under way at once; further ones wait. Default 4,096, at least 1.
    pub const fn max_pending(mut self, requests: usize) -> Self {
        self.settings.max_pending = if requests == 0 { 1 } else { requests };
        self
    }

    /// Name and version that the client tells the server. Default `rust` and this crate's version.
    pub fn name(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self.settings.version = version.into();
        self
    }

    /// Starts the client and returns when it is connected. From then on it reconnects by itself.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings, or why the first attempt failed; then the client has ended.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let client = self.build()?;
        let mut state = client.inner.state.clone();
        let first = |state: &State| !matches!(state, State::Connecting { last: None, .. });
        match state.wait_for(first).await.as_deref() {
            Ok(State::Connecting { last: Some(reason), .. } | State::Disconnected(reason)) => {
                Err(ConnectError::Failed(reason.clone()))
            }
            Ok(State::Connected { .. } | State::Connecting { last: None, .. }) => Ok(client),
            Err(_) => Err(ConnectError::Failed(Disconnect::ByApplication)),
        }
    }

    /// Starts the client without waiting for a connection: also the first attempt is repeated as often as it takes.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn build(self) -> Result<Client, BuildError> {
        let Self { options, mut settings } = self;
        settings.reconnect = options.reconnect;
        settings.limits.command_bytes = options.max_message_bytes;
        let format = settings.format;
        let subprotocol = match format {
            Format::Json => None,
            Format::Protobuf => Some("centrifuge-protobuf"),
        };
        let dialer = options.dialer(options.endpoint()?.or_path(Endpoint::PROTOCOL_PATH), subprotocol)?;
        let shared = Arc::new(Shared::default());
        let (orders, queue) = mpsc::channel(ORDER_QUEUE);
        let (announce, state) = watch::channel(State::Connecting { failures: 0, last: None });
        let conversation = Conversation::new(settings, rand::random());
        let driver = Driver::new(conversation, format, dialer, queue, Arc::clone(&shared), announce);
        let task = OwnedTask::spawn(driver.run())?;
        let generations = AtomicU64::new(0);
        let inner = Inner { orders, shared, state, options, format, generations, _task: task };
        Ok(Client { inner: Arc::new(inner) })
    }
}
