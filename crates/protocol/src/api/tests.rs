//! What cannot be seen from outside: Protobuf, which the tables give for nothing and no door speaks yet.

use super::*;
use crate::codec::field::Message;
use crate::codec::protobuf::Context;

/// The number of a choice and those of its fields, and the choice as it was read back.
fn through_protobuf<C: Choice>(choice: &C) -> (u32, Vec<u32>, C) {
    let mut out = BytesMut::new();
    choice.put_field(&mut out);
    assert_eq!(out.len(), choice.field_len());
    let (bytes, limits) = (out.freeze(), Limits::for_replies());
    let (mut number, mut fields, mut again) = (0, Vec::new(), None);
    let context = Context::new(&bytes, &limits);
    let read = context.root().fields(|outer, value| {
        number = outer;
        again = C::from_field(outer, value)?;
        value.fields(|field, _| {
            fields.push(field);
            Ok(())
        })
    });
    read.expect("what we write is what we read");
    fields.dedup();
    (number, fields, again.expect("a known number"))
}

#[test]
fn requests_have_the_numbers_of_the_reference() {
    let publish = r#""data":1,"b64data":"MQ==","skip_history":true,"tags":{"a":"b","c":"d"},"idempotency_key":"i","delta":true,"version":1,"version_epoch":"e","key":"k"}"#;
    let cases: [(&str, String, u32, &[u32]); 13] = [
        ("publish", format!(r#"{{"channel":"a",{publish}"#), 4, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 100]),
        ("broadcast", format!(r#"{{"channels":["a","b"],{publish}"#), 5, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 100]),
        (
            "subscribe",
            r#"{"channel":"a","user":"u","expire_at":1,"info":1,"b64info":"i","client":"c","data":1,"b64data":"d","recover_since":{"offset":1,"epoch":"e"},"override":{"presence":{"value":true}},"session":"s"}"#.into(),
            6,
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ),
        ("unsubscribe", r#"{"channel":"a","user":"u","client":"c","session":"s"}"#.into(), 7, &[1, 2, 3, 4]),
        (
            "disconnect",
            r#"{"user":"u","disconnect":{"code":3500,"reason":"r"},"client":"c","whitelist":["w"],"session":"s"}"#.into(),
            8,
            &[1, 2, 3, 4, 5],
        ),
        ("presence", r#"{"channel":"a"}"#.into(), 9, &[1]),
        ("presence_stats", r#"{"channel":"a"}"#.into(), 10, &[1]),
        (
            "history",
            r#"{"channel":"a","limit":-1,"since":{"offset":1,"epoch":"e"},"reverse":true}"#.into(),
            11,
            &[1, 2, 3, 4],
        ),
        ("history_remove", r#"{"channel":"a"}"#.into(), 12, &[1]),
        ("info", "{}".into(), 13, &[]),
        ("rpc", r#"{"method":"m","params":1}"#.into(), 14, &[1, 2]),
        (
            "refresh",
            r#"{"user":"u","client":"c","expired":true,"expire_at":1,"info":1,"session":"s"}"#.into(),
            15,
            &[1, 2, 3, 4, 5, 6],
        ),
        ("channels", r#"{"pattern":"*"}"#.into(), 16, &[1]),
    ];
    for (method, body, number, fields) in cases {
        let Ok(ApiRequest::Command(command)) = ApiRequest::decode(method, &body.into()) else {
            panic!("{method} is refused");
        };
        assert_eq!(through_protobuf(&command), (number, fields.to_vec(), command), "{method}");
    }
}

#[test]
fn results_have_the_numbers_of_the_reference() {
    let cases: [(&str, &str, u32, &[u32]); 9] = [
        ("publish", r#"{"error":{"code":104,"message":"not found"}}"#, 2, &[1, 2]),
        ("publish", r#"{"result":{"offset":1,"epoch":"e"}}"#, 4, &[1, 2]),
        ("broadcast", r#"{"result":{"responses":[{"result":{"offset":1}},{"error":{"code":1}}]}}"#, 5, &[1]),
        ("presence", r#"{"result":{"presence":{"c":{"user":"u"}}}}"#, 9, &[1]),
        ("presence_stats", r#"{"result":{"num_clients":1,"num_users":1}}"#, 10, &[1, 2]),
        (
            "history",
            r#"{"result":{"publications":[{"data":1,"info":{},"offset":1,"tags":{"a":"b"}}],"epoch":"e","offset":1}}"#,
            11,
            &[1, 2, 3],
        ),
        (
            "info",
            r#"{"result":{"nodes":[{"uid":"u","name":"n","version":"v","num_clients":1,"metrics":{"interval":1.5,"items":{"a":-0.0}},"process":{"cpu":-0.0,"rss":1},"num_subs":1}]}}"#,
            13,
            &[1],
        ),
        ("rpc", r#"{"result":{"data":1}}"#, 14, &[1]),
        ("channels", r#"{"result":{"channels":{"a":{"num_clients":1}}}}"#, 16, &[1]),
    ];
    for (method, body, number, fields) in cases {
        let Ok(ApiResponse::Reply(reply)) = ApiResponse::decode(method, &Bytes::from_static(body.as_bytes()))
        else {
            panic!("{method} is refused");
        };
        assert_eq!(through_protobuf(&reply), (number, fields.to_vec(), reply), "{method}");
    }
}

#[test]
fn batches_survive_protobuf() {
    let body = r#"{"commands":[{"publish":{"channel":"a"}},{},{"info":{}}],"parallel":true}"#;
    let batch = match ApiRequest::decode(BATCH, &Bytes::from_static(body.as_bytes())) {
        Ok(ApiRequest::Batch(batch)) => batch,
        other => panic!("{other:?}"),
    };
    let mut out = BytesMut::new();
    batch.put_fields(&mut out);
    assert_eq!(out.len(), batch.fields_len());
    assert_eq!(&out[..], b"\x0a\x05\x22\x03\x0a\x01a\x0a\x00\x0a\x02\x6a\x00\x10\x01");
    let (bytes, limits) = (out.freeze(), Limits::default());
    assert_eq!(BatchRequest::from_wire(Context::new(&bytes, &limits).root()), Ok(batch));
}
