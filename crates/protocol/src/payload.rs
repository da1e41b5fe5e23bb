use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::codec::json;

/// What an application sends: JSON text on JSON connections, any bytes on Protobuf connections.
///
/// Never parsed on the way through. Clones share the bytes, and a decoded payload is a slice of the frame it came
/// in: whoever keeps one longer than the frame should keep a [`detached`](Self::detached) copy.
/// The empty payload stands for "none": both codecs leave it out.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct Payload(Bytes);

impl Payload {
    /// Wraps bytes as they are.
    pub const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes, without another reference count.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Length in bytes.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no payload.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if the bytes are one JSON value by RFC 8259 (the empty payload is not), nested at most
    /// [`Limits::MAX_NESTING`](crate::Limits::MAX_NESTING) levels deep. Allocates nothing and takes linear time:
    /// meant for the edge, where a payload comes in that goes to JSON clients.
    /// A payload that was decoded from JSON is JSON: only those of Protobuf connections and other doors need the check.
    ///
    /// ```
    /// use throng_protocol::Payload;
    /// assert!(Payload::from("{\"n\": [1, 2.5e3, null]}").is_json());
    /// assert!(!Payload::from("{n: 1}").is_json());
    /// ```
    pub fn is_json(&self) -> bool {
        self.is_json_within(crate::Limits::MAX_NESTING)
    }

    /// [`is_json`](Self::is_json) with a lower bound on nesting, so that those it is pushed to can read it under theirs.
    pub fn is_json_within(&self, nesting: usize) -> bool {
        json::is_value(&self.0, nesting)
    }

    /// The bytes as one JSON string literal, quotes included; None if they are not UTF-8, for which JSON has no way.
    /// What JSON clients with delta compression get as data, be it a whole payload or a patch.
    ///
    /// ```
    /// use throng_protocol::Payload;
    /// assert_eq!(Payload::from("{\"n\":1}").quoted(), Some(Payload::from("\"{\\\"n\\\":1}\"")));
    /// assert_eq!(Payload::from(vec![0xff]).quoted(), None);
    /// ```
    pub fn quoted(&self) -> Option<Self> {
        let text = std::str::from_utf8(&self.0).ok()?;
        // Room for the quotes and for what is usually escaped: the quotes of JSON in it.
        let mut literal = BytesMut::with_capacity(2 + text.len() + text.len() / 8);
        json::write_string(text, &mut literal);
        Some(Self(literal.freeze()))
    }

    /// The bytes that [`quoted`](Self::quoted) has put into a JSON string literal; None if this is none. What a JSON
    /// client with delta compression does to each payload.
    ///
    /// ```
    /// use throng_protocol::Payload;
    /// assert_eq!(Payload::from("\"{\\\"n\\\":1}\"").unquoted(), Some(Payload::from("{\"n\":1}")));
    /// assert_eq!(Payload::from("{\"n\":1}").unquoted(), None);
    /// ```
    pub fn unquoted(&self) -> Option<Self> {
        json::read_string(&self.0).map(Self::from)
    }

    /// A copy in a buffer of its own size, which keeps no frame alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Shows at most 64 bytes, so that a debug line stays a line.
impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(64)];
        let more = if shown.len() < self.0.len() { "…" } else { "" };
        write!(formatter, "Payload({}: \"{}\"{more})", self.0.len(), shown.escape_ascii())
    }
}
