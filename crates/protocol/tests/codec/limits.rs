//! Hostile input costs bounded work.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use throng_protocol::{
    Command, ConnectRequest, DecodeError, FilterNode, Format, Limits, PublishRequest, Request,
    SubscribeRequest,
};

use crate::{commands, encoded_command, request};

fn first(format: Format, frame: &[u8], limits: &Limits) -> Result<Command, DecodeError> {
    format.decode_commands(Bytes::copy_from_slice(frame), limits).next().expect("at least an error")
}

fn publish_of(data: String) -> String {
    format!(r#"{{"id":1,"publish":{{"channel":"a","data":{data}}}}}"#)
}

/// A subscribe command whose filter is `depth` nodes deep: one in the other.
fn nested_filter(depth: usize) -> Command {
    let mut node = FilterNode::default();
    for _ in 1..depth {
        node = FilterNode { nodes: vec![node], ..Default::default() };
    }
    request(1, SubscribeRequest { tf: Some(Box::new(node)), ..Default::default() })
}

#[test]
fn a_command_may_be_as_long_as_the_limit_and_no_longer() {
    for format in [Format::Json, Format::Protobuf] {
        let publish =
            PublishRequest { data: format!("\"{}\"", "x".repeat(1_000)).into(), ..Default::default() };
        let frame = encoded_command(format, &request(1, publish));
        // In Protobuf two bytes of the frame are the length itself.
        let bytes = if format == Format::Json { frame.len() } else { frame.len() - 2 };
        let limits = |command_bytes| Limits { command_bytes, ..Default::default() };
        assert!(first(format, &frame, &limits(bytes)).is_ok());
        assert_eq!(
            first(format, &frame, &limits(bytes - 1)),
            Err(DecodeError::TooLong { bytes, max: bytes - 1 }),
            "{format}"
        );
    }
}

#[test]
fn the_declared_length_is_judged_before_the_bytes_arrive() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert!(matches!(commands(Format::Protobuf, &huge), Err(DecodeError::TooLong { max: 65_536, .. })));
    assert!(matches!(commands(Format::Protobuf, &[0x80, 0x80, 0x04]), Err(DecodeError::Malformed { .. })));
}

#[test]
fn commands_in_a_frame_are_counted() {
    let limits = Limits { commands_per_frame: 3, ..Default::default() };
    for format in [Format::Json, Format::Protobuf] {
        let mut frame = BytesMut::new();
        for _ in 0..4 {
            format.encode_command(&Command::Pong, &mut frame);
        }
        let results: Vec<_> = format.decode_commands(frame.freeze(), &limits).collect();
        let pong = Ok(Command::Pong);
        assert_eq!(
            results,
            [pong.clone(), pong.clone(), pong, Err(DecodeError::TooMany { max: 3 })],
            "{format}"
        );
    }
}

