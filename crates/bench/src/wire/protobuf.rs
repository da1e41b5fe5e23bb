//! The Centrifuge protocol in Protobuf, by hand: one message is any number of `uvarint(length) ++ message`.
//!
//! Only the fields that a load generator needs are known; all others are skipped by their wire type.

use super::dialect::{CONNECT_ID, Incoming, Refusal, Room, SUBSCRIBE_ID, Undecodable};
use super::stamp::Stamp;

// Field numbers of Command and Reply; a result's number is its request's plus one.
const ID: u64 = 1;
const ERROR: u64 = 2;
const CONNECT: u64 = 4;
const PUSH: u64 = 4;
const CONNECT_RESULT: u64 = 5;
const SUBSCRIBE: u64 = 5;
const PUBLISH: u64 = 7;

pub(super) fn write_greeting(subscribe: Option<&Room>, out: &mut Vec<u8>) {
    let mut connect = Vec::new();
    write_bytes(&mut connect, 4, b"throng-load");
    write_command(CONNECT_ID, CONNECT, &connect, out);
    if let Some(room) = subscribe {
        let mut request = Vec::new();
        write_bytes(&mut request, 1, room.name.as_bytes());
        write_command(SUBSCRIBE_ID, SUBSCRIBE, &request, out);
    }
}

pub(super) fn write_publish(room: &Room, id: u32, payload: &[u8], out: &mut Vec<u8>) {
    let mut request = Vec::with_capacity(payload.len() + room.name.len() + 16);
    write_bytes(&mut request, 1, room.name.as_bytes());
    write_bytes(&mut request, 2, payload);
    write_command(id, PUBLISH, &request, out);
}

pub(super) fn read(
    message: &[u8],
    room: &Room,
    size: usize,
    each: &mut impl FnMut(Incoming),
) -> Result<(), Undecodable> {
    if message.is_empty() {
        return Err(Undecodable);
    }
    let mut rest = message;
    while !rest.is_empty() {
        let reply = take_bytes(&mut rest).ok_or(Undecodable)?;
        each(read_reply(reply, room, size).ok_or(Undecodable)?);
    }
    Ok(())
}

fn write_command(id: u32, field: u64, request: &[u8], out: &mut Vec<u8>) {
    let mut command = Vec::with_capacity(request.len() + 16);
    write_varint(&mut command, ID << 3);
    write_varint(&mut command, u64::from(id));
    write_bytes(&mut command, field, request);
    write_varint(out, command.len() as u64);
    out.extend_from_slice(&command);
}

fn write_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    write_varint(out, field << 3 | 2);
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Skipped,
}

fn read_reply(reply: &[u8], room: &Room, size: usize) -> Option<Incoming> {
    if reply.is_empty() {
        return Some(Incoming::Ping);
    }
    let (mut id, mut refused, mut wants_pong, mut push) = (0, None, false, None);
    each_field(reply, |field, value| {
        match (field, value) {
            (ID, Value::Number(number)) => id = u32::try_from(number).ok()?,
            (ERROR, Value::Bytes(error)) => refused = Some(read_error(error)?),
            (PUSH, Value::Bytes(bytes)) => push = Some(bytes),
            (CONNECT_RESULT, Value::Bytes(result)) => each_field(result, |field, value| {
                wants_pong |= matches!((field, value), (8, Value::Number(1)));
                Some(())
            })?,
            _ => {}
        }
        Some(())
    })?;
    match (id, push) {
        (0, Some(push)) => read_push(push, room, size),
        (0, None) => Some(Incoming::Foreign),
        (id, _) => Some(Incoming::Answer { id, refused, wants_pong }),
    }
}

