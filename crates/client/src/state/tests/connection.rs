use throng_protocol::{Disconnect as DisconnectPush, close_code_reconnects};

use super::*;

#[test]
fn the_connect_command_comes_first_and_what_waited_for_it_follows_in_one_frame() {
    for format in [Format::Json, Format::Protobuf] {
        let mut talk = Talk::new(format);
        talk.handle(Input::Start);
        assert!(matches!(
            talk.actions()[..],
            [Action::Announce(State::Connecting { failures: 0, last: None }), Action::Dial { .. }]
        ));
        let _news = talk.subscribe("news");
        let _answer = talk.publish("1");
        assert_eq!(talk.sent(), []);
        talk.welcome();
        assert!(
            matches!(&talk.actions()[..], [Action::Announce(State::Connected { client })] if client == "c1"),
            "{format}"
        );
        let frames = talk.frames();
        assert!(
            matches!(
                &frames[..],
                [frame] if matches!(
                    &frame[..],
                    [
                        Command::Request { id: 2, request: Request::Subscribe(_) },
                        Command::Request { id: 3, request: Request::Publish(_) }
                    ]
                )
            ),
            "{frames:?}"
        );
    }
}

#[test]
fn a_ping_is_answered_once_and_only_when_the_server_wants_it() {
    let mut talk = Talk::connected();
    talk.reply(&[Reply::Ping]);
    assert_eq!(talk.sent(), [Command::Pong]);
    assert_eq!(talk.sent(), []);
    talk.reply(&[Reply::Ping, Reply::Ping]);
    assert_eq!(talk.sent(), [Command::Pong]);

    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    talk.handle(Input::Opened);
    talk.sent();
    talk.answer(
        1,
        Ok(Outcome::Connect(ConnectResult { client: "c".to_owned(), ping: 25, ..Default::default() })),
    );
    talk.reply(&[Reply::Ping]);
    assert_eq!(talk.sent(), []);
}

#[test]
fn a_silent_server_is_left_after_its_ping_interval_and_the_grace() {
    let mut talk = Talk::connected();
    talk.pass(PING + 9 * SECOND);
    assert!(talk.actions().is_empty());
    talk.pass(SECOND);
    let reason = talk.gave_up_connection();
    assert!(matches!(reason, Disconnect::Silent { waited } if waited == PING + 10 * SECOND), "{reason:?}");
}

#[test]
fn whatever_arrives_is_a_sign_of_life() {
    type Sign = fn(&mut Talk);
    let signs: [Sign; 3] = [
        |talk| talk.reply(&[Reply::Ping]),
        |talk| talk.push("elsewhere", publication("1")),
        |talk| talk.handle(Input::Heard),
    ];
    for sign in signs {
        let mut talk = Talk::connected();
        talk.pass(PING + 9 * SECOND);
        sign(&mut talk);
        talk.pass(PING + 9 * SECOND);
        assert!(talk.actions().is_empty());
        talk.pass(SECOND);
        assert!(matches!(talk.gave_up_connection(), Disconnect::Silent { .. }));
    }
}

#[test]
fn without_pings_there_is_no_watchdog() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    talk.handle(Input::Opened);
    talk.answer(1, Ok(Outcome::Connect(ConnectResult { client: "c".to_owned(), ..Default::default() })));
    assert_eq!(talk.conversation.deadline(), None);
}

#[test]
fn every_close_code_leads_to_another_attempt_or_to_the_end() {
    for code in
        [1000, 1001, 1006, 1009, 1011, 3000, 3001, 3008, 3012, 3499, 3500, 3501, 3999, 4000, 4499, 4500, 4999]
    {
        let mut talk = Talk::connected();
        talk.lose(code);
        if close_code_reconnects(code) {
            assert!(
                matches!(
                    talk.actions()[..],
                    [Action::Announce(State::Connecting { failures: 0, last: Some(_) })]
                ),
                "{code}"
            );
            assert!(talk.conversation.stopped().is_none());
            talk.redial();
            talk.welcome();
        } else {
            assert!(
                matches!(talk.conversation.stopped(), Some(Disconnect::Closed { code: told, .. }) if *told == code)
            );
            assert_eq!(talk.conversation.deadline(), None);
        }
    }
}

