//! What tokens let clients do. Reference sections 3.2, 3.4, 3.5 and 5.

use std::time::{SystemTime, UNIX_EPOCH};

use super::connect::granted;
use super::*;
use crate::auth::{Capability, ChannelMatch, ConnectionToken, Operation, SubscriptionToken};
use crate::handlers::{Handler, RefreshReply};
use crate::node::Overrides;
use throng_protocol::RefreshRequest;

fn in_seconds(seconds: i64) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap() + seconds
}

fn credential(user: &str) -> Credential {
    Credential { user: user.into(), ..Credential::default() }
}

fn token(user: &str) -> ConnectionToken {
    ConnectionToken { user: user.into(), credential: credential(user), ..ConnectionToken::default() }
}

fn for_channel(user: &str, channel: &str) -> SubscriptionToken {
    SubscriptionToken {
        channel: channel.into(),
        credential: credential(user),
        ..SubscriptionToken::default()
    }
}

fn with_key(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.client.token.hmac_secret_key = "secret".into();
    settings
}

/// A session that can have tokens verified.
fn verifying(settings: &Settings) -> Session {
    fresh(Format::Json, &with_key(settings))
}

fn let_in(settings: &Settings, token: ConnectionToken) -> Session {
    let mut session = verifying(settings);
    session.admit_with(7, &ConnectRequest::default(), token).expect("it is let in");
    session
}

fn able(channels: ChannelMatch, allow: &[Operation]) -> Option<Arc<Capabilities>> {
    Some(Arc::new(Capabilities(vec![Capability { channels: vec![channels], allow: allow.to_vec() }])))
}

#[test]
fn with_a_key_a_token_is_verified_and_nobody_is_anonymous_by_the_address_alone() {
    let connect = |token: &str| request(ConnectRequest { token: token.into(), ..ConnectRequest::default() });
    let ask = |command| told(&verifying(&Settings::default()).handle(command, &NONE));
    assert_eq!(ask(connect("t")), Told::Granted("verify"));
    assert_eq!(ask(connect("")), Told::Closed(DisconnectCode::BadRequest));
    let mut open = Settings::default();
    open.client.allow_anonymous_connect_without_token = true;
    assert_eq!(told(&verifying(&open).handle(connect(""), &NONE)), Told::Granted("open"));
}

#[test]
fn a_token_tells_user_channels_and_time() {
    let at = in_seconds(100);
    let token = ConnectionToken {
        info: "1".into(),
        expires: Some(at),
        subs: vec![granted("news".into()), granted("$private".into())],
        ..token("ann")
    };
    let mut session = verifying(&Settings::default());
    let welcome = session.admit_with(7, &ConnectRequest::default(), token).expect("it is let in");
    assert_eq!((&*welcome.identity.user, &welcome.identity.info), ("ann", &"1".into()));
    let channels: Vec<_> = welcome.plans.iter().map(|plan| plan.channel.as_str().to_owned()).collect();
    assert_eq!(channels, ["$private", "news"]);
    let result = welcome.result(Default::default());
    assert!(result.expires && (99..=100).contains(&result.ttl), "{result:?}");
}

#[test]
fn a_token_of_nobody_or_for_a_connection_that_is_over_lets_nobody_in() {
    let admit = |settings: &Settings, token| {
        verifying(settings).admit_with(7, &ConnectRequest::default(), token).map(|welcome| welcome.id)
    };
    let over = ConnectionToken { expires: Some(in_seconds(-1)), ..token("ann") };
    let expired = Err(Refusal::Error(ErrorCode::TokenExpired));
    assert_eq!(admit(&Settings::default(), over), expired);
    let mut leeway = ConnectionToken { expires: Some(in_seconds(-1)), ..token("ann") };
    leeway.credential.expires = leeway.expires;
    assert_eq!(admit(&Settings::default(), leeway), Ok(7), "the verifier has looked at it");
    assert_eq!(admit(&Settings::default(), token("")), Ok(7));
    let mut strict = Settings::default();
    strict.client.disallow_anonymous_connection_tokens = true;
    assert_eq!(admit(&strict, token("")), Err(Refusal::Close(DisconnectCode::PermissionDenied)));
}

