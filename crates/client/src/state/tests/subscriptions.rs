use super::*;
use crate::UnsubscribeReason;

#[test]
fn publications_reach_their_subscription_in_order_and_no_other() {
    let mut talk = Talk::connected();
    let news = talk.subscribed("news");
    let sport = talk.subscribed("sport");
    talk.push("news", publication("1"));
    talk.push("sport", publication("2"));
    talk.push("unknown", publication("3"));
    talk.push("news", publication("4"));
    assert_eq!(news.publication().as_deref(), Some("1"));
    assert_eq!(news.publication().as_deref(), Some("4"));
    assert!(news.next().is_none());
    assert_eq!(sport.publication().as_deref(), Some("2"));
    assert!(sport.next().is_none());
}

#[test]
fn who_joins_and_leaves_is_told() {
    let mut talk = Talk::connected();
    let news = talk.subscribed("news");
    let ann = throng_protocol::ClientInfo { user: "ann".to_owned(), ..Default::default() };
    talk.push("news", PushEvent::Join(throng_protocol::Join { info: Some(ann.clone()) }));
    talk.push("news", PushEvent::Leave(throng_protocol::Leave { info: Some(ann.clone()) }));
    assert!(matches!(news.next(), Some(Event::Join(info)) if info == ann));
    assert!(matches!(news.next(), Some(Event::Leave(info)) if info == ann));
}

#[test]
fn a_lost_connection_interrupts_subscriptions_and_the_next_one_renews_them_in_one_frame() {
    let mut talk = Talk::connected();
    let readers = [talk.subscribed("a"), talk.subscribed("b"), talk.subscribed("c")];
    talk.lose(3001);
    talk.actions();
    talk.redial();
    talk.welcome();
    let frames = talk.frames();
    assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [3]);
    for id in 2..=4 {
        talk.confirm(id);
    }
    for reader in &readers {
        assert!(matches!(reader.next(), Some(Event::Subscribing)));
        assert!(matches!(reader.next(), Some(Event::Subscribed)));
        assert!(reader.next().is_none());
    }
    talk.push("b", publication("1"));
    assert_eq!(readers[1].publication().as_deref(), Some("1"));
}

#[test]
fn several_failed_attempts_interrupt_a_subscription_once() {
    let mut talk = Talk::connected();
    let news = talk.subscribed("news");
    talk.lose(1006);
    for _ in 0..3 {
        talk.actions();
        talk.redial();
        talk.lose(1006);
    }
    assert!(matches!(news.next(), Some(Event::Subscribing)));
    assert!(news.next().is_none());
}

#[test]
fn a_refusal_for_good_is_returned_and_one_for_the_moment_is_tried_again() {
    let mut talk = Talk::connected();
    let mut denied = talk.subscribe("secret");
    let id = talk.asked_for("secret");
    talk.answer(id, Err(error(ErrorCode::PermissionDenied)));
    assert!(matches!(denied.ready.try_recv(), Ok(Err(SubscribeError::Refused(reply))) if reply.code == 103));

    let mut later = talk.subscribe("busy");
    for _ in 0..3 {
        let id = talk.asked_for("busy");
        talk.answer(id, Err(error(ErrorCode::TooManyRequests)));
        assert!(later.ready.try_recv().is_err(), "still wanted");
        assert_eq!(talk.sent(), []);
        talk.pass_to_deadline();
    }
    let id = talk.asked_for("busy");
    talk.confirm(id);
    assert!(matches!(later.ready.try_recv(), Ok(Ok(None))));
}

#[test]
fn a_refusal_after_a_reconnect_ends_the_stream_with_its_reason() {
    let mut talk = Talk::connected();
    let news = talk.subscribed("news");
    talk.lose(3001);
    talk.actions();
    talk.redial();
    talk.welcome();
    let id = talk.asked_for("news");
    talk.answer(id, Err(error(ErrorCode::PermissionDenied)));
    assert!(matches!(news.next(), Some(Event::Subscribing)));
    assert!(matches!(
        news.next(),
        Some(Event::Unsubscribed(UnsubscribeReason::Refused(reply))) if reply.code == 103
    ));
}

#[test]
fn the_server_ends_a_subscription_below_code_2500_and_interrupts_it_from_there_on() {
    for (code, ends) in [(2000, true), (2499, true), (2500, false), (2501, false), (2502, false)] {
        let mut talk = Talk::connected();
        let news = talk.subscribed("news");
        talk.pass(2 * SECOND);
        talk.push("news", unsubscribe(code));
        if ends {
            assert!(matches!(
                news.next(),
                Some(Event::Unsubscribed(UnsubscribeReason::Server { code: told, .. })) if told == code
            ));
            assert_eq!(talk.sent(), []);
        } else {
            assert!(matches!(news.next(), Some(Event::Subscribing)));
            let id = talk.asked_for("news");
            talk.confirm(id);
            assert!(matches!(news.next(), Some(Event::Subscribed)));
        }
    }
}

