use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use throng_protocol::{Format, Limits};
use tokio::sync::{mpsc, watch};

use super::{Client, Inner, SUBSCRIPTION_QUEUE, State};
use crate::{
    BuildError, ConnectError, Disconnect, Endpoint, SendQueue, ServerEvent, ServerEvents, Token, TokenError,
    TokenGetter,
    driver::{Driver, Orders, Shared},
    mailbox::{MailboxSender, mailbox},
    options::{Options, option_setters},
    send_queue::send_queue,
    state::{Conversation, Settings},
    task::OwnedTask,
};

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `connect` or `build` is called"]
pub struct ClientBuilder {
    options: Options,
    settings: Settings,
    token_timeout: Duration,
    send: SendQueue,
}

impl ClientBuilder {
    pub(super) fn new(url: String) -> Self {
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
            token: Token::default(),
            token_getter: None,
            limits: Limits::for_replies(),
        };
        Self { options, settings, token_timeout: Duration::from_secs(10), send: SendQueue::default() }
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

    /// How many requests may wait to be sent, and what happens to one more. Default 1,024, and further ones wait.
    pub const fn send_queue(mut self, queue: SendQueue) -> Self {
        self.send = queue;
        self
    }

    /// Requests that may be sent and unanswered at once; further ones stay in the
    /// [send queue](Self::send_queue). Default 4,096, at least 1.
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

    /// The token that says who the client is, sent with every connection. Default none. When it is not valid (3500), the
    /// client stops; when it has expired (error 109), the client stops unless there is a
    /// [`token_getter`](Self::token_getter) for the next one.
    pub fn token(mut self, token: impl Into<Token>) -> Self {
        self.settings.token = token.into();
        self
    }

    /// The async closure that gets the token: before the first connection unless [`token`](Self::token) is set, when the
    /// server calls it expired (109, 3005) or void (3014), and shortly before it expires, so that the connection goes on
    /// with the newer one. While there is no token there is no connection: [`TokenError::Unauthorized`] stops the client
    /// with [`Disconnect::Unauthorized`], any other error counts as a failed attempt and is tried again.
    ///
    /// ```
    /// use throng_client::{Client, Token, TokenError};
    ///
    /// async fn ask_the_backend() -> Result<String, std::io::Error> {
    ///     Ok("eyJhbGciOi…".to_owned())
    /// }
    ///
    /// let builder = Client::builder("wss://chat.example").token_getter(|| async {
    ///     ask_the_backend().await.map(Token::from).map_err(TokenError::temporary)
    /// });
    /// # let _ = builder;
    /// ```
    pub fn token_getter<F, T>(mut self, getter: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<Token, TokenError>> + Send + 'static,
    {
        self.settings.token_getter = Some(TokenGetter::new(getter));
        self
    }

    /// Time for a token getter, the connection's or that of a subscription. Default 10 s.
    pub const fn token_timeout(mut self, timeout: Duration) -> Self {
        self.token_timeout = timeout;
        self
    }

    /// Starts the client and returns when it is connected. From then on it reconnects by itself.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings, or why the first attempt failed, with several servers the first attempt to each;
    /// then the client has ended.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let servers = self.options.urls.len();
        first_connection(self.build()?, servers).await
    }

    /// Connects as [`connect`](Self::connect) does, with a stream of what the server does without being asked: the
    /// channels that it subscribes this client to, and messages. The stream starts before the connection, so that
    /// nothing is missed. Without it such channels are not followed.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with_events(self) -> Result<(Client, ServerEvents), ConnectError> {
        let servers = self.options.urls.len();
        let (client, events) = self.build_with_events()?;
        Ok((first_connection(client, servers).await?, events))
    }

    /// Starts the client without waiting for a connection: also the first attempt is repeated as often as it takes.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn build(self) -> Result<Client, BuildError> {
        self.start(None)
    }

    /// Starts the client as [`build`](Self::build) does, with the stream of
    /// [`connect_with_events`](Self::connect_with_events).
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn build_with_events(self) -> Result<(Client, ServerEvents), BuildError> {
        let (events, reader) = mailbox(self.options.queue);
        Ok((self.start(Some(events))?, ServerEvents::new(reader)))
    }

    fn start(self, events: Option<MailboxSender<ServerEvent>>) -> Result<Client, BuildError> {
        let Self { options, mut settings, token_timeout, send } = self;
        settings.reconnect = options.reconnect;
        settings.limits.command_bytes = options.max_message_bytes;
        let format = settings.format;
        let subprotocol = match format {
            Format::Json => None,
            Format::Protobuf => Some("centrifuge-protobuf"),
        };
        let endpoints = options.endpoints()?;
        let endpoints = endpoints.iter().map(|endpoint| endpoint.or_path(Endpoint::PROTOCOL_PATH)).collect();
        let dialer = options.dialer(endpoints, subprotocol)?;
        let shared = Arc::new(Shared::default());
        let (subscriptions, new) = mpsc::channel(SUBSCRIPTION_QUEUE);
        let (requests, queue) = send_queue(send);
        let (announce, state) = watch::channel(State::Connecting { failures: 0, last: None });
        let conversation = Conversation::new(settings, queue, events, rand::random());
        let orders =
            Orders { subscriptions: new, requests: Arc::clone(&requests), shared: Arc::clone(&shared) };
        let driver = Driver::new(conversation, format, dialer, token_timeout, orders, announce);
        let task = OwnedTask::spawn(driver.run())?;
        let generations = AtomicU64::new(0);
        let inner =
            Inner { subscriptions, requests, shared, state, options, format, generations, _task: task };
        Ok(Client { inner: Arc::new(inner) })
    }
}

/// Waits for the first attempt to succeed, or one to each server; if they fail, the client ends.
async fn first_connection(client: Client, servers: usize) -> Result<Client, ConnectError> {
    let mut state = client.inner.state.clone();
    let first = |state: &State| match state {
        State::Connecting { last: None, .. } => false,
        State::Connecting { failures, .. } => usize::try_from(*failures).is_ok_and(|tried| tried >= servers),
        State::Connected { .. } | State::Disconnected(_) => true,
    };
    match state.wait_for(first).await.as_deref() {
        Ok(State::Connecting { last: Some(reason), .. } | State::Disconnected(reason)) => {
            Err(ConnectError::Failed(reason.clone()))
        }
        Ok(State::Connected { .. } | State::Connecting { last: None, .. }) => Ok(client),
        Err(_) => Err(ConnectError::Failed(Disconnect::ByApplication)),
    }
}
