use bytes::Bytes;

use crate::Disconnect;

/// What a plain WebSocket carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RelayMessage {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
}

impl RelayMessage {
    /// Length of the payload in bytes.
    pub const fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// True for a message without a payload, which WebSocket allows.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<String> for RelayMessage {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for RelayMessage {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Bytes> for RelayMessage {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for RelayMessage {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// What happens on a plain WebSocket that reconnects.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RelayEvent {
    /// There is a connection: the first, or a new one.
    Connected,
    /// A text message arrived.
    Text(String),
    /// A binary message arrived. It shares the buffer that it arrived in; whoever keeps it for long keeps a copy.
    Binary(Bytes),
    /// The connection was lost, or an attempt has failed, for this reason; it is tried again. What others send until
    /// [`RelayEvent::Connected`] is not received.
    Disconnected(Disconnect),
    /// So many events, older than those that follow, were dropped because this stream was read too slowly.
    Missed(u64),
    /// So many messages that waited to be sent were dropped, the oldest first, because the queue was full; see
    /// [`WhenFull::DropOldest`](crate::WhenFull::DropOldest). Told when the queue is emptied again, and when the
    /// connection changes.
    Dropped(u64),
    /// The client has stopped, with this reason. The last event.
    Stopped(Disconnect),
}

/// Why a message was not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The client has stopped.
    #[error("the client has stopped")]
    Stopped,
    /// So many messages wait to be sent already, and [`WhenFull::Fail`](crate::WhenFull::Fail) was chosen; nothing was
    /// sent.
    #[error("{messages} messages wait to be sent, which is the most")]
    QueueFull {
        /// How many, [`RelayBuilder::send_queue`](crate::RelayBuilder::send_queue).
        messages: usize,
    },
    /// The message is longer than what this client would take itself.
    #[error("the message has {bytes} bytes, at most {max} are sent")]
    TooLong {
        /// The message's length, in bytes.
        bytes: usize,
        /// The limit, [`RelayBuilder::max_message_bytes`](crate::RelayBuilder::max_message_bytes).
        max: usize,
    },
}

/// A client was closed, and not all of its messages are known to have reached the server.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// There was no connection, so these were certainly not sent.
    #[error("messages that were not sent, as there is no connection: {messages}")]
    NotConnected {
        /// How many.
        messages: usize,
    },
    /// The server closed the connection itself, for another reason than our goodbye. It may not have taken everything.
    #[error("the server may not have taken everything")]
    Closed(#[source] Disconnect),
    /// All were handed to the system, but the server did not answer the close frame.
    #[error("the server did not confirm the end of the connection")]
    Unconfirmed,
}
