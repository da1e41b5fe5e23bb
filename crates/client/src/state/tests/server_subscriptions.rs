use throng_protocol::{Join, Leave, Message, Subscribe};

use super::*;

fn subs<const N: usize>(subs: [(&str, SubscribeResult); N]) -> BTreeMap<String, SubscribeResult> {
    subs.into_iter().map(|(channel, result)| (channel.to_owned(), result)).collect()
}

fn recoveries(requests: &BTreeMap<String, SubscribeRequest>) -> Vec<String> {
    requests
        .iter()
        .map(|(channel, request)| {
            assert!(request.recover && request.channel.is_empty());
            format!("{channel} {}:{}", request.offset, request.epoch)
        })
        .collect()
}

fn live(talk: &mut Talk, channel: &str, offset: u64) {
    talk.push(channel, PushEvent::Publication(numbered(offset)));
}

/// Loses the connection and begins the next.
fn lose(talk: &mut Talk, code: u16) {
    talk.lose(code);
    talk.actions();
    talk.redial();
}

#[test]
fn what_the_server_subscribes_to_is_told_and_followed() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    let known =
        talk.welcome_with(subs([("#ann", recoverable(4, "e1")), ("all", SubscribeResult::default())]));
    assert_eq!(recoveries(&known), [""; 0]);
    live(&mut talk, "#ann", 5);
    talk.push("all", publication("77"));
    talk.push("elsewhere", publication("1"));
    let subscribe =
        Subscribe { recoverable: true, offset: 2, epoch: "e9".to_owned(), ..Subscribe::default() };
    talk.push("later", PushEvent::Subscribe(subscribe));
    live(&mut talk, "later", 3);
    talk.push("later", PushEvent::Join(Join::default()));
    talk.push("later", PushEvent::Leave(Leave::default()));
    talk.push("", PushEvent::Message(Message { data: "\"psst\"".into() }));
    talk.push("all", unsubscribe(2000));
    talk.push("all", publication("1"));
    let info =
        "clientinfo { user: \"\", client: \"\", conn_info: payload(0: \"\"), chan_info: payload(0: \"\") }";
    assert_eq!(
        talk.server_events(),
        [
            "#ann: subscribed",
            "all: subscribed",
            "#ann: 5",
            "all: 77",
            "later: subscribed",
            "later: 3",
            &format!("later: join({info})"),
            &format!("later: leave({info})"),
            "message \"psst\"",
            "all: unsubscribed: unsubscribed by the server: test (2000)",
        ]
    );
    assert!(talk.actions().len() == 3, "the connection goes on");
}

#[test]
fn after_a_reconnect_the_server_is_told_what_was_read_and_gives_the_rest() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    let plain = SubscribeResult::default();
    talk.welcome_with(subs([
        ("#ann", recoverable(4, "e1")),
        ("gone", recoverable(1, "e1")),
        ("plain", plain.clone()),
        ("trimmed", recoverable(7, "e7")),
    ]));
    live(&mut talk, "#ann", 5);
    talk.server_events();
    lose(&mut talk, 3001);
    let known = talk.welcome_with(subs([
        ("#ann", recovered(5, "e1", [6, 7])),
        ("plain", plain),
        ("trimmed", SubscribeResult { was_recovering: true, ..recoverable(9, "e7") }),
    ]));
    assert_eq!(recoveries(&known), ["#ann 5:e1", "gone 1:e1", "trimmed 7:e7"]);
    live(&mut talk, "#ann", 8);
    let mut events = talk.server_events();
    events[..4].sort(); // the channels are in no order
    assert_eq!(
        events,
        [
            "#ann: subscribing",
            "gone: subscribing",
            "plain: subscribing",
            "trimmed: subscribing",
            "gone: unsubscribed: not subscribed by the server any more",
            "#ann: subscribed",
            "#ann: 6",
            "#ann: 7",
            "plain: subscribed",
            "trimmed: subscribed",
            "trimmed: gap 7:e7 to 9:e7",
            "#ann: 8",
        ]
    );
    lose(&mut talk, 1006);
    assert_eq!(talk.server_events().len(), 3);
    lose(&mut talk, 1006);
    assert_eq!(talk.server_events(), [""; 0], "interrupted once");
    let known = talk.welcome_with(BTreeMap::new());
    assert_eq!(recoveries(&known), ["#ann 8:e1", "trimmed 9:e7"]);
}

#[test]
fn a_void_state_voids_the_positions_of_server_side_subscriptions_too() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    talk.welcome_with(subs([("#ann", recoverable(4, "e1"))]));
    lose(&mut talk, 3014);
    let known = talk.welcome_with(subs([("#ann", recoverable(4, "e1"))]));
    assert_eq!(recoveries(&known), ["#ann 0:_"]);
    assert_eq!(
        talk.server_events(),
        ["#ann: subscribed", "#ann: subscribing", "#ann: subscribed", "#ann: gap 4:e1 to 4:e1"]
    );
}

#[test]
fn an_own_subscription_comes_before_one_of_the_server() {
    let mut talk = Talk::connected();
    let news = talk.subscribed("news");
    talk.push("news", publication("77"));
    assert_eq!((news.all(), talk.server_events()), (vec!["77".to_owned()], vec![]));
    // Not confirmed yet, so what arrives belongs to nobody.
    let sport = talk.subscribe("sport");
    talk.push("sport", publication("1"));
    assert_eq!((sport.all(), talk.server_events()), (vec![], vec![]));
}

#[test]
fn positions_that_fit_no_frame_are_left_out_and_what_was_missed_is_a_gap() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    let name = "x".repeat(990);
    talk.welcome_with(subs([(&name, recoverable(4, "e1"))]));
    lose(&mut talk, 1006);
    let known = talk.welcome_with(subs([(&name, recoverable(6, "e1"))]));
    assert_eq!(recoveries(&known), [""; 0]);
    assert_eq!(talk.server_events().last(), Some(&format!("{name}: gap 4:e1 to 6:e1")));
}

#[test]
fn nobody_who_reads_means_nothing_to_follow() {
    let mut talk = Talk::new(Format::Json);
    let (_, requests) = send_queue(SendQueue::default());
    talk.conversation = Conversation::new(settings(Format::Json), requests, None, 42);
    talk.handle(Input::Start);
    talk.welcome_with(subs([("#ann", recoverable(4, "e1"))]));
    live(&mut talk, "#ann", 5);
    lose(&mut talk, 1006);
    assert_eq!(recoveries(&talk.welcome_with(BTreeMap::new())), [""; 0]);
}

#[test]
fn the_stream_ends_with_the_client() {
    let mut talk = Talk::connected();
    talk.push("", PushEvent::Message(Message { data: "1".into() }));
    talk.lose(3500);
    assert_eq!(talk.server_events(), ["message 1"]);
    assert!(talk.server_events_have_ended());
}
