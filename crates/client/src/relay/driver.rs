//! The task that owns a relay's socket.

use std::{
    collections::VecDeque,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::{sync::oneshot, time::Instant};
use tokio_tungstenite::tungstenite::Message;

use super::{CloseError, RelayEvent, RelayMessage, RelayShared, queue::MessageReader};
use crate::{
    Disconnect,
    dial::Dialer,
    driver::{incoming, sleep_until},
    mailbox::MailboxSender,
    socket::{Farewell, Incoming, Socket},
    state::{Check, Keepalive, Link, Verdict},
};

/// Most messages that are taken in before they are flushed.
const MESSAGES_PER_TURN: usize = 64;

/// How dead connections are found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keepalives {
    pub(super) interval: Duration,
    pub(super) grace: Duration,
}

type Dialing = Pin<Box<dyn Future<Output = Result<Socket, Disconnect>> + Send>>;

/// Runs one relay client.
pub(super) struct RelayDriver {
    link: Link,
    dialer: Arc<Dialer>,
    keepalives: Keepalives,
    messages: MessageReader,
    /// Messages that a lost socket had not begun to write; they go first on the next one.
    unsent: VecDeque<Message>,
    events: MailboxSender<RelayEvent>,
    /// Something was sent on the latest connection, and only a farewell can tell whether it arrived.
    in_doubt: bool,
    /// Who waits for the outcome of the first attempt.
    first: Option<oneshot::Sender<Result<(), Disconnect>>>,
    shared: Arc<RelayShared>,
    dialing: Option<Dialing>,
    open: Option<Open>,
}

struct Open {
    socket: Socket,
    keepalive: Keepalive,
}

/// What the task waited for.
enum Wake {
    Dialed(Result<Socket, Disconnect>),
    Incoming(Incoming),
    /// There are messages to send.
    Messages,
    Shared,
    Due,
}

impl RelayDriver {
    pub(super) fn new(
        link: Link,
        dialer: Dialer,
        keepalives: Keepalives,
        messages: MessageReader,
        events: MailboxSender<RelayEvent>,
        first: Option<oneshot::Sender<Result<(), Disconnect>>>,
        shared: Arc<RelayShared>,
    ) -> Self {
        Self {
            link,
            dialer: Arc::new(dialer),
            keepalives,
            messages,
            unsent: VecDeque::new(),
            in_doubt: false,
            events,
            first,
            shared,
            dialing: None,
            open: None,
        }
    }

    /// Runs until the client is closed or stops for good.
    pub(super) async fn run(mut self) -> Result<(), CloseError> {
        self.link.start();
        self.dial();
        loop {
            let stopped = match self.wait().await {
                Wake::Dialed(result) => self.dialed(result),
                Wake::Incoming(incoming) => self.incoming(incoming),
                Wake::Messages => self.take_messages(),
                Wake::Shared => return self.close().await,
                Wake::Due => self.due(),
            };
            if let Some(reason) = stopped {
                return self.stop(reason);
            }
        }
    }

