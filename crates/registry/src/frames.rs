use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use throng_protocol::frame::{self, MessageKind, Opcode};
use throng_protocol::{ChannelName, Format, Payload, Publication};

/// What a client's connection carries.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum WireFormat {
    /// The Centrifuge protocol as JSON in text messages.
    Json,
    /// The Centrifuge protocol as Protobuf in binary messages.
    Protobuf,
    /// Bare messages of the relay.
    Relay,
}

/// One publication as the WebSocket frames that subscribers get, each made when the first client of its format needs it and
/// then shared by all, on every shard.
#[derive(Debug)]
pub struct Frames {
    content: Content,
}

#[derive(Debug)]
enum Content {
    Protocol {
        channel: ChannelName,
        publication: Arc<Publication>,
        json: OnceLock<Bytes>,
        protobuf: OnceLock<Bytes>,
    },
    Relay {
        kind: MessageKind,
        data: Payload,
        frame: OnceLock<Bytes>,
    },
}

impl Frames {
    /// Frames of a protocol publication.
    #[must_use]
    pub const fn publication(channel: ChannelName, publication: Arc<Publication>) -> Self {
        Self {
            content: Content::Protocol {
                channel,
                publication,
                json: OnceLock::new(),
                protobuf: OnceLock::new(),
            },
        }
    }

    /// The frame of a relay message.
    #[must_use]
    pub const fn relay(kind: MessageKind, data: Payload) -> Self {
        Self { content: Content::Relay { kind, data, frame: OnceLock::new() } }
    }

    /// The frame for clients of this format, or `None` for a client of the other world: relay rooms and protocol channels do
    /// not meet.
    pub fn get(&self, format: WireFormat) -> Option<&Bytes> {
        match (&self.content, format) {
            (Content::Protocol { channel, publication, json, .. }, WireFormat::Json) => {
                Some(json.get_or_init(|| push_frame(Format::Json, Opcode::Text, channel, publication)))
            }
            (Content::Protocol { channel, publication, protobuf, .. }, WireFormat::Protobuf) => Some(
                protobuf.get_or_init(|| push_frame(Format::Protobuf, Opcode::Binary, channel, publication)),
            ),
            (Content::Relay { kind, data, frame }, WireFormat::Relay) => {
                Some(frame.get_or_init(|| frame::encode(opcode(*kind), data.as_bytes())))
            }
            (Content::Protocol { .. }, WireFormat::Relay)
            | (Content::Relay { .. }, WireFormat::Json | WireFormat::Protobuf) => None,
        }
    }
}

const fn opcode(kind: MessageKind) -> Opcode {
    match kind {
        MessageKind::Text => Opcode::Text,
        MessageKind::Binary => Opcode::Binary,
    }
}

/// Envelope of a push around its payload, so that the buffer is allocated once at about its final size.
const ENVELOPE_BYTES: usize = 96;

fn push_frame(format: Format, opcode: Opcode, channel: &ChannelName, publication: &Publication) -> Bytes {
    let info = publication.info.as_ref().map_or(0, |info| info.user.len() + info.client.len() + 64);
    let hint = publication.data.as_bytes().len() + channel.as_str().len() + info + ENVELOPE_BYTES;
    frame::encode_with(opcode, hint, |out| format.encode_publication_push(channel.as_str(), publication, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news() -> Frames {
        let publication = Publication { data: Payload::from(r#"{"a":1}"#), ..Publication::default() };
        Frames::publication("news".parse().unwrap(), Arc::new(publication))
    }

    #[test]
    fn a_publication_becomes_one_push_per_format() {
        let frames = news();
        let json = frames.get(WireFormat::Json).unwrap();
        assert_eq!(&json[2..], br#"{"push":{"channel":"news","pub":{"data":{"a":1}}}}"#);
        assert_eq!(json[0], 0x81, "a whole text message");
        let protobuf = frames.get(WireFormat::Protobuf).unwrap();
        assert_eq!(protobuf[0], 0x82, "a whole binary message");
        assert_eq!(frames.get(WireFormat::Relay), None);
    }

    #[test]
    fn a_frame_is_made_once_and_shared() {
        let frames = news();
        let [first, second] = [(); 2].map(|()| frames.get(WireFormat::Json).unwrap().as_ptr());
        assert_eq!(first, second);
    }

    #[test]
    fn a_relay_message_keeps_its_kind() {
        let data = Payload::from("hi");
        let [text, binary] =
            [MessageKind::Text, MessageKind::Binary].map(|kind| Frames::relay(kind, data.clone()));
        assert_eq!(text.get(WireFormat::Relay).unwrap()[..], *b"\x81\x02hi");
        assert_eq!(binary.get(WireFormat::Relay).unwrap()[..], *b"\x82\x02hi");
        assert_eq!(binary.get(WireFormat::Json), None);
    }
}
