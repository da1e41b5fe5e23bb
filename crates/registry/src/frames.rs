use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use throng_protocol::frame::{self, MessageKind, Opcode};
use throng_protocol::{
    ChannelName, ClientInfo, Format, Join, Leave, Payload, Publication, Push, PushEvent, Reply, fossil,
};

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

/// How a subscription gets a publication.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Variant {
    /// As it was published.
    Plain,
    /// Whole, to a subscription with delta compression: in JSON the data is then a string.
    Full,
    /// As a patch against the publication before, where that is shorter; else whole.
    Patch,
}

/// One event as the WebSocket frames that subscribers get, each made when the first client of its format needs it and then
/// shared by all, on every shard.
#[derive(Debug)]
pub struct Frames {
    content: Content,
}

#[derive(Debug)]
enum Content {
    Publication {
        channel: ChannelName,
        publication: Arc<Publication>,
        json: bool,
        plain: Pair,
        delta: OnceLock<Box<Delta>>,
        previous: Option<Payload>,
    },
    Presence {
        channel: ChannelName,
        event: PresenceEvent,
        frames: Pair,
    },
    Relay {
        kind: MessageKind,
        data: Payload,
        frame: OnceLock<Bytes>,
    },
}

#[derive(Debug)]
enum PresenceEvent {
    Join(Arc<ClientInfo>),
    Leave(Arc<ClientInfo>),
}

/// A frame for JSON and one for Protobuf.
#[derive(Debug, Default)]
struct Pair {
    json: OnceLock<Bytes>,
    protobuf: OnceLock<Bytes>,
}

impl Pair {
    const fn of(&self, format: Format) -> &OnceLock<Bytes> {
        match format {
            Format::Json => &self.json,
            Format::Protobuf => &self.protobuf,
        }
    }
}

/// A publication for subscriptions with delta compression.
#[derive(Debug)]
struct Delta {
    /// The patch against the payload before, if it is shorter than the payload.
    patch: Option<Payload>,
    full: Pair,
    patched: Pair,
}

impl Frames {
    /// Frames of a protocol publication. `previous` is the payload that it may be a patch against; `json` says whether its own is
    /// JSON, without which JSON clients cannot read it.
    #[must_use]
    pub fn publication(
        channel: ChannelName,
        publication: Arc<Publication>,
        previous: Option<Payload>,
        json: bool,
    ) -> Self {
        let (plain, delta) = (Pair::default(), OnceLock::new());
        Self { content: Content::Publication { channel, publication, json, plain, delta, previous } }
    }

    /// Frames that tell of a client that has joined.
    #[must_use]
    pub fn join(channel: ChannelName, info: Arc<ClientInfo>) -> Self {
        let event = PresenceEvent::Join(info);
        Self { content: Content::Presence { channel, event, frames: Pair::default() } }
    }

    /// Frames that tell of a client that has left.
    #[must_use]
    pub fn leave(channel: ChannelName, info: Arc<ClientInfo>) -> Self {
        let event = PresenceEvent::Leave(info);
        Self { content: Content::Presence { channel, event, frames: Pair::default() } }
    }

    /// The frame of a relay message.
    #[must_use]
    pub const fn relay(kind: MessageKind, data: Payload) -> Self {
        Self { content: Content::Relay { kind, data, frame: OnceLock::new() } }
    }

    /// The frame for clients of this format, or `None` for a client of the other world, as relay rooms and protocol channels do not
    /// meet, and for a JSON client if the payload is not JSON.
    pub fn get(&self, format: WireFormat, variant: Variant) -> Option<&Bytes> {
        let wire = match (&self.content, format) {
            (Content::Relay { kind, data, frame }, WireFormat::Relay) => {
                return Some(frame.get_or_init(|| frame::encode(opcode(*kind), data.as_bytes())));
            }
            (Content::Relay { .. }, _) | (_, WireFormat::Relay) => return None,
            (_, WireFormat::Json) => Format::Json,
            (_, WireFormat::Protobuf) => Format::Protobuf,
        };
        match &self.content {
            Content::Publication { json: false, .. } if wire == Format::Json => None,
            Content::Publication { channel, publication, plain, delta, previous, .. } => match variant {
                Variant::Plain => {
                    Some(plain.of(wire).get_or_init(|| publication_frame(wire, channel, publication, None)))
                }
                Variant::Full | Variant::Patch => {
                    let delta = delta.get_or_init(|| Box::new(Delta::new(publication, previous.as_ref())));
                    Some(delta.get(variant, wire, channel, publication))
                }
            },
            Content::Presence { channel, event, frames } => {
                Some(frames.of(wire).get_or_init(|| presence_frame(wire, channel, event)))
            }
            Content::Relay { .. } => None,
        }
    }