    /// Waits for whatever comes first. Cancel safe in every branch: losing the race loses nothing.
    async fn wait(&mut self) -> Wake {
        let deadline = self.deadline();
        let takes_messages = self.open.as_ref().is_some_and(|open| open.socket.is_idle());
        tokio::select! {
            result = dialed(self.dialing.as_mut()) => Wake::Dialed(result),
            incoming = incoming(self.open.as_mut().map(|open| &mut open.socket)) => Wake::Incoming(incoming),
            () = self.messages.filled(), if takes_messages => Wake::Messages,
            () = closing(&self.shared) => Wake::Shared,
            () = sleep_until(deadline) => Wake::Due,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let retry = self.link.deadline().map(Instant::from_std);
        let keepalive = self.open.as_ref().map(|open| Instant::from_std(open.keepalive.deadline()));
        let write = self.open.as_ref().and_then(|open| open.socket.write_deadline());
        [retry, keepalive, write].into_iter().flatten().min()
    }

    fn dial(&mut self) {
        let (dialer, turn) = (Arc::clone(&self.dialer), self.link.turn());
        self.dialing = Some(Box::pin(async move { dialer.dial(turn).await }));
    }

    fn dialed(&mut self, result: Result<Socket, Disconnect>) -> Option<Disconnect> {
        self.dialing = None;
        match result {
            Ok(mut socket) => {
                let now = Instant::now().into_std();
                self.link.established(now);
                self.in_doubt = !self.unsent.is_empty();
                for message in self.unsent.drain(..) {
                    socket.push(message);
                }
                let keepalive = Keepalive::new(self.keepalives.interval, self.keepalives.grace, now);
                self.open = Some(Open { socket, keepalive });
                tracing::debug!("connected");
                self.tell_dropped();
                self.events.push(RelayEvent::Connected, 0);
                if let Some(first) = self.first.take() {
                    let _ = first.send(Ok(())); // who no longer waits will drop the client
                }
                None
            }
            Err(reason) => self.lose(reason),
        }
    }

    fn incoming(&mut self, incoming: Incoming) -> Option<Disconnect> {
        if let Some(open) = &mut self.open
            && !matches!(incoming, Incoming::Flushed)
        {
            open.keepalive.heard(Instant::now().into_std());
        }
        match incoming {
            Incoming::Text(text) => {
                let text = text.as_str().to_owned();
                let bytes = text.len();
                self.events.push(RelayEvent::Text(text), bytes);
            }
            Incoming::Binary(bytes) => {
                let length = bytes.len();
                self.events.push(RelayEvent::Binary(bytes), length);
            }
            Incoming::Control | Incoming::Flushed => {}
            Incoming::Ended(reason) => return self.lose(reason),
        }
        None
    }

    fn take_messages(&mut self) -> Option<Disconnect> {
        self.tell_dropped();
        self.in_doubt = true;
        for message in self.messages.take(MESSAGES_PER_TURN) {
            let message = message_of(message);
            match &mut self.open {
                Some(open) => open.socket.push(message),
                None => self.unsent.push_back(message),
            }
        }
        None
    }

    fn due(&mut self) -> Option<Disconnect> {
        // This task may be late, and what the deadline waits for may have arrived meanwhile.
        if let Some(incoming) = self.open.as_mut().and_then(|open| open.socket.next().now_or_never())
            && let Some(reason) = self.incoming(incoming)
        {
            return Some(reason);
        }
        let now = Instant::now();
        if let Some(open) = &mut self.open {
            if open.socket.write_deadline().is_some_and(|deadline| deadline <= now) {
                return self.lose(Socket::write_timed_out());
            }
            match open.keepalive.due(now.into_std()) {
                Some(Check::Ping) => open.socket.push(Message::Ping(Bytes::new())),
                Some(Check::Silent(waited)) => return self.lose(Disconnect::Silent { waited }),
                None => {}
            }
        }
        if self.link.due(now.into_std()) {
            self.dial();
        }
        None
    }

    /// The connection, or the attempt, is over. Returns the reason if that is for good.
    fn lose(&mut self, reason: Disconnect) -> Option<Disconnect> {
        if let Some(open) = self.open.take() {
            self.unsent.extend(open.socket.into_unsent().into_iter().filter(|message| !message.is_ping()));
        }
        if let Some(first) = self.first.take() {
            let _ = first.send(Err(reason.clone()));
        }
        self.tell_dropped();
        match self.link.lost(reason.clone(), Instant::now().into_std()) {
            Verdict::Retry => {
                tracing::debug!(failures = self.link.failures(), %reason, "disconnected");
                self.events.push(RelayEvent::Disconnected(reason), 0);
                None
            }
            Verdict::Stop(reason) => Some(reason),
        }
    }

    fn tell_dropped(&self) {
        let dropped = self.messages.take_dropped();
        if dropped > 0 {
            self.events.push(RelayEvent::Dropped(dropped), 0);
        }
    }

    fn stop(self, reason: Disconnect) -> Result<(), CloseError> {
        tracing::debug!(%reason, "stopped");
        self.events.push(RelayEvent::Stopped(reason.clone()), 0);
        Err(CloseError::Closed(reason))
    }

    /// Sends what is queued and says goodbye.
    async fn close(mut self) -> Result<(), CloseError> {
        let Some(Open { mut socket, .. }) = self.open.take() else {
            self.unsent()?;
            return if self.in_doubt { Err(CloseError::Unconfirmed) } else { Ok(()) };
        };
        self.messages.close();
        for message in self.messages.take(usize::MAX) {
            socket.push(message_of(message));
        }
        match socket.farewell().await {
            Farewell::Answered => Ok(()),
            Farewell::Closed(reason) => Err(CloseError::Closed(reason)),
            Farewell::Unanswered => Err(CloseError::Unconfirmed),
        }
    }

    /// Fails when messages are left that no connection has taken.
    fn unsent(&mut self) -> Result<(), CloseError> {
        self.messages.close();
        let messages = self.unsent.len() + self.messages.take(usize::MAX).len();
        if messages == 0 { Ok(()) } else { Err(CloseError::NotConnected { messages }) }
    }
}

fn message_of(message: RelayMessage) -> Message {
    match message {
        RelayMessage::Text(text) => Message::Text(text.into()),
        RelayMessage::Binary(bytes) => Message::Binary(bytes),
    }
}

async fn dialed(dialing: Option<&mut Dialing>) -> Result<Socket, Disconnect> {
    match dialing {
        Some(dialing) => dialing.await,
        None => pending().await,
    }
}

async fn closing(shared: &RelayShared) {
    while !shared.closing.load(Ordering::Acquire) {
        shared.wake.notified().await;
    }
}
