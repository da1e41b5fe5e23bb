use throng_protocol::{FilterNode, UnsubscribeCode};

use super::*;

fn options() -> SubscribeOptions {
    SubscribeOptions { recoverable: true, ..SubscribeOptions::default() }
}

/// What a subscribe command asks to recover from.
fn asked(request: &SubscribeRequest) -> Option<String> {
    request.recover.then(|| format!("{}:{}", request.offset, request.epoch))
}

/// A recoverable subscription at a place, live for long enough that it is renewed at once.
fn subscribed_at(talk: &mut Talk, offset: u64) -> Reader {
    let mut news = talk.subscribe_with("news", options());
    let (id, request) = talk.asked_with("news");
    assert!(request.recoverable && !request.recover);
    talk.confirm_with(id, recoverable(offset, "e1"));
    let start = news.ready.try_recv().unwrap().unwrap().unwrap();
    assert_eq!((place(&start.position()), start.recoverable), (format!("{offset}:e1"), true));
    talk.pass(2 * SECOND);
    news
}

fn live(talk: &mut Talk, offset: u64) {
    talk.push("news", PushEvent::Publication(numbered(offset)));
}

#[test]
fn what_was_missed_during_a_lost_connection_comes_in_order_before_what_is_new() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    live(&mut talk, 5);
    live(&mut talk, 6);
    talk.reconnect(3001);
    let (id, request) = talk.asked_with("news");
    assert_eq!(asked(&request).as_deref(), Some("6:e1"));
    talk.confirm_with(id, recovered(6, "e1", [7, 8]));
    live(&mut talk, 9);
    assert_eq!(news.all(), ["5", "6", "subscribing", "subscribed", "7", "8", "9"]);
    talk.reconnect(3001);
    assert_eq!(asked(&talk.asked_with("news").1).as_deref(), Some("9:e1"));
}

#[test]
fn a_connection_that_is_lost_again_and_again_recovers_from_what_was_read_last() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    talk.reconnect(1006);
    talk.asked_with("news");
    // Lost before the answer: nothing has moved.
    talk.reconnect(1006);
    let (id, request) = talk.asked_with("news");
    assert_eq!(asked(&request).as_deref(), Some("4:e1"));
    talk.confirm_with(id, recovered(4, "e1", [5]));
    talk.reconnect(1006);
    let (id, request) = talk.asked_with("news");
    assert_eq!(asked(&request).as_deref(), Some("5:e1"));
    talk.confirm_with(id, recovered(5, "e1", []));
    assert_eq!(news.all(), ["subscribing", "subscribed", "5", "subscribing", "subscribed"]);
}

#[test]
fn what_the_server_no_longer_has_is_a_gap_that_names_both_ends() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, SubscribeResult { was_recovering: true, ..recoverable(9, "e1") });
    live(&mut talk, 10);
    assert_eq!(news.all(), ["subscribing", "subscribed", "gap 4:e1 to 9:e1", "10"]);
    // From then on the client goes on from there.
    talk.reconnect(3001);
    assert_eq!(asked(&talk.asked_with("news").1).as_deref(), Some("10:e1"));
}

#[test]
fn a_stream_that_was_replaced_is_a_gap_too() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, SubscribeResult { was_recovering: true, ..recoverable(2, "e2") });
    live(&mut talk, 3);
    assert_eq!(news.all(), ["subscribing", "subscribed", "gap 4:e1 to 2:e2", "3"]);
}

#[test]
fn a_channel_that_lost_its_history_is_a_gap_to_nowhere_and_is_not_recovered_any_more() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, SubscribeResult::default());
    talk.push("news", publication("77"));
    assert_eq!(news.all(), ["subscribing", "subscribed", "gap 4:e1 to nowhere", "77"]);
    talk.reconnect(3001);
    let (_, request) = talk.asked_with("news");
    assert_eq!((asked(&request), request.recoverable), (None, true));
}

#[test]
fn the_server_takes_a_subscription_away_with_2500_and_it_is_recovered_at_once() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    live(&mut talk, 5);
    talk.push("news", unsubscribe(UnsubscribeCode::InsufficientState.code()));
    let (id, request) = talk.asked_with("news");
    assert_eq!(asked(&request).as_deref(), Some("5:e1"));
    // Nothing of the channel counts before the answer.
    live(&mut talk, 8);
    talk.confirm_with(id, recovered(5, "e1", [6, 7, 8]));
    assert_eq!(news.all(), ["5", "subscribing", "subscribed", "6", "7", "8"]);
}

