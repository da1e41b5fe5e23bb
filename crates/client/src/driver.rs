//! The task that owns a client's socket: it turns what happens into inputs of the [`Conversation`] and carries out
//! what that decides.

use std::{
    future::{Future, pending},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use throng_protocol::Format;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::{
    Disconnect, State, Token, TokenError, TokenGetter,
    dial::Dialer,
    send_queue::RequestQueue,
    socket::{Incoming, Socket},
    state::{Action, Conversation, Input, NewSubscription, SubscriptionKey, TokenOwner},
};

/// Most subscriptions that are taken in before their commands are sent.
const SUBSCRIPTIONS_PER_TURN: usize = 256;

/// What handles tell the task beside the queues, because it must get through when those are full.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Subscriptions that were dropped. At most as many as there were.
    abandoned: Mutex<Vec<SubscriptionKey>>,
    closing: std::sync::atomic::AtomicBool,
    wake: Notify,
}

impl Shared {
    /// The handle of a subscription is gone.
    pub(crate) fn abandon(&self, key: SubscriptionKey) {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.wake.notify_one();
    }

    /// The client is to stop.
    pub(crate) fn close(&self) {
        self.closing.store(true, std::sync::atomic::Ordering::Release);
        self.wake.notify_one();
    }

    fn take_abandoned(&self) -> Vec<SubscriptionKey> {
        std::mem::take(&mut *self.abandoned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_closing(&self) -> bool {
        self.closing.load(std::sync::atomic::Ordering::Acquire)
    }
}

/// A token getter at work.
type Fetching = BoxFuture<'static, (TokenOwner, Result<Token, TokenError>)>;
/// How the wishes of handles reach the task.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) subscriptions: mpsc::Receiver<NewSubscription>,
    pub(crate) requests: Arc<RequestQueue>,
    pub(crate) shared: Arc<Shared>,
}

type Dialing = Pin<Box<dyn Future<Output = Result<Socket, Disconnect>> + Send>>;

/// Runs one client.
pub(crate) struct Driver {
    conversation: Conversation,
    format: Format,
    dialer: Arc<Dialer>,
    dialing: Option<Dialing>,
    token_timeout: Duration,
    /// Few at a time, as the conversation sees to.
    fetching: FuturesUnordered<Fetching>,
    socket: Option<Socket>,
    /// A socket that is to be closed with a handshake, at the end.
    farewell: Option<Socket>,
    subscriptions: mpsc::Receiver<NewSubscription>,
    batch: Vec<NewSubscription>,
    requests: Arc<RequestQueue>,
    shared: Arc<Shared>,
    state: watch::Sender<State>,
}

/// What the task waited for.
enum Wake {
    Dialed(Result<Socket, Disconnect>),
    Token(TokenOwner, Result<Token, TokenError>),
    Incoming(Incoming),
    /// Subscriptions are in the batch; 0: there will be none any more.
    Subscriptions(usize),
    /// Requests are in the queue.
    Requests,
    Shared,
    Due,
}

impl Driver {
    pub(crate) fn new(
        conversation: Conversation,
        format: Format,
        dialer: Dialer,
        token_timeout: Duration,
        orders: Orders,
        state: watch::Sender<State>,
    ) -> Self {
        Self {
            conversation,
            format,
            dialer: Arc::new(dialer),
            dialing: None,
            token_timeout,
            fetching: FuturesUnordered::new(),
            socket: None,
            farewell: None,
            subscriptions: orders.subscriptions,
            batch: Vec::with_capacity(SUBSCRIPTIONS_PER_TURN),
            requests: orders.requests,
            shared: orders.shared,
            state,
        }
    }

    /// Runs until the client is closed or stops for good.
    pub(crate) async fn run(mut self) {
        self.handle(Input::Start);
        self.perform();
        let reason = loop {
            if let Some(reason) = self.conversation.stopped() {
                break reason.clone();
            }
            let wake = self.wait().await;
            self.take_in(wake);
            if self.socket.as_ref().is_some_and(Socket::is_idle) {
                self.handle(Input::Writable);
            }
            self.perform();
        };
        if let Some(socket) = self.farewell.take() {
            socket.farewell().await;
        }
        // The state is told before the queue of subscriptions closes: a handle that finds it closed finds the reason as
        // well.
        self.state.send_replace(State::Disconnected(reason));
    }

    fn handle(&mut self, input: Input) {
        self.conversation.handle(input, Instant::now().into_std());
    }