#[test]
fn a_refused_connect_command_ends_the_client_unless_it_is_temporary() {
    for code in ErrorCode::ALL {
        let mut talk = Talk::new(Format::Json);
        talk.handle(Input::Start);
        talk.actions();
        talk.handle(Input::Opened);
        talk.answer(1, Err(error(*code)));
        if code.temporary() {
            assert!(matches!(talk.gave_up_connection(), Disconnect::Refused(_)));
        } else {
            assert!(matches!(talk.actions()[..], [Action::HangUp]), "{code}");
            assert!(matches!(talk.conversation.stopped(), Some(Disconnect::Refused(_))), "{code}");
        }
    }
}

#[test]
fn a_connect_command_without_an_answer_is_tried_again() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    talk.actions();
    talk.handle(Input::Opened);
    talk.pass(5 * SECOND);
    assert!(matches!(talk.gave_up_connection(), Disconnect::NoAnswer { command: "connect", .. }));
    talk.redial();
}

#[test]
fn what_is_not_the_protocol_ends_the_client() {
    for frame in [&b"{"[..], b"", b"{\"id\":7}", b"[]"] {
        let mut talk = Talk::connected();
        talk.handle(Input::Received(Bytes::from_static(frame)));
        assert!(matches!(talk.actions()[..], [Action::HangUp]));
        assert!(matches!(talk.conversation.stopped(), Some(Disconnect::Malformed(_))), "{frame:?}");
    }
}

#[test]
fn the_wrong_kind_of_answer_ends_the_client() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    talk.handle(Input::Opened);
    talk.answer(1, Ok(Outcome::Subscribe(SubscribeResult::default())));
    assert!(matches!(talk.conversation.stopped(), Some(Disconnect::Malformed(_))));
}

#[test]
fn nothing_of_a_frame_counts_after_the_connection_was_given_up_in_it() {
    let mut talk = Talk::connected();
    let news = talk.subscribed("news");
    let disconnect = DisconnectPush { code: 3001, reason: "shutdown".to_owned(), reconnect: false };
    talk.reply(&[
        Reply::Push(Push { channel: "news".to_owned(), event: publication("1") }),
        Reply::Push(Push { channel: String::new(), event: PushEvent::Disconnect(disconnect) }),
        Reply::Push(Push { channel: "news".to_owned(), event: publication("2") }),
        Reply::Ping,
    ]);
    assert!(matches!(talk.gave_up_connection(), Disconnect::Closed { code: 3001, .. }));
    assert_eq!(news.publication().as_deref(), Some("1"));
    assert!(matches!(news.next(), Some(Event::Subscribing)));
    assert!(news.next().is_none());
    assert_eq!(talk.sent(), []);
}

#[test]
fn closing_says_goodbye_and_ends_everything() {
    let mut talk = Talk::connected();
    let news = talk.subscribed("news");
    let mut unanswered = talk.publish("1");
    talk.handle(Input::Close);
    assert!(matches!(talk.actions()[..], [Action::Farewell]));
    assert!(matches!(unanswered.try_recv(), Ok(Err(RequestError::Unknown(Disconnect::ByApplication)))));
    assert!(matches!(news.next(), Some(Event::Unsubscribed(_))));
    assert!(matches!(
        talk.publish("2").try_recv(),
        Ok(Err(RequestError::Stopped(Disconnect::ByApplication)))
    ));
    let mut late = talk.subscribe("late");
    assert!(matches!(late.ready.try_recv(), Ok(Err(SubscribeError::Stopped(_)))));
    assert_eq!(talk.conversation.deadline(), None);
}

#[test]
fn closing_without_a_connection_gives_up_the_attempt() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    talk.actions();
    talk.handle(Input::Close);
    assert!(matches!(talk.actions()[..], [Action::HangUp]));
    talk.handle(Input::Opened);
    assert_eq!(talk.sent(), []);
}