#[test]
fn a_subscription_token_is_asked_where_there_is_one_and_needed_for_private_channels() {
    let ask = |channel: &str, given: &str| {
        let command = request(SubscribeRequest {
            channel: channel.into(),
            token: given.into(),
            ..SubscribeRequest::default()
        });
        told(&let_in(&options(|_| ()), token("ann")).handle(command, &NONE))
    };
    for channel in ["$private", "news", "news#42"] {
        assert_eq!(ask(channel, ""), Told::Refused(ErrorCode::PermissionDenied), "{channel}");
        assert_eq!(ask(channel, "t"), Told::Granted("verify"), "{channel}");
    }
}

#[test]
fn a_subscription_token_for_somebody_or_something_else_ends_the_connection() {
    let session = let_in(&Settings::default(), token("ann"));
    let terms = |token| session.terms("news", token).map(|_| ());
    let wrong = Err(Refusal::Close(DisconnectCode::InvalidToken));
    assert_eq!(terms(for_channel("ann", "news")), Ok(()));
    assert_eq!(terms(for_channel("bob", "news")), wrong);
    assert_eq!(terms(for_channel("", "news")), wrong);
    assert_eq!(terms(for_channel("ann", "new")), wrong);
    let own = ClientId::from_u128(1).to_string();
    assert_eq!(terms(SubscriptionToken { client: own, ..for_channel("ann", "news") }), Ok(()));
    let other = ClientId::from_u128(2).to_string();
    assert_eq!(terms(SubscriptionToken { client: other, ..for_channel("ann", "news") }), wrong);
}

#[test]
fn a_subscription_token_has_its_own_options_and_its_own_end() {
    let recoverable = options(|options| {
        options.presence = true;
        options.history_size = 1;
        options.history_ttl = std::time::Duration::from_secs(1);
    });
    let session = let_in(&recoverable, token("ann"));
    let asked = SubscribeRequest { channel: "news".into(), ..SubscribeRequest::default() };
    let overrides = Overrides { presence: Some(false), force_recovery: Some(true), ..Overrides::default() };
    let at = in_seconds(60);
    let token = SubscriptionToken {
        info: "1".into(),
        data: "2".into(),
        overrides,
        expires: Some(at),
        ..for_channel("ann", "news")
    };
    let plan = session.plan(&asked, session.terms("news", token).unwrap()).unwrap();
    assert!(!plan.presence && plan.recoverable);
    assert_eq!((plan.info, plan.data), ("1".into(), "2".into()));
    assert_eq!(plan.expiry, Some(Expiry { at, told: true }));
    let over = SubscriptionToken { expires: Some(in_seconds(-1)), ..for_channel("ann", "news") };
    let refused = session.plan(&asked, session.terms("news", over).unwrap()).map(|plan| plan.channel);
    assert_eq!(refused, Err(Refusal::Error(ErrorCode::Expired)));
}

#[test]
fn capabilities_add_to_what_a_namespace_allows() {
    let all = [Operation::Subscribe, Operation::Publish, Operation::Presence, Operation::History];
    let closed = options(|options| {
        options.presence = true;
        options.history_size = 1;
        options.history_ttl = std::time::Duration::from_secs(1);
    });
    let commands = |channel: &str| {
        [subscribe(channel), publish(channel, "1"), presence(channel), request(history(channel))]
    };
    for (index, operation) in all.into_iter().enumerate() {
        let capabilities = able(ChannelMatch::Exact("news".into()), &[operation]);
        for user in ["ann", ""] {
            let token = ConnectionToken { capabilities: capabilities.clone(), ..token(user) };
            let mut session = let_in(&closed, token);
            for (asked, command) in commands("news").into_iter().enumerate() {
                let denied =
                    told(&session.handle(command, &NONE)) == Told::Refused(ErrorCode::PermissionDenied);
                assert_eq!(denied, asked != index, "{operation:?} {asked}");
            }
            for command in commands("other") {
                let told = told(&session.handle(command, &NONE));
                assert_eq!(told, Told::Refused(ErrorCode::PermissionDenied), "{operation:?}");
            }
        }
    }
}