fn read_error(error: &[u8]) -> Option<Refusal> {
    let mut refusal = Refusal { code: 0, message: String::new() };
    each_field(error, |field, value| {
        match (field, value) {
            (1, Value::Number(code)) => refusal.code = u32::try_from(code).ok()?,
            (2, Value::Bytes(text)) => refusal.message = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
        Some(())
    })?;
    Some(refusal)
}

fn read_push(push: &[u8], room: &Room, size: usize) -> Option<Incoming> {
    let (mut here, mut stamp) = (false, None);
    each_field(push, |field, value| {
        match (field, value) {
            (2, Value::Bytes(channel)) => here = channel == room.name.as_bytes(),
            (4, Value::Bytes(publication)) => each_field(publication, |field, value| {
                if let (4, Value::Bytes(data)) = (field, value) {
                    stamp = Stamp::read(data, size);
                }
                Some(())
            })?,
            _ => {}
        }
        Some(())
    })?;
    Some(stamp.filter(|_| here).map_or(Incoming::Foreign, Incoming::Publication))
}

/// Walks the fields of one message; `None` when it is cut or `each` gives up.
fn each_field<'a>(mut message: &'a [u8], mut each: impl FnMut(u64, Value<'a>) -> Option<()>) -> Option<()> {
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let value = match key & 7 {
            0 => Value::Number(take_varint(&mut message)?),
            2 => Value::Bytes(take_bytes(&mut message)?),
            1 => take(&mut message, 8).map(|_| Value::Skipped)?,
            5 => take(&mut message, 4).map(|_| Value::Skipped)?,
            _ => return None,
        };
        each(key >> 3, value)?;
    }
    Some(())
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_varint(rest)?;
    take(rest, usize::try_from(length).ok()?)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (front, back) = rest.split_at_checked(length)?;
    *rest = back;
    Some(front)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, back) = rest.split_first()?;
        *rest = back;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        text.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    fn all(message: &[u8]) -> Result<Vec<Incoming>, Undecodable> {
        let mut out = Vec::new();
        read(message, &Room::new("news".to_owned()), 100, &mut |each| out.push(each))?;
        Ok(out)
    }

    #[test]
    fn commands_match_the_reference_vectors() {
        let mut out = Vec::new();
        write_publish(&Room::new("news".to_owned()), 3, b"{\"a\":1}", &mut out);
        assert_eq!(out, unhex("13 08 03 3a 0f 0a 04 6e 65 77 73 12 07 7b 22 61 22 3a 31 7d"));
        out.clear();
        write_command(1, CONNECT, b"", &mut out);
        assert_eq!(out, unhex("04 08 01 22 00"));
    }

    #[test]
    fn replies_of_the_reference_vectors_are_understood() {
        let connect = unhex("11 08 01 2a 0d 0a 02 63 31 12 03 30 2e 31 38 19 40 01");
        assert_eq!(all(&connect), Ok(vec![Incoming::Answer { id: 1, refused: None, wants_pong: true }]));
        let denied = unhex("19 08 02 12 15 08 67 12 11 70 65 72 6d 69 73 73 69 6f 6e 20 64 65 6e 69 65 64");
        let refused = Some(Refusal { code: 103, message: "permission denied".to_owned() });
        assert_eq!(all(&denied), Ok(vec![Incoming::Answer { id: 2, refused, wants_pong: false }]));
        let subscribed = unhex("10 08 02 32 0c 18 01 32 04 61 62 63 64 48 07 50 01 00");
        assert_eq!(
            all(&subscribed),
            Ok(vec![Incoming::Answer { id: 2, refused: None, wants_pong: false }, Incoming::Ping])
        );
        let push = unhex("15 22 13 12 04 6e 65 77 73 22 0b 22 07 7b 22 62 22 3a 32 7d 30 08");
        assert_eq!(all(&push), Ok(vec![Incoming::Foreign]));
    }

    #[test]
    fn a_stamped_push_is_a_publication_in_its_own_channel_only() {
        let stamp = Stamp { room: 7, publisher: 1, sequence: 2, due_ns: 3 };
        for (channel, expected) in [("news", Incoming::Publication(stamp)), ("olds", Incoming::Foreign)] {
            let (mut data, mut publication, mut push, mut reply, mut message) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
            stamp.write(100, &mut data);
            write_bytes(&mut publication, 4, &data);
            write_bytes(&mut push, 2, channel.as_bytes());
            write_bytes(&mut push, 4, &publication);
            write_bytes(&mut reply, PUSH, &push);
            write_varint(&mut message, reply.len() as u64);
            message.extend_from_slice(&reply);
            assert_eq!(all(&message), Ok(vec![expected]));
            assert_eq!(all(&message[..message.len() - 1]), Err(Undecodable));
        }
    }
}