    /// Whether this is a publication that JSON clients cannot read.
    pub(crate) const fn is_foreign_to_json(&self) -> bool {
        matches!(self.content, Content::Publication { json: false, .. })
    }

    /// Whether only those get it who want to hear of others.
    pub(crate) const fn is_of_presence(&self) -> bool {
        matches!(self.content, Content::Presence { .. })
    }

    /// The publication, if it is one.
    pub(crate) fn as_publication(&self) -> Option<&Publication> {
        match &self.content {
            Content::Publication { publication, .. } => Some(publication),
            Content::Presence { .. } | Content::Relay { .. } => None,
        }
    }

    /// Tells publications of one channel apart that do not replace each other.
    pub(crate) fn key(&self, hasher: &impl BuildHasher) -> u64 {
        let key = self.as_publication().map_or("", |publication| publication.key.as_str());
        if key.is_empty() { 0 } else { hasher.hash_one(key) }
    }

    /// Whether there is a payload that this one may be a patch against.
    pub(crate) const fn has_previous(&self) -> bool {
        matches!(self.content, Content::Publication { previous: Some(_), .. })
    }
}

impl Delta {
    fn new(publication: &Publication, previous: Option<&Payload>) -> Self {
        let patch = previous
            .map(|previous| Payload::from(fossil::diff(previous.as_bytes(), publication.data.as_bytes())))
            .filter(|patch| patch.len() < publication.data.len());
        Self { patch, full: Pair::default(), patched: Pair::default() }
    }

    fn get(
        &self,
        variant: Variant,
        format: Format,
        channel: &ChannelName,
        publication: &Publication,
    ) -> &Bytes {
        let full = || {
            self.full.of(format).get_or_init(|| {
                // Data is a string wherever delta compression is on, or SDKs would not know which is which.
                let data = match format {
                    Format::Json => publication.data.quoted().unwrap_or_default(),
                    Format::Protobuf => publication.data.clone(),
                };
                publication_frame(format, channel, publication, Some((data, false)))
            })
        };
        let patch = match (variant, &self.patch, format) {
            (Variant::Plain | Variant::Full, _, _) | (_, None, _) => None,
            (Variant::Patch, Some(patch), Format::Protobuf) => Some(patch.clone()),
            // A patch may cut a character in two, which a string cannot hold.
            (Variant::Patch, Some(patch), Format::Json) => patch.quoted(),
        };
        match patch {
            None => full(),
            Some(patch) => self
                .patched
                .of(format)
                .get_or_init(|| publication_frame(format, channel, publication, Some((patch, true)))),
        }
    }
}

const fn opcode(kind: MessageKind) -> Opcode {
    match kind {
        MessageKind::Text => Opcode::Text,
        MessageKind::Binary => Opcode::Binary,
    }
}

const fn opcode_of(format: Format) -> Opcode {
    match format {
        Format::Json => Opcode::Text,
        Format::Protobuf => Opcode::Binary,
    }
}

/// Envelope of a push around its payload, so that the buffer is allocated once at about its final size.
const ENVELOPE_BYTES: usize = 96;

