//! Protobuf frames whose bytes are known, in both directions.

use throng_protocol::{
    ClientInfo, Command, ConnectRequest, ConnectResult, Disconnect, ErrorCode, Format, HistoryRequest, Join,
    Publication, PublishRequest, Reply, StreamPosition, SubscribeRequest, SubscribeResult,
};

use crate::{answer, commands, encoded_command, encoded_reply, push, replies, request};

fn bytes(hex: &str) -> Vec<u8> {
    hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
}

fn command_vectors() -> Vec<(Command, &'static str)> {
    vec![
        (Command::Pong, "00"),
        (request(1, ConnectRequest::default()), "04 08 01 22 00"),
        (
            request(1, ConnectRequest { token: "abc".into(), name: "rs".into(), ..Default::default() }),
            "0d 08 01 22 09 0a 03 61 62 63 22 02 72 73",
        ),
        (
            request(2, SubscribeRequest { channel: "news".into(), flag: 1, ..Default::default() }),
            "0c 08 02 2a 08 0a 04 6e 65 77 73 70 01",
        ),
        (
            request(
                3,
                PublishRequest { channel: "news".into(), data: r#"{"a":1}"#.into(), ..Default::default() },
            ),
            "13 08 03 3a 0f 0a 04 6e 65 77 73 12 07 7b 22 61 22 3a 31 7d",
        ),
        (
            request(
                4,
                HistoryRequest {
                    channel: "news".into(),
                    limit: -1,
                    since: Some(StreamPosition { offset: 5, epoch: "xyz".into() }),
                    reverse: false,
                },
            ),
            "1e 08 04 52 1a 0a 04 6e 65 77 73 38 ff ff ff ff ff ff ff ff ff 01 42 07 08 05 12 03 78 79 7a",
        ),
    ]
}

fn reply_vectors() -> Vec<(Reply, &'static str)> {
    let welcome = ConnectResult {
        client: "c1".into(),
        version: "0.1".into(),
        ping: 25,
        pong: true,
        ..Default::default()
    };
    let subscribed = SubscribeResult {
        recoverable: true,
        epoch: "abcd".into(),
        offset: 7,
        positioned: true,
        ..Default::default()
    };
    let publication = Publication { data: r#"{"b":2}"#.into(), offset: 8, ..Default::default() };
    let joiner = ClientInfo { user: "42".into(), client: "c1".into(), ..Default::default() };
    let shutdown = Disconnect { code: 3001, reason: "shutdown".into(), reconnect: false };
    vec![
        (Reply::Ping, "00"),
        (answer(1, welcome), "11 08 01 2a 0d 0a 02 63 31 12 03 30 2e 31 38 19 40 01"),
        (
            Reply::Answer { id: 2, outcome: Err(ErrorCode::PermissionDenied.into()) },
            "19 08 02 12 15 08 67 12 11 70 65 72 6d 69 73 73 69 6f 6e 20 64 65 6e 69 65 64",
        ),
        (answer(2, SubscribeResult::default()), "04 08 02 32 00"),
        (answer(2, subscribed), "10 08 02 32 0c 18 01 32 04 61 62 63 64 48 07 50 01"),
        (push("news", publication), "15 22 13 12 04 6e 65 77 73 22 0b 22 07 7b 22 62 22 3a 32 7d 30 08"),
        (
            push("news", Join { info: Some(joiner) }),
            "14 22 12 12 04 6e 65 77 73 2a 0a 0a 08 0a 02 34 32 12 02 63 31",
        ),
        (push("", shutdown), "11 22 0f 5a 0d 08 b9 17 12 08 73 68 75 74 64 6f 77 6e"),
    ]
}

#[test]
fn commands_have_the_reference_bytes() {
    for (command, hex) in command_vectors() {
        assert_eq!(encoded_command(Format::Protobuf, &command), bytes(hex), "{command:?}");
        assert_eq!(commands(Format::Protobuf, &bytes(hex)), Ok(vec![command]));
    }
}

#[test]
fn replies_have_the_reference_bytes() {
    for (reply, hex) in reply_vectors() {
        assert_eq!(encoded_reply(Format::Protobuf, &reply), bytes(hex), "{reply:?}");
        assert_eq!(replies(Format::Protobuf, &bytes(hex)), Ok(vec![reply]));
    }
}

#[test]
fn all_vectors_in_one_frame_are_read_in_order() {
    let (expected, hex): (Vec<_>, Vec<_>) = command_vectors().into_iter().unzip();
    assert_eq!(commands(Format::Protobuf, &bytes(&hex.join(" "))), Ok(expected));
    let (expected, hex): (Vec<_>, Vec<_>) = reply_vectors().into_iter().unzip();
    assert_eq!(replies(Format::Protobuf, &bytes(&hex.join(" "))), Ok(expected));
}

#[test]
fn a_negative_score_is_zigzag() {
    let publication = Publication { score: -1, ..Default::default() };
    assert_eq!(
        encoded_reply(Format::Protobuf, &push("", publication)),
        bytes("06 22 04 22 02 68 01"),
        "field 13, value 1"
    );
}
