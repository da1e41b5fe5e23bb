mod tokens;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{SeedableRng as _, rngs::SmallRng};
use throng_protocol::{
    Command, ConnectRequest, ConnectResult, DecodeError, DisconnectCode, ErrorReply, Outcome, Publication,
    Push, PushEvent, Reply, Request, UnsubscribeRequest,
};
use tokio::sync::oneshot;

use self::tokens::Fetches;
use super::{
    Action, Input, Link, NewSubscription, RequestOrder, Settings, SubscriptionKey, Verdict,
    credential::Credential,
    frames::{FrameBatch, TooLong},
    requests::Requests,
    server_subscriptions::ServerSubscriptions,
    subscriptions::{Asking, Subscriptions},
};
use crate::{
    Disconnect, Event, RequestError, ServerEvent, State, mailbox::MailboxSender, send_queue::QueueReader,
};

/// Most requests that are taken in before their frames are sent.
const REQUESTS_PER_TURN: usize = 256;
/// Most of a buffer for channels that is kept from one frame to the next.
const CHANNEL_BUFFER_BYTES: usize = 1_024;

/// One client's side of the protocol, over one connection after another.
#[derive(Debug)]
pub(crate) struct Conversation {
    settings: Settings,
    link: Link,
    credential: Credential,
    fetches: Fetches,
    random: SmallRng,
    requests: Requests<Pending>,
    subscriptions: Subscriptions,
    server_subscriptions: ServerSubscriptions,
    /// Requests that wait to be sent.
    queue: QueueReader,
    /// Those that are being sent, empty between two inputs.
    batch: VecDeque<RequestOrder>,
    /// What the channels of pushes are read into.
    channel_buffer: String,
    /// When the last connection was lost.
    lost_at: Option<Instant>,
    frames: FrameBatch,
    actions: VecDeque<Action>,
    watchdog: Option<Watchdog>,
    /// The server wants its pings answered.
    answers_pings: bool,
    stopped: Option<Disconnect>,
}

/// What an unanswered request is for.
#[derive(Debug)]
enum Pending {
    Connect,
    Refresh,
    Subscribe(SubscriptionKey),
    SubRefresh(SubscriptionKey),
    Unsubscribe(Arc<str>),
    Request(oneshot::Sender<Result<Outcome, RequestError>>),
}

#[derive(Clone, Copy, Debug)]
struct Watchdog {
    allowance: Duration,
    heard: Instant,
}

impl Conversation {
    /// `events`: who wants to know what happens without having been asked for. `seed` makes the random parts of the waits.
    pub(crate) fn new(
        settings: Settings,
        queue: QueueReader,
        events: Option<MailboxSender<ServerEvent>>,
        seed: u64,
    ) -> Self {
        let Settings { format, limits, reconnect, .. } = settings;
        Self {
            link: Link::new(settings.reconnect, seed),
            credential: Credential::new(settings.token.clone(), settings.token_getter.clone()),
            fetches: Fetches::default(),
            random: SmallRng::seed_from_u64(seed.rotate_left(32)),
            requests: Requests::new(settings.command_timeout),
            subscriptions: Subscriptions::new(reconnect.backoff, !seed, format, limits.command_bytes),
            server_subscriptions: ServerSubscriptions::new(events, format, limits.command_bytes),
            queue,
            batch: VecDeque::with_capacity(REQUESTS_PER_TURN),
            channel_buffer: String::new(),
            lost_at: None,
            frames: FrameBatch::new(settings.format, settings.max_frame_bytes),
            actions: VecDeque::new(),
            watchdog: None,
            answers_pings: false,
            stopped: None,
            settings,
        }
    }

