//! A conversation with an invented clock and a server that is played by the test.

mod connection;
mod delta;
mod herd;
mod recovery;
mod requests;
mod server_subscriptions;
mod slow_readers;
mod subscriptions;
mod tokens;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use throng_protocol::{
    Command, ConnectResult, ErrorCode, ErrorReply, Format, Limits, Outcome, Payload, Publication,
    PublishRequest, Push, PushEvent, Reply, Request, SubscribeRequest, SubscribeResult, Unsubscribe,
};
use tokio::sync::oneshot;

use super::{
    Action, Conversation, Input, NewSubscription, Place, ReconnectPolicy, RequestOrder, Settings,
    SubscriptionKey, Told,
};
use crate::{
    Disconnect, Event, QueueBounds, RequestError, ServerEvent, State, StreamPosition, SubscribeError,
    SubscribeOptions, Token,
    mailbox::{Delivery, MailboxReceiver, mailbox},
    send_queue::{Queued, RequestQueue, SendQueue, send_queue},
};

const SECOND: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(25);

/// A conversation and what it is asked with.
struct Talk {
    conversation: Conversation,
    format: Format,
    queue: Arc<RequestQueue>,
    now: Instant,
    generation: u64,
    server_events: MailboxReceiver<ServerEvent>,
}

/// The handle's end of a subscription.
struct Reader {
    key: SubscriptionKey,
    events: MailboxReceiver<Told>,
    ready: oneshot::Receiver<Result<Option<Place>, SubscribeError>>,
}

type Answer = oneshot::Receiver<Result<Outcome, RequestError>>;

impl Talk {
    /// Before the first connection.
    fn new(format: Format) -> Self {
        let (events, server_events) = mailbox(QueueBounds::default());
        let (queue, requests) = send_queue(SendQueue::default());
        let conversation = Conversation::new(settings(format), requests, Some(events), 42);
        Self { conversation, format, queue, now: Instant::now(), generation: 0, server_events }
    }

    /// With a connection that the server has welcomed.
    fn connected() -> Self {
        Self::connected_in(Format::Json)
    }

    fn connected_in(format: Format) -> Self {
        let mut talk = Self::new(format);
        talk.handle(Input::Start);
        talk.welcome();
        talk.actions();
        talk
    }

    fn handle(&mut self, input: Input) {
        self.conversation.handle(input, self.now);
    }

    /// Opens the socket that was asked for, and answers the connect command.
    fn welcome(&mut self) {
        self.welcome_with(BTreeMap::new());
    }

    /// The same, with server-side subscriptions. Returns what the client says of those that it knows.
    fn welcome_with(
        &mut self,
        subs: BTreeMap<String, SubscribeResult>,
    ) -> BTreeMap<String, SubscribeRequest> {
        self.handle(Input::Opened);
        let (1, Request::Connect(request)) = self.sent_request() else { panic!("no connect command") };
        let ping = u32::try_from(PING.as_secs()).unwrap();
        let client = "c1".to_owned();
        let result = ConnectResult { client, ping, pong: true, subs, ..ConnectResult::default() };
        self.answer(1, Ok(Outcome::Connect(result)));
        request.subs
    }

    /// Loses the connection, and is connected again.
    fn reconnect(&mut self, code: u16) {
        self.lose(code);
        self.actions();
        self.redial();
        self.welcome();
        self.actions();
    }

    /// Waits until the next attempt is due, and begins it.
    fn redial(&mut self) {
        self.pass_to_deadline();
        assert!(matches!(self.actions()[..], [Action::Dial { .. }]));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.handle(Input::Time);
    }

