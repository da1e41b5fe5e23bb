use bytes::{Bytes, BytesMut};

use super::{Object, Reader, write_string};
use crate::codec::envelope::{CommandBody, CommandDraft, PushDraft, ReplyDraft};
use crate::codec::field::{Choice, Field, Value};
use crate::{Command, DecodeError, Limits, Outcome, Publication, Push, PushEvent, Reply, Request};

/// Reads one command from its line.
pub(crate) fn decode_command(line: &Bytes, limits: &Limits) -> Result<Command, DecodeError> {
    let mut draft = CommandDraft::default();
    read_envelope(line, limits, |reader, key| match key {
        "id" => draft.id.read(reader),
        "send" => draft.fill(CommandBody::Send(Value::read_json(reader)?)),
        "ping" => {
            reader.object(|reader, _| reader.skip())?;
            draft.fill(CommandBody::Ping)
        }
        _ => match Request::read_member(key, reader)? {
            Some(request) => draft.fill(CommandBody::Request(request)),
            None => reader.skip(),
        },
    })?;
    draft.finish()
}

/// Reads one reply from its line; none if it is a push of an unknown kind. `spare` becomes the channel of a push.
pub(crate) fn decode_reply(
    line: &Bytes,
    limits: &Limits,
    spare: &mut String,
) -> Result<Option<Reply>, DecodeError> {
    let mut draft = ReplyDraft::default();
    read_envelope(line, limits, |reader, key| match key {
        "id" => draft.id.read(reader),
        "error" => draft.fill(Err(Value::read_json(reader)?)),
        "push" => read_push(draft.push.get_or_insert_default(), reader, spare),
        _ => match Outcome::read_member(key, reader)? {
            Some(outcome) => draft.fill(Ok(outcome)),
            None => reader.skip(),
        },
    })?;
    draft.finish()
}

fn read_push(draft: &mut PushDraft, reader: &mut Reader<'_>, spare: &mut String) -> Result<(), DecodeError> {
    reader.object(|reader, key| match key {
        _ if reader.take_null() => Ok(()),
        "channel" => {
            draft.name(&reader.string()?, spare);
            Ok(())
        }
        _ => match PushEvent::read_member(key, reader)? {
            Some(event) => draft.fill(event),
            None => reader.skip(),
        },
    })
}

/// Gives the members of the line's one object to `each`. A member that is `null` is not there.
fn read_envelope(
    line: &Bytes,
    limits: &Limits,
    mut each: impl FnMut(&mut Reader<'_>, &str) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(line, limits)?;
    if reader.take_null() {
        return Err(reader.expected("an object"));
    }
    reader.object(|reader, key| if reader.take_null() { Ok(()) } else { each(reader, key) })?;
    reader.finish()
}

pub(crate) fn encode_command(command: &Command, out: &mut BytesMut) {
    write_envelope(out, |object| match command {
        Command::Pong => {}
        Command::Send(message) => object.member("\"send\":", |out| message.write_json(out)),
        Command::Request { id, request } => {
            object.member("\"id\":", |out| id.write_json(out));
            request.write_member(object);
        }
    });
}

pub(crate) fn encode_reply(reply: &Reply, out: &mut BytesMut) {
    write_envelope(out, |object| match reply {
        Reply::Ping => {}
        Reply::Push(Push { channel, event }) => {
            object.member("\"push\":", |out| write_push(channel, out, |push| event.write_member(push)));
        }
        Reply::Answer { id, outcome } => {
            object.member("\"id\":", |out| id.write_json(out));
            match outcome {
                Ok(outcome) => outcome.write_member(object),
                Err(error) => object.member("\"error\":", |out| error.write_json(out)),
            }
        }
    });
}

pub(crate) fn encode_publication_push(channel: &str, publication: &Publication, out: &mut BytesMut) {
    // A guess that is right for plain publications, so that `out` grows once at most.
    out.reserve(64 + channel.len() + publication.data.len());
    write_envelope(out, |object| {
        object.member("\"push\":", |out| {
            write_push(channel, out, |push| push.member("\"pub\":", |out| publication.write_json(out)));
        });
    });
}

fn write_push(channel: &str, out: &mut BytesMut, event: impl FnOnce(&mut Object<'_>)) {
    let mut push = Object::open(out);
    if !channel.is_empty() {
        push.member("\"channel\":", |out| write_string(channel, out));
    }
    event(&mut push);
    push.close();
}

fn write_envelope(out: &mut BytesMut, members: impl FnOnce(&mut Object<'_>)) {
    if !out.is_empty() {
        out.extend_from_slice(b"\n");
    }
    let mut object = Object::open(out);
    members(&mut object);
    object.close();
}
