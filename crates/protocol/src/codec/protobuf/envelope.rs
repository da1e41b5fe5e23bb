use bytes::{Bytes, BytesMut};

use super::reader::Context;
use super::{WireType, WireValue, key_len, prefixed, put_bytes, put_key, put_len};
use crate::codec::envelope::{CommandBody, CommandDraft, PushDraft, ReplyDraft};
use crate::codec::field::{Choice, Field, Value};
use crate::{Command, DecodeError, Limits, Outcome, Publication, Push, PushEvent, Reply, Request};

/// Field numbers of the envelopes; those of the bodies stand in the tables of `message`.
const ID: u32 = 1;
const COMMAND_PING: u32 = 11;
const COMMAND_SEND: u32 = 12;
const REPLY_ERROR: u32 = 2;
const REPLY_PUSH: u32 = 4;
const PUSH_CHANNEL: u32 = 2;
const PUSH_PUBLICATION: u32 = 4;

/// Reads one command, without the length in front.
pub(crate) fn decode_command(message: &Bytes, limits: &Limits) -> Result<Command, DecodeError> {
    let mut draft = CommandDraft::default();
    Context::new(message, limits).root().fields(|number, value| match number {
        ID => draft.id.merge(value),
        COMMAND_PING => {
            value.fields(|_, _| Ok(()))?;
            draft.fill(CommandBody::Ping)
        }
        COMMAND_SEND => draft.fill(CommandBody::Send(Value::from_wire(value)?)),
        _ => match Request::from_field(number, value)? {
            Some(request) => draft.fill(CommandBody::Request(request)),
            None => Ok(()),
        },
    })?;
    draft.finish()
}

/// Reads one reply, without the length in front; none if it is a push of an unknown kind. `spare` becomes the channel
/// of a push.
pub(crate) fn decode_reply(
    message: &Bytes,
    limits: &Limits,
    spare: &mut String,
) -> Result<Option<Reply>, DecodeError> {
    let mut draft = ReplyDraft::default();
    Context::new(message, limits).root().fields(|number, value| match number {
        ID => draft.id.merge(value),
        REPLY_ERROR => draft.fill(Err(Value::from_wire(value)?)),
        REPLY_PUSH => take_push(draft.push.get_or_insert_default(), value, spare),
        _ => match Outcome::from_field(number, value)? {
            Some(outcome) => draft.fill(Ok(outcome)),
            None => Ok(()),
        },
    })?;
    draft.finish()
}

fn take_push(draft: &mut PushDraft, value: WireValue<'_>, spare: &mut String) -> Result<(), DecodeError> {
    value.fields(|number, value| match number {
        PUSH_CHANNEL => {
            draft.name(value.text()?, spare);
            Ok(())
        }
        _ => match PushEvent::from_field(number, value)? {
            Some(event) => draft.fill(event),
            None => Ok(()),
        },
    })
}

pub(crate) fn encode_command(command: &Command, out: &mut BytesMut) {
    match command {
        Command::Pong => put_len(0, out),
        Command::Send(message) => {
            put_len(message.field_len(COMMAND_SEND), out);
            message.put_field(COMMAND_SEND, out);
        }
        Command::Request { id, request } => {
            put_len(id.field_len(ID) + request.field_len(), out);
            id.put_field(ID, out);
            request.put_field(out);
        }
    }
}

pub(crate) fn encode_reply(reply: &Reply, out: &mut BytesMut) {
    match reply {
        Reply::Ping => put_len(0, out),
        Reply::Push(Push { channel, event }) => {
            put_push(channel, event.field_len(), out);
            event.put_field(out);
        }
        Reply::Answer { id, outcome: Ok(outcome) } => {
            put_len(id.field_len(ID) + outcome.field_len(), out);
            id.put_field(ID, out);
            outcome.put_field(out);
        }
        Reply::Answer { id, outcome: Err(error) } => {
            put_len(id.field_len(ID) + error.field_len(REPLY_ERROR), out);
            id.put_field(ID, out);
            error.put_field(REPLY_ERROR, out);
        }
    }
}

pub(crate) fn encode_publication_push(channel: &str, publication: &Publication, out: &mut BytesMut) {
    put_push(channel, publication.field_len(PUSH_PUBLICATION), out);
    publication.put_field(PUSH_PUBLICATION, out);
}

/// Writes all of a push that stands in front of its event, which takes `event_len` bytes.
fn put_push(channel: &str, event_len: usize, out: &mut BytesMut) {
    let channel_len = if channel.is_empty() { 0 } else { key_len(PUSH_CHANNEL) + prefixed(channel.len()) };
    let push_len = channel_len + event_len;
    let reply_len = key_len(REPLY_PUSH) + prefixed(push_len);
    out.reserve(prefixed(reply_len));
    put_len(reply_len, out);
    put_key(REPLY_PUSH, WireType::Bytes, out);
    put_len(push_len, out);
    if !channel.is_empty() {
        put_key(PUSH_CHANNEL, WireType::Bytes, out);
        put_bytes(channel.as_bytes(), out);
    }
}
