use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::time::Instant;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        self, Message,
        error::{CapacityError, ProtocolError},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{Disconnect, dial::Io};

/// Time in which a write has to make an end.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a farewell: what is queued, our close frame, and the server's.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// An open WebSocket that reads and writes at once: what is queued goes out while it waits for what comes in, so that
/// two sides that both want to write do not wait for each other.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Boxed, because it is large and this is handed around.
    stream: Box<WebSocketStream<MaybeTlsStream<Box<dyn Io>>>>,
    max_message_bytes: usize,
    /// Messages that the stream has not taken yet.
    outgoing: VecDeque<Message>,
    /// Set while something is queued or buffered: when that has to be gone.
    write_deadline: Option<Instant>,
}

/// What happened on a socket.
#[derive(Debug)]
pub(crate) enum Incoming {
    Text(tungstenite::Utf8Bytes),
    Binary(Bytes),
    /// A ping or a pong: the peer lives. Pings are answered by the library.
    Control,
    /// All that was queued has been handed to the system.
    Flushed,
    /// The connection is over; the socket is of no more use.
    Ended(Disconnect),
}

/// How a connection that was to be closed has ended.
#[derive(Debug)]
pub(crate) enum Farewell {
    /// The server has answered the close frame, so it has read everything before that.
    Answered,
    /// The server has closed by itself, with a code that says so.
    Closed(Disconnect),
    /// The server said nothing in time.
    Unanswered,
}

impl Socket {
    pub(crate) fn new(
        stream: WebSocketStream<MaybeTlsStream<Box<dyn Io>>>,
        max_message_bytes: usize,
    ) -> Self {
        Self { stream: Box::new(stream), max_message_bytes, outgoing: VecDeque::new(), write_deadline: None }
    }

    /// Queues a message. It goes out with everything else that is queued by then, in one flush, as soon as
    /// [`next`](Self::next) is polled.
    pub(crate) fn push(&mut self, message: Message) {
        self.outgoing.push_back(message);
        self.write_deadline.get_or_insert_with(|| Instant::now() + WRITE_TIMEOUT);
    }

    /// True while nothing waits to be written.
    pub(crate) const fn is_idle(&self) -> bool {
        self.write_deadline.is_none()
    }

    /// When what is queued has to be gone.
    pub(crate) const fn write_deadline(&self) -> Option<Instant> {
        self.write_deadline
    }

    /// What the caller reports when that time has passed.
    pub(crate) const fn write_timed_out() -> Disconnect {
        Disconnect::WriteTimedOut { waited: WRITE_TIMEOUT }
    }

    /// Writes what is queued and waits for the next thing that happens. Cancel safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// What was queued and never given to the stream, so that it certainly was not sent.
    pub(crate) fn into_unsent(self) -> VecDeque<Message> {
        self.outgoing
    }

    /// Says goodbye if that can be done at once.
    pub(crate) fn hang_up(mut self) {
        let _ = WebSocketStream::close(&mut self.stream, None).now_or_never();
    }

    /// Sends what is queued and a close frame, and waits for the server's. What arrives meanwhile is dropped.
    pub(crate) async fn farewell(mut self) -> Farewell {
        let goodbye = async {
            while let Some(message) = self.outgoing.pop_front() {
                self.stream.feed(message).await?;
            }
            let frame =
                CloseFrame { code: CloseCode::Normal, reason: tungstenite::Utf8Bytes::from_static("") };
            WebSocketStream::close(&mut self.stream, Some(frame)).await?;
            while let Some(message) = self.stream.next().await {
                if let Message::Close(frame) = message? {
                    return Ok(Some(frame));
                }
            }
            Ok::<_, tungstenite::Error>(None)
        };
        match tokio::time::timeout(FAREWELL_TIMEOUT, goodbye).await {
            Ok(Ok(Some(None))) => Farewell::Answered,
            Ok(Ok(Some(Some(frame)))) if frame.code == CloseCode::Normal => Farewell::Answered,
            Ok(Ok(Some(frame))) => Farewell::Closed(closed(frame)),
            Ok(Ok(None) | Err(_)) | Err(_) => Farewell::Unanswered,
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        let mut write_error = None;
        if self.write_deadline.is_some() {
            match self.poll_write(context) {
                Poll::Ready(Ok(())) => {
                    self.write_deadline = None;
                    return Poll::Ready(Incoming::Flushed);
                }
                Poll::Ready(Err(error)) => write_error = Some(error),
                Poll::Pending => {}
            }
        }
        // After a failed write there may still be a close frame to read, which says why.
        match (self.poll_read(context), write_error) {
            (Poll::Pending, Some(error)) => Poll::Ready(Incoming::Ended(self.ended(error))),
            (read, _) => read,
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), tungstenite::Error>> {
        while !self.outgoing.is_empty() {
            ready!(self.stream.poll_ready_unpin(context))?;
            let Some(message) = self.outgoing.pop_front() else { break };
            self.stream.start_send_unpin(message)?;
        }
        self.stream.poll_flush_unpin(context)
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        let incoming = match ready!(self.stream.poll_next_unpin(context)) {
            Some(Ok(Message::Text(text))) => Incoming::Text(text),
            Some(Ok(Message::Binary(bytes))) => Incoming::Binary(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Incoming::Control,
            Some(Ok(Message::Close(frame))) => {
                let _ = self.stream.poll_flush_unpin(context); // our close frame, which the library has queued
                Incoming::Ended(closed(frame))
            }
            Some(Err(error)) => Incoming::Ended(self.ended(error)),
            None => Incoming::Ended(Disconnect::Closed { code: 1006, reason: String::new() }),
        };
        Poll::Ready(incoming)
    }

    fn ended(&self, error: tungstenite::Error) -> Disconnect {
        match error {
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            | tungstenite::Error::ConnectionClosed
            | tungstenite::Error::AlreadyClosed => Disconnect::Closed { code: 1006, reason: String::new() },
            tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Disconnect::MessageTooLong { max: self.max_message_bytes }
            }
            error => Disconnect::Broken(Arc::new(error)),
        }
    }
}

fn closed(frame: Option<CloseFrame>) -> Disconnect {
    match frame {
        Some(frame) => {
            Disconnect::Closed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() }
        }
        None => Disconnect::Closed { code: 1005, reason: String::new() },
    }
}
