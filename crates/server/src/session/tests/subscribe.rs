use throng_protocol::FilterNode;

use super::*;
use crate::config::RecoveryMode;
use crate::handlers::{Handler, SubscribeReply};

fn plan(settings: &Settings, request: SubscribeRequest) -> Plan {
    let command = super::request(SubscribeRequest { channel: "a".into(), ..request });
    let decision = open_as("", Format::Json, settings).handle(command, &NONE);
    let Decision::Subscribe { plan, .. } = decision else { panic!("{decision:?}") };
    *plan
}

fn with_stream(change: impl FnOnce(&mut ChannelOptions)) -> Settings {
    options(|options| {
        options.allow_subscribe_for_client = true;
        options.allow_subscribe_for_anonymous = true;
        options.history_size = 10;
        options.history_ttl = std::time::Duration::from_secs(60);
        change(options);
    })
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
    let filter = FilterNode { cmp: "what".into(), key: "k".into(), ..FilterNode::default() };
    let filtered = request(SubscribeRequest {
        channel: "a".into(),
        tf: Some(Box::new(filter)),
        ..SubscribeRequest::default()
    });
    for (command, subscriptions, expected) in [
        (subscribe(""), NONE, Told::Closed(DisconnectCode::BadRequest)),
        (subscribe("a"), NONE, Told::Granted("subscribe")),
        (subscribe("a"), one(), Told::Refused(ErrorCode::AlreadySubscribed)),
        (subscribe("x"), full(), Told::Refused(ErrorCode::AlreadySubscribed)),
        (subscribe("a"), full(), Told::Refused(ErrorCode::LimitExceeded)),
        (delta("zip"), NONE, Told::Closed(DisconnectCode::BadRequest)),
        (delta("fossil"), NONE, Told::Granted("subscribe")),
        (subscribe("chat:a"), NONE, Told::Refused(ErrorCode::UnknownChannel)),
        (subscribe("relay:lobby"), NONE, Told::Refused(ErrorCode::UnknownChannel)),
        (subscribe("ä"), NONE, Told::Refused(ErrorCode::BadRequest)),
        (subscribe("$private"), NONE, Told::Refused(ErrorCode::PermissionDenied)),
        (subscribe("news#42"), NONE, Told::Refused(ErrorCode::PermissionDenied)),
        (filtered, NONE, Told::Refused(ErrorCode::BadRequest)),
        (of_kind(1), NONE, Told::Refused(ErrorCode::PermissionDenied)),
        (of_kind(4), NONE, Told::Refused(ErrorCode::NotAvailable)),
        (of_kind(-1), NONE, Told::Refused(ErrorCode::BadRequest)),
    ] {
        let text = format!("{command:?}");
        assert_eq!(told(&open().handle(command, &subscriptions)), expected, "{text}");
    }
    let long = |length| subscribe(&"x".repeat(length));
    assert_eq!(told(&open().handle(long(256), &full())), Told::Refused(ErrorCode::BadRequest));
    assert_eq!(told(&open().handle(long(255), &NONE)), Told::Granted("subscribe"));
}

#[test]
fn a_name_above_the_configured_length_is_refused_before_anything_else() {
    let mut settings = Settings::default();
    settings.channel.max_length = 10;
    let full = Channels(vec!["x"; 128]);
    let ask = |length| {
        let mut session = open_as("", Format::Json, &settings);
        told(&session.handle(subscribe(&"a".repeat(length)), &full))
    };
    assert_eq!(ask(11), Told::Refused(ErrorCode::BadRequest));
    assert_eq!(ask(10), Told::Refused(ErrorCode::LimitExceeded));
}

