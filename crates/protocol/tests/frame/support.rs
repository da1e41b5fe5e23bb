//! A client's frames, right and wrong ones, and a reader that feeds them to a decoder.

use std::borrow::Cow;

use throng_protocol::frame::{CloseFrame, Decoder, Event, FrameError, FrameLimits, MessageKind, Opcode};

/// A frame as a client might send it. [`frame`] makes a correct one; the fields are there to spoil it.
#[derive(Clone, Debug)]
pub(crate) struct ClientFrame {
    /// Final flag, reserved bits and opcode as they stand on the wire.
    pub(crate) first: u8,
    pub(crate) key: Option<[u8; 4]>,
    pub(crate) length: Length,
    pub(crate) payload: Vec<u8>,
}

/// How the length is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Shortest,
    In16Bits,
    In64Bits,
    /// A 64-bit length that has nothing to do with the payload.
    Claimed(u64),
}

/// A whole, correctly masked frame.
pub(crate) fn frame(opcode: Opcode, payload: impl AsRef<[u8]>) -> ClientFrame {
    ClientFrame {
        first: 0x80 | opcode.bits(),
        key: Some([0x9e, 0x37, 0x79, 0xb9]),
        length: Length::Shortest,
        payload: payload.as_ref().to_vec(),
    }
}

impl ClientFrame {
    /// The same frame with more to follow.
    pub(crate) fn unfinished(mut self) -> Self {
        self.first &= 0x7f;
        self
    }

    pub(crate) fn header(&self) -> Vec<u8> {
        let mask = if self.key.is_some() { 0x80 } else { 0 };
        let len = self.payload.len();
        let mut bytes = vec![self.first];
        match (self.length, len) {
            (Length::Shortest, 0..=125) => bytes.push(mask | u8::try_from(len).unwrap()),
            (Length::Shortest, 126..=65_535) | (Length::In16Bits, _) => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
            }
            (Length::Shortest | Length::In64Bits, _) => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&(len as u64).to_be_bytes());
            }
            (Length::Claimed(len), _) => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&len.to_be_bytes());
            }
        }
        bytes.extend(self.key.iter().flatten());
        bytes
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let key = self.key.unwrap_or_default();
        let mut bytes = self.header();
        bytes.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }
}

/// The bytes of several frames in a row.
pub(crate) fn stream(frames: &[ClientFrame]) -> Vec<u8> {
    frames.iter().flat_map(ClientFrame::bytes).collect()
}

/// What a decoder made of a stream of bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Event<'static>>,
    pub(crate) error: Option<FrameError>,
}

/// Decodes a stream that arrives in one read.
pub(crate) fn decode_whole(bytes: &[u8], limits: &FrameLimits) -> Seen {
    decode_in_pieces(bytes, &[bytes.len()], limits)
}

/// Decodes a stream of which every read brings as much as `sizes` says, from its start again when it is used up.
/// Checks in passing what holds for every call.
pub(crate) fn decode_in_pieces(bytes: &[u8], sizes: &[usize], limits: &FrameLimits) -> Seen {
    let mut decoder = Decoder::new();
    let mut seen = Seen { events: Vec::new(), error: None };
    let mut rest = bytes.to_vec();
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = (*sizes.next().unwrap()).clamp(1, rest.len());
        let later = rest.split_off(size);
        if let Err(error) = read(&mut decoder, &mut rest, limits, &mut seen.events) {
            assert!(seen.error.is_none(), "a closed decoder failed again: {error}");
            seen.error = Some(error);
        }
        rest = later;
    }
    assert!(decoder.held_bytes() <= 2 * bytes.len(), "{} of {}", decoder.held_bytes(), bytes.len());
    assert_eq!(
        decoder.is_closed(),
        seen.error.is_some() || matches!(seen.events.last(), Some(Event::Close(_)))
    );
    seen
}

/// Decodes one read to its end.
pub(crate) fn read(
    decoder: &mut Decoder,
    mut input: &mut [u8],
    limits: &FrameLimits,
    events: &mut Vec<Event<'static>>,
) -> Result<(), FrameError> {
    loop {
        let len = input.len();
        let (used, event) = decoder.decode(input, limits)?;
        match event {
            Some(event) => {
                assert!((1..=len).contains(&used), "an event took {used} of {len} bytes");
                events.push(owned(event));
            }
            None => {
                assert_eq!(used, len, "no event, but bytes left over");
                return Ok(());
            }
        }
        input = &mut input[used..];
    }
}

pub(crate) fn owned(event: Event<'_>) -> Event<'static> {
    let own = |data: Cow<'_, [u8]>| Cow::Owned(data.into_owned());
    match event {
        Event::Message { kind, data } => Event::Message { kind, data: own(data) },
        Event::Ping(data) => Event::Ping(own(data)),
        Event::Pong(data) => Event::Pong(own(data)),
        Event::Close(close) => {
            Event::Close(close.map(|CloseFrame { code, reason }| CloseFrame {
                code,
                reason: Cow::Owned(reason.into_owned()),
            }))
        }
    }
}

pub(crate) fn text(data: &str) -> Event<'static> {
    Event::Message { kind: MessageKind::Text, data: Cow::Owned(data.as_bytes().to_vec()) }
}

pub(crate) fn binary(data: impl Into<Vec<u8>>) -> Event<'static> {
    Event::Message { kind: MessageKind::Binary, data: Cow::Owned(data.into()) }
}