/// The frame of a publication, with other data than it was published with if some is given.
fn publication_frame(
    format: Format,
    channel: &ChannelName,
    publication: &Publication,
    other: Option<(Payload, bool)>,
) -> Bytes {
    let info = publication.info.as_ref().map_or(0, |info| info.user.len() + info.client.len() + 64);
    let data = other.as_ref().map_or(publication.data.len(), |(data, _)| data.len());
    let hint = data + channel.as_str().len() + info + ENVELOPE_BYTES;
    let changed;
    let publication = match other {
        None => publication,
        Some((data, delta)) => {
            changed = Publication { data, delta, ..publication.clone() };
            &changed
        }
    };
    frame::encode_with(opcode_of(format), hint, |out| {
        format.encode_publication_push(channel.as_str(), publication, out);
    })
}

fn presence_frame(format: Format, channel: &ChannelName, event: &PresenceEvent) -> Bytes {
    let event = match event {
        PresenceEvent::Join(info) => PushEvent::Join(Join { info: Some(info.as_ref().clone()) }),
        PresenceEvent::Leave(info) => PushEvent::Leave(Leave { info: Some(info.as_ref().clone()) }),
    };
    let push = Reply::Push(Push { channel: channel.as_str().to_owned(), event });
    frame::encode_with(opcode_of(format), 2 * ENVELOPE_BYTES, |out| format.encode_reply(&push, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(data: impl Into<Payload>, previous: Option<Payload>) -> Frames {
        let publication = Publication { data: data.into(), ..Publication::default() };
        Frames::publication("news".parse().unwrap(), Arc::new(publication), previous, true)
    }

    fn text(frames: &Frames, variant: Variant) -> String {
        String::from_utf8_lossy(frames.get(WireFormat::Json, variant).unwrap()).into_owned()
    }

    #[test]
    fn a_publication_becomes_one_push_per_format() {
        let frames = frames(r#"{"a":1}"#, None);
        let json = frames.get(WireFormat::Json, Variant::Plain).unwrap();
        assert_eq!(&json[2..], br#"{"push":{"channel":"news","pub":{"data":{"a":1}}}}"#);
        assert_eq!(json[0], 0x81, "a whole text message");
        let protobuf = frames.get(WireFormat::Protobuf, Variant::Plain).unwrap();
        assert_eq!(protobuf[0], 0x82, "a whole binary message");
        assert_eq!(frames.get(WireFormat::Relay, Variant::Plain), None);
    }

    #[test]
    fn a_frame_is_made_once_and_shared() {
        let frames = frames(r#"{"a":1}"#, None);
        for variant in [Variant::Plain, Variant::Full] {
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
    fn with_delta_compression_data_is_a_string_in_json_whole_or_as_a_patch() {
        let [old, new] = [1, 2].map(|n| format!("{{\"n\":{n},\"padding\":\"{}\"}}", "x".repeat(60)));
        let frames = frames(new.clone(), Some(Payload::from(old.clone())));
        assert!(text(&frames, Variant::Full).contains(r#""pub":{"data":"{\"n\":2,"#));
        let patched = text(&frames, Variant::Patch);
        assert!(patched.contains(r#""delta":true"#) && patched.len() < 100, "{patched}");
        let binary = frames.get(WireFormat::Protobuf, Variant::Full).unwrap();
        assert!(binary.windows(new.len()).any(|window| window == new.as_bytes()));
    }

    #[test]
    fn a_patch_that_is_no_gain_or_no_text_is_sent_whole() {
        let unlike = frames(r#"{"a":1}"#, Some(Payload::from("something else")));
        assert_eq!(text(&unlike, Variant::Patch), text(&unlike, Variant::Full));
        let long = "é".repeat(60);
        let cut = frames(format!("\"{long}á\""), Some(Payload::from(format!("\"{long}à\""))));
        let frame = cut.get(WireFormat::Json, Variant::Patch).unwrap();
        assert!(std::str::from_utf8(&frame[2..]).is_ok(), "whatever the patch is");
    }

    #[test]
    fn what_is_not_json_has_no_frame_for_json_clients() {
        let publication = Arc::new(Publication { data: "\u{1}".into(), ..Publication::default() });
        let frames = Frames::publication("news".parse().unwrap(), publication, None, false);
        assert_eq!(frames.get(WireFormat::Json, Variant::Plain), None);
        assert!(frames.get(WireFormat::Protobuf, Variant::Plain).is_some());
    }
}
