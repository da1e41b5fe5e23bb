//! What counts as a command or reply, and what is refused.

use throng_protocol::{
    Command, ConnectRequest, DecodeError, DisconnectCode, ErrorReply, FilterNode, Format, Publication, Push,
    PushEvent, Reply, RpcRequest, RpcResult, SendRequest, SubscribeRequest,
};

use crate::{answer, commands, push, replies, request};

fn json(line: &str) -> Result<Command, DecodeError> {
    commands(Format::Json, line.as_bytes()).map(|mut commands| commands.remove(0))
}

fn protobuf(message: &[u8]) -> Result<Command, DecodeError> {
    let len = u8::try_from(message.len()).expect("short");
    commands(Format::Protobuf, &[&[len], message].concat()).map(|mut commands| commands.remove(0))
}

#[test]
fn an_id_needs_a_known_request() {
    for line in
        [r#"{"id":7}"#, r#"{"id":7,"ping":{}}"#, r#"{"id":7,"dance":{}}"#, r#"{"id":7,"connect":null}"#]
    {
        assert_eq!(json(line), Err(DecodeError::NoBody { id: 7 }), "{line}");
    }
    for message in [&[8, 7][..], &[8, 7, 0x5a, 0], &[8, 7, 0xa2, 6, 0]] {
        assert_eq!(protobuf(message), Err(DecodeError::NoBody { id: 7 }), "{message:?}");
    }
}

#[test]
fn without_an_id_everything_but_send_is_a_pong() {
    for line in ["{}", r#"{"id":0}"#, r#"{"connect":{}}"#, r#"{"ping":{}}"#, r#"{"x":[1]}"#] {
        assert_eq!(json(line), Ok(Command::Pong), "{line}");
    }
    for message in [&[][..], &[8, 0], &[0x22, 0], &[0x5a, 0], &[0xa0, 6, 1]] {
        assert_eq!(protobuf(message), Ok(Command::Pong), "{message:?}");
    }
    let send = Command::Send(SendRequest { data: "1".into() });
    assert_eq!(json(r#"{"send":{"data":1}}"#), Ok(send.clone()));
    assert_eq!(json(r#"{"id":3,"send":{"data":1}}"#), Ok(send.clone()));
    assert_eq!(protobuf(&[0x62, 3, 0x0a, 1, b'1']), Ok(send));
}

#[test]
fn two_requests_in_one_command_are_refused() {
    for line in [
        r#"{"id":7,"connect":{},"subscribe":{}}"#,
        r#"{"id":7,"connect":{},"connect":{}}"#,
        r#"{"id":7,"send":{},"rpc":{}}"#,
        r#"{"id":7,"ping":{},"rpc":{}}"#,
    ] {
        assert_eq!(json(line), Err(DecodeError::SeveralBodies { id: 7 }), "{line}");
    }
    assert_eq!(protobuf(&[8, 7, 0x22, 0, 0x2a, 0]), Err(DecodeError::SeveralBodies { id: 7 }));
}

#[test]
fn the_id_may_stand_anywhere() {
    assert_eq!(json(r#"{"connect":{},"id":7}"#), Ok(request(7, ConnectRequest::default())));
    assert_eq!(protobuf(&[0x22, 0, 8, 7]), Ok(request(7, ConnectRequest::default())));
    assert_eq!(json(r#"{"connect":{},"id":4294967295}"#), Ok(request(u32::MAX, ConnectRequest::default())));
}

#[test]
fn unknown_keys_and_fields_are_skipped() {
    let expected = Ok(request(1, SubscribeRequest { channel: "a".into(), ..Default::default() }));
    let line = r#"{"zz":{"a":[{}]},"id":1,"subscribe":{"cursor":"c","channel":"a","x":null},"y":"\ud800"}"#;
    assert_eq!(json(line), expected);
    // Fields 100 of every wire type: varint, 8 bytes, bytes, 4 bytes.
    let unknown =
        [&[0xa0, 6, 1][..], &[0xa1, 6, 1, 2, 3, 4, 5, 6, 7, 8], &[0xa2, 6, 1, 9], &[0xa5, 6, 1, 2, 3, 4]]
            .concat();
    let body = [&[0x0a, 1, b'a'][..], &unknown].concat();
    let len = u8::try_from(body.len()).expect("short");
    assert_eq!(protobuf(&[&unknown[..], &[8, 1, 0x2a, len], &body].concat()), expected);
}

#[test]
fn null_is_the_zero_value_except_in_payloads() {
    let line = r#"{"id":1,"connect":{"token":null,"subs":null,"headers":null,"flag":null,"data":null}}"#;
    assert_eq!(json(line), Ok(request(1, ConnectRequest { data: "null".into(), ..Default::default() })));
    let line = r#"{"id":1,"subscribe":{"recover":null,"tf":null,"offset":null}}"#;
    assert_eq!(json(line), Ok(request(1, SubscribeRequest::default())));
    assert!(json("null").is_err());
    assert_eq!(
        replies(Format::Json, br#"{"id":null,"push":{"channel":null,"join":null,"pub":{"info":null}}}"#),
        Ok(vec![push("", Publication::default())])
    );
}

#[test]
fn the_last_of_several_values_counts() {
    let line =
        r#"{"id":2,"id":1,"subscribe":{"channel":"a","channel":"b","tf":{"vals":["a"],"vals":["b"]}}}"#;
    let filter = FilterNode { vals: vec!["b".into()], ..Default::default() };
    let expected = SubscribeRequest { channel: "b".into(), tf: Some(Box::new(filter)), ..Default::default() };
    assert_eq!(json(line), Ok(request(1, expected)));
    let line = r#"{"id":1,"connect":{"headers":{"a":"1","a":"2"},"headers":{"b":"1","b":"2"}}}"#;
    let headers = [("b".to_owned(), "2".to_owned())].into();
    assert_eq!(json(line), Ok(request(1, ConnectRequest { headers, ..Default::default() })));
}

#[test]
fn escapes_work_in_keys_and_in_every_string() {
    let line = r#"{"\u0069d":1,"rpc":{"m\u0065thod":"\u00e9\n\"\ud83d\ude00"}}"#;
    let expected = RpcRequest { method: "é\n\"😀".into(), ..Default::default() };
    assert_eq!(json(line), Ok(request(1, expected)));
    assert!(json(r#"{"id":1,"rpc":{"method":"\ud83d"}}"#).is_err());
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    for line in [
        "[]",
        "1",
        "\"{}\"",
        "{}{}",
        "{} x",
        r#"{"id":"1"}"#,
        r#"{"id":1.0}"#,
        r#"{"id":1e2}"#,
        r#"{"id":-1}"#,
        r#"{"id":4294967296}"#,
        r#"{"id":01,"connect":{}}"#,
        r#"{"id":1,"connect":[]}"#,
        r#"{"id":1,"connect":{"token":1}}"#,
        r#"{"id":1,"connect":{"token":tru}}"#,
        r#"{"id":1,"connect":{"headers":[]}}"#,
        r#"{"id":1,"subscribe":{"recover":1}}"#,
        r#"{"id":1,"subscribe":{"offset":-1}}"#,
        r#"{"id":1,"subscribe":{"offset":18446744073709551616}}"#,
        r#"{"id":1,"publish":{"data":}}"#,
        r#"{"id":1,"publish":{"data":01}}"#,
        r#"{"id":1,"publish":{"data":{"a" 1}}}"#,
        r#"{id:1}"#,
    ] {
        assert!(matches!(json(line), Err(DecodeError::Malformed { format: Format::Json, .. })), "{line}");
    }
}

#[test]
fn invalid_utf8_is_refused_wherever_it_is() {
    for line in
        [&b"\xff"[..], b"{\"x\":\"\xff\"}", b"{\"id\":1,\"publish\":{\"data\":\"\xc0\x80\"}}", b"{}\xff"]
    {
        assert!(commands(Format::Json, line).is_err());
    }
    assert_eq!(
        protobuf(&[8, 1, 0x2a, 4, 0x0a, 2, b'a', 0xff]),
        Err(DecodeError::Malformed { format: Format::Protobuf, position: 7, expected: "UTF-8" })
    );
}

#[test]
fn a_protobuf_field_of_the_wrong_kind_is_refused() {
    for message in [
        &[0x0a, 0][..],                  // the id as bytes
        &[0x20, 1],                      // connect as a number
        &[0x25, 1, 2, 3, 4],             // connect as four bytes
        &[0x22, 2, 0x08, 1],             // connect.token as a number
        &[0x22, 6, 0x3d, 1, 2, 3, 4, 0], // connect.flag as four bytes
        &[0x0b, 0x0c],                   // a group
        &[0x0e, 0],                      // no wire type
        &[0x00, 0],                      // field 0
    ] {
        assert!(matches!(protobuf(message), Err(DecodeError::Malformed { .. })), "{message:?}");
    }
}

#[test]
fn every_error_ends_the_connection_as_a_bad_request() {
    for frame in [&b""[..], b"x", b"{\"id\":1}", &b"{}\n".repeat(2_000)] {
        let error = commands(Format::Json, frame).expect_err("refused");
        assert_eq!(error.disconnect_code(), DisconnectCode::BadRequest);
        assert_eq!(error.disconnect_code().code(), 3501);
    }
}

#[test]
fn errors_say_what_was_expected_and_where() {
    assert_eq!(
        json(r#"{"id":x}"#).expect_err("refused").to_string(),
        "not JSON: expected a digit at byte 6 of the message"
    );
    assert_eq!(
        protobuf(&[0x80]).expect_err("refused").to_string(),
        "not Protobuf: expected a varint at byte 0 of the message"
    );
}

#[test]
fn a_push_of_an_unknown_kind_is_left_out() {
    let frame = b"{\"push\":{\"channel\":\"a\",\"dance\":{}}}\n{}\n{\"push\":{\"channel\":\"a\"}}";
    assert_eq!(replies(Format::Json, frame), Ok(vec![Reply::Ping]));
    assert_eq!(replies(Format::Protobuf, &[5, 0x22, 3, 0xa2, 6, 0, 0]), Ok(vec![Reply::Ping]));
}

#[test]
fn a_reply_with_an_id_needs_a_known_answer() {
    assert_eq!(replies(Format::Json, br#"{"id":3,"dance":{}}"#), Err(DecodeError::NoBody { id: 3 }));
    assert_eq!(replies(Format::Json, br#"{"id":3,"push":{"pub":{}}}"#), Err(DecodeError::NoBody { id: 3 }));
    assert_eq!(
        replies(Format::Json, br#"{"id":3,"rpc":{},"error":{}}"#),
        Err(DecodeError::SeveralBodies { id: 3 })
    );
    assert_eq!(replies(Format::Json, br#"{"id":3,"rpc":{}}"#), Ok(vec![answer(3, RpcResult::default())]));
    assert_eq!(
        replies(Format::Protobuf, &[4, 8, 3, 0x12, 0]),
        Ok(vec![Reply::Answer { id: 3, outcome: Err(ErrorReply::default()) }])
    );
}

#[test]
fn requests_and_events_know_their_names() {
    let Command::Request { request, .. } = request(1, SubscribeRequest::default()) else { unreachable!() };
    assert_eq!(request.name(), "subscribe");
    let Reply::Push(Push { event, .. }) = push("", Publication::default()) else { unreachable!() };
    assert_eq!((event.name(), matches!(event, PushEvent::Publication(_))), ("pub", true));
}
