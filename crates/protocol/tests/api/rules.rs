//! What is accepted, what is not, and what that is called.

use bytes::Bytes;
use throng_protocol::api::*;
use throng_protocol::{DecodeError, ErrorCode, Payload};

use crate::{request, response};

fn malformed(method: &str, body: &str) -> DecodeError {
    match request(method, body) {
        Err(ApiDecodeError::Malformed(error)) => error,
        other => panic!("{method} {body}: {other:?}"),
    }
}

fn publish(body: &str) -> PublishRequest {
    match request("publish", body) {
        Ok(ApiRequest::Command(ApiCommand::Publish(publish))) => publish,
        other => panic!("{body}: {other:?}"),
    }
}

fn commands(body: &str) -> Vec<Result<ApiCommand, ErrorCode>> {
    match request("batch", body) {
        Ok(ApiRequest::Batch(batch)) => batch.commands,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn methods_are_those_of_the_reference_and_ours() {
    let methods: Vec<_> = ApiRequest::methods().collect();
    let expected = [
        "publish",
        "broadcast",
        "subscribe",
        "unsubscribe",
        "disconnect",
        "presence",
        "presence_stats",
        "history",
        "history_remove",
        "info",
        "rpc",
        "refresh",
        "channels",
        "slow_clients",
        "revoke_token",
        "invalidate_user_tokens",
        "invalidate_tokens",
        "revoke_user",
        "revoke_channel",
        "block_user",
        "unblock_user",
        "pardon",
        "revocations",
        "batch",
    ];
    assert_eq!(methods, expected);
}

#[test]
fn an_unknown_method_is_told_from_a_malformed_body() {
    for method in ["", "Publish", "map_publish", "error", "result", "publish/"] {
        assert_eq!(request(method, "{}"), Err(ApiDecodeError::UnknownMethod), "{method}");
        assert_eq!(request(method, "nonsense"), Err(ApiDecodeError::UnknownMethod), "{method}");
        assert_eq!(response(method, r#"{"result":{}}"#), Err(ApiDecodeError::UnknownMethod), "{method}");
    }
    for method in ApiRequest::methods() {
        for body in ["", " ", "nonsense", "[]", "1", "{", "{}{}", "{\"channel\"}", "\u{feff}{}"] {
            assert!(matches!(malformed(method, body), DecodeError::Malformed { .. }), "{method} {body}");
        }
        let bytes = Bytes::from_static(b"{\"a\":\"\xff\"}");
        assert!(matches!(ApiRequest::decode(method, &bytes), Err(ApiDecodeError::Malformed(_))));
    }
}

#[test]
fn unknown_keys_and_nulls_are_passed_over() {
    let expected = PublishRequest { channel: "a".into(), data: "null".into(), ..Default::default() };
    let body =
        r#"{"x":[{"y":1}],"channel":"a","data":null,"tags":null,"b64data":null,"version":null,"delta":null}"#;
    assert_eq!(publish(body), expected);
    assert_eq!(publish("null"), PublishRequest::default());
}

#[test]
fn fields_of_the_wrong_type_are_refused() {
    for body in [
        r#"{"channel":1}"#,
        r#"{"tags":[]}"#,
        r#"{"tags":{"a":1}}"#,
        r#"{"version":-1}"#,
        r#"{"version":1.5}"#,
        r#"{"delta":"yes"}"#,
        r#"{"data":nope}"#,
    ] {
        assert!(matches!(malformed("publish", body), DecodeError::Malformed { .. }), "{body}");
    }
}

#[test]
fn a_payload_is_a_slice_of_the_body() {
    let body = Bytes::from_static(br#"{"data": {"a" : 1} ,"channel":"a"}"#);
    let Ok(ApiRequest::Command(ApiCommand::Publish(publish))) = ApiRequest::decode("publish", &body) else {
        panic!("refused");
    };
    assert_eq!(publish.data, Payload::from(r#"{"a" : 1}"#));
    assert!(body.as_ptr_range().contains(&publish.data.as_bytes().as_ptr()));
}

#[test]
fn entries_of_a_batch_that_cannot_be_carried_out_have_the_code_of_their_answer() {
    let entries = r#"{"commands":[null,{},{"fly":{}},{"publish":null},{"error":{}},{"fly":{},"info":{}}]}"#;
    assert_eq!(
        commands(entries),
        [
            Err(ErrorCode::BadRequest),
            Err(ErrorCode::MethodNotFound),
            Err(ErrorCode::MethodNotFound),
            Err(ErrorCode::MethodNotFound),
            Err(ErrorCode::MethodNotFound),
            Ok(InfoRequest {}.into()),
        ]
    );
    assert_eq!(commands(r#"{"commands":null}"#), []);
    assert_eq!(commands("{}"), []);
}

#[test]
fn an_entry_that_asks_two_things_or_stands_in_another_batch_is_refused() {
    let two = malformed("batch", r#"{"commands":[{"info":{},"channels":{}}]}"#);
    assert_eq!(two, DecodeError::SeveralBodies { id: 0 });
    assert_eq!(commands(r#"{"commands":[{"batch":{"commands":[]}}]}"#), [Err(ErrorCode::MethodNotFound)]);
    assert!(matches!(malformed("batch", r#"{"commands":[7]}"#), DecodeError::Malformed { .. }));
}

#[test]
fn bodies_are_limited_in_depth_and_elements() {
    let nested = |levels: usize| format!("{{\"data\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(publish(&nested(63)).data.len(), 127);
    assert_eq!(malformed("publish", &nested(64)), DecodeError::TooDeep { max: 64 });
    assert_eq!(malformed("publish", &nested(1_000_000)), DecodeError::TooDeep { max: 64 });

    let many = |count: usize| format!("{{\"commands\":[{}{{}}]}}", "null,".repeat(count - 1));
    assert_eq!(commands(&many(65_536)).len(), 65_536);
    assert_eq!(malformed("batch", &many(65_537)), DecodeError::TooManyElements { max: 65_536 });
}

#[test]
fn a_response_without_an_answer_to_the_method_is_refused() {
    let refused = Err(ApiDecodeError::Malformed(DecodeError::NoBody { id: 0 }));
    for body in ["{}", "null", r#"{"result":null}"#, r#"{"replies":[]}"#, r#"{"error":null,"x":1}"#] {
        assert_eq!(response("publish", body), refused, "{body}");
    }
    for body in ["{}", r#"{"result":{}}"#, r#"{"replies":[{}]}"#, r#"{"replies":[null]}"#] {
        assert_eq!(response("batch", body), refused, "{body}");
    }
    assert_eq!(response("broadcast", r#"{"result":{"responses":[{}]}}"#), refused);
}

#[test]
fn a_response_may_be_deeper_and_larger_than_a_request() {
    let data = format!("{}1{}", "[".repeat(63), "]".repeat(63));
    let page = vec![format!("{{\"data\":{data}}}"); 70_000].join(",");
    let body = format!("{{\"result\":{{\"publications\":[{page}]}}}}");
    match response("history", &body) {
        Ok(ApiResponse::Reply(ApiReply::History(history))) => assert_eq!(history.publications.len(), 70_000),
        other => panic!("{other:?}"),
    }
}

#[test]
fn publications_lose_what_the_api_does_not_tell() {
    let publication = throng_protocol::Publication {
        data: "1".into(),
        offset: 3,
        delta: true,
        epoch: "e".into(),
        key: "k".into(),
        ..Default::default()
    };
    let history =
        throng_protocol::HistoryResult { publications: vec![publication], epoch: "xyz".into(), offset: 3 };
    let expected = HistoryResult {
        publications: vec![Publication { data: "1".into(), offset: 3, ..Default::default() }],
        epoch: "xyz".into(),
        offset: 3,
    };
    assert_eq!(HistoryResult::from(history), expected);
}
