//! Payloads: shared with the frame, passed through as they are, checked on request.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde_json::value::RawValue;
use throng_protocol::{
    Command, Format, HistoryResult, Limits, Outcome, Payload, Publication, PublishRequest, Reply, Request,
};

use crate::{answer, encoded_command, encoded_reply, push, replies, request};

fn lies_within(payload: &Payload, frame: &Bytes) -> bool {
    frame.as_ptr_range().contains(&payload.as_bytes().as_ptr())
        && payload.as_bytes().as_ptr_range().end <= frame.as_ptr_range().end
}

#[test]
fn a_decoded_payload_is_a_slice_of_the_frame() {
    let data = Payload::from(format!("\"{}\"", "x".repeat(10_000)));
    let publish = PublishRequest { channel: "news".into(), data: data.clone(), ..Default::default() };
    for format in [Format::Json, Format::Protobuf] {
        let frame = encoded_command(format, &request(1, publish.clone()));
        let command = format.decode_commands(frame.clone(), &Limits::default()).next();
        let Some(Ok(Command::Request { request: Request::Publish(read), .. })) = command else {
            panic!("{format}: {command:?}");
        };
        assert_eq!(read.data, data);
        assert!(lies_within(&read.data, &frame), "{format}");
        assert!(!lies_within(&read.data.detached(), &frame), "{format}");
    }
}

#[test]
fn payloads_deep_in_a_reply_are_slices_of_the_frame_too() {
    let publications = vec![Publication { data: "[1]".into(), ..Default::default() }; 3];
    let history = answer(1, HistoryResult { publications, ..Default::default() });
    for format in [Format::Json, Format::Protobuf] {
        let frame = encoded_reply(format, &history);
        let reply = format.decode_replies(frame.clone(), &Limits::default()).next();
        let Some(Ok(Reply::Answer { outcome: Ok(Outcome::History(read)), .. })) = reply else {
            panic!("{format}: {reply:?}");
        };
        assert_eq!(read.publications.len(), 3);
        assert!(
            read.publications.iter().all(|publication| lies_within(&publication.data, &frame)),
            "{format}"
        );
    }
}

#[test]
fn json_payloads_pass_through_as_they_are() {
    for data in ["null", "true", "-0.5e+3", "\"\\ud800\"", "{ \"a\" : [ 1 , {} ] }", "[]", "1e400"] {
        let frame = format!(r#"{{"push":{{"pub":{{"data":{data}}}}}}}"#);
        let expected = push("", Publication { data: data.to_owned().into(), ..Default::default() });
        assert_eq!(replies(Format::Json, frame.as_bytes()), Ok(vec![expected.clone()]));
        assert_eq!(encoded_reply(Format::Json, &expected), frame);
    }
}

#[test]
fn line_breaks_in_a_payload_do_not_break_the_line() {
    let data = Payload::from("{\r\n  \"a\\n\": 1\n}");
    let mut out = BytesMut::new();
    Format::Json.encode_publication_push("news", &Publication { data, ..Default::default() }, &mut out);
    assert_eq!(&out[..], br#"{"push":{"channel":"news","pub":{"data":{  "a\n": 1}}}}"#);
}

#[test]
fn protobuf_payloads_may_be_any_bytes() {
    let data = Payload::from((0..=255).collect::<Vec<u8>>());
    let expected = push("bin", Publication { data, ..Default::default() });
    let frame = encoded_reply(Format::Protobuf, &expected);
    assert_eq!(replies(Format::Protobuf, &frame), Ok(vec![expected]));
}

#[test]
fn a_payload_that_is_not_utf8_cannot_be_quoted() {
    for bytes in [&b"\xff"[..], b"\xc3", b"ab\xe2\x82", b"\xed\xa0\x80"] {
        assert_eq!(Payload::from(bytes.to_vec()).quoted(), None, "{bytes:?}");
    }
    assert_eq!(Payload::default().quoted(), Some(Payload::from("\"\"")));
}

#[test]
fn only_a_string_literal_can_be_unquoted() {
    for text in ["", "null", "1", "{}", "hi", "\"hi", "\"hi\" 1", "\"\\ud800\"", "\"\\x\"", "[\"hi\"]"] {
        assert_eq!(Payload::from(text).unquoted(), None, "{text}");
    }
    assert_eq!(Payload::from(" \"h\\u00e9\" ").unquoted(), Some(Payload::from("hé")));
    assert_eq!(Payload::from(vec![b'"', 0xff, b'"']).unquoted(), None);
}

#[test]
fn is_json_knows_the_grammar() {
    for text in [
        "0",
        "-0",
        "10.25",
        "1E-2",
        "null",
        " true ",
        "\"\"",
        "\"\\u00e9\\/\\ud800\"",
        "[]",
        "{}",
        "\t[1,\n2]\r",
        "{\"a\":{\"a\":[{}]},\"a\":1}",
        "\"\u{e9}\u{7f}\"",
    ] {
        assert!(Payload::from(text).is_json(), "{text}");
    }
    for text in [
        "",
        " ",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "nul",
        "nulll",
        "True",
        "'a'",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\t\"",
        "[",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "{} {}",
        "[]]",
        "1 1",
        "\u{feff}1",
        "//1",
        "{1:1}",
    ] {
        assert!(!Payload::from(text).is_json(), "{text}");
    }
    for control in 0..0x20_u8 {
        assert!(!Payload::from(vec![b'"', control, b'"']).is_json(), "{control}");
    }
    assert!(!Payload::from(b"\"\xff\"".to_vec()).is_json());
    assert!(!Payload::from(b"\"\xed\xa0\x80\"".to_vec()).is_json(), "an encoded surrogate is not UTF-8");
}

#[test]
fn is_json_ends_at_the_nesting_limit() {
    let nested = |depth| Payload::from(format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    assert!(nested(Limits::MAX_NESTING).is_json());
    assert!(!nested(Limits::MAX_NESTING + 1).is_json());
    assert!(!Payload::from("[{\"a\":".repeat(1_000_000)).is_json());
}

proptest! {
    #[test]
    fn a_quoted_payload_is_one_json_string_that_holds_it(text in any::<String>()) {
        let literal = Payload::from(text.clone()).quoted().expect("a String is UTF-8");
        prop_assert_eq!(serde_json::from_slice::<String>(literal.as_bytes()).ok(), Some(text.clone()));
        prop_assert!(literal.is_json());
        prop_assert_eq!(literal.unquoted(), Some(Payload::from(text)));
        prop_assert!(!literal.as_bytes().contains(&b'\n') && !literal.as_bytes().contains(&b'\r'));
    }

    #[test]
    fn is_json_agrees_with_serde_json_about_what_looks_like_json(
        text in r#"([\[\]{},:" \n]|"a"|\\u[0-9a-f]{3,4}|\\n|-|0|1|2\.5|e|E\+|null|true|fals?e|é){0,12}"#
    ) {
        let oracle = serde_json::from_str::<&RawValue>(&text).is_ok();
        prop_assert_eq!(Payload::from(text).is_json(), oracle);
    }

    #[test]
    fn is_json_agrees_with_serde_json_about_bytes(bytes in any::<Vec<u8>>()) {
        let quoted = [b"\"", &bytes[..], b"\""].concat();
        let oracle = serde_json::from_slice::<&RawValue>(&quoted).is_ok();
        prop_assert_eq!(Payload::from(quoted).is_json(), oracle);
    }
}