#[test]
fn what_a_client_wishes_is_granted_where_the_namespace_allows_it() {
    let wish = || SubscribeRequest {
        positioned: true,
        recoverable: true,
        join_leave: true,
        delta: "fossil".into(),
        ..SubscribeRequest::default()
    };
    let granted = |plan: Plan| (plan.positioned, plan.recoverable, plan.join_leave, plan.delta);
    assert_eq!(granted(plan(&with_stream(|_| ()), wish())), (false, false, false, false));
    let generous = with_stream(|options| {
        options.allow_positioning = true;
        options.allow_recovery = true;
        options.allow_history_for_subscriber = true;
        options.allow_history_for_anonymous = true;
        options.join_leave = true;
        options.presence = true;
        options.allow_presence_for_subscriber = true;
        options.allow_presence_for_anonymous = true;
        options.allowed_delta_types = ChannelOptions::open().allowed_delta_types;
    });
    assert_eq!(granted(plan(&generous, wish())), (true, true, true, true));
    assert_eq!(granted(plan(&generous, SubscribeRequest::default())), (false, false, false, false));
    let forced = with_stream(|options| {
        options.force_positioning = true;
        options.join_leave = true;
        options.force_push_join_leave = true;
    });
    assert_eq!(granted(plan(&forced, SubscribeRequest::default())), (true, false, true, false));
    let recovering = with_stream(|options| options.force_recovery = true);
    assert_eq!(granted(plan(&recovering, SubscribeRequest::default())), (true, true, false, false));
}

#[test]
fn a_filter_is_looked_at_after_the_permission() {
    let filter = FilterNode { cmp: "what".into(), key: "k".into(), ..FilterNode::default() };
    let filtered =
        SubscribeRequest { channel: "a".into(), tf: Some(Box::new(filter)), ..SubscribeRequest::default() };
    let closed = options(|_| ());
    let ask = |session: &mut Session| told(&session.handle(request(filtered.clone()), &NONE));
    assert_eq!(ask(&mut open_as("ann", Format::Json, &closed)), Told::Refused(ErrorCode::PermissionDenied));
    let subscribe = Some(Handler::new(|_| async { Ok(SubscribeReply::default()) }));
    let set = HandlerSet { subscribe, ..HandlerSet::default() };
    let mut session = fresh_with(Format::Json, &closed, set);
    session.admit(7, &ConnectRequest::default(), Grant::default()).expect("it is let in");
    assert_eq!(ask(&mut session), Told::Granted("ask"));
    let refused = session.plan(&filtered, Terms::default()).map(|plan| plan.channel);
    assert_eq!(refused, Err(Refusal::Error(ErrorCode::BadRequest)), "once the handler has agreed");
}

#[test]
fn a_filter_and_delta_compression_exclude_each_other() {
    let filter = FilterNode { cmp: "ex".into(), key: "k".into(), ..FilterNode::default() };
    let tf = Some(Box::new(filter));
    let plan = plan(
        &Settings::default(),
        SubscribeRequest { delta: "fossil".into(), tf, ..SubscribeRequest::default() },
    );
    assert!(plan.filter.is_some() && !plan.delta);
}

#[test]
fn only_recoverable_subscriptions_recover() {
    let asked = || SubscribeRequest { recover: true, offset: 5, ..SubscribeRequest::default() };
    assert_eq!(plan(&with_stream(|_| ()), asked()).recovery, None);
    let recovering = with_stream(|options| options.force_recovery = true);
    let recovery = plan(&recovering, asked()).recovery.unwrap();
    assert_eq!((recovery.mode, recovery.limit, recovery.or_error), (RecoveryMode::Stream, 300, false));
    assert_eq!(plan(&recovering, SubscribeRequest::default()).recovery, None);
    let strict = plan(&recovering, SubscribeRequest { flag: 2, ..asked() }).recovery.unwrap();
    assert!(strict.or_error);
}

#[test]
fn a_cache_may_be_recovered_without_being_asked_for() {
    let cached = with_stream(|options| {
        options.force_recovery = true;
        options.force_recovery_mode = RecoveryMode::Cache;
        options.auto_cache_recover = true;
    });
    let recovery =
        plan(&cached, SubscribeRequest { flag: 2, ..SubscribeRequest::default() }).recovery.unwrap();
    assert_eq!((recovery.mode, recovery.since, recovery.or_error), (RecoveryMode::Cache, None, false));
}
