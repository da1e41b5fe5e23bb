//! The server side of RFC 6455, sans-io: bytes in and [`Event`]s out, messages in and frame bytes out.
//!
//! Nothing here knows a socket, a task or a clock. Whoever owns a connection keeps one [`Decoder`] for it, gives it
//! whatever was read, and writes what [`encode`] and its siblings return. The opening handshake is not part of it.
//!
//! ```
//! use throng_protocol::frame::{Decoder, Event, FrameLimits, MessageKind, Opcode, encode};
//!
//! let mut decoder = Decoder::new();
//! // "Hello" as a client sends it (RFC 6455, section 5.7), and the beginning of a ping.
//! let mut read = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80";
//! let mut input = &mut read[..];
//! let mut out = Vec::new();
//! loop {
//!     let (used, event) = decoder.decode(input, &FrameLimits::default())?;
//!     match event {
//!         None => break, // all of the input is used; an unfinished frame waits inside the decoder
//!         Some(Event::Message { kind, data }) => out.push(encode(kind.opcode(), &data)),
//!         Some(Event::Ping(data)) => out.push(encode(Opcode::Pong, &data)),
//!         Some(Event::Pong(_)) => {}
//!         Some(Event::Close(_)) => out.push(encode(Opcode::Close, b"")),
//!     }
//!     input = &mut input[used..];
//! }
//! assert_eq!(out, [&b"\x81\x05Hello"[..]]);
//! # Ok::<(), throng_protocol::frame::FrameError>(())
//! ```
//!
//! # Decoding
//!
//! ```text
//!                      every frame: first byte, length, key
//!            ┌──────────────────────────────────────────────────────────────┐
//!            │                                                              │
//!      ┌─────▼─────┐  data frame, not a whole message ┌──────────────────┐  │
//!  ───►│           ├─────────────────────────────────►│ Data             │  │ last byte of the frame:
//!      │  Header   │                                  │ payload moves to │──┘ Event::Message after the final one
//!      │           │  control frame, not all here yet │ the decoder      │
//!      │           ├──────────────────────┐           └───────┬──────────┘
//!      └─┬───▲───┬─┘                ┌─────▼────┐              │ error
//!        │   │   │ error            │ Control  │              │
//!        │   │   └─────────────┐    │ ≤ 125 B  │              │
//!        └───┘                 │    └─┬──────┬─┘              │
//!   whole frame in the input:  │      │      │ last byte: Event::Ping or Pong, back to Header
//!   event borrows from it      │      │ Event::Close, or error
//!                              ▼      ▼                       ▼
//!                         ┌───────────────────────────────────────┐
//!                         │ Closed: swallows whatever still comes │
//!                         └───────────────────────────────────────┘
//! ```
//! Beside this stage a decoder holds the message in progress, if there is one: its kind, its payload so far, the number
//! of its frames, and how many bytes at its end are the beginning of a character. Control frames pass through
//! `Header` and `Control` without touching it, so they may come between the fragments of a message.
//!
//! - **A whole message in the input is not copied.** It is unmasked where it lies and lent to the caller.
//! - **What is unfinished costs what has arrived.** A length that is merely claimed reserves nothing; the buffer is at
//!   most twice what came in, leaves the decoder with the event, and an idle decoder owns no heap memory.
//! - **Errors come early.** A message that breaks the size limit is refused when its header says so, bad UTF-8 with the byte
//!   that makes it bad, even in the middle of a frame, and a bad first byte before the second has come.
//! - **Work is linear** in the bytes received, however they are cut into reads and fragments.
//! - **Extensions are not negotiated**, hence reserved bits are errors. permessage-deflate would use the first of them.
//!
//! # Encoding
//!
//! Servers do not mask, so a frame is the same for every client: it is made once and shared. Every function here makes
//! whole, final frames, since a server that has its message in memory gains nothing from fragments.

mod decode;
mod encode;
mod error;
mod header;
mod mask;
mod utf8;

use std::borrow::Cow;

pub use decode::Decoder;
pub use encode::{encode, encode_close, encode_into, encode_with};
pub use error::FrameError;

/// Longest payload of a control frame, in bytes (RFC 6455, section 5.5).
pub const CONTROL_BYTES: usize = 125;

/// What a frame is (RFC 6455, section 5.2). The discriminants are the values on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message that a text or binary frame began.
    Continuation = 0x0,
    /// A text message or its first fragment.
    Text = 0x1,
    /// A binary message or its first fragment.
    Binary = 0x2,
    /// The sender's last frame, perhaps with a code and a reason.
    Close = 0x8,
    /// A question whether the peer is alive.
    Ping = 0x9,
    /// The answer to a ping, with the ping's payload; or unasked for, a sign of life.
    Pong = 0xA,
}

impl Opcode {
    /// The four bits on the wire.
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Whether it is a control frame: never fragmented, at most [`CONTROL_BYTES`] long.
    pub const fn is_control(self) -> bool {
        match self {
            Self::Continuation | Self::Text | Self::Binary => false,
            Self::Close | Self::Ping | Self::Pong => true,
        }
    }
}

/// The two kinds of message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MessageKind {
    /// UTF-8, which the decoder has checked.
    Text,
    /// Any bytes.
    Binary,
}

impl MessageKind {
    /// The opcode of a message's first (or only) frame.
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// What one message may cost. There is no value for "unlimited".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameLimits {
    /// Longest message, in bytes of payload over all its fragments. Default 65,536; 0 allows empty messages only.
    pub message_bytes: usize,
    /// Number of frames that one message may be cut into, empty ones included. Default 1,024; 1 refuses fragmented
    /// messages, 0 refuses all.
    pub fragments: u32,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { message_bytes: 65_536, fragments: 1_024 }
    }
}

/// What a client sent: a whole message or a control frame.
///
/// Payloads are borrowed from the input when they lay there in one piece, and owned when they had to be collected.
/// `Bytes::from(data.into_owned())` therefore never copies a payload twice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event<'a> {
    /// A whole message; fragments have been put together.
    Message {
        /// Text or binary.
        kind: MessageKind,
        /// The payload, unmasked; valid UTF-8 if `kind` is [`MessageKind::Text`].
        data: Cow<'a, [u8]>,
    },
    /// A ping, to be answered by a pong with the same payload, of 125 bytes at most.
    Ping(Cow<'a, [u8]>),
    /// A pong with its payload, of 125 bytes at most.
    Pong(Cow<'a, [u8]>),
    /// The client's last frame. If the server has not sent its own close frame, it answers with one.
    Close(Option<CloseFrame<'a>>),
}

/// Why a client closes, in its own words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CloseFrame<'a> {
    /// One of the codes for which [`is_close_code`] is true.
    pub code: u16,
    /// At most 123 bytes; often empty.
    pub reason: Cow<'a, str>,
}

/// Whether `code` may stand in a close frame (RFC 6455, section 7.4, and the registry of close codes that it founded).
///
/// It may if it is 1000 to 1014 without 1004 (reserved), 1005 and 1006 (which say that there was no code or no close
/// frame), or 3000 to 4999. 1015, too, exists only to be reported locally.
pub const fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_that_may_be_sent_are_those_of_the_registry_and_the_two_open_ranges() {
        let allowed: Vec<u16> = (0..=u16::MAX).filter(|&code| is_close_code(code)).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(allowed, expected);
    }

    #[test]
    fn opcodes_are_control_exactly_if_their_highest_bit_is_set() {
        let all =
            [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];
        for opcode in all {
            assert_eq!(opcode.is_control(), opcode.bits() & 0x8 != 0, "{opcode:?}");
        }
    }
}