#[test]
fn capabilities_open_neither_private_channels_nor_those_of_other_users() {
    let capabilities = able(ChannelMatch::Wildcard("*".into()), &[Operation::Subscribe, Operation::Publish]);
    let mut session = let_in(&options(|_| ()), ConnectionToken { capabilities, ..token("42") });
    let denied = Told::Refused(ErrorCode::PermissionDenied);
    for (channel, expected) in
        [("$private", denied), ("dm#43", denied), ("dm#42", Told::Granted("subscribe"))]
    {
        assert_eq!(told(&session.handle(subscribe(channel), &NONE)), expected, "{channel}");
    }
    assert_eq!(told(&session.handle(publish("$private", "1"), &NONE)), denied);
    assert_eq!(told(&session.handle(publish("dm#43", "1"), &NONE)), denied);
    let inside = Channels(vec!["$private"]);
    assert_eq!(told(&session.handle(publish("$private", "1"), &inside)), Told::Granted("publish"));
}

#[test]
fn a_connection_is_prolonged_for_the_same_user_with_the_same_channels() {
    let with = |channels: &[&str], user: &str| ConnectionToken {
        subs: channels.iter().map(|channel| granted((*channel).to_owned())).collect(),
        ..token(user)
    };
    let renew = |token| {
        let mut session = let_in(&Settings::default(), with(&["a", "b"], "ann"));
        session.renew(token, &"old".into()).map(|identity| identity.info.clone())
    };
    assert_eq!(renew(with(&["b", "a", "b"], "ann")), Ok("old".into()));
    assert_eq!(renew(ConnectionToken { info: "new".into(), ..with(&["a", "b"], "ann") }), Ok("new".into()));
    let closed = |code| Err(Refusal::Close(code));
    assert_eq!(renew(with(&["a", "b"], "bob")), closed(DisconnectCode::InvalidToken));
    assert_eq!(renew(with(&["a"], "ann")), closed(DisconnectCode::InsufficientState));
    let over = ConnectionToken { expires: Some(in_seconds(-1)), ..with(&["a", "b"], "ann") };
    assert_eq!(renew(over), closed(DisconnectCode::Expired));
}

#[test]
fn a_new_token_takes_the_place_of_what_the_old_one_allowed() {
    let capabilities = able(ChannelMatch::Exact("news".into()), &[Operation::Publish]);
    let mut session =
        let_in(&options(|_| ()), ConnectionToken { capabilities, meta: "1".into(), ..token("ann") });
    assert_eq!(told(&session.handle(publish("news", "1"), &NONE)), Told::Granted("publish"));
    let renewed = session.renew(token("ann"), &Payload::default()).unwrap();
    assert!(renewed.meta().is_empty());
    let denied = Told::Refused(ErrorCode::PermissionDenied);
    assert_eq!(told(&session.handle(publish("news", "1"), &NONE)), denied);
}

#[test]
fn who_prolongs_is_the_application_or_the_token_or_nobody() {
    let refresh = || request(RefreshRequest { token: "t".into() });
    let refresh_subscription = || {
        let (channel, token) = ("a".into(), "t".into());
        request(SubRefreshRequest { channel, token, ..SubRefreshRequest::default() })
    };
    let asks = |set: HandlerSet, tokens| {
        let settings = if tokens { with_key(&Settings::default()) } else { Settings::default() };
        let mut session = fresh_with(Format::Json, &settings, set);
        session.admit(7, &ConnectRequest::default(), Grant::default()).expect("it is let in");
        let subscribed = Channels(vec!["a"]);
        let judge = |decision| match decision {
            Decision::Refresh { judge, .. } | Decision::SubRefresh { judge, .. } => Some(judge),
            other => {
                assert_eq!(told(&other), Told::Refused(ErrorCode::NotAvailable));
                None
            }
        };
        [refresh(), refresh_subscription()].map(|command| judge(session.handle(command, &subscribed)))
    };
    let (token, application) = (Some(Judge::Token), Some(Judge::Application));
    assert_eq!(asks(HandlerSet::default(), false), [None, None]);
    assert_eq!(asks(HandlerSet::default(), true), [token, token]);
    let refresh = Some(Handler::new(|_| async { Ok(RefreshReply::default()) }));
    let refreshing = HandlerSet { refresh, ..HandlerSet::default() };
    assert_eq!(asks(refreshing, true), [application, token]);
    let connect = Some(Handler::new(|_| async { Ok(crate::handlers::ConnectReply::default()) }));
    let sub_refresh = Some(Handler::new(|_| async { Ok(RefreshReply::default()) }));
    let connecting = HandlerSet { connect, sub_refresh, ..HandlerSet::default() };
    assert_eq!(asks(connecting, true), [None, application]);
}
