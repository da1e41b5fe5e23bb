use std::sync::OnceLock;

use bytes::Bytes;
use throng_protocol::{ChannelName, Format, Payload, Publication, fossil};

use crate::frames::push_frame;

/// A publication's frames for subscribers that get patches. Made only where there is such a subscriber.
#[derive(Debug, Default)]
pub(crate) struct DeltaFrames {
    /// The patch against the publication before, `None` if it is not worth it. Computed once, whoever asks first.
    patch: OnceLock<Option<Payload>>,
    full_json: OnceLock<Option<Bytes>>,
    patched_json: OnceLock<Option<Bytes>>,
    patched_protobuf: OnceLock<Bytes>,
}

impl DeltaFrames {
    /// The whole payload as a JSON string; `None` if it is not UTF-8.
    pub(crate) fn full_json(&self, channel: &ChannelName, publication: &Publication) -> Option<&Bytes> {
        let make = || Some(with_data(Format::Json, channel, publication, publication.data.quoted()?, false));
        self.full_json.get_or_init(make).as_ref()
    }

    /// The patch against `previous`; `None` if the whole payload is to be sent instead.
    pub(crate) fn patched(
        &self,
        format: Format,
        channel: &ChannelName,
        publication: &Publication,
        previous: &Payload,
    ) -> Option<&Bytes> {
        let patch = self.patch.get_or_init(|| worthwhile(previous, &publication.data)).as_ref()?;
        match format {
            Format::Json => self
                .patched_json
                .get_or_init(|| Some(with_data(format, channel, publication, patch.quoted()?, true)))
                .as_ref(),
            Format::Protobuf => Some(
                self.patched_protobuf
                    .get_or_init(|| with_data(format, channel, publication, patch.clone(), true)),
            ),
        }
    }
}

/// The patch from one payload to the next, if it is shorter than the next itself.
fn worthwhile(previous: &Payload, data: &Payload) -> Option<Payload> {
    let patch = fossil::diff(previous.as_bytes(), data.as_bytes());
    (patch.len() < data.len()).then(|| patch.into())
}

/// The push of the publication with other data.
fn with_data(
    format: Format,
    channel: &ChannelName,
    publication: &Publication,
    data: Payload,
    delta: bool,
) -> Bytes {
    push_frame(format, channel, &Publication { data, delta, ..publication.clone() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use throng_protocol::{Format, Limits, Payload, Publication, PushEvent, Reply, fossil};

    use crate::{Frames, Variant, WireFormat};

    const BEFORE: &str = r#"{"text":"the quick brown fox jumps over the lazy dog","n":1}"#;
    const NOW: &str = r#"{"text":"the quick brown fox jumps over the lazy dog","n":2}"#;

    fn frames(previous: Option<&'static str>, data: impl Into<Payload>) -> Frames {
        let publication = Publication { data: data.into(), offset: 5, ..Publication::default() };
        let previous = previous.map(Payload::from);
        Frames::publication("news".parse().unwrap(), Arc::new(publication), previous, true)
    }

    /// The publication that the client reads.
    fn read(frames: &Frames, format: WireFormat, variant: Variant) -> Publication {
        let (codec, header) = match format {
            WireFormat::Json => (Format::Json, 2),
            WireFormat::Protobuf | WireFormat::Relay => (Format::Protobuf, 2),
        };
        let frame: Bytes = frames.get(format, variant).unwrap().slice(header..);
        match codec.decode_replies(frame, &Limits::for_replies()).next() {
            Some(Ok(Reply::Push(push))) => match push.event {
                PushEvent::Publication(publication) => publication,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_patch_makes_the_payload_out_of_the_one_before() {
        let frames = frames(Some(BEFORE), NOW);
        let protobuf = read(&frames, WireFormat::Protobuf, Variant::Patch);
        assert!(protobuf.delta && protobuf.offset == 5);
        let applied = fossil::apply(BEFORE.as_bytes(), protobuf.data.as_bytes(), 1_000).unwrap();
        assert_eq!(applied, NOW.as_bytes());
        let json = read(&frames, WireFormat::Json, Variant::Patch);
        assert!(json.delta);
        assert_eq!(json.data.unquoted(), Some(protobuf.data), "the same patch in a string");
    }

    #[test]
    fn the_whole_payload_of_a_patched_subscription_is_a_string_in_json_alone() {
        let frames = frames(Some(BEFORE), NOW);
        let json = read(&frames, WireFormat::Json, Variant::Full);
        assert!(!json.delta);
        assert_eq!(json.data.unquoted(), Some(Payload::from(NOW)));
        assert_eq!(read(&frames, WireFormat::Protobuf, Variant::Full).data, Payload::from(NOW));
        assert_eq!(read(&frames, WireFormat::Json, Variant::Plain).data, Payload::from(NOW));
    }

    #[test]
    fn what_cannot_be_patched_or_is_not_worth_it_goes_whole() {
        for frames in [frames(None, NOW), frames(Some(BEFORE), "[1]")] {
            for format in [WireFormat::Json, WireFormat::Protobuf] {
                let whole = frames.get(format, Variant::Full).unwrap();
                assert_eq!(frames.get(format, Variant::Patch), Some(whole));
            }
        }
    }

    #[test]
    fn a_patch_that_splits_a_character_goes_whole_in_json() {
        // The two letters share their first byte, so that a patch may copy it and insert the second.
        let text = "x".repeat(40);
        let (before, now) = (format!("\"{text}é{text}\""), format!("\"{text}è{text}\""));
        let frames = frames(Some(before.leak()), now.clone());
        let protobuf = read(&frames, WireFormat::Protobuf, Variant::Patch);
        assert!(protobuf.delta);
        let json = read(&frames, WireFormat::Json, Variant::Patch);
        let is_text = std::str::from_utf8(protobuf.data.as_bytes()).is_ok();
        assert_eq!(json.delta, is_text);
        assert!(is_text || json.data.unquoted() == Some(Payload::from(now)));
    }
}
