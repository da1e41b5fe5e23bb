use super::*;

fn acknowledged() -> Result<Outcome, ErrorReply> {
    Ok(Outcome::Publish(throng_protocol::PublishResult::default()))
}

#[test]
fn each_publish_gets_its_own_answer_whatever_the_order() {
    let mut talk = Talk::connected();
    let mut answers = [talk.publish("1"), talk.publish("2"), talk.publish("3")];
    let ids: Vec<u32> = talk.sent().iter().map(id_of).collect();
    assert_eq!(ids, [2, 3, 4]);
    talk.answer(4, acknowledged());
    talk.answer(2, Err(error(ErrorCode::PermissionDenied)));
    assert!(matches!(answers[2].try_recv(), Ok(Ok(_))));
    assert!(matches!(answers[0].try_recv(), Ok(Err(RequestError::Refused(reply))) if reply.code == 103));
    assert!(answers[1].try_recv().is_err(), "still under way");
    talk.answer(3, acknowledged());
    assert!(matches!(answers[1].try_recv(), Ok(Ok(_))));
}

#[test]
fn publishes_that_come_together_share_a_frame() {
    let mut talk = Talk::connected();
    let _answers = [talk.publish("1"), talk.publish("2"), talk.publish("3")];
    assert_eq!(talk.frames().iter().map(Vec::len).collect::<Vec<_>>(), [3]);
}

#[test]
fn an_answer_that_does_not_come_is_an_unknown_outcome() {
    let mut talk = Talk::connected();
    let mut answer = talk.publish("1");
    let id = id_of(&talk.sent()[0]);
    talk.pass(5 * SECOND);
    assert!(matches!(answer.try_recv(), Ok(Err(RequestError::TimedOut { .. }))));
    // A late answer belongs to nobody, and the connection goes on.
    talk.answer(id, acknowledged());
    assert!(talk.actions().is_empty());
}

#[test]
fn what_was_sent_when_the_connection_broke_is_unknown_and_never_repeated() {
    let mut talk = Talk::connected();
    let mut answer = talk.publish("1");
    talk.sent();
    talk.lose(1006);
    assert!(matches!(
        answer.try_recv(),
        Ok(Err(RequestError::Unknown(Disconnect::Closed { code: 1006, .. })))
    ));
    talk.actions();
    talk.redial();
    talk.welcome();
    assert_eq!(talk.sent(), []);
}

#[test]
fn without_a_connection_a_request_waits_for_one_and_no_longer_than_the_timeout() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    let mut early = talk.publish("1");
    talk.pass(SECOND);
    let mut late = talk.publish("2");
    talk.pass(4 * SECOND);
    assert!(matches!(early.try_recv(), Ok(Err(RequestError::NotSent { .. }))));
    assert!(late.try_recv().is_err(), "still waiting");
    talk.welcome();
    let (id, request) = talk.sent_request();
    assert!(matches!(request, Request::Publish(request) if request.data.as_bytes() == "2"));
    talk.answer(id, acknowledged());
    assert!(matches!(late.try_recv(), Ok(Ok(_))));
}

#[test]
fn a_request_that_nobody_waits_for_any_more_is_not_sent() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    drop(talk.publish("1"));
    talk.welcome();
    assert_eq!(talk.sent(), []);
}

#[test]
fn a_request_that_fits_no_frame_is_refused_without_being_sent() {
    let mut talk = Talk::connected();
    let mut answer = talk.publish(format!("\"{}\"", "x".repeat(1_000)));
    assert!(matches!(answer.try_recv(), Ok(Err(RequestError::TooLong { bytes: 1_000.., max: 1_000 }))));
    assert_eq!(talk.sent(), []);
    let _next = talk.publish("1");
    assert_eq!(talk.sent_request().0, 2, "its id was not used up");
}

#[test]
fn no_more_orders_are_taken_while_too_many_requests_are_pending() {
    let mut talk = Talk::connected();
    let mut answers: Vec<Answer> = (0..3).map(|_| talk.publish("1")).collect();
    assert!(talk.conversation.accepts_orders());
    answers.push(talk.publish("1"));
    assert!(!talk.conversation.accepts_orders());
    assert_eq!(talk.sent().len(), 4);
    answers.push(talk.publish("2"));
    talk.pass(SECOND);
    assert_eq!(talk.sent(), [], "it waits in the queue");
    talk.answer(2, acknowledged());
    assert!(talk.conversation.accepts_orders());
    talk.handle(Input::Writable);
    assert_eq!(talk.sent_request().0, 6);
}

#[test]
fn who_waited_for_room_when_the_connection_broke_waits_for_the_next_one_as_long_as_everybody() {
    let mut talk = Talk::connected();
    let _unanswered: Vec<Answer> = (0..4).map(|_| talk.publish("1")).collect();
    let mut waits = talk.publish("2");
    talk.pass(4 * SECOND);
    talk.lose(1006);
    talk.pass(4 * SECOND);
    assert!(waits.try_recv().is_err(), "still waiting");
    talk.pass(SECOND);
    assert!(matches!(waits.try_recv(), Ok(Err(RequestError::NotSent { .. }))));
}

#[test]
fn what_waits_is_sent_even_if_all_that_is_before_it_is_given_up_or_too_long() {
    let mut talk = Talk::connected();
    for _ in 0..600 {
        let (answer, _given_up) = oneshot::channel();
        let request = PublishRequest { channel: "news".to_owned(), ..PublishRequest::default() };
        talk.queue(RequestOrder::Request { request: Request::Publish(request), answer }).unwrap();
    }
    let _answer = talk.publish("1");
    assert_eq!(talk.sent_request().0, 2);
}

#[test]
fn a_request_that_was_given_up_in_flight_gives_its_room_back_with_its_answer_or_at_its_deadline() {
    let mut talk = Talk::connected();
    let in_flight: Vec<Answer> = (0..4).map(|_| talk.publish("1")).collect();
    let ids: Vec<u32> = talk.sent().iter().map(id_of).collect();
    drop(in_flight);
    assert!(!talk.conversation.accepts_orders(), "the server may still be at them");
    talk.answer(ids[0], acknowledged());
    assert!(talk.conversation.accepts_orders());
    talk.pass(5 * SECOND);
    assert!(talk.actions().is_empty(), "the connection goes on");
    let answers: Vec<Answer> = (0..4).map(|_| talk.publish("2")).collect();
    assert_eq!(talk.sent().len(), answers.len());
}

fn id_of(command: &Command) -> u32 {
    match command {
        Command::Request { id, .. } => *id,
        Command::Pong | Command::Send(_) => panic!("no request: {command:?}"),
    }
}
