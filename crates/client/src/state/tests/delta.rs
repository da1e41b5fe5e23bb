use throng_protocol::{UnsubscribeResult, fossil};

use super::*;

/// Payloads of one length, so that a patch is shorter.
fn payload(number: u64) -> String {
    format!("{{\"number\":{number:04},\"text\":\"{}\"}}", "steady ".repeat(12))
}

/// As the server sends it: in JSON within a string.
fn packed(format: Format, bytes: Vec<u8>) -> Payload {
    let payload = Payload::from(bytes);
    match format {
        Format::Json => payload.quoted().unwrap(),
        Format::Protobuf => payload,
    }
}

fn full(format: Format, offset: u64) -> Publication {
    Publication { data: packed(format, payload(offset).into_bytes()), ..numbered(offset) }
}

fn patch(format: Format, offset: u64, base: u64) -> Publication {
    let patch = fossil::diff(payload(base).as_bytes(), payload(offset).as_bytes());
    assert!(patch.len() < payload(offset).len());
    Publication { data: packed(format, patch), delta: true, ..numbered(offset) }
}

/// A patch against something else than any payload.
fn misfit(format: Format, offset: u64) -> Publication {
    let base = "no payload has ever looked like this ".repeat(3);
    let patch = fossil::diff(base.as_bytes(), format!("{base}!").as_bytes());
    Publication { data: packed(format, patch), delta: true, ..numbered(offset) }
}

fn live(talk: &mut Talk, publication: Publication) {
    talk.push("news", PushEvent::Publication(publication));
}

fn subscribed_at(talk: &mut Talk, offset: u64) -> Reader {
    let options = SubscribeOptions { recoverable: true, delta: true, ..SubscribeOptions::default() };
    let news = talk.subscribe_with("news", options);
    let (id, request) = talk.asked_with("news");
    assert_eq!(request.delta, "fossil");
    talk.confirm_with(id, SubscribeResult { delta: true, ..recoverable(offset, "e1") });
    news
}

#[test]
fn payloads_are_whole_whether_they_came_as_patches_or_not() {
    for format in [Format::Json, Format::Protobuf] {
        let mut talk = Talk::connected_in(format);
        let news = subscribed_at(&mut talk, 0);
        for publication in [
            full(format, 1),
            patch(format, 2, 1),
            patch(format, 3, 2),
            // One that was not published with a delta is the next base.
            full(format, 4),
            patch(format, 5, 4),
        ] {
            live(&mut talk, publication);
        }
        assert_eq!(news.all(), (1..=5).map(payload).collect::<Vec<_>>(), "{format}");
    }
}

#[test]
fn a_repeated_patch_is_left_out_and_the_chain_goes_on() {
    let format = Format::Json;
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 0);
    for publication in [full(format, 1), patch(format, 2, 1), patch(format, 2, 1), patch(format, 3, 2)] {
        live(&mut talk, publication);
    }
    assert_eq!(news.all(), [payload(1), payload(2), payload(3)]);
}

#[test]
fn a_recovery_begins_the_chain_anew_or_goes_on_with_it() {
    let format = Format::Json;
    for missed in [vec![full(format, 3), patch(format, 4, 3)], vec![patch(format, 3, 2), patch(format, 4, 3)]]
    {
        let mut talk = Talk::connected();
        let news = subscribed_at(&mut talk, 0);
        live(&mut talk, full(format, 1));
        live(&mut talk, patch(format, 2, 1));
        talk.reconnect(3001);
        let (id, request) = talk.asked_with("news");
        assert_eq!((request.delta.as_str(), request.offset), ("fossil", 2));
        let result = SubscribeResult { delta: true, publications: missed, ..recovered(2, "e1", []) };
        talk.confirm_with(id, result);
        live(&mut talk, patch(format, 5, 4));
        assert_eq!(
            news.all(),
            [&payload(1), &payload(2), "subscribing", "subscribed", &payload(3), &payload(4), &payload(5)]
        );
    }
}

#[test]
fn after_a_gap_the_old_base_is_gone() {
    let format = Format::Json;
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 0);
    live(&mut talk, full(format, 1));
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, SubscribeResult { delta: true, was_recovering: true, ..recoverable(7, "e1") });
    live(&mut talk, full(format, 8));
    live(&mut talk, patch(format, 9, 8));
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    talk.confirm_with(id, SubscribeResult { delta: true, was_recovering: true, ..recoverable(11, "e1") });
    // It would fit what came last, which is not what the server can mean.
    live(&mut talk, patch(format, 12, 9));
    talk.left("news");
    let expected = [
        &payload(1),
        "subscribing",
        "subscribed",
        "gap 1:e1 to 7:e1",
        &payload(8),
        &payload(9),
        "subscribing",
        "subscribed",
        "gap 9:e1 to 11:e1",
        "subscribing",
    ];
    assert_eq!(news.all(), expected);
}

#[test]
fn a_server_without_compression_sends_payloads_as_they_are() {
    let mut talk = Talk::connected();
    let news = talk.subscribe_with("news", SubscribeOptions { delta: true, ..SubscribeOptions::default() });
    let id = talk.asked_for("news");
    talk.confirm(id);
    live(&mut talk, Publication { data: "\"a string\"".into(), ..numbered(1) });
    assert_eq!(news.all(), ["\"a string\""]);
}

#[test]
fn a_patch_that_does_not_fit_is_got_again_without_compression() {
    let format = Format::Json;
    let not_quoted = Publication { data: "{}".into(), ..numbered(2) };
    let grown =
        Publication { data: packed(format, b"7\n7:{\"a\":2}1;".to_vec()), delta: true, ..numbered(2) };
    for fault in [misfit(format, 2), not_quoted, grown] {
        let mut talk = Talk::connected();
        let news = subscribed_at(&mut talk, 0);
        live(&mut talk, full(format, 1));
        live(&mut talk, fault);
        let id = talk.left("news");
        // Nothing asks for the channel while the server still has the old subscription.
        drop(talk.subscribe("news"));
        assert_eq!(talk.sent(), []);
        live(&mut talk, patch(format, 3, 2));
        talk.answer(id, Ok(Outcome::Unsubscribe(UnsubscribeResult {})));
        let (id, request) = talk.asked_with("news");
        assert_eq!((request.delta.as_str(), request.recover, request.offset), ("", true, 1));
        talk.confirm_with(id, recovered(1, "e1", [2, 3]));
        live(&mut talk, numbered(4));
        assert_eq!(news.all(), [&payload(1), "subscribing", "subscribed", "2", "3", "4"]);
        assert!(talk.actions().is_empty(), "the connection goes on");
    }
}

#[test]
fn a_recovery_with_a_patch_that_does_not_fit_is_asked_for_again() {
    let format = Format::Json;
    let mut talk = Talk::connected();
    let news = subscribed_at(&mut talk, 0);
    talk.reconnect(3001);
    let id = talk.asked_for("news");
    let publications = vec![full(format, 1), misfit(format, 2), patch(format, 3, 2)];
    talk.confirm_with(id, SubscribeResult { delta: true, publications, ..recovered(0, "e1", []) });
    let id = talk.left("news");
    talk.answer(id, Ok(Outcome::Unsubscribe(UnsubscribeResult {})));
    let (id, request) = talk.asked_with("news");
    assert_eq!((request.delta.as_str(), request.offset), ("", 1));
    talk.confirm_with(id, recovered(1, "e1", [2, 3]));
    assert_eq!(news.all(), ["subscribing", "subscribed", &payload(1), "subscribing", "subscribed", "2", "3"]);
}
