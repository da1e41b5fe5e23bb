//! Plain mode: bare text and binary messages over a WebSocket that is opened again whenever it is lost.

mod driver;
mod message;
mod queue;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::sync::{Notify, oneshot};

pub use self::message::{CloseError, RelayEvent, RelayMessage, SendError};
use self::{
    driver::{Keepalives, RelayDriver},
    queue::{MessageQueue, message_queue},
};
use crate::{
    BuildError, ConnectError, Disconnect, WhenFull,
    mailbox::{Delivery, MailboxReceiver, mailbox},
    options::{Options, option_setters},
    state::Link,
    task::OwnedTask,
};

/// Most messages that wait for a connection, or for the socket.
const MESSAGE_QUEUE: usize = 256;

/// A plain WebSocket that reconnects by itself: for `/relay/{room}` of throng, and for any other WebSocket server.
///
/// A stream of [`RelayEvent`]s: the messages that arrive, and what happens to the connection. It ends after
/// [`RelayEvent::Stopped`]. The reader may fall behind by as much as the [`QueueBounds`](crate::QueueBounds) allow;
/// beyond that the oldest events are dropped and [`RelayEvent::Missed`] tells how many.
///
/// A dead connection is found by WebSocket pings. Dropping the client ends it at once, without a closing handshake;
/// [`close`](Self::close) ends it properly.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt as _;
/// use throng_client::{RelayClient, RelayEvent};
///
/// let mut lobby = RelayClient::builder("ws://127.0.0.1:8080/relay/lobby").connect().await?;
/// lobby.send("hello").await?;
/// while let Some(event) = lobby.next().await {
///     if let RelayEvent::Text(text) = event {
///         println!("{text}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RelayClient {
    messages: RelaySender,
    events: MailboxReceiver<RelayEvent>,
    shared: Arc<RelayShared>,
    task: OwnedTask<Result<(), CloseError>>,
}

/// Sends messages through a [`RelayClient`]; any number of clones may exist.
#[derive(Clone, Debug)]
pub struct RelaySender {
    messages: Arc<MessageQueue>,
    max_message_bytes: usize,
}

/// Settings of a [`RelayClient`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `connect` or `build` is called"]
pub struct RelayBuilder {
    options: Options,
    keepalives: Keepalives,
    queue_messages: usize,
    when_full: WhenFull,
}

/// What handles tell the task beside the queue of messages, because it must get through when that is full.
#[derive(Debug, Default)]
struct RelayShared {
    closing: std::sync::atomic::AtomicBool,
    wake: Notify,
}

impl RelayClient {
    /// Begins with the URL of a WebSocket, which is used as it is.
    pub fn builder(url: impl Into<String>) -> RelayBuilder {
        RelayBuilder {
            options: Options::new(url.into()),
            keepalives: Keepalives { interval: Duration::from_secs(25), grace: Duration::from_secs(10) },
            queue_messages: MESSAGE_QUEUE,
            when_full: WhenFull::default(),
        }
    }

    /// Sends a message; see [`RelaySender::send`].
    ///
    /// # Errors
    ///
    /// The client has stopped, or the message is too long.
    pub async fn send(&self, message: impl Into<RelayMessage>) -> Result<(), SendError> {
        self.messages.send(message).await
    }

    /// A handle that sends, for use beside the stream.
    pub fn sender(&self) -> RelaySender {
        self.messages.clone()
    }

    /// Sends what is queued, then closes with a closing handshake. Takes at most 5 s.
    ///
    /// # Errors
    ///
    /// [`CloseError`] when not all messages are known to have reached the server. That they have is known when it answers
    /// the close frame.
    pub async fn close(mut self) -> Result<(), CloseError> {
        self.shared.closing.store(true, std::sync::atomic::Ordering::Release);
        self.shared.wake.notify_one();
        (&mut self.task).await.unwrap_or(Err(CloseError::Unconfirmed))
    }
}

impl Stream for RelayClient {
    type Item = RelayEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<RelayEvent>> {
        self.events.poll_next(context).map(|delivery| {
            delivery.map(|delivery| match delivery {
                Delivery::Missed(count) => RelayEvent::Missed(count),
                Delivery::Event(event) => event,
            })
        })
    }
}

impl RelaySender {
    /// Queues a message for sending, in order.
    ///
    /// Nothing acknowledges a plain message. Without a connection it waits in the queue until there is one; when the
    /// queue is full, [`RelayBuilder::send_queue`] says what happens: by default this waits. A message that was under way when a connection broke may be lost.
    /// Cancel safe: a dropped call has sent nothing.
    ///
    /// # Errors
    ///
    /// The client has stopped, the message is too long, or the queue is full and that was chosen to be an error.
    pub async fn send(&self, message: impl Into<RelayMessage>) -> Result<(), SendError> {
        let message = message.into();
        if message.len() > self.max_message_bytes {
            return Err(SendError::TooLong { bytes: message.len(), max: self.max_message_bytes });
        }
        self.messages.push(message).await
    }
}

impl RelayBuilder {
    option_setters!();

    /// After how much silence the server is pinged, and how long it may take to answer before the connection counts as
    /// dead. Default 25 s and 10 s.
    pub const fn keepalive(mut self, interval: Duration, grace: Duration) -> Self {
        self.keepalives = Keepalives { interval, grace };
        self
    }

    /// How many messages may wait for a connection, or for the socket, and what happens to one more: it waits, is
    /// refused with [`SendError::QueueFull`], or takes the place of the oldest, which [`RelayEvent::Dropped`] tells.
    /// Default 256, and [`WhenFull::Wait`]; at least 1.
    ///
    /// ```
    /// use throng_client::{RelayClient, WhenFull};
    ///
    /// // Only the newest position matters to whoever watches this one.
    /// let builder =
    ///     RelayClient::builder("ws://127.0.0.1:8080/relay/boat").send_queue(1, WhenFull::DropOldest);
    /// # drop(builder);
    /// ```
    pub const fn send_queue(mut self, messages: usize, when_full: WhenFull) -> Self {
        self.queue_messages = messages;
        self.when_full = when_full;
        self
    }

    /// Starts the client and returns when it is connected. From then on it reconnects by itself.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings, or why the first attempt failed; then the client has ended.
    pub async fn connect(self) -> Result<RelayClient, ConnectError> {
        let (first, connected) = oneshot::channel();
        let client = self.start(Some(first))?;
        match connected.await {
            Ok(Ok(())) => Ok(client),
            Ok(Err(reason)) => Err(ConnectError::Failed(reason)),
            Err(_) => Err(ConnectError::Failed(Disconnect::ByApplication)),
        }
    }

    /// Starts the client without waiting for a connection: also the first attempt is repeated as often as it takes.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn build(self) -> Result<RelayClient, BuildError> {
        self.start(None)
    }

    fn start(
        self,
        first: Option<oneshot::Sender<Result<(), Disconnect>>>,
    ) -> Result<RelayClient, BuildError> {
        let Self { options, keepalives, queue_messages, when_full } = self;
        let dialer = options.dialer(options.endpoints()?, None)?;
        let (events, reader) = mailbox(options.queue);
        let (messages, queue) = message_queue(queue_messages, when_full);
        let shared = Arc::new(RelayShared::default());
        let link = Link::new(options.reconnect, rand::random());
        let driver = RelayDriver::new(link, dialer, keepalives, queue, events, first, Arc::clone(&shared));
        let task = OwnedTask::spawn(driver.run())?;
        let messages = RelaySender { messages, max_message_bytes: options.max_message_bytes };
        Ok(RelayClient { messages, events: reader, shared, task })
    }
}
