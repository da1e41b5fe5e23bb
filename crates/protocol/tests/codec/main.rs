//! The codecs against the reference's bytes, against serde_json and prost, and against hostile input.

#[path = "../checks/mod.rs"]
mod checks;
mod corpus;
mod document;
mod golden;
mod limits;
mod lines;
mod oracle;
mod payloads;
mod roundtrip;
mod rules;
mod strategy;
mod vectors;

use bytes::{Bytes, BytesMut};
use throng_protocol::{Command, DecodeError, Format, Limits, Reply};

/// Checks one input and returns how much of it was accepted.
type Check = fn(&[u8]) -> usize;

fn encoded_command(format: Format, command: &Command) -> Bytes {
    let mut out = BytesMut::new();
    format.encode_command(command, &mut out);
    out.freeze()
}

fn encoded_reply(format: Format, reply: &Reply) -> Bytes {
    let mut out = BytesMut::new();
    format.encode_reply(reply, &mut out);
    out.freeze()
}

fn commands(format: Format, frame: &[u8]) -> Result<Vec<Command>, DecodeError> {
    format.decode_commands(Bytes::copy_from_slice(frame), &Limits::default()).collect()
}

fn replies(format: Format, frame: &[u8]) -> Result<Vec<Reply>, DecodeError> {
    format.decode_replies(Bytes::copy_from_slice(frame), &Limits::for_replies()).collect()
}

fn request(id: u32, request: impl Into<throng_protocol::Request>) -> Command {
    Command::Request { id, request: request.into() }
}

fn answer(id: u32, outcome: impl Into<throng_protocol::Outcome>) -> Reply {
    Reply::Answer { id, outcome: Ok(outcome.into()) }
}

fn push(channel: &str, event: impl Into<throng_protocol::PushEvent>) -> Reply {
    Reply::Push(throng_protocol::Push { channel: channel.to_owned(), event: event.into() })
}