#[test]
fn nesting_counts_inside_payloads_and_skipped_values() {
    let limits = Limits { nesting: 8, ..Default::default() };
    // Two levels are the command's own.
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert!(first(Format::Json, publish_of(nested(6)).as_bytes(), &limits).is_ok());
    assert_eq!(
        first(Format::Json, publish_of(nested(7)).as_bytes(), &limits),
        Err(DecodeError::TooDeep { max: 8 })
    );
    let skipped = format!(r#"{{"x":{}}}"#, nested(8));
    assert_eq!(first(Format::Json, skipped.as_bytes(), &limits), Err(DecodeError::TooDeep { max: 8 }));
    let skipped = format!(r#"{{"id":1,"rpc":{{"x":{}}}}}"#, nested(7));
    assert_eq!(first(Format::Json, skipped.as_bytes(), &limits), Err(DecodeError::TooDeep { max: 8 }));
}

#[test]
fn filters_nest_up_to_the_limit_in_both_formats() {
    // Protobuf counts the command, the request and each node; JSON counts the arrays between the nodes as well.
    for (format, nesting, depth) in [(Format::Protobuf, 10, 8), (Format::Json, 11, 5)] {
        let limits = Limits { nesting, ..Default::default() };
        assert!(first(format, &encoded_command(format, &nested_filter(depth)), &limits).is_ok(), "{format}");
        assert_eq!(
            first(format, &encoded_command(format, &nested_filter(depth + 1)), &limits),
            Err(DecodeError::TooDeep { max: nesting }),
            "{format}"
        );
    }
}

#[test]
fn no_setting_lets_input_nest_without_end() {
    let limits = Limits { nesting: usize::MAX, command_bytes: usize::MAX, ..Default::default() };
    let too_deep = Err(DecodeError::TooDeep { max: Limits::MAX_NESTING });
    assert_eq!(first(Format::Json, publish_of("[".repeat(1_000_000)).as_bytes(), &limits), too_deep);
    let filters = format!(r#"{{"id":1,"subscribe":{{"tf":{}"#, r#"{"nodes":["#.repeat(100_000));
    assert_eq!(first(Format::Json, filters.as_bytes(), &limits), too_deep);
    for format in [Format::Json, Format::Protobuf] {
        assert_eq!(
            first(format, &encoded_command(format, &nested_filter(400)), &limits),
            too_deep,
            "{format}"
        );
    }
}

#[test]
fn list_elements_and_map_entries_are_counted_together() {
    let vals = vec![String::new(); 5];
    let filter = FilterNode { vals, nodes: vec![FilterNode::default(); 2], ..Default::default() };
    let subscribe = SubscribeRequest { tf: Some(Box::new(filter)), ..Default::default() };
    let headers = BTreeMap::from([("a".into(), "b".into()), ("c".into(), "d".into())]);
    let subs = BTreeMap::from([("news".into(), subscribe)]);
    let connect = request(1, ConnectRequest { subs, headers, ..Default::default() });
    for format in [Format::Json, Format::Protobuf] {
        let frame = encoded_command(format, &connect);
        let limits = |elements| Limits { elements, ..Default::default() };
        assert_eq!(first(format, &frame, &limits(10)), Ok(connect.clone()));
        assert_eq!(first(format, &frame, &limits(9)), Err(DecodeError::TooManyElements { max: 9 }));
    }
}

#[test]
fn elements_of_payloads_are_not_counted() {
    let frame = publish_of(format!("[{}1]", "1,".repeat(10_000)));
    assert!(first(Format::Json, frame.as_bytes(), &Limits::default()).is_ok());
}

#[test]
fn channels_of_any_length_reach_the_session() {
    for format in [Format::Json, Format::Protobuf] {
        for channel in [String::new(), "x".repeat(10_000)] {
            let subscribe = SubscribeRequest { channel: channel.clone(), ..Default::default() };
            let frame = encoded_command(format, &request(1, subscribe));
            let Ok(Command::Request { request: Request::Subscribe(read), .. }) =
                first(format, &frame, &Limits::default())
            else {
                panic!("{format}");
            };
            assert_eq!(read.channel, channel);
        }
    }
}

#[test]
fn truncated_and_wild_protobuf_is_refused() {
    for frame in [
        &[0x80][..],                                                             // half a length
        &[0xff; 16],                                                             // a length without end
        &[1],                                                                    // a length and nothing more
        &[1, 0x08],                                                              // a key without its value
        &[2, 0x08, 0x80],                                                        // half a varint
        &[2, 0x22, 5],          // a message longer than the command
        &[4, 0x22, 2, 0x0a, 9], // a text longer than its message
        &[3, 0x21, 1, 2],       // eight bytes cut short
        &[11, 0x22, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], // a huge length
        &[12, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0], // more than 64 bits
        &[6, 0x80, 0x80, 0x80, 0x80, 0x10, 0], // field number 2^29
        &[11, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0], // field number 2^61 - 1
    ] {
        assert!(
            matches!(commands(Format::Protobuf, frame), Err(DecodeError::Malformed { .. })),
            "{frame:x?} gave {:?}",
            commands(Format::Protobuf, frame)
        );
    }
    assert_eq!(
        commands(Format::Protobuf, &[6, 0xf8, 0xff, 0xff, 0xff, 0x0f, 0]),
        Ok(vec![Command::Pong]),
        "the largest field number is merely unknown"
    );
}
