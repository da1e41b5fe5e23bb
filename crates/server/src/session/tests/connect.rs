use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::auth::TokenSubscription;

fn welcome(session: &mut Session, request: ConnectRequest) -> Welcome {
    let decision = session.connect(7, request);
    let Decision::Open(welcome) = decision else { panic!("not opened: {decision:?}") };
    *welcome
}

/// A subscription that comes with the connection.
pub(super) fn granted(channel: String) -> TokenSubscription {
    TokenSubscription { channel, ..TokenSubscription::default() }
}

fn public() -> Settings {
    let mut settings = Settings::default();
    settings.http_server.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    settings
}

#[test]
fn a_second_connect_is_a_bad_request() {
    let again = open().handle(request(ConnectRequest::default()), &NONE);
    assert_eq!(told(&again), Told::Closed(DisconnectCode::BadRequest));
}

#[test]
fn the_answer_to_connect_tells_client_version_and_pings() {
    let mut session = fresh(Format::Json, &Settings::default());
    let result = welcome(&mut session, ConnectRequest::default()).result(Default::default());
    assert_eq!(result.client, ClientId::from_u128(1).to_string());
    assert!(result.version.starts_with("throng "));
    assert_eq!((result.ping, result.pong, result.time), (25, true, 0));
}

#[test]
fn without_pings_the_answer_does_not_promise_any() {
    let mut settings = Settings::default();
    settings.client.ping_interval = None;
    let mut session = fresh(Format::Json, &settings);
    let result = welcome(&mut session, ConnectRequest::default()).result(Default::default());
    assert_eq!((result.ping, result.pong), (0, false));
}

#[test]
fn the_server_tells_its_time_where_it_is_asked_to() {
    let mut settings = Settings::default();
    settings.client.connect_include_server_time = true;
    let mut session = fresh(Format::Json, &settings);
    let result = welcome(&mut session, ConnectRequest::default()).result(Default::default());
    assert!(result.time > 1_700_000_000_000, "in milliseconds: {}", result.time);
}

#[test]
fn a_token_is_ignored_on_loopback_and_refused_elsewhere() {
    let connect = || request(ConnectRequest { token: "t".into(), ..ConnectRequest::default() });
    let ask = |settings: &Settings, command| told(&fresh(Format::Json, settings).handle(command, &NONE));
    assert_eq!(ask(&Settings::default(), connect()), Told::Granted("open"));
    let mut settings = public();
    settings.client.allow_anonymous_connect_without_token = true;
    assert_eq!(ask(&settings, connect()), Told::Closed(DisconnectCode::InvalidToken));
    assert_eq!(ask(&settings, request(ConnectRequest::default())), Told::Granted("open"));
}

#[test]
fn where_anonymous_clients_are_not_allowed_a_connect_without_token_is_a_bad_request() {
    let decision = fresh(Format::Json, &public()).handle(request(ConnectRequest::default()), &NONE);
    assert_eq!(told(&decision), Told::Closed(DisconnectCode::BadRequest));
}

#[test]
fn a_user_that_a_proxy_named_needs_no_token() {
    let mut session = fresh(Format::Json, &public());
    session.named = Some("ann".into());
    let welcome = welcome(&mut session, ConnectRequest::default());
    assert_eq!(&*welcome.identity.user, "ann");
}

#[test]
fn a_user_is_subscribed_to_its_personal_channel() {
    let mut settings = Settings::default();
    settings.client.subscribe_to_user_personal_channel.enabled = true;
    let channels = |user: &str| {
        let grant = Grant { user: user.into(), ..Grant::default() };
        let admitted = fresh(Format::Json, &settings).admit(7, &ConnectRequest::default(), grant);
        admitted
            .expect("it is let in")
            .plans
            .iter()
            .map(|plan| (plan.channel.as_str().to_owned(), plan.server_side))
            .collect::<Vec<_>>()
    };
    assert_eq!(channels("42"), [("#42".to_owned(), true)]);
    assert_eq!(channels(""), []);
}

#[test]
fn granted_channels_are_subscribed_once_each_and_within_the_limit() {
    let settings = Settings::default();
    let admit = |channels: Vec<String>| {
        let grant = Grant { channels: channels.into_iter().map(granted).collect(), ..Grant::default() };
        fresh(Format::Json, &settings).admit(7, &ConnectRequest::default(), grant)
    };
    assert_eq!(admit(vec!["a".into(), "$b".into(), "a".into()]).expect("it is let in").plans.len(), 2);
    let many = (0..129).map(|number| number.to_string()).collect();
    assert_eq!(admit(many).unwrap_err(), Refusal::Close(DisconnectCode::ChannelLimit));
    assert_eq!(admit(vec!["chat:a".into()]).unwrap_err(), Refusal::Error(ErrorCode::UnknownChannel));
}

#[test]
fn a_returning_client_recovers_what_it_was_granted_and_nothing_else() {
    let position = SubscribeRequest { recover: true, offset: 3, epoch: "e".into(), ..Default::default() };
    let subs = ["a", "b"].map(|channel| (channel.to_owned(), position.clone())).into();
    let asked = ConnectRequest { subs, ..ConnectRequest::default() };
    let grant = Grant { channels: vec![granted("a".into())], ..Grant::default() };
    let welcome = fresh(Format::Json, &Settings::default()).admit(7, &asked, grant).expect("it is let in");
    let [plan] = &welcome.plans[..] else { panic!("one channel was granted") };
    let since = plan.recovery.as_ref().and_then(|recovery| recovery.since.clone());
    assert_eq!(since, Some(StreamPosition { offset: 3, epoch: "e".into() }));
}