    fn pass_to_deadline(&mut self) {
        self.now = self.conversation.deadline().expect("something is waited for").max(self.now);
        self.handle(Input::Time);
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.conversation.poll_action()).collect()
    }

    /// The commands that go out now, frame by frame.
    fn frames(&mut self) -> Vec<Vec<Command>> {
        std::iter::from_fn(|| self.conversation.poll_frame())
            .map(|frame| {
                self.format
                    .decode_commands(frame, &Limits::default())
                    .collect::<Result<_, _>>()
                    .expect("valid")
            })
            .collect()
    }

    /// The commands that go out now.
    fn sent(&mut self) -> Vec<Command> {
        self.frames().concat()
    }

    /// The one request that goes out now, and its id.
    fn sent_request(&mut self) -> (u32, Request) {
        match self.sent().as_slice() {
            [Command::Request { id, request }] => (*id, request.clone()),
            other => panic!("not one request: {other:?}"),
        }
    }

    /// The server says something.
    fn reply(&mut self, replies: &[Reply]) {
        let mut frame = BytesMut::new();
        for reply in replies {
            self.format.encode_reply(reply, &mut frame);
        }
        self.handle(Input::Received(frame.freeze()));
    }

    fn answer(&mut self, id: u32, outcome: Result<Outcome, ErrorReply>) {
        self.reply(&[Reply::Answer { id, outcome }]);
    }

    fn push(&mut self, channel: &str, event: PushEvent) {
        self.reply(&[Reply::Push(Push { channel: channel.to_owned(), event })]);
    }

    fn publish(&mut self, payload: impl Into<Bytes>) -> Answer {
        let data = payload.into().into();
        let request = PublishRequest { channel: "news".to_owned(), data, ..PublishRequest::default() };
        let (answer, answered) = oneshot::channel();
        match self.queue(RequestOrder::Request { request: Request::Publish(request), answer }) {
            Ok(()) => {
                self.handle(Input::Writable);
                answered
            }
            Err(error) => {
                let (answer, answered) = oneshot::channel();
                answer.send(Err(error)).expect("it is read");
                answered
            }
        }
    }

    /// Puts a request into the queue, for good.
    fn queue(&self, order: RequestOrder) -> Result<(), RequestError> {
        self.queue.put(order, self.now).map(Queued::over)
    }

    fn subscribe(&mut self, channel: &str) -> Reader {
        self.subscribe_with(channel, SubscribeOptions::default())
    }

    fn subscribe_with(&mut self, channel: &str, options: SubscribeOptions) -> Reader {
        self.generation += 1;
        let key = SubscriptionKey { channel: channel.into(), generation: self.generation };
        let (events, reader) = mailbox(QueueBounds::default());
        let (ready, confirmed) = oneshot::channel();
        let options = Box::new(options);
        self.handle(Input::Subscribe(NewSubscription { key: key.clone(), options, events, ready }));
        Reader { key, events: reader, ready: confirmed }
    }

    /// Subscribes, and lets the server confirm it.
    fn subscribed(&mut self, channel: &str) -> Reader {
        let mut reader = self.subscribe(channel);
        let id = self.asked_for(channel);
        self.confirm(id);
        assert!(matches!(reader.ready.try_recv(), Ok(Ok(None))));
        reader
    }

    /// The id of the subscribe command that goes out now, alone.
    fn asked_for(&mut self, channel: &str) -> u32 {
        self.asked_with(channel).0
    }

    /// The subscribe command that goes out now, alone, and its id.
    fn asked_with(&mut self, channel: &str) -> (u32, SubscribeRequest) {
        match self.sent_request() {
            (id, Request::Subscribe(request)) if request.channel == channel => (id, request),
            other => panic!("no subscribe command for {channel}: {other:?}"),
        }
    }

    /// The id of the unsubscribe command that goes out now, alone.
    fn left(&mut self, channel: &str) -> u32 {
        match self.sent_request() {
            (id, Request::Unsubscribe(request)) if request.channel == channel => id,
            other => panic!("no unsubscribe command for {channel}: {other:?}"),
        }
    }

    fn confirm(&mut self, id: u32) {
        self.confirm_with(id, SubscribeResult::default());
    }

    fn confirm_with(&mut self, id: u32, result: SubscribeResult) {
        self.answer(id, Ok(Outcome::Subscribe(result)));
    }

    /// What happened without having been asked for since the last call.
    fn server_events(&self) -> Vec<String> {
        let next = || std::future::poll_fn(|context| self.server_events.poll_next(context)).now_or_never();
        std::iter::from_fn(|| next()?).map(|delivery| shown_of_server(&delivery)).collect()
    }

    fn server_events_have_ended(&self) -> bool {
        let next = std::future::poll_fn(|context| self.server_events.poll_next(context));
        matches!(next.now_or_never(), Some(None))
    }

    fn lose(&mut self, code: u16) {
        self.handle(Input::Lost(closed(code)));
    }

    /// That the client gave up the connection and tries again, and why.
    fn gave_up_connection(&mut self) -> Disconnect {
        match self.actions().as_mut_slice() {
            [Action::HangUp, Action::Announce(State::Connecting { last: Some(reason), .. })] => {
                reason.clone()
            }
            other => panic!("the connection was not given up: {other:?}"),
        }
    }
}

