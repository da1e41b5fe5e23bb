//! Every kind of command in every state, by the tables of the reference's sections 3.1, 3.2, 3.5, 3.8, 3.12 and 3.19.

use std::net::{IpAddr, Ipv4Addr};

use throng_protocol::{
    ConnectRequest, HistoryRequest, PresenceRequest, PresenceStatsRequest, RefreshRequest, RpcRequest,
    SendRequest, UnsubscribeRequest,
};

use super::*;

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

fn fresh(format: Format, settings: &Settings) -> Session {
    let rules = Arc::new(Rules::new(settings));
    Session::new(ClientId::from_u128(1), format, PingStyle::Application, rules)
}

fn open_with(format: Format) -> Session {
    let mut session = fresh(format, &Settings::default());
    let opened = session.handle(request(ConnectRequest::default()), &NONE);
    assert!(matches!(opened, Decision::Open { .. }), "{opened:?}");
    session
}

fn open() -> Session {
    open_with(Format::Json)
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

fn refused(code: ErrorCode) -> Decision {
    Decision::Reply(error(7, code))
}

fn closed(code: DisconnectCode) -> Decision {
    Decision::Close(code)
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
        assert_eq!(decision, closed(DisconnectCode::BadRequest), "{text}");
    }
}

#[test]
fn a_second_connect_is_a_bad_request() {
    assert_eq!(open().handle(request(ConnectRequest::default()), &NONE), closed(DisconnectCode::BadRequest));
}

#[test]
fn the_answer_to_connect_tells_client_version_and_pings() {
    let Decision::Open { user, reply } =
        fresh(Format::Json, &Settings::default()).handle(request(ConnectRequest::default()), &NONE)
    else {
        panic!("not opened")
    };
    assert_eq!(&*user, "");
    let Reply::Answer { id: 7, outcome: Ok(Outcome::Connect(result)) } = reply else { panic!("{reply:?}") };
    assert_eq!(result.client, ClientId::from_u128(1).to_string());
    assert!(result.version.starts_with("throng "));
    assert_eq!((result.ping, result.pong), (25, true));
}

#[test]
fn without_pings_the_answer_does_not_promise_any() {
    let mut settings = Settings::default();
    settings.client.ping_interval = None;
    let Decision::Open { reply, .. } =
        fresh(Format::Json, &settings).handle(request(ConnectRequest::default()), &NONE)
    else {
        panic!("not opened")
    };
    let Reply::Answer { outcome: Ok(Outcome::Connect(result)), .. } = reply else { panic!("{reply:?}") };
    assert_eq!((result.ping, result.pong), (0, false));
}

#[test]
fn a_token_is_ignored_on_loopback_and_refused_elsewhere() {
    let connect = || request(ConnectRequest { token: "t".into(), ..ConnectRequest::default() });
    let local = Settings::default();
    assert!(matches!(fresh(Format::Json, &local).handle(connect(), &NONE), Decision::Open { .. }));
    let mut public = Settings::default();
    public.http_server.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    public.client.allow_anonymous_connect_without_token = true;
    assert_eq!(fresh(Format::Json, &public).handle(connect(), &NONE), closed(DisconnectCode::InvalidToken));
    let anonymous = fresh(Format::Json, &public).handle(request(ConnectRequest::default()), &NONE);
    assert!(matches!(anonymous, Decision::Open { .. }));
}

#[test]
fn where_anonymous_clients_are_not_allowed_a_connect_without_token_is_a_bad_request() {
    let mut settings = Settings::default();
    settings.http_server.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let decision = fresh(Format::Json, &settings).handle(request(ConnectRequest::default()), &NONE);
    assert_eq!(decision, closed(DisconnectCode::BadRequest));
}

#[test]
fn a_subscribe_is_checked_in_the_order_of_the_reference() {
    let full = || Channels(vec!["x"; 128]);
    let one = || Channels(vec!["a"]);
    let delta = |delta: &str| {
        let delta = delta.into();
        request(SubscribeRequest { channel: "a".into(), delta, ..SubscribeRequest::default() })
    };
    let of_kind =
        |kind| request(SubscribeRequest { channel: "a".into(), kind, ..SubscribeRequest::default() });
    let filtered = request(SubscribeRequest {
        channel: "a".into(),
        tf: Some(Box::default()),
        ..SubscribeRequest::default()
    });
    let channel = || "a".parse().unwrap();
    for (command, subscriptions, expected) in [
        (subscribe(""), NONE, closed(DisconnectCode::BadRequest)),
        (subscribe("a"), NONE, Decision::Subscribe { id: 7, channel: channel() }),
        (subscribe("a"), one(), refused(ErrorCode::AlreadySubscribed)),
        (subscribe("x"), full(), refused(ErrorCode::AlreadySubscribed)),
        (subscribe("a"), full(), refused(ErrorCode::LimitExceeded)),
        (delta("zip"), NONE, closed(DisconnectCode::BadRequest)),
        (delta("fossil"), NONE, Decision::Subscribe { id: 7, channel: channel() }),
        (subscribe("chat:a"), NONE, refused(ErrorCode::UnknownChannel)),
        (subscribe("relay:lobby"), NONE, refused(ErrorCode::UnknownChannel)),
        (subscribe("ä"), NONE, refused(ErrorCode::BadRequest)),
        (subscribe("$private"), NONE, refused(ErrorCode::PermissionDenied)),
        (subscribe("news#42"), NONE, refused(ErrorCode::PermissionDenied)),
        (filtered, NONE, refused(ErrorCode::BadRequest)),
        (of_kind(1), NONE, refused(ErrorCode::PermissionDenied)),
        (of_kind(4), NONE, refused(ErrorCode::NotAvailable)),
        (of_kind(-1), NONE, refused(ErrorCode::BadRequest)),
    ] {
        let text = format!("{command:?}");
        assert_eq!(open().handle(command, &subscriptions), expected, "{text}");
    }
    assert_eq!(open().handle(subscribe(&"x".repeat(256)), &full()), refused(ErrorCode::BadRequest));
    assert!(matches!(open().handle(subscribe(&"x".repeat(255)), &NONE), Decision::Subscribe { .. }));
}