#[test]
fn a_void_state_is_asked_for_with_an_epoch_that_no_stream_has_and_is_a_gap_in_any_case() {
    type Void = fn(&mut Talk);
    let ways: [Void; 2] = [
        |talk| talk.push("news", unsubscribe(UnsubscribeCode::StateInvalidated.code())),
        |talk| talk.reconnect(3014),
    ];
    for void in ways {
        let mut talk = Talk::connected();
        let news = subscribed_at(&mut talk, 4);
        void(&mut talk);
        let (id, request) = talk.asked_with("news");
        assert_eq!(asked(&request).as_deref(), Some("0:_"));
        // Even at the same place: the server has said that what is remembered does not count.
        talk.confirm_with(id, SubscribeResult { was_recovering: true, ..recoverable(4, "e1") });
        live(&mut talk, 5);
        assert_eq!(news.all(), ["subscribing", "subscribed", "gap 4:e1 to 4:e1", "5"]);
        talk.reconnect(3001);
        assert_eq!(asked(&talk.asked_with("news").1).as_deref(), Some("5:e1"), "void once only");
    }
}

#[test]
fn a_publication_is_handed_out_once() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    for offset in [4, 5, 5, 3, 6] {
        live(&mut talk, offset);
    }
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, recovered(6, "e1", [6, 7]));
    live(&mut talk, 7);
    live(&mut talk, 8);
    assert_eq!(news.all(), ["5", "6", "subscribing", "subscribed", "7", "8"]);
}

#[test]
fn what_is_in_no_stream_passes_as_it_comes() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    live(&mut talk, 5);
    talk.push("news", publication("77"));
    live(&mut talk, 6);
    assert_eq!(news.all(), ["5", "77", "6"]);
}

#[test]
fn a_jump_and_another_epoch_on_the_way_are_gaps() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    live(&mut talk, 7);
    let anew = Publication { epoch: "e2".to_owned(), ..numbered(1) };
    talk.push("news", PushEvent::Publication(anew));
    live(&mut talk, 2);
    assert_eq!(news.all(), ["gap 4:e1 to 6:e1", "7", "gap 7:e1 to 0:e2", "1", "2"]);
}

#[test]
fn without_a_stream_offsets_say_nothing() {
    let mut talk = Talk::connected();
    let news = talk.subscribed("news");
    for offset in [5, 9, 2, 2] {
        live(&mut talk, offset);
    }
    talk.reconnect(3001);
    let (_, request) = talk.asked_with("news");
    assert_eq!((asked(&request), request.recoverable), (None, false));
    assert_eq!(news.all(), ["5", "9", "2", "2", "subscribing"]);
}

#[test]
fn with_a_filter_skipped_offsets_are_no_gap() {
    let mut talk = Talk::connected();
    let filter = FilterNode { key: "k".into(), cmp: "eq".into(), val: "v".into(), ..FilterNode::default() };
    let options = SubscribeOptions { tags_filter: Some(filter.clone()), ..options() };
    let news = talk.subscribe_with("news", options);
    let (id, request) = talk.asked_with("news");
    assert_eq!(request.tf.as_deref(), Some(&filter));
    talk.confirm_with(id, recoverable(4, "e1"));
    live(&mut talk, 9);
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, recovered(9, "e1", [12, 17]));
    assert_eq!(news.all(), ["9", "subscribing", "subscribed", "12", "17"]);
    talk.reconnect(3001);
    let (id, request) = talk.asked_with("news");
    assert_eq!(asked(&request).as_deref(), Some("17:e1"));
    // A server that looked further says so.
    talk.confirm_with(id, SubscribeResult { offset: 20, ..recovered(17, "e1", []) });
    talk.reconnect(3001);
    assert_eq!(asked(&talk.asked_with("news").1).as_deref(), Some("20:e1"));
}

#[test]
fn the_newest_publication_alone_is_a_gap_and_then_the_publication() {
    // What a namespace gives that recovers only the newest: the offset is the top.
    let newest = |offset| SubscribeResult { offset, ..recovered(offset, "e1", [offset]) };
    let mut talk = Talk::connected();
    let mut state = talk.subscribe_with("news", options());
    let id = talk.asked_for("news");
    talk.confirm_with(id, newest(7));
    assert_eq!(state.ready.try_recv().unwrap().unwrap().map(|start| start.offset), Some(6));
    assert_eq!(state.all(), ["7"]);
    talk.reconnect(3001);
    let (id, request) = talk.asked_with("news");
    assert_eq!(asked(&request).as_deref(), Some("7:e1"));
    talk.confirm_with(id, newest(9));
    live(&mut talk, 10);
    assert_eq!(state.all(), ["subscribing", "subscribed", "gap 7:e1 to 8:e1", "9", "10"]);
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, SubscribeResult { publications: Vec::new(), ..newest(10) });
    assert_eq!(state.all(), ["subscribing", "subscribed"]);
    // Another stream, and yet recovered: the offset that was read says nothing about it.
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, SubscribeResult { epoch: "e2".to_owned(), ..newest(3) });
    assert_eq!(state.all(), ["subscribing", "subscribed", "gap 10:e1 to 2:e2", "3"]);
}

