use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use throng_protocol::frame::{self, MessageKind, Opcode};
use throng_protocol::{
    ChannelName, ClientInfo, Format, Join, Leave, Payload, Publication, Push, PushEvent, Reply,
};

use crate::delta::DeltaFrames;

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

/// In which shape a subscriber gets a publication.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Variant {
    /// As it was published.
    #[default]
    Plain,
    /// Whole, for a subscriber that gets patches: in JSON its data is a string that holds the payload.
    Full,
    /// As a patch against the publication before it, or [`Full`](Self::Full) where there is none that is worth it.
    Patch,
}

/// One event of a channel as the WebSocket frames that subscribers get, each made when the first client of its format needs it
/// and then shared by all, on every shard.
#[derive(Debug)]
pub struct Frames {
    content: Content,
}

#[derive(Debug)]
enum Content {
    Publication {
        channel: ChannelName,
        publication: Arc<Publication>,
        previous: Option<Payload>,
        /// Whether JSON clients can read the payload.
        json: bool,
        shared: Shared,
        delta: OnceLock<Box<DeltaFrames>>,
    },
    Presence {
        channel: ChannelName,
        joins: bool,
        info: Arc<ClientInfo>,
        shared: Shared,
    },
    Relay {
        kind: MessageKind,
        data: Payload,
        frame: OnceLock<Bytes>,
    },
}

/// The frames of both formats of the protocol.
#[derive(Debug, Default)]
struct Shared {
    json: OnceLock<Bytes>,
    protobuf: OnceLock<Bytes>,
}

impl Frames {
    /// Frames of a protocol publication. `previous` is the payload that subscribers got just before, if this one may be sent as
    /// a patch against it; `json` tells whether JSON clients can read the payload.
    #[must_use]
    pub fn publication(
        channel: ChannelName,
        publication: Arc<Publication>,
        previous: Option<Payload>,
        json: bool,
    ) -> Self {
        let (shared, delta) = (Shared::default(), OnceLock::new());
        Self { content: Content::Publication { channel, publication, previous, json, shared, delta } }
    }

    /// Frames of the push that tells that somebody joined.
    #[must_use]
    pub fn join(channel: ChannelName, info: Arc<ClientInfo>) -> Self {
        Self { content: Content::Presence { channel, joins: true, info, shared: Shared::default() } }
    }

    /// Frames of the push that tells that somebody left.
    #[must_use]
    pub fn leave(channel: ChannelName, info: Arc<ClientInfo>) -> Self {
        Self { content: Content::Presence { channel, joins: false, info, shared: Shared::default() } }
    }

    /// The frame of a relay message.
    #[must_use]
    pub const fn relay(kind: MessageKind, data: Payload) -> Self {
        Self { content: Content::Relay { kind, data, frame: OnceLock::new() } }
    }

    /// The frame for clients of this format, or `None` for those who cannot read it: relay rooms and protocol channels do not
    /// meet, and a payload that is not JSON is nothing for JSON clients. Only publications have more than one variant.
    pub fn get(&self, format: WireFormat, variant: Variant) -> Option<&Bytes> {
        match (&self.content, format) {
            (Content::Publication { json: false, .. }, WireFormat::Json)
            | (Content::Publication { .. } | Content::Presence { .. }, WireFormat::Relay)
            | (Content::Relay { .. }, WireFormat::Json | WireFormat::Protobuf) => None,
            (Content::Publication { .. }, WireFormat::Json) => self.publication_frame(Format::Json, variant),
            (Content::Publication { .. }, WireFormat::Protobuf) => {
                self.publication_frame(Format::Protobuf, variant)
            }
            (Content::Presence { shared, .. }, WireFormat::Json) => {
                Some(shared.json.get_or_init(|| self.presence_frame(Format::Json)))
            }
            (Content::Presence { shared, .. }, WireFormat::Protobuf) => {
                Some(shared.protobuf.get_or_init(|| self.presence_frame(Format::Protobuf)))
            }
            (Content::Relay { kind, data, frame }, WireFormat::Relay) => {
                Some(frame.get_or_init(|| frame::encode(opcode(*kind), data.as_bytes())))
            }
        }
    }

    /// Whether this is a publication or a message of the relay, not news of who is there.
    pub(crate) const fn is_publication(&self) -> bool {
        match self.content {
            Content::Publication { .. } | Content::Relay { .. } => true,
            Content::Presence { .. } => false,
        }
    }

    /// The publication, if it is one of the protocol.
    pub(crate) fn as_publication(&self) -> Option<&Publication> {
        match &self.content {
            Content::Publication { publication, .. } => Some(publication),
            Content::Presence { .. } | Content::Relay { .. } => None,
        }
    }

    /// Tells publications of one channel apart that do not replace each other; 0 for those without a key.
    pub(crate) fn key(&self, hasher: &impl BuildHasher) -> u64 {
        let key = self.as_publication().map_or("", |publication| publication.key.as_str());
        if key.is_empty() { 0 } else { hasher.hash_one(key) }
    }

    /// Whether JSON clients that get it must go, because they cannot read it.
    pub(crate) const fn refuses_json(&self) -> bool {
        matches!(self.content, Content::Publication { json: false, .. })
    }

    /// Whether it may be sent as a patch.
    pub(crate) const fn has_previous(&self) -> bool {
        matches!(self.content, Content::Publication { previous: Some(_), .. })
    }

