//! Every kind of command in every state, by the tables of the reference's section 3.

mod access;
mod connect;
mod recovery;
mod subscribe;
mod tokens;

use throng_protocol::{
    HistoryRequest, PresenceRequest, RefreshRequest, RpcRequest, SendRequest, StreamPosition,
    SubRefreshRequest, UnsubscribeRequest,
};

use super::*;
use crate::config::{ChannelOptions, DataFormat, Settings};
use crate::handlers::{HandlerSet, Handlers};
use crate::node::Namespaces;

/// Subscriptions to these channels.
struct Channels(Vec<&'static str>);

impl Subscriptions for Channels {
    fn contains(&self, channel: &ChannelName) -> bool {
        self.0.contains(&channel.as_str())
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

const NONE: Channels = Channels(Vec::new());

/// What a decision comes to, as far as a table of cases wants to know it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Granted(&'static str),
    Refused(ErrorCode),
    Closed(DisconnectCode),
}

fn told(decision: &Decision) -> Told {
    Told::Granted(match decision {
        Decision::Close(code) => return Told::Closed(*code),
        Decision::Reply(Reply::Answer { outcome: Err(error), .. }) => {
            let code = ErrorCode::ALL.iter().find(|code| code.code() == error.code);
            return Told::Refused(*code.expect("an error of the protocol's own"));
        }
        Decision::Reply(_) => "reply",
        Decision::Authenticate { .. } => "authenticate",
        Decision::Verify { .. } => "verify",
        Decision::Open(_) => "open",
        Decision::Subscribe { .. } => "subscribe",
        Decision::Consent { judge: Judge::Application, .. } => "ask",
        Decision::Consent { judge: Judge::Token, .. } => "verify",
        Decision::Refresh { .. } => "refresh",
        Decision::SubRefresh { .. } => "sub_refresh",
        Decision::Unsubscribe { .. } => "unsubscribe",
        Decision::Publish { .. } => "publish",
        Decision::Presence { .. } => "presence",
        Decision::PresenceStats { .. } => "presence_stats",
        Decision::History { .. } => "history",
        Decision::Rpc { .. } => "rpc",
        Decision::Message(_) => "message",
        Decision::Pong => "pong",
    })
}

fn fresh_with(format: Format, settings: &Settings, set: HandlerSet) -> Session {
    let handlers = Handlers::new(set, 1, std::time::Duration::ZERO, None);
    let rules = Rules::new(settings, Arc::new(Namespaces::new(settings)), &handlers);
    Session::new(ClientId::from_u128(1), format, PingStyle::Application, Arc::new(rules), None)
}

fn fresh(format: Format, settings: &Settings) -> Session {
    fresh_with(format, settings, HandlerSet::default())
}

/// A session of this user whose connect command was accepted.
fn open_as(user: &str, format: Format, settings: &Settings) -> Session {
    let mut session = fresh(format, settings);
    let grant = Grant { user: user.into(), ..Grant::default() };
    session.admit(7, &ConnectRequest::default(), grant).expect("it is let in");
    session
}

fn open() -> Session {
    open_as("", Format::Json, &Settings::default())
}

/// Settings whose channels without a namespace have these options.
fn options(change: impl FnOnce(&mut ChannelOptions)) -> Settings {
    let mut options = ChannelOptions::default();
    change(&mut options);
    let mut settings = Settings::default();
    settings.channel.without_namespace = Some(options);
    settings
}

fn request(request: impl Into<Request>) -> Command {
    Command::Request { id: 7, request: request.into() }
}

fn subscribe(channel: &str) -> Command {
    request(SubscribeRequest { channel: channel.into(), ..SubscribeRequest::default() })
}

fn publish(channel: &str, data: &'static str) -> Command {
    request(PublishRequest { channel: channel.into(), data: data.into(), ..PublishRequest::default() })
}

fn history(channel: &str) -> HistoryRequest {
    HistoryRequest { channel: channel.into(), ..HistoryRequest::default() }
}

fn presence(channel: &str) -> Command {
    request(PresenceRequest { channel: channel.into() })
}

#[test]
fn before_connect_everything_else_is_a_bad_request() {
    for command in [
        Command::Pong,
        Command::Send(SendRequest::default()),
        subscribe("a"),
        publish("a", "1"),
        request(RpcRequest::default()),
    ] {
        let text = format!("{command:?}");
        let decision = fresh(Format::Json, &Settings::default()).handle(command, &NONE);
        assert_eq!(told(&decision), Told::Closed(DisconnectCode::BadRequest), "{text}");
    }
}

#[test]
fn unsubscribing_from_what_one_is_not_subscribed_to_succeeds() {
    let unsubscribe = |channel: &str| request(UnsubscribeRequest { channel: channel.into() });
    for (name, expected) in [("a", Some("a")), ("ä", None)] {
        let decision = open().handle(unsubscribe(name), &NONE);
        let Decision::Unsubscribe { id: 7, channel } = decision else { panic!("{decision:?}") };
        assert_eq!(channel.as_ref().map(ChannelName::as_str), expected);
    }
    assert_eq!(told(&open().handle(unsubscribe(""), &NONE)), Told::Closed(DisconnectCode::BadRequest));
}

#[test]
fn a_publish_is_checked_for_channel_and_data() {
    for (command, expected) in [
        (publish("", "1"), Told::Closed(DisconnectCode::BadRequest)),
        (publish("chat:a", "1"), Told::Refused(ErrorCode::UnknownChannel)),
        (publish("relay:lobby", "1"), Told::Refused(ErrorCode::UnknownChannel)),
        (publish("ä", "1"), Told::Refused(ErrorCode::BadRequest)),
        (publish("a", ""), Told::Refused(ErrorCode::BadRequest)),
        (publish("a", "no JSON"), Told::Refused(ErrorCode::BadRequest)),
        (publish("a", "[1]"), Told::Granted("publish")),
        (publish("$a", "1"), Told::Refused(ErrorCode::PermissionDenied)),
        (publish("a#42", "1"), Told::Refused(ErrorCode::PermissionDenied)),
    ] {
        let text = format!("{command:?}");
        let decision = open_as("", Format::Protobuf, &Settings::default()).handle(command, &NONE);
        assert_eq!(told(&decision), expected, "{text}");
    }
}

#[test]
fn a_namespace_says_what_may_be_published() {
    for (format, data, expected) in [
        (DataFormat::JsonObject, " {\"a\":1}", true),
        (DataFormat::JsonObject, "[1]", false),
        (DataFormat::JsonObject, "{", false),
        (DataFormat::Json, "1", true),
        (DataFormat::Json, "", false),
        (DataFormat::Binary, "\u{1}", true),
        (DataFormat::Binary, "", true),
    ] {
        let settings = options(|options| {
            options.publication_data_format = Some(format);
            options.allow_publish_for_client = true;
            options.allow_publish_for_anonymous = true;
        });
        let decision = open_as("", Format::Protobuf, &settings).handle(publish("a", data), &NONE);
        let expected = if expected { Told::Granted("publish") } else { Told::Refused(ErrorCode::BadRequest) };
        assert_eq!(told(&decision), expected, "{format:?} {data:?}");
    }
}

#[test]
fn a_history_request_is_capped_and_checked() {
    let limit = |limit| {
        let command = request(HistoryRequest { limit, ..history("a") });
        let Decision::History { query, .. } = open().handle(command, &NONE) else { panic!("refused") };
        query.limit
    };
    assert_eq!([0, 5, -1, 301].map(limit), [Some(0), Some(5), Some(300), Some(300)]);
    let since = |offset, reverse| {
        let since = Some(StreamPosition { offset, epoch: String::new() });
        told(&open().handle(request(HistoryRequest { since, reverse, ..history("a") }), &NONE))
    };
    assert_eq!(since(0, true), Told::Refused(ErrorCode::BadRequest));
    assert_eq!(since(0, false), Told::Granted("history"));
    assert_eq!(since(1, true), Told::Granted("history"));
}

#[test]
fn what_a_namespace_lacks_is_not_available_before_permissions_are_asked() {
    let off = || open_as("", Format::Json, &options(|_| ()));
    for command in [presence("a"), request(history("a")), request(RpcRequest::default())] {
        let text = format!("{command:?}");
        assert_eq!(told(&off().handle(command, &NONE)), Told::Refused(ErrorCode::NotAvailable), "{text}");
    }
    let refresh = request(RefreshRequest { token: "t".into() });
    assert_eq!(told(&off().handle(refresh, &NONE)), Told::Refused(ErrorCode::NotAvailable));
    assert_eq!(told(&off().handle(request(history("")), &NONE)), Told::Closed(DisconnectCode::BadRequest));
    assert_eq!(
        told(&off().handle(request(history("chat:a")), &NONE)),
        Told::Refused(ErrorCode::UnknownChannel)
    );
}

#[test]
fn rpc_is_answered_by_ping_or_by_the_application() {
    let call = |method: &str| request(RpcRequest { method: method.into(), ..RpcRequest::default() });
    let mut settings = Settings::default();
    settings.rpc.ping.enabled = true;
    let with_ping = || open_as("", Format::Json, &settings);
    assert_eq!(told(&with_ping().handle(call("ping"), &NONE)), Told::Granted("reply"));
    assert_eq!(told(&with_ping().handle(call("x"), &NONE)), Told::Refused(ErrorCode::MethodNotFound));
    assert_eq!(told(&open().handle(call("ping"), &NONE)), Told::Refused(ErrorCode::NotAvailable));
}

#[test]
fn refreshing_a_subscription_needs_one() {
    let refresh = |channel: &str, token: &str| {
        request(SubRefreshRequest {
            channel: channel.into(),
            token: token.into(),
            ..SubRefreshRequest::default()
        })
    };
    let ask = |command, subscriptions: &Channels| told(&open().handle(command, subscriptions));
    assert_eq!(ask(refresh("", "t"), &NONE), Told::Closed(DisconnectCode::BadRequest));
    assert_eq!(ask(refresh("a", ""), &NONE), Told::Refused(ErrorCode::BadRequest));
    assert_eq!(ask(refresh("a", "t"), &NONE), Told::Refused(ErrorCode::PermissionDenied));
    assert_eq!(ask(refresh("a", "t"), &Channels(vec!["a"])), Told::Refused(ErrorCode::NotAvailable));
}

#[test]
fn pongs_and_sends_are_told_apart() {
    assert_eq!(told(&open().handle(Command::Pong, &NONE)), Told::Granted("pong"));
    let send = || Command::Send(SendRequest::default());
    assert_eq!(told(&open().handle(send(), &NONE)), Told::Closed(DisconnectCode::NotAvailable));
}
