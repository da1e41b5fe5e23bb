//! A conversation with an invented clock and a server that is played by the test.

mod connection;
mod requests;
mod subscriptions;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use throng_protocol::{
    Command, ConnectResult, ErrorCode, ErrorReply, Format, Limits, Outcome, Publication, PublishRequest,
    Push, PushEvent, Reply, Request, SubscribeResult, Unsubscribe,
};
use tokio::sync::oneshot;

use super::{
    Action, Conversation, Input, NewSubscription, ReconnectPolicy, RequestOrder, Settings, SubscriptionKey,
};
use crate::{
    Disconnect, Event, QueueBounds, RequestError, State, SubscribeError,
    mailbox::{Delivery, MailboxReceiver, mailbox},
};

const SECOND: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(25);

/// A conversation and what it is asked with.
struct Talk {
    conversation: Conversation,
    format: Format,
    now: Instant,
    generation: u64,
}

/// The handle's end of a subscription.
struct Reader {
    key: SubscriptionKey,
    events: MailboxReceiver<Event>,
    ready: oneshot::Receiver<Result<(), SubscribeError>>,
}

type Answer = oneshot::Receiver<Result<Outcome, RequestError>>;

impl Talk {
    /// Before the first connection.
    fn new(format: Format) -> Self {
        let settings = Settings {
            format,
            reconnect: ReconnectPolicy::default(),
            command_timeout: 5 * SECOND,
            ping_grace: 10 * SECOND,
            max_frame_bytes: 1_000,
            max_pending: 4,
            name: "test".to_owned(),
            version: "1".to_owned(),
            limits: Limits::for_replies(),
        };
        let conversation = Conversation::new(settings, 42);
        Self { conversation, format, now: Instant::now(), generation: 0 }
    }

    /// With a connection that the server has welcomed.
    fn connected() -> Self {
        let mut talk = Self::new(Format::Json);
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
        self.handle(Input::Opened);
        assert!(matches!(self.sent()[..], [Command::Request { id: 1, request: Request::Connect(_) }]));
        let ping = u32::try_from(PING.as_secs()).unwrap();
        let result = ConnectResult { client: "c1".to_owned(), ping, pong: true, ..ConnectResult::default() };
        self.answer(1, Ok(Outcome::Connect(result)));
    }

    /// Waits until the next attempt is due, and begins it.
    fn redial(&mut self) {
        self.pass_to_deadline();
        assert!(matches!(self.actions()[..], [Action::Dial]));
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
        self.handle(Input::Request(RequestOrder { request: Request::Publish(request), answer }));
        answered
    }

    fn subscribe(&mut self, channel: &str) -> Reader {
        self.generation += 1;
        let key = SubscriptionKey { channel: channel.into(), generation: self.generation };
        let (events, reader) = mailbox(QueueBounds::default());
        let (ready, confirmed) = oneshot::channel();
        self.handle(Input::Subscribe(NewSubscription { key: key.clone(), events, ready }));
        Reader { key, events: reader, ready: confirmed }
    }

    /// Subscribes, and lets the server confirm it.
    fn subscribed(&mut self, channel: &str) -> Reader {
        let mut reader = self.subscribe(channel);
        let id = self.asked_for(channel);
        self.confirm(id);
        assert!(matches!(reader.ready.try_recv(), Ok(Ok(()))));
        reader
    }

    /// The id of the subscribe command that goes out now, alone.
    fn asked_for(&mut self, channel: &str) -> u32 {
        match self.sent_request() {
            (id, Request::Subscribe(request)) if request.channel == channel => id,
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
        self.answer(id, Ok(Outcome::Subscribe(SubscribeResult::default())));
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
            Delivery::Event(event) => Some(event),
            Delivery::Missed(count) => Some(Event::Missed(count)),
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