    /// Takes one input in.
    pub(crate) fn handle(&mut self, input: Input, now: Instant) {
        if self.stopped.is_some() && !matches!(input, Input::Subscribe(_)) {
            return;
        }
        match input {
            Input::Start => self.start(),
            Input::Writable => self.send_queued(now),
            Input::Subscribe(new) => self.subscribe(new, now),
            Input::Abandoned(key) => self.unsubscribe(&key, now),
            Input::Opened => self.introduce(now),
            Input::Received(frame) => self.receive(frame, now),
            Input::Heard => self.heard(now),
            Input::Token { owner, outcome } => self.token(owner, outcome, now),
            Input::Lost(reason) => self.lose(reason, now),
            Input::Time => self.time(now),
            Input::Close => self.close(),
        }
    }

    /// The next thing to do, before the frames are sent.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next frame to send.
    pub(crate) fn poll_frame(&mut self) -> Option<Bytes> {
        self.frames.pop()
    }

    /// When [`Input::Time`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let silence = self.watchdog.map(|watchdog| watchdog.heard + watchdog.allowance);
        let patience = self.patience();
        let (link, credential) = (self.link.deadline(), self.credential.deadline());
        let (requests, subscriptions) = (self.requests.deadline(), self.subscriptions.deadline());
        [link, credential, requests, subscriptions, silence, patience].into_iter().flatten().min()
    }

    /// False while as much is unanswered as may be: then subscriptions wait as requests do.
    pub(crate) fn accepts_orders(&self) -> bool {
        self.requests.len() < self.settings.max_pending
    }

    /// Why the conversation is over, if it is.
    pub(crate) const fn stopped(&self) -> Option<&Disconnect> {
        self.stopped.as_ref()
    }

    fn start(&mut self) {
        self.actions.push_back(Action::Announce(State::Connecting { failures: 0, last: None }));
        self.attempt();
    }

    fn introduce(&mut self, now: Instant) {
        self.link.opened();
        let name = self.settings.name.clone();
        let version = self.settings.version.clone();
        let subs = self.server_subscriptions.recoveries();
        let token = self.credential.token().as_str().to_owned();
        let whole = ConnectRequest { token, name, version, subs, ..ConnectRequest::default() };
        // Where there is no room for the positions the server cannot give back anything, which the events tell then.
        let bare = ConnectRequest { subs: BTreeMap::new(), ..whole.clone() };
        let sent = self
            .send(Request::Connect(whole), Pending::Connect, now)
            .or_else(|_| self.send(Request::Connect(bare), Pending::Connect, now));
        if let Err(bytes) = sent {
            tracing::error!(bytes, "the connect command does not fit a frame");
            self.hang_up(Disconnect::MessageTooLong { max: self.settings.max_frame_bytes }, now);
        }
    }

    /// Sends what waits, as far as it may be sent in one turn.
    fn send_queued(&mut self, now: Instant) {
        if !self.link.is_open() {
            return;
        }
        let begun = self.requests.len();
        loop {
            let sent = self.requests.len() - begun;
            let room = self.settings.max_pending.saturating_sub(self.requests.len());
            self.queue.take(room.min(REQUESTS_PER_TURN.saturating_sub(sent)), &mut self.batch);
            if self.batch.is_empty() {
                return;
            }
            while let Some(order) = self.batch.pop_front() {
                self.send_order(order, now);
            }
        }
    }

    /// When the patience of the oldest request ends that waits for a connection.
    fn patience(&self) -> Option<Instant> {
        if self.link.is_open() {
            return None;
        }
        let since = self.queue.waits_since()?;
        Some(self.lost_at.map_or(since, |lost_at| lost_at.max(since)) + self.settings.command_timeout)
    }

    /// Sends what the application wants sent, unless it no longer does: then nothing is sent.
    fn send_order(&mut self, order: RequestOrder, now: Instant) {
        let max = self.settings.max_frame_bytes;
        match order {
            RequestOrder::Request { request, answer } if !answer.is_closed() => {
                let id = self.requests.next_id();
                match self.frames.push(&Command::Request { id, request }) {
                    Ok(()) => self.requests.begin(Pending::Request(answer), now),
                    Err(TooLong { bytes }) => drop(answer.send(Err(RequestError::TooLong { bytes, max }))),
                }
            }
            RequestOrder::Send { message, sent } if !sent.is_closed() => {
                let pushed = self.frames.push(&Command::Send(message));
                drop(sent.send(pushed.map_err(|TooLong { bytes }| RequestError::TooLong { bytes, max })));
            }
            RequestOrder::Request { .. } | RequestOrder::Send { .. } => {}
        }
    }

    fn subscribe(&mut self, new: NewSubscription, now: Instant) {
        let channel = Arc::clone(&new.key.channel);
        self.subscriptions.add(new);
        if let Some(reason) = &self.stopped {
            self.subscriptions.stop(reason);
        } else {
            self.ask(&channel, now);
        }
    }

    /// Sends the subscribe command of a channel, if it is wanted and not under way.
    fn ask(&mut self, channel: &str, now: Instant) {
        if !self.link.is_open() {
            return;
        }
        let (key, request) = match self.subscriptions.ask(channel) {
            None => return,
            Some(Asking::Getter(key, getter)) => return self.fetch(key, getter),
            Some(Asking::Server(key, request)) => (key, request),
        };
        if let Err(bytes) = self.send(Request::Subscribe(request), Pending::Subscribe(key.clone()), now) {
            self.subscriptions.unsendable(&key, bytes, self.settings.max_frame_bytes);
        }
    }

    fn unsubscribe(&mut self, key: &SubscriptionKey, now: Instant) {
        self.forget_fetch(key);
        if self.subscriptions.remove(key) {
            self.leave(&key.channel, now);
        }
    }

    /// Sends the unsubscribe command of a channel.
    fn leave(&mut self, channel: &str, now: Instant) {
        let request = UnsubscribeRequest { channel: channel.to_owned() };
        if self.send(Request::Unsubscribe(request), Pending::Unsubscribe(channel.into()), now).is_err() {
            self.subscriptions.left(channel); // not reachable: the longer subscribe command had fitted
        }
    }

    /// Sends a request of the client's own; the error is the length of one that does not fit a frame.
    fn send(&mut self, request: Request, pending: Pending, now: Instant) -> Result<(), usize> {
        let id = self.requests.next_id();
        self.frames.push(&Command::Request { id, request }).map_err(|too_long| too_long.bytes)?;
        self.requests.begin(pending, now);
        Ok(())
    }

    fn heard(&mut self, now: Instant) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.heard = now;
        }
    }

    fn receive(&mut self, frame: Bytes, now: Instant) {
        self.heard(now);
        let mut pinged = false;
        let mut replies = self.settings.format.decode_replies(frame, &self.settings.limits);
        replies.give_back(std::mem::take(&mut self.channel_buffer));
        while let Some(reply) = replies.next() {
            match reply {
                Ok(Reply::Ping) => pinged = true,
                Ok(Reply::Push(Push { channel, event })) => {
                    self.push(&channel, event, now);
                    replies.give_back(channel);
                }
                Ok(Reply::Answer { id, outcome }) => self.answer(id, outcome, now),
                Err(error) => self.hang_up(Disconnect::Malformed(error), now),
            }
            if !self.link.is_up() {
                return; // the rest of the frame belongs to a connection that was given up
            }
        }
        self.channel_buffer = replies.into_buffer();
        self.channel_buffer.clear();
        self.channel_buffer.shrink_to(CHANNEL_BUFFER_BYTES);
        if pinged {
            self.pong();
        }
    }

    /// One pong, however many pings came together: servers take a pong without an outstanding ping for a fault.
    fn pong(&mut self) {
        if self.answers_pings && self.frames.push(&Command::Pong).is_err() {
            tracing::error!("a pong does not fit a frame");
        }
    }

    fn push(&mut self, channel: &str, event: PushEvent, now: Instant) {
        match event {
            PushEvent::Publication(publication) => self.publication(channel, publication, now),
            PushEvent::Join(join) => self.event(channel, Event::Join(join.info.unwrap_or_default()), now),
            PushEvent::Leave(leave) => self.event(channel, Event::Leave(leave.info.unwrap_or_default()), now),
            PushEvent::Unsubscribe(push) if self.subscriptions.has(channel) => {
                if self.subscriptions.removed(channel, push, now) {
                    self.ask(channel, now);
                }
            }
            PushEvent::Unsubscribe(push) => self.server_subscriptions.removed(channel, push),
            PushEvent::Subscribe(push) => self.server_subscriptions.added(channel, push),
            PushEvent::Message(message) => self.server_subscriptions.message(message.data),
            PushEvent::Disconnect(push) => {
                let code = u16::try_from(push.code).unwrap_or(u16::MAX);
                self.hang_up(Disconnect::Closed { code, reason: push.reason }, now);
            }
            PushEvent::Refresh(push) => self.granted(push.expires, push.ttl, now),
            PushEvent::Connect(_) => {} // belongs to one-way transports
        }
    }

    /// A channel belongs to the application's own subscription, or else to one of the server's.
    fn publication(&mut self, channel: &str, publication: Publication, now: Instant) {
        if !self.subscriptions.has(channel) {
            self.server_subscriptions.publication(channel, publication);
        } else if self.subscriptions.publication(channel, publication) {
            self.leave(channel, now);
        }
    }

    fn event(&mut self, channel: &str, event: Event, now: Instant) {
        if !self.subscriptions.has(channel) {
            self.server_subscriptions.event(channel, event);
        } else if self.subscriptions.event(channel, event) {
            self.leave(channel, now);
        }
    }

    fn answer(&mut self, id: u32, outcome: Result<Outcome, ErrorReply>, now: Instant) {
        let Some(pending) = self.requests.finish(id) else { return }; // it has timed out, which was reported then
        match (pending, outcome) {
            (Pending::Connect, Ok(Outcome::Connect(result))) => self.established(result, now),
            (Pending::Connect, Err(error)) => self.hang_up(Disconnect::Refused(error), now),
            (Pending::Subscribe(key), Ok(Outcome::Subscribe(result))) => {
                if self.subscriptions.confirmed(&key, result, now) {
                    self.leave(&key.channel, now);
                }
            }
            (Pending::Subscribe(key), Err(error)) => self.subscriptions.refused(&key, error, now),
            (Pending::Refresh, Ok(Outcome::Refresh(result))) => self.refreshed(Ok(result), now),
            (Pending::Refresh, Err(error)) => self.refreshed(Err(error), now),
            (Pending::SubRefresh(key), Ok(Outcome::SubRefresh(result))) => {
                self.subscription_refreshed(&key, Ok(result), now);
            }
            (Pending::SubRefresh(key), Err(error)) => self.subscription_refreshed(&key, Err(error), now),
            (Pending::Connect | Pending::Refresh | Pending::Subscribe(_) | Pending::SubRefresh(_), Ok(_)) => {
                self.hang_up(Disconnect::Malformed(DecodeError::NoBody { id }), now);
            }
            (Pending::Unsubscribe(channel), Ok(_)) => {
                self.subscriptions.left(&channel);
                self.ask(&channel, now);
            }
            (Pending::Unsubscribe(_), Err(error)) => self.hang_up(Disconnect::Unsubscribe(error), now),
            (Pending::Request(answer), outcome) => {
                let _ = answer.send(outcome.map_err(RequestError::Refused)); // the caller may have left
            }
        }
    }

    fn established(&mut self, result: ConnectResult, now: Instant) {
        tracing::debug!(client = result.client, ping_s = result.ping, "connected");
        self.link.established(now);
        self.granted(result.expires, result.ttl, now);
        self.answers_pings = result.pong;
        let interval = Duration::from_secs(u64::from(result.ping));
        let allowance = interval + self.settings.ping_grace;
        self.watchdog = (result.ping > 0).then_some(Watchdog { allowance, heard: now });
        self.actions.push_back(Action::Announce(State::Connected { client: result.client }));
        self.server_subscriptions.connected(result.subs);
        for channel in self.subscriptions.channels() {
            self.ask(&channel, now);
        }
        self.send_queued(now);
    }

    fn time(&mut self, now: Instant) {
        if self.link.due(now) {
            self.attempt();
        }
        while let Some(pending) = self.requests.pop_overdue(now) {
            let waited = self.settings.command_timeout;
            let command = match pending {
                Pending::Request(answer) => {
                    let _ = answer.send(Err(RequestError::TimedOut { waited }));
                    continue;
                }
                Pending::Refresh => {
                    self.retry_refresh(now);
                    continue;
                }
                Pending::SubRefresh(key) => {
                    self.subscriptions.retry_renewal(&key, now);
                    continue;
                }
                Pending::Connect => "connect",
                Pending::Subscribe(_) => "subscribe",
                Pending::Unsubscribe(_) => "unsubscribe",
            };
            return self.hang_up(Disconnect::NoAnswer { command, waited }, now);
        }
        self.end_patience(now);
        while let Some(channel) = self.subscriptions.pop_due(now) {
            self.ask(&channel, now);
        }
        self.renew_tokens(now);
        if let Some(watchdog) = self.watchdog
            && watchdog.heard + watchdog.allowance <= now
        {
            self.hang_up(Disconnect::Silent { waited: watchdog.allowance }, now);
        }
    }

    /// Tells those that there was no connection for them.
    fn end_patience(&mut self, now: Instant) {
        let waited = self.settings.command_timeout;
        while self.patience().is_some_and(|until| until <= now) {
            let Some(order) = self.queue.take_older(now) else { return };
            order.fail(RequestError::NotSent { waited });
        }
    }

    /// Ends the connection from this side and decides what comes next.
    fn hang_up(&mut self, reason: Disconnect, now: Instant) {
        self.actions.push_back(Action::HangUp);
        self.lose(reason, now);
    }

    /// The connection, or the attempt, is over: decides what comes next.
    fn lose(&mut self, reason: Disconnect, now: Instant) {
        if self.link.is_open() {
            self.lost_at = Some(now); // who waited for room now waits for a connection
        }
        self.disconnected(&reason);
        let reconnects = reason.reconnects() | self.needs_token(&reason);
        match self.link.lost_and(reconnects, reason.clone(), now) {
            Verdict::Retry => {
                tracing::debug!(failures = self.link.failures(), %reason, "disconnected");
                let void = DisconnectCode::StateInvalidated.code();
                let void = matches!(reason, Disconnect::Closed { code, .. } if code == void);
                self.subscriptions.connection_lost(void);
                self.server_subscriptions.connection_lost(void);
                let failures = self.link.failures();
                self.actions.push_back(Action::Announce(State::Connecting { failures, last: Some(reason) }));
            }
            Verdict::Stop(reason) => self.stop(reason),
        }
    }

    /// What was sent and not answered will stay unanswered.
    fn disconnected(&mut self, reason: &Disconnect) {
        self.frames.clear();
        self.watchdog = None;
        self.credential.suspend();
        self.answers_pings = false;
        for pending in self.requests.reset() {
            if let Pending::Request(answer) = pending {
                let _ = answer.send(Err(RequestError::Unknown(reason.clone())));
            }
        }
    }

    fn close(&mut self) {
        self.actions.push_back(if self.link.is_open() { Action::Farewell } else { Action::HangUp });
        self.disconnected(&Disconnect::ByApplication);
        self.link.stop();
        self.stop(Disconnect::ByApplication);
    }

    fn stop(&mut self, reason: Disconnect) {
        tracing::debug!(%reason, "stopped");
        self.queue.close(&reason);
        self.subscriptions.stop(&reason);
        self.server_subscriptions.stop();
        self.stopped = Some(reason);
    }
}
