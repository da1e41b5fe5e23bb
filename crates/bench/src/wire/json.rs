//! The Centrifuge protocol in JSON: one message is one or more objects separated by newlines.

use std::{borrow::Cow, io::Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::dialect::{CONNECT_ID, Incoming, Refusal, Room, SUBSCRIBE_ID, Undecodable};
use super::stamp::Stamp;

pub(super) fn write_greeting(subscribe: Option<&Room>, out: &mut Vec<u8>) {
    append(out, format_args!("{{\"id\":{CONNECT_ID},\"connect\":{{\"name\":\"throng-load\"}}}}"));
    if let Some(room) = subscribe {
        let name = &room.name;
        append(out, format_args!("\n{{\"id\":{SUBSCRIBE_ID},\"subscribe\":{{\"channel\":\"{name}\"}}}}"));
    }
}

pub(super) fn write_publish(room: &Room, id: u32, payload: &[u8], out: &mut Vec<u8>) {
    let name = &room.name;
    append(out, format_args!("{{\"id\":{id},\"publish\":{{\"channel\":\"{name}\",\"data\":"));
    out.extend_from_slice(payload);
    out.extend_from_slice(b"}}");
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a Vec cannot fail");
}

pub(super) fn read(
    message: &[u8],
    room: &Room,
    size: usize,
    each: &mut impl FnMut(Incoming),
) -> Result<(), Undecodable> {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', message).chain([message.len()]) {
        let object = &message[start..end];
        start = end + 1;
        // A trailing newline is allowed and says nothing.
        if object.is_empty() && end == message.len() && end > 0 {
            break;
        }
        each(match read_push(object, room, size) {
            Some(stamp) => Incoming::Publication(stamp),
            None => read_reply(object, room, size)?,
        });
    }
    Ok(())
}

/// The push as nearly every server writes it: channel first, payload somewhere inside, nothing escaped.
/// Whatever does not look like it is left to the real parser.
fn read_push(object: &[u8], room: &Room, size: usize) -> Option<Stamp> {
    let rest = object.strip_prefix(room.push_prefix.as_slice())?;
    let at = if rest.starts_with(b"\"data\":") { 7 } else { memchr::memmem::find(rest, b"\"data\":")? + 7 };
    let payload = rest.get(at..at + size)?;
    // The payload must be followed by the end of the field, or a longer payload would pass for ours.
    matches!(rest.get(at + size), Some(b',' | b'}')).then(|| Stamp::read(payload, size))?
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(default)]
    id: u32,
    #[serde(borrow)]
    error: Option<ErrorBody<'a>>,
    connect: Option<ConnectBody>,
    #[serde(borrow)]
    push: Option<PushBody<'a>>,
}

#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(default)]
    code: u32,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ConnectBody {
    #[serde(default)]
    pong: bool,
}

#[derive(Deserialize)]
struct PushBody<'a> {
    #[serde(borrow, default)]
    channel: Cow<'a, str>,
    #[serde(borrow, rename = "pub")]
    publication: Option<PublicationBody<'a>>,
}

#[derive(Deserialize)]
struct PublicationBody<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