#[test]
fn a_subscription_token_is_ignored_on_loopback_and_refused_elsewhere() {
    let subscribe = || {
        let (channel, token) = ("a".into(), "t".into());
        request(SubscribeRequest { channel, token, ..SubscribeRequest::default() })
    };
    assert!(matches!(open().handle(subscribe(), &NONE), Decision::Subscribe { .. }));
    let mut public = Settings::default();
    public.http_server.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    public.client.allow_anonymous_connect_without_token = true;
    let mut session = fresh(Format::Json, &public);
    session.handle(request(ConnectRequest::default()), &NONE);
    assert_eq!(session.handle(subscribe(), &NONE), refused(ErrorCode::PermissionDenied));
}

#[test]
fn unsubscribing_from_what_one_is_not_subscribed_to_succeeds() {
    let unsubscribe = |channel: &str| request(UnsubscribeRequest { channel: channel.into() });
    let expected = Decision::Unsubscribe { id: 7, channel: Some("a".parse().unwrap()) };
    assert_eq!(open().handle(unsubscribe("a"), &NONE), expected);
    assert_eq!(open().handle(unsubscribe("ä"), &NONE), Decision::Unsubscribe { id: 7, channel: None });
    assert_eq!(open().handle(unsubscribe(""), &NONE), closed(DisconnectCode::BadRequest));
}

#[test]
fn a_publication_carries_its_publisher() {
    let Decision::Publish { channel, publication, .. } = open().handle(publish("news", "{}"), &NONE) else {
        panic!("not published")
    };
    assert_eq!(channel.as_str(), "news");
    assert_eq!(publication.data, "{}".into());
    let info = publication.info.unwrap();
    assert_eq!((info.user.as_str(), info.client), ("", ClientId::from_u128(1).to_string()));
}

#[test]
fn a_publish_is_checked_for_channel_and_data() {
    for (command, expected) in [
        (publish("", "1"), closed(DisconnectCode::BadRequest)),
        (publish("chat:a", "1"), refused(ErrorCode::UnknownChannel)),
        (publish("relay:lobby", "1"), refused(ErrorCode::UnknownChannel)),
        (publish("ä", "1"), refused(ErrorCode::BadRequest)),
        (publish("a", ""), refused(ErrorCode::BadRequest)),
        (publish("a", "no JSON"), refused(ErrorCode::BadRequest)),
    ] {
        let text = format!("{command:?}");
        assert_eq!(open_with(Format::Protobuf).handle(command, &NONE), expected, "{text}");
    }
    assert!(matches!(
        open_with(Format::Protobuf).handle(publish("a", "[1]"), &NONE),
        Decision::Publish { .. }
    ));
}

#[test]
fn what_this_server_lacks_is_not_available() {
    let channel = || "a".to_owned();
    for command in [
        request(PresenceRequest { channel: channel() }),
        request(PresenceStatsRequest { channel: channel() }),
        request(HistoryRequest { channel: channel(), ..HistoryRequest::default() }),
        request(RpcRequest::default()),
        request(RefreshRequest { token: "t".into() }),
    ] {
        let text = format!("{command:?}");
        assert_eq!(open().handle(command, &NONE), refused(ErrorCode::NotAvailable), "{text}");
    }
}

#[test]
fn what_this_server_lacks_is_still_checked_for_its_channel() {
    let history =
        |channel: &str| request(HistoryRequest { channel: channel.into(), ..HistoryRequest::default() });
    assert_eq!(open().handle(history(""), &NONE), closed(DisconnectCode::BadRequest));
    assert_eq!(open().handle(history("chat:a"), &NONE), refused(ErrorCode::UnknownChannel));
    assert_eq!(open().handle(request(RefreshRequest::default()), &NONE), closed(DisconnectCode::BadRequest));
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
    let subscribed = || Channels(vec!["a"]);
    assert_eq!(open().handle(refresh("", "t"), &NONE), closed(DisconnectCode::BadRequest));
    assert_eq!(open().handle(refresh("a", ""), &NONE), refused(ErrorCode::BadRequest));
    assert_eq!(open().handle(refresh("a", "t"), &NONE), refused(ErrorCode::PermissionDenied));
    assert_eq!(open().handle(refresh("a", "t"), &subscribed()), refused(ErrorCode::NotAvailable));
}

#[test]
fn pongs_and_sends_are_told_apart() {
    assert_eq!(open().handle(Command::Pong, &NONE), Decision::Pong);
    assert_eq!(
        open().handle(Command::Send(SendRequest::default()), &NONE),
        closed(DisconnectCode::NotAvailable)
    );
}