#[test]
fn a_subscription_can_begin_where_an_earlier_run_has_ended() {
    let since = |epoch: &str| Some(StreamPosition { offset: 5, epoch: epoch.to_owned() });
    for (epoch, answer, start, events) in [
        ("e1", recovered(5, "e1", [6]), Some("5:e1"), &["6", "7"][..]),
        // Any stream will do, and from then on it is this one.
        ("", recovered(5, "e1", [6]), Some("5:"), &["6", "7"]),
        ("e1", recoverable(6, "e1"), Some("5:e1"), &["gap 5:e1 to 6:e1", "7"]),
        ("e0", recoverable(6, "e1"), Some("5:e0"), &["gap 5:e0 to 6:e1", "7"]),
        ("e1", SubscribeResult::default(), None, &["gap 5:e1 to nowhere", "7"]),
    ] {
        let mut talk = Talk::connected();
        let options = SubscribeOptions { since: since(epoch), ..SubscribeOptions::default() };
        let mut news = talk.subscribe_with("news", options);
        let (id, request) = talk.asked_with("news");
        assert_eq!((asked(&request), request.recoverable), (Some(format!("5:{epoch}")), true));
        talk.confirm_with(id, answer);
        live(&mut talk, 7);
        let begun = news.ready.try_recv().unwrap().unwrap();
        assert_eq!(begun.map(|begun| place(&begun.position())).as_deref(), start);
        assert_eq!(news.all(), events);
        talk.reconnect(3001);
        let expected = start.map(|_| "7:e1");
        assert_eq!(asked(&talk.asked_with("news").1).as_deref(), expected);
    }
}

#[test]
fn an_epoch_that_was_not_known_is_learnt_from_a_publication() {
    let mut talk = Talk::connected();
    let news = talk.subscribe_with("news", options());
    let id = talk.asked_for("news");
    talk.confirm_with(id, recoverable(0, ""));
    talk.push("news", PushEvent::Publication(Publication { epoch: "e1".to_owned(), ..numbered(1) }));
    assert_eq!(place(&news.place().unwrap()), "1:e1");
}

#[test]
fn recovery_that_is_not_granted_any_more_is_known_before_what_is_missing() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, SubscribeResult { recoverable: false, ..recoverable(4, "e1") });
    let told = || match std::future::poll_fn(|context| news.events.poll_next(context)).now_or_never() {
        Some(Some(Delivery::Event(Told { place: Some(place), .. }))) => place.recoverable,
        other => panic!("no event with a place: {other:?}"),
    };
    assert_eq!([told(), told()], [true, false], "when interrupted, and when it is back");
}

#[test]
fn a_positioned_subscription_cannot_recover_and_yet_knows_whether_it_missed_something() {
    let positioned = |offset| SubscribeResult { recoverable: false, ..recoverable(offset, "e1") };
    let mut talk = Talk::connected();
    let mut news =
        talk.subscribe_with("news", SubscribeOptions { positioned: true, ..SubscribeOptions::default() });
    let (id, request) = talk.asked_with("news");
    assert!(request.positioned && !request.recoverable);
    talk.confirm_with(id, positioned(4));
    assert!(!news.ready.try_recv().unwrap().unwrap().unwrap().recoverable);
    for (now, events) in
        [(4, &["subscribing", "subscribed"][..]), (6, &["subscribing", "subscribed", "gap 4:e1 to 6:e1"])]
    {
        talk.reconnect(3001);
        let (id, request) = talk.asked_with("news");
        assert_eq!(asked(&request), None);
        talk.confirm_with(id, positioned(now));
        assert_eq!(news.all(), events);
    }
}

#[test]
fn the_reader_learns_where_it_stands_with_each_event() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 4);
    live(&mut talk, 5);
    talk.push("news", PushEvent::Join(throng_protocol::Join::default()));
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, SubscribeResult { was_recovering: true, ..recoverable(9, "e2") });
    let places: Vec<_> = (0..5).map(|_| place(&news.place().unwrap())).collect();
    // The publication, who joined, the interruption, the return, the gap.
    assert_eq!(places, ["5:e1", "5:e1", "5:e1", "5:e1", "9:e2"]);
}

#[test]
fn what_was_dropped_for_a_slow_reader_can_be_asked_for_again() {
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 0);
    for offset in 1..=2_000 {
        live(&mut talk, offset);
    }
    assert!(matches!(news.next(), Some(Event::Missed(976))));
    assert_eq!(place(&news.place().unwrap()), "977:e1");
}

#[test]
fn a_renewal_that_no_longer_fits_a_frame_ends_the_stream_with_its_reason() {
    let mut talk = Talk::connected();
    // Fits at first, and not with a long epoch.
    let name = "x".repeat(900);
    let news = talk.subscribe_with(&name, options());
    let id = talk.asked_for(&name);
    talk.confirm_with(id, recoverable(4, &"e".repeat(100)));
    talk.reconnect(3001);
    assert_eq!(talk.sent(), []);
    let events = news.all();
    assert!(events[1].starts_with("unsubscribed: the request has 1"), "{events:?}");
}
