//! The header of a client's frame (RFC 6455, section 5.2).

use std::mem;

use super::mask::Key;
use super::{CONTROL_BYTES, FrameError, MessageKind, Opcode};

/// Longest header of a masked frame, in bytes.
const HEADER_BYTES: usize = 14;

/// The beginning of a header whose rest has not come yet.
pub(super) struct PartialHeader {
    bytes: [u8; HEADER_BYTES],
    len: usize,
}

impl PartialHeader {
    pub(super) const NONE: Self = Self { bytes: [0; HEADER_BYTES], len: 0 };

    pub(super) const fn has_begun(&self) -> bool {
        self.len > 0
    }

    /// Completes the header from the beginning of `input`; returns it, and how much of `input` belongs to it. If there
    /// is too little, all of it is stored.
    #[inline]
    pub(super) fn read(&mut self, input: &[u8]) -> Result<Option<(Header, usize)>, FrameError> {
        if self.len == 0
            && let Some(whole) = Header::parse(input)?
        {
            return Ok(Some(whole));
        }
        self.collect(input)
    }

    /// Reads a header that came, or is coming, in pieces.
    fn collect(&mut self, input: &[u8]) -> Result<Option<(Header, usize)>, FrameError> {
        let free = &mut self.bytes[self.len..];
        let more = free.len().min(input.len());
        free[..more].copy_from_slice(&input[..more]);
        let had = mem::replace(&mut self.len, 0);
        match Header::parse(&self.bytes[..had + more])? {
            Some((header, len)) => Ok(Some((header, len - had))),
            None => {
                self.len = had + more;
                Ok(None)
            }
        }
    }
}

/// A frame's header, with all rules kept that concern it alone.
pub(super) struct Header {
    pub(super) carries: Carries,
    pub(super) fin: bool,
    pub(super) key: Key,
}

/// What a frame contributes; `len` is the length of its payload in bytes.
pub(super) enum Carries {
    /// A whole message or its first fragment.
    Message {
        kind: MessageKind,
        len: u64,
    },
    Continuation {
        len: u64,
    },
    Control {
        kind: Control,
        len: u8,
    },
}

#[derive(Clone, Copy)]
pub(super) enum Control {
    Close,
    Ping,
    Pong,
}

impl Header {
    /// Reads the header at the beginning of `bytes`; returns it with its length, or nothing if it is not complete.
    /// Faults are reported even if the bytes behind them are missing.
    #[inline]
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let fin = first & 0x80 != 0;
        // An extension such as permessage-deflate would take its bit out of this check.
        if first & 0x70 != 0 {
            return Err(FrameError::ReservedBits(first & 0x70));
        }
        let opcode = opcode(first & 0x0f)?;
        if opcode.is_control() && !fin {
            return Err(FrameError::FragmentedControl(opcode));
        }

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(FrameError::Unmasked);
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES {
            return Err(FrameError::ControlTooLong(opcode));
        }
        let Some((len, behind)) = payload_len(short, &bytes[2..])? else { return Ok(None) };
        let Some(&key) = behind.first_chunk() else { return Ok(None) };

        let carries = match opcode {
            Opcode::Continuation => Carries::Continuation { len },
            Opcode::Text => Carries::Message { kind: MessageKind::Text, len },
            Opcode::Binary => Carries::Message { kind: MessageKind::Binary, len },
            Opcode::Close => Carries::Control { kind: Control::Close, len: short },
            Opcode::Ping => Carries::Control { kind: Control::Ping, len: short },
            Opcode::Pong => Carries::Control { kind: Control::Pong, len: short },
        };
        let header_len = bytes.len() - behind.len() + key.len();
        Ok(Some((Self { carries, fin, key: Key(key) }, header_len)))
    }
}

const fn opcode(bits: u8) -> Result<Opcode, FrameError> {
    Ok(match bits {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xA => Opcode::Pong,
        unknown => return Err(FrameError::UnknownOpcode(unknown)),
    })
}

/// The length of the payload, given the seven bits of the second byte and the bytes behind it; and what is left of those.
const fn payload_len(short: u8, behind: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
    let (bytes, least, behind) = match short {
        126 => match behind.split_first_chunk() {
            Some((len, behind)) => (u16::from_be_bytes(*len) as u64, 126, behind),
            None => return Ok(None),
        },
        127 => match behind.split_first_chunk() {
            Some((len, behind)) => (u64::from_be_bytes(*len), 65_536, behind),
            None => return Ok(None),
        },
        _ => (short as u64, 0, behind),
    };
    if bytes > i64::MAX as u64 {
        Err(FrameError::LengthOutOfRange { bytes })
    } else if bytes < least {
        Err(FrameError::LengthNotMinimal { bytes })
    } else {
        Ok(Some((bytes, behind)))
    }
}
