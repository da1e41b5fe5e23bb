//! How a frame is cut into messages.

use bytes::BytesMut;
use throng_protocol::{Command, DecodeError, Format, Reply, UnsubscribeRequest};

use crate::{commands, replies, request};

fn leave(id: u32) -> Command {
    request(id, UnsubscribeRequest { channel: "news".into() })
}

#[test]
fn json_messages_are_lines() {
    let frame = b"{}\n{\"id\":7,\"unsubscribe\":{\"channel\":\"news\"}}\n{ }";
    assert_eq!(commands(Format::Json, frame), Ok(vec![Command::Pong, leave(7), Command::Pong]));
}

#[test]
fn one_newline_may_end_a_json_frame() {
    assert_eq!(commands(Format::Json, b"{}\n"), Ok(vec![Command::Pong]));
    assert_eq!(commands(Format::Json, b"{}\r\n"), Ok(vec![Command::Pong]));
}

#[test]
fn an_empty_line_is_no_command() {
    for frame in [&b"\n"[..], b"\n{}", b"{}\n\n", b"{}\n\n{}"] {
        assert!(commands(Format::Json, frame).is_err(), "{:?}", frame.escape_ascii().to_string());
    }
}

#[test]
fn an_empty_frame_is_refused_in_both_formats() {
    for format in [Format::Json, Format::Protobuf] {
        assert_eq!(commands(format, b""), Err(DecodeError::EmptyFrame));
        assert_eq!(replies(format, b""), Err(DecodeError::EmptyFrame));
    }
}

#[test]
fn what_comes_before_an_error_is_read_and_nothing_after_it() {
    let frame = b"{}\n{\"id\":1}\n{}";
    let mut commands = Format::Json.decode_commands((&frame[..]).into(), &Default::default());
    assert_eq!(commands.next(), Some(Ok(Command::Pong)));
    assert_eq!(commands.next(), Some(Err(DecodeError::NoBody { id: 1 })));
    assert_eq!(commands.next(), None);
    assert_eq!(commands.next(), None);
}

#[test]
fn encoders_append_and_separate() {
    for (format, bytes) in [(Format::Json, &b"{}\n{}\n{}"[..]), (Format::Protobuf, b"\0\0\0")] {
        let mut out = BytesMut::new();
        for _ in 0..3 {
            format.encode_reply(&Reply::Ping, &mut out);
        }
        assert_eq!(out, bytes);
        assert_eq!(replies(format, &out), Ok(vec![Reply::Ping; 3]));
        out.clear();
        for _ in 0..3 {
            format.encode_command(&Command::Pong, &mut out);
        }
        assert_eq!(out, bytes);
        assert_eq!(commands(format, &out), Ok(vec![Command::Pong; 3]));
    }
}
