//! Messages in, frame bytes out.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{CONTROL_BYTES, Opcode, is_close_code};

/// Longest header of an unmasked frame, in bytes.
const HEADER_BYTES: usize = 10;

/// Longest reason that fits into a close frame beside its code, in bytes.
const REASON_BYTES: usize = CONTROL_BYTES - 2;

/// Makes a whole frame in an allocation of exactly its size.
///
/// The payload of a control frame is at most [`CONTROL_BYTES`] long; that is the caller's duty, and so is valid UTF-8 in a
/// text frame.
pub fn encode(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(header_len(payload.len()) + payload.len());
    encode_into(opcode, payload, &mut out);
    out.freeze()
}

/// Appends a whole frame to `out`, which grows if it has to; the rules are those of [`encode`].
pub fn encode_into(opcode: Opcode, payload: &[u8], out: &mut BytesMut) {
    debug_assert!(!opcode.is_control() || payload.len() <= CONTROL_BYTES, "control frame too long");
    let (header, len) = header(opcode, payload.len());
    out.reserve(len + payload.len());
    out.put_slice(&header[..len]);
    out.put_slice(payload);
}

/// Makes a whole frame whose payload `write` appends to the empty buffer that it is given; the rules are those of [`encode`].
///
/// With a `payload_hint` in bytes that is exact or a little high, the payload is written once and not moved, and the frame's
/// allocation exceeds it by a few bytes. A wrong hint costs copies, never memory: a frame may be kept for long, so one
/// that would keep much more than its own size alive moves to an allocation of its own.
///
/// For small payloads it is as cheap to write to a buffer that is used again and again, and to [`encode`] that.
pub fn encode_with(opcode: Opcode, payload_hint: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    // The buffer is split, so that `write` finds it empty and cannot reach the space for the header in front.
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + payload_hint);
    frame.put_bytes(0, HEADER_BYTES);
    let mut payload = frame.split_off(HEADER_BYTES);
    write(&mut payload);
    debug_assert!(!opcode.is_control() || payload.len() <= CONTROL_BYTES, "control frame too long");

    let (header, len) = header(opcode, payload.len());
    frame[HEADER_BYTES - len..].copy_from_slice(&header[..len]);
    frame.unsplit(payload);
    let wasted = frame.capacity() - frame.len();
    frame.advance(HEADER_BYTES - len);
    if wasted > WASTE_BYTES + frame.len() / 4 { Bytes::copy_from_slice(&frame) } else { frame.freeze() }
}

/// Bytes that a frame of [`encode_with`] may waste, whatever its size; a quarter of its size is allowed on top.
const WASTE_BYTES: usize = 32;

/// Makes a close frame. A reason of more than 123 bytes is cut there, or before the character that does not fit.
///
/// `code` must be one that [`is_close_code`] allows; that is the caller's duty. To close without a code, encode an empty
/// payload.
pub fn encode_close(code: u16, reason: &str) -> Bytes {
    debug_assert!(is_close_code(code), "close code {code} must not be sent");
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES)];
    let mut payload = [0; CONTROL_BYTES];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
    encode(Opcode::Close, &payload[..2 + reason.len()])
}

/// The header of a final, unmasked frame, and how many of the bytes are in use.
fn header(opcode: Opcode, payload_len: usize) -> ([u8; HEADER_BYTES], usize) {
    let mut header = [0; HEADER_BYTES];
    header[0] = 0x80 | opcode.bits();
    if let Ok(len @ 0..=125) = u8::try_from(payload_len) {
        header[1] = len;
        (header, 2)
    } else if let Ok(len) = u16::try_from(payload_len) {
        header[1] = 126;
        header[2..4].copy_from_slice(&len.to_be_bytes());
        (header, 4)
    } else {
        header[1] = 127;
        header[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
        (header, 10)
    }
}

/// Length of the header of a frame with `payload_len` bytes of payload.
const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=65_535 => 4,
        _ => 10,
    }
}
