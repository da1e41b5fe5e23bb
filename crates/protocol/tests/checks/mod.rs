//! What must hold for any input. The fuzz targets run these checks on what they invent, the tests on what they
//! generate and on the committed seeds. A broken rule is a panic.

mod messages;

use bytes::{Bytes, BytesMut};
use prost::Message;
use serde_json::value::RawValue;
use throng_protocol::{
    ChannelName, ChannelNameError, Command, DecodeError, Format, Limits, Payload, Reply, fossil,
};

/// Limits that no re-encoded message breaks: what is written in full may be longer than what was read.
const WIDE: Limits = Limits {
    command_bytes: usize::MAX,
    commands_per_frame: usize::MAX,
    elements: usize::MAX,
    ..Limits::for_replies()
};

/// Returns how many commands were accepted, as the other decoder checks do.
pub(crate) fn json_commands(frame: &[u8]) -> usize {
    payload(frame);
    let commands = accepted(read_commands(Format::Json, frame, &Limits::default()));
    for command in &commands {
        let json = write_command(Format::Json, command);
        assert!(is_json(&json), "{command:?} became {json:?}");
        // A payload may lose CR when it is written, so the bytes are compared.
        let again = only(read_commands(Format::Json, &json, &WIDE));
        assert_eq!(write_command(Format::Json, &again), json);
        let protobuf = write_command(Format::Protobuf, command);
        assert_eq!(&only(read_commands(Format::Protobuf, &protobuf, &WIDE)), command);
    }
    commands.len()
}

/// The same for what a client reads.
pub(crate) fn json_replies(frame: &[u8]) -> usize {
    let replies = accepted(read_replies(Format::Json, frame, &Limits::default()));
    for reply in &replies {
        let json = write_reply(Format::Json, reply);
        assert!(is_json(&json), "{reply:?} became {json:?}");
        let again = only(read_replies(Format::Json, &json, &WIDE));
        assert_eq!(write_reply(Format::Json, &again), json);
        let protobuf = write_reply(Format::Protobuf, reply);
        assert_eq!(&only(read_replies(Format::Protobuf, &protobuf, &WIDE)), reply);
    }
    replies.len()
}

/// What is accepted means to prost what it means to us.
pub(crate) fn protobuf_commands(frame: &[u8]) -> usize {
    let results = read_commands(Format::Protobuf, frame, &Limits::default());
    let whole = results.iter().all(Result::is_ok);
    let commands = accepted(results);
    for command in &commands {
        let bytes = write_command(Format::Protobuf, command);
        assert_eq!(&only(read_commands(Format::Protobuf, &bytes, &WIDE)), command);
    }
    if whole {
        let bytes = through_prost::<messages::Command>(frame);
        assert_eq!(accepted(read_commands(Format::Protobuf, &bytes, &WIDE)), commands);
    }
    commands.len()
}

/// The same for what a client reads.
pub(crate) fn protobuf_replies(frame: &[u8]) -> usize {
    let results = read_replies(Format::Protobuf, frame, &Limits::default());
    let whole = results.iter().all(Result::is_ok);
    let replies = accepted(results);
    for reply in &replies {
        let bytes = write_reply(Format::Protobuf, reply);
        assert_eq!(&only(read_replies(Format::Protobuf, &bytes, &WIDE)), reply);
    }
    if whole {
        let bytes = through_prost::<messages::Reply>(frame);
        assert_eq!(accepted(read_replies(Format::Protobuf, &bytes, &WIDE)), replies);
    }
    replies.len()
}

/// A name is accepted if and only if it keeps the rules, and then unchanged.
pub(crate) fn channel_names(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<ChannelName>() {
        Ok(name) => {
            assert_eq!(name.as_str(), text);
            assert!(text.is_ascii() && (1..=255).contains(&text.len()));
            assert_eq!(name.as_str().parse(), Ok(name));
            1
        }
        Err(ChannelNameError::NotAscii { position }) => {
            assert!(text[..position].is_ascii() && !text[position..].starts_with(|c: char| c.is_ascii()));
            0
        }
        Err(_) => {
            assert!(text.is_empty() || text.len() > 255);
            0
        }
    }
}

/// A patch that is accepted makes a target within bounds, and one that is made for a target makes it. The input is a
/// source, a byte `0xff`, and what is taken for a patch and for a target.
pub(crate) fn fossil(bytes: &[u8]) -> usize {
    const MAX: usize = 1 << 16;
    let split = bytes.iter().position(|&byte| byte == 0xff).unwrap_or(bytes.len());
    let (source, rest) = (&bytes[..split], bytes.get(split + 1..).unwrap_or_default());

    let patch = fossil::diff(source, rest);
    assert_eq!(fossil::apply(source, &patch, rest.len()).as_deref(), Ok(rest));
    assert!(patch.len() <= fossil::diff(b"", rest).len());
    assert!(std::str::from_utf8(rest).is_err() || std::str::from_utf8(&patch).is_ok());

    match fossil::apply(source, rest, MAX) {
        Ok(target) => {
            assert!(target.len() <= MAX);
            assert_eq!(fossil::apply(source, &fossil::diff(source, &target), MAX), Ok(target));
            1
        }
        Err(_) => 0,
    }
}

/// `Payload::is_json` agrees with serde_json, which however has no nesting limit.
fn payload(bytes: &[u8]) {
    let ours = Payload::from(bytes.to_vec()).is_json();
    let openings = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    assert!(ours == is_json(bytes) || (!ours && openings > Limits::MAX_NESTING));
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok()
}

/// Reads and writes a frame of length-delimited messages with prost.
fn through_prost<M: Message + Default>(frame: &[u8]) -> Bytes {
    let mut rest = frame;
    let mut out = BytesMut::new();
    while !rest.is_empty() {
        let message = M::decode_length_delimited(&mut rest).expect("prost reads what we read");
        message.encode_length_delimited(&mut out).expect("BytesMut grows");
    }
    out.freeze()
}

fn read_commands(format: Format, frame: &[u8], limits: &Limits) -> Vec<Result<Command, DecodeError>> {
    format.decode_commands(Bytes::copy_from_slice(frame), limits).collect()
}

fn read_replies(format: Format, frame: &[u8], limits: &Limits) -> Vec<Result<Reply, DecodeError>> {
    format.decode_replies(Bytes::copy_from_slice(frame), limits).collect()
}

fn write_command(format: Format, command: &Command) -> Bytes {
    let mut out = BytesMut::new();
    format.encode_command(command, &mut out);
    out.freeze()
}

fn write_reply(format: Format, reply: &Reply) -> Bytes {
    let mut out = BytesMut::new();
    format.encode_reply(reply, &mut out);
    out.freeze()
}

/// The messages before the first error, which must be the last result.
fn accepted<T>(results: Vec<Result<T, DecodeError>>) -> Vec<T> {
    let count = results.len();
    let messages: Vec<T> = results.into_iter().map_while(Result::ok).collect();
    assert!(count <= messages.len() + 1, "reading went on after an error");
    messages
}

fn only<T>(results: Vec<Result<T, DecodeError>>) -> T {
    let mut messages = accepted(results);
    assert_eq!(messages.len(), 1, "what we write is one message that we read");
    messages.remove(0)
}