    /// About how many bytes it keeps in memory.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>()
            + match &self.content {
                Content::Publication { publication, .. } => publication.data.len(),
                Content::Presence { info, .. } => info.conn_info.len() + info.chan_info.len(),
                Content::Relay { data, .. } => data.len(),
            }
    }

    fn publication_frame(&self, format: Format, variant: Variant) -> Option<&Bytes> {
        let Content::Publication { channel, publication, previous, shared, delta, .. } = &self.content else {
            return None;
        };
        let plain = || Some(shared.get(format).get_or_init(|| push_frame(format, channel, publication)));
        match (variant, format) {
            (Variant::Plain, _) | (Variant::Full, Format::Protobuf) => plain(),
            (Variant::Full, Format::Json) => delta.get_or_init(Box::default).full_json(channel, publication),
            (Variant::Patch, _) => {
                let frames = delta.get_or_init(Box::default);
                let patched = previous
                    .as_ref()
                    .and_then(|previous| frames.patched(format, channel, publication, previous));
                patched.or_else(|| self.publication_frame(format, Variant::Full))
            }
        }
    }

    fn presence_frame(&self, format: Format) -> Bytes {
        let Content::Presence { channel, joins, info, .. } = &self.content else { return Bytes::new() };
        let info = Some(ClientInfo::clone(info));
        let event = if *joins { Join { info }.into() } else { PushEvent::from(Leave { info }) };
        let push = Reply::Push(Push { channel: channel.as_str().to_owned(), event });
        whole_frame(format, self.weight(), |out| format.encode_reply(&push, out))
    }
}

impl Shared {
    const fn get(&self, format: Format) -> &OnceLock<Bytes> {
        match format {
            Format::Json => &self.json,
            Format::Protobuf => &self.protobuf,
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

/// The frame of a publication's push.
pub(crate) fn push_frame(format: Format, channel: &ChannelName, publication: &Publication) -> Bytes {
    let info = publication.info.as_ref().map_or(0, |info| info.user.len() + info.client.len() + 64);
    let hint = publication.data.len() + channel.as_str().len() + info + ENVELOPE_BYTES;
    whole_frame(format, hint, |out| format.encode_publication_push(channel.as_str(), publication, out))
}

fn whole_frame(format: Format, hint: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let opcode = match format {
        Format::Json => Opcode::Text,
        Format::Protobuf => Opcode::Binary,
    };
    frame::encode_with(opcode, hint, write)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(data: &'static str, previous: Option<&'static str>) -> Frames {
        let publication = Publication { data: Payload::from(data), ..Publication::default() };
        let previous = previous.map(Payload::from);
        Frames::publication("news".parse().unwrap(), Arc::new(publication), previous, true)
    }

    #[test]
    fn a_publication_becomes_one_push_per_format() {
        let frames = news(r#"{"a":1}"#, None);
        let json = frames.get(WireFormat::Json, Variant::Plain).unwrap();
        assert_eq!(&json[2..], br#"{"push":{"channel":"news","pub":{"data":{"a":1}}}}"#);
        assert_eq!(json[0], 0x81, "a whole text message");
        let protobuf = frames.get(WireFormat::Protobuf, Variant::Plain).unwrap();
        assert_eq!(protobuf[0], 0x82, "a whole binary message");
        assert_eq!(frames.get(WireFormat::Relay, Variant::Plain), None);
    }

    #[test]
    fn a_frame_is_made_once_and_shared() {
        let frames = news("1", Some("2"));
        for variant in [Variant::Plain, Variant::Full, Variant::Patch] {
            let [first, second] = [(); 2].map(|()| frames.get(WireFormat::Json, variant).unwrap().as_ptr());
            assert_eq!(first, second);
        }
    }

    #[test]
    fn a_relay_message_keeps_its_kind() {
        let data = Payload::from("hi");
        let [text, binary] =
            [MessageKind::Text, MessageKind::Binary].map(|kind| Frames::relay(kind, data.clone()));
        assert_eq!(text.get(WireFormat::Relay, Variant::Plain).unwrap()[..], *b"\x81\x02hi");
        assert_eq!(binary.get(WireFormat::Relay, Variant::Plain).unwrap()[..], *b"\x82\x02hi");
        assert_eq!(binary.get(WireFormat::Json, Variant::Plain), None);
    }

    #[test]
    fn who_comes_and_goes_is_told_in_both_formats() {
        let info = Arc::new(ClientInfo { user: "ann".into(), client: "c".into(), ..ClientInfo::default() });
        let [join, leave] =
            [Frames::join, Frames::leave].map(|make| make("news".parse().unwrap(), Arc::clone(&info)));
        let json = join.get(WireFormat::Json, Variant::Plain).unwrap();
        let expected = br#"{"push":{"channel":"news","join":{"info":{"user":"ann","client":"c"}}}}"#;
        assert_eq!(&json[2..], expected);
        let json = leave.get(WireFormat::Json, Variant::Plain).unwrap();
        assert!(json.windows(7).any(|bytes| bytes == b"\"leave\""));
        assert_eq!(join.get(WireFormat::Protobuf, Variant::Plain).unwrap()[0], 0x82);
        assert_eq!(join.get(WireFormat::Relay, Variant::Plain), None);
    }

    #[test]
    fn what_is_not_json_is_nothing_for_json_clients() {
        let publication = Publication { data: Payload::from(vec![0xFF]), ..Publication::default() };
        let frames = Frames::publication("news".parse().unwrap(), Arc::new(publication), None, false);
        for variant in [Variant::Plain, Variant::Full, Variant::Patch] {
            assert_eq!(frames.get(WireFormat::Json, variant), None);
            assert!(frames.get(WireFormat::Protobuf, variant).is_some());
        }
    }
}