fn read_reply(object: &[u8], room: &Room, size: usize) -> Result<Incoming, Undecodable> {
    if object == b"{}" {
        return Ok(Incoming::Ping);
    }
    let reply: Reply<'_> = serde_json::from_slice(object).map_err(|_| Undecodable)?;
    if reply.id > 0 {
        let refused =
            reply.error.map(|error| Refusal { code: error.code, message: error.message.into_owned() });
        return Ok(Incoming::Answer {
            id: reply.id,
            refused,
            wants_pong: reply.connect.is_some_and(|connect| connect.pong),
        });
    }
    let Some(push) = reply.push else { return Ok(Incoming::Ping) };
    let stamp = push
        .publication
        .filter(|_| push.channel == room.name)
        .and_then(|publication| publication.data)
        .and_then(|data| Stamp::read(data.get().as_bytes(), size));
    Ok(stamp.map_or(Incoming::Foreign, Incoming::Publication))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(sequence: u32) -> String {
        let mut out = Vec::new();
        Stamp { room: 7, publisher: 0, sequence, due_ns: 5 }.write(100, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn all(message: &str) -> Result<Vec<Incoming>, Undecodable> {
        let mut out = Vec::new();
        read(message.as_bytes(), &Room::new("bench-7".to_owned()), 100, &mut |each| out.push(each))?;
        Ok(out)
    }

    fn publication(sequence: u32) -> Incoming {
        Incoming::Publication(Stamp { room: 7, publisher: 0, sequence, due_ns: 5 })
    }

    #[test]
    fn objects_joined_by_newlines_are_read_in_order() {
        let (one, two) = (payload(1), payload(2));
        let message = format!(
            "{{\"push\":{{\"channel\":\"bench-7\",\"pub\":{{\"data\":{one}}}}}}}\n{{}}\n\
             {{\"push\":{{\"channel\":\"bench-7\",\"pub\":{{\"data\":{two},\"offset\":8}}}}}}\n{{\"id\":3,\"publish\":{{}}}}"
        );
        let answer = Incoming::Answer { id: 3, refused: None, wants_pong: false };
        assert_eq!(all(&message).unwrap(), [publication(1), Incoming::Ping, publication(2), answer]);
    }

    #[test]
    fn fields_in_another_order_are_read_too() {
        let one = payload(1);
        let info = "\"info\":{\"user\":\"\",\"client\":\"c\"}";
        let behind = format!("{{\"push\":{{\"pub\":{{{info},\"data\":{one}}},\"channel\":\"bench-7\"}}}}");
        assert_eq!(all(&behind).unwrap(), [publication(1)]);
        let before = format!("{{\"push\":{{\"channel\":\"bench-7\",\"pub\":{{{info},\"data\":{one}}}}}}}");
        assert_eq!(all(&before).unwrap(), [publication(1)]);
    }

    #[test]
    fn another_channel_or_payload_is_foreign() {
        let one = payload(1);
        let other = format!("{{\"push\":{{\"channel\":\"bench-8\",\"pub\":{{\"data\":{one}}}}}}}");
        assert_eq!(all(&other).unwrap(), [Incoming::Foreign]);
        assert_eq!(
            all("{\"push\":{\"channel\":\"bench-7\",\"pub\":{\"data\":{}}}}").unwrap(),
            [Incoming::Foreign]
        );
        assert_eq!(all("{\"push\":{\"channel\":\"bench-7\",\"join\":{}}}").unwrap(), [Incoming::Foreign]);
    }

    #[test]
    fn answers_say_whether_they_are_errors_and_whether_pongs_are_wanted() {
        let connect =
            "{\"id\":1,\"connect\":{\"client\":\"c\",\"version\":\"1\",\"ping\":25,\"pong\":true}}\n";
        assert_eq!(all(connect).unwrap(), [Incoming::Answer { id: 1, refused: None, wants_pong: true }]);
        let refused = Some(Refusal { code: 103, message: "permission denied".to_owned() });
        assert_eq!(
            all("{\"id\":2,\"error\":{\"code\":103,\"message\":\"permission denied\"}}").unwrap(),
            [Incoming::Answer { id: 2, refused, wants_pong: false }]
        );
    }

    #[test]
    fn what_is_no_reply_is_undecodable() {
        for message in ["", "\n{}", "[]x", "{\"id\":1", "hello"] {
            assert_eq!(all(message), Err(Undecodable), "{message:?}");
        }
    }

    #[test]
    fn commands_are_json() {
        let room = Room::new("bench-7".to_owned());
        let mut out = Vec::new();
        write_greeting(Some(&room), &mut out);
        out.push(b'\n');
        write_publish(&room, 9, payload(1).as_bytes(), &mut out);
        let lines: Vec<serde_json::Value> =
            out.split(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1]["subscribe"]["channel"], "bench-7");
        assert_eq!(lines[2]["publish"]["data"]["pad"].as_str().map(str::len), Some(38));
    }
}