impl Reader {
    fn next(&self) -> Option<Event> {
        let next = std::future::poll_fn(|context| self.events.poll_next(context)).now_or_never()??;
        match next {
            Delivery::Event(told) => Some(told.event),
            Delivery::Missed(count) => Some(Event::Missed(count)),
        }
    }

    /// All events since the last call, each in a word or two.
    fn all(&self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).map(|event| shown(&event)).collect()
    }

    /// Where the reader stands after the event that is read here.
    fn place(&self) -> Option<StreamPosition> {
        match std::future::poll_fn(|context| self.events.poll_next(context)).now_or_never() {
            Some(Some(Delivery::Event(told))) => told.place.as_ref().map(Place::position),
            other => panic!("no event: {other:?}"),
        }
    }

    /// The payload of the publication that comes next.
    fn publication(&self) -> Option<String> {
        match self.next()? {
            Event::Publication(publication) => {
                Some(String::from_utf8(publication.data.into_bytes().to_vec()).unwrap())
            }
            other => panic!("no publication: {other:?}"),
        }
    }
}

fn settings(format: Format) -> Settings {
    Settings {
        format,
        reconnect: ReconnectPolicy::default(),
        command_timeout: 5 * SECOND,
        ping_grace: 10 * SECOND,
        max_frame_bytes: 1_000,
        max_pending: 4,
        name: "test".to_owned(),
        version: "1".to_owned(),
        token: Token::default(),
        token_getter: None,
        limits: Limits::for_replies(),
    }
}

/// An event in a word or two: a publication by its payload, a gap by both ends.
fn shown(event: &Event) -> String {
    match event {
        Event::Publication(publication) => {
            format!("{}{}", if publication.delta { "delta " } else { "" }, text(&publication.data))
        }
        Event::Gap { since, current } => {
            let current = current.as_ref().map_or_else(|| "nowhere".to_owned(), place);
            format!("gap {} to {current}", place(since))
        }
        Event::Unsubscribed(reason) => format!("unsubscribed: {reason}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn shown_of_server(delivery: &Delivery<ServerEvent>) -> String {
    match delivery {
        Delivery::Event(ServerEvent::Channel { channel, event }) => format!("{channel}: {}", shown(event)),
        Delivery::Event(ServerEvent::Message(data)) => format!("message {}", text(data)),
        Delivery::Event(ServerEvent::Missed(count)) | Delivery::Missed(count) => format!("missed {count}"),
    }
}

fn place(position: &StreamPosition) -> String {
    format!("{}:{}", position.offset, position.epoch)
}

fn text(data: &Payload) -> String {
    String::from_utf8(data.as_bytes().to_vec()).unwrap()
}

/// A publication of a stream, whose payload is its offset.
fn numbered(offset: u64) -> Publication {
    Publication { data: offset.to_string().into(), offset, ..Publication::default() }
}

/// A subscription that may recover, at this place.
fn recoverable(offset: u64, epoch: &str) -> SubscribeResult {
    let epoch = epoch.to_owned();
    SubscribeResult { recoverable: true, positioned: true, offset, epoch, ..SubscribeResult::default() }
}

/// The same after a successful recovery: these were missed.
fn recovered(asked: u64, epoch: &str, missed: impl IntoIterator<Item = u64>) -> SubscribeResult {
    SubscribeResult {
        recovered: true,
        was_recovering: true,
        publications: missed.into_iter().map(numbered).collect(),
        ..recoverable(asked, epoch)
    }
}

fn closed(code: u16) -> Disconnect {
    Disconnect::Closed { code, reason: "test".to_owned() }
}

fn publication(payload: &'static str) -> PushEvent {
    PushEvent::Publication(Publication { data: payload.into(), ..Publication::default() })
}

fn unsubscribe(code: u32) -> PushEvent {
    PushEvent::Unsubscribe(Unsubscribe { code, reason: "test".to_owned() })
}

fn error(code: ErrorCode) -> ErrorReply {
    ErrorReply::from(code)
}