#[test]
fn a_server_that_removes_a_subscription_again_and_again_is_asked_more_and_more_slowly() {
    let mut talk = Talk::connected();
    let _news = talk.subscribed("news");
    let start = talk.now;
    for _ in 0..12 {
        talk.push("news", unsubscribe(2500));
        assert_eq!(talk.sent(), []);
        talk.reply(&[Reply::Ping]);
        talk.sent();
        talk.pass_to_deadline();
        let id = talk.asked_for("news");
        talk.confirm(id);
    }
    // The expected sum of twelve waits is some 50 s; the seed is fixed, so this either always holds or never does.
    assert!(talk.now - start > 20 * SECOND, "{:?}", talk.now - start);
}

#[test]
fn a_dropped_subscription_is_unsubscribed_and_gets_nothing_more() {
    let mut talk = Talk::connected();
    let news = talk.subscribed("news");
    talk.handle(Input::Abandoned(news.key.clone()));
    talk.left("news");
    talk.push("news", publication("1"));
    assert!(news.next().is_none());
    assert!(talk.actions().is_empty());
}

#[test]
fn a_channel_is_asked_for_again_only_after_the_server_has_let_it_go() {
    let mut talk = Talk::connected();
    let old = talk.subscribed("news");
    talk.handle(Input::Abandoned(old.key.clone()));
    let mut new = talk.subscribe("news");
    let id = talk.left("news");
    talk.push("news", publication("1"));
    talk.answer(id, Ok(Outcome::Unsubscribe(throng_protocol::UnsubscribeResult::default())));
    let id = talk.asked_for("news");
    talk.confirm(id);
    assert!(matches!(new.ready.try_recv(), Ok(Ok(None))));
    talk.push("news", publication("2"));
    assert_eq!(new.publication().as_deref(), Some("2"));
    assert!(old.next().is_none());
}

#[test]
fn what_is_dropped_while_it_is_asked_for_is_unsubscribed_too() {
    let mut talk = Talk::connected();
    let news = talk.subscribe("news");
    let asked = talk.asked_for("news");
    talk.handle(Input::Abandoned(news.key.clone()));
    let left = talk.left("news");
    talk.confirm(asked);
    talk.answer(left, Ok(Outcome::Unsubscribe(throng_protocol::UnsubscribeResult::default())));
    assert_eq!(talk.sent(), []);
    // The channel is free again.
    let _again = talk.subscribed("news");
}

#[test]
fn a_wish_that_was_taken_back_before_it_arrived_is_not_carried_out() {
    let mut talk = Talk::connected();
    let key = SubscriptionKey { channel: "news".into(), generation: 77 };
    let (events, _reader) = mailbox(QueueBounds::default());
    let (ready, confirmed) = oneshot::channel();
    drop(confirmed);
    talk.handle(Input::Abandoned(key.clone()));
    let options = Box::default();
    talk.handle(Input::Subscribe(NewSubscription { key, options, events, ready }));
    assert_eq!(talk.sent(), []);
}

#[test]
fn one_channel_has_one_subscription_and_a_refused_second_one_does_not_end_the_first() {
    let mut talk = Talk::connected();
    let first = talk.subscribed("news");
    let mut second = talk.subscribe("news");
    assert!(matches!(second.ready.try_recv(), Ok(Err(SubscribeError::AlreadySubscribed))));
    talk.handle(Input::Abandoned(second.key.clone()));
    assert_eq!(talk.sent(), []);
    talk.push("news", publication("1"));
    assert_eq!(first.publication().as_deref(), Some("1"));
}

#[test]
fn a_subscribe_command_without_an_answer_is_a_reason_to_reconnect() {
    let mut talk = Talk::connected();
    let mut news = talk.subscribe("news");
    talk.asked_for("news");
    talk.pass(5 * SECOND);
    assert!(matches!(talk.gave_up_connection(), Disconnect::NoAnswer { command: "subscribe", .. }));
    talk.redial();
    talk.welcome();
    let id = talk.asked_for("news");
    talk.confirm(id);
    assert!(matches!(news.ready.try_recv(), Ok(Ok(None))));
}

#[test]
fn an_unsubscribe_command_that_fails_is_a_reason_to_reconnect() {
    let mut talk = Talk::connected();
    let news = talk.subscribed("news");
    talk.handle(Input::Abandoned(news.key.clone()));
    let id = talk.left("news");
    talk.answer(id, Err(error(ErrorCode::Internal)));
    assert!(matches!(talk.gave_up_connection(), Disconnect::Unsubscribe(_)));
    talk.redial();
    talk.welcome();
    assert_eq!(talk.sent(), [], "the dropped subscription is not renewed");
}

#[test]
fn a_channel_name_that_fits_no_frame_is_refused() {
    let mut talk = Talk::connected();
    let mut long = talk.subscribe(&"x".repeat(1_000));
    assert!(matches!(long.ready.try_recv(), Ok(Err(SubscribeError::TooLong { .. }))));
    assert_eq!(talk.sent(), []);
}

#[test]
fn publications_that_come_with_the_confirmation_are_delivered() {
    let mut talk = Talk::connected();
    let news = talk.subscribe("news");
    let id = talk.asked_for("news");
    let publications = vec![Publication { data: "1".into(), ..Publication::default() }];
    talk.answer(id, Ok(Outcome::Subscribe(SubscribeResult { publications, ..SubscribeResult::default() })));
    talk.push("news", publication("2"));
    assert_eq!(news.publication().as_deref(), Some("1"));
    assert_eq!(news.publication().as_deref(), Some("2"));
}