    /// Waits for whatever comes first. Cancel safe in every branch: losing the race loses nothing.
    async fn wait(&mut self) -> Wake {
        let deadline = self.deadline();
        let takes_orders =
            self.conversation.accepts_orders() && self.socket.as_ref().is_none_or(Socket::is_idle);
        tokio::select! {
            result = next_of(self.dialing.as_mut()) => Wake::Dialed(result),
            Some((owner, outcome)) = self.fetching.next() => Wake::Token(owner, outcome),
            incoming = incoming(self.socket.as_mut()) => Wake::Incoming(incoming),
            count = self.subscriptions.recv_many(&mut self.batch, SUBSCRIPTIONS_PER_TURN), if takes_orders => {
                Wake::Subscriptions(count)
            }
            () = self.requests.filled() => Wake::Requests,
            () = self.shared.wake.notified() => Wake::Shared,
            () = sleep_until(deadline) => Wake::Due,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let conversation = self.conversation.deadline().map(Instant::from_std);
        let write = self.socket.as_ref().and_then(Socket::write_deadline);
        conversation.into_iter().chain(write).min()
    }

    fn take_in(&mut self, wake: Wake) {
        match wake {
            Wake::Dialed(result) => {
                self.dialing = None;
                match result {
                    Ok(socket) => {
                        self.socket = Some(socket);
                        self.handle(Input::Opened);
                    }
                    Err(reason) => self.handle(Input::Lost(reason)),
                }
            }
            Wake::Token(owner, outcome) => self.handle(Input::Token { owner, outcome }),
            Wake::Incoming(incoming) => self.incoming(incoming),
            Wake::Subscriptions(0) => self.handle(Input::Close),
            Wake::Subscriptions(_) => self.take_subscriptions(),
            Wake::Requests => {} // they are sent when the socket has room for them
            Wake::Shared if self.shared.is_closing() => self.handle(Input::Close),
            Wake::Shared => self.take_abandoned(),
            Wake::Due => self.due(),
        }
    }

    fn take_subscriptions(&mut self) {
        // Dropping a subscription and subscribing to the same channel again arrive here in this order.
        self.take_abandoned();
        let mut batch = std::mem::take(&mut self.batch);
        for new in batch.drain(..) {
            self.handle(Input::Subscribe(new));
        }
        self.batch = batch;
    }

    fn take_abandoned(&mut self) {
        for key in self.shared.take_abandoned() {
            self.handle(Input::Abandoned(key));
        }
    }

    fn incoming(&mut self, incoming: Incoming) {
        match incoming {
            // Which of the two it is says nothing: the format was agreed on in the handshake.
            Incoming::Text(text) => self.handle(Input::Received(Bytes::from(text))),
            Incoming::Binary(bytes) => self.handle(Input::Received(bytes)),
            Incoming::Control => self.handle(Input::Heard),
            Incoming::Flushed => {}
            Incoming::Ended(reason) => {
                self.socket = None;
                self.handle(Input::Lost(reason));
            }
        }
    }

    fn due(&mut self) {
        // This task may be late, and what the deadline waits for may have arrived meanwhile.
        if let Some(incoming) = self.socket.as_mut().and_then(|socket| socket.next().now_or_never()) {
            self.incoming(incoming);
        }
        let overdue =
            self.socket.as_ref().and_then(Socket::write_deadline).is_some_and(|at| at <= Instant::now());
        if overdue {
            self.socket = None;
            self.handle(Input::Lost(Socket::write_timed_out()));
        }
        self.handle(Input::Time);
    }

    /// Carries out what the conversation has decided.
    fn perform(&mut self) {
        while let Some(action) = self.conversation.poll_action() {
            match action {
                Action::Dial { turn } => {
                    let dialer = Arc::clone(&self.dialer);
                    self.dialing = Some(Box::pin(async move { dialer.dial(turn).await }));
                }
                Action::FetchToken { owner, getter } => {
                    self.fetching.push(Box::pin(fetch(owner, getter, self.token_timeout)));
                }
                Action::HangUp => {
                    self.dialing = None;
                    if let Some(socket) = self.socket.take() {
                        socket.hang_up();
                    }
                }
                Action::Farewell => self.farewell = self.socket.take(),
                Action::Announce(state) => {
                    self.state.send_replace(state);
                }
            }
        }
        while let Some(frame) = self.conversation.poll_frame() {
            if let Some(socket) = &mut self.socket {
                socket.push(message(self.format, frame));
            }
        }
    }
}

/// Asks a getter. One that panics has failed, and takes nothing else with it.
async fn fetch(
    owner: TokenOwner,
    getter: TokenGetter,
    waited: Duration,
) -> (TokenOwner, Result<Token, TokenError>) {
    let channel = match &owner {
        TokenOwner::Connection => "",
        TokenOwner::Subscription(key) => &key.channel,
    };
    let got = AssertUnwindSafe(async { getter.get(channel).await }).catch_unwind();
    let outcome = match tokio::time::timeout(waited, got).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(TokenError::temporary("it panicked")),
        Err(_) => Err(TokenError::TimedOut { waited }),
    };
    (owner, outcome)
}

fn message(format: Format, frame: Bytes) -> Message {
    match format {
        // What is not UTF-8 cannot have come out of the JSON encoder, as payloads are checked before; a server would
        // refuse it either way, so it may as well refuse a binary message.
        Format::Json => Utf8Bytes::try_from(frame.clone()).map_or(Message::Binary(frame), Message::Text),
        Format::Protobuf => Message::Binary(frame),
    }
}

async fn next_of<T>(future: Option<&mut Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

pub(crate) async fn incoming(socket: Option<&mut Socket>) -> Incoming {
    match socket {
        Some(socket) => socket.next().await,
        None => pending().await,
    }
}

pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}
