//! The little of RFC 6455 framing that a load generator and a floor baseline need: read a header, write a frame.

/// Longest frame header: 2 bytes, 8 bytes of length, 4 bytes of mask.
pub(crate) const MAX_HEADER: usize = 14;
/// Longest payload of a control frame (RFC 6455 section 5.5).
pub(crate) const MAX_CONTROL: u64 = 125;

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// A frame header as it stands on the wire; nothing about it is judged yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    /// The frame is the last of its message.
    pub(crate) fin: bool,
    /// Any of the three reserved bits is set.
    pub(crate) reserved: bool,
    pub(crate) opcode: u8,
    pub(crate) mask: Option<[u8; 4]>,
    /// Payload bytes after the header.
    pub(crate) payload: u64,
    /// Bytes of the header itself.
    pub(crate) size: usize,
}

impl Header {
    /// Reads a header from the front of `bytes`; `None` when it is not complete yet.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (payload, mut size) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let mut mask = None;
        if second & 0x80 != 0 {
            mask = Some(*bytes.get(size..size + 4)?.first_chunk()?);
            size += 4;
        }
        Some(Self {
            fin: first & 0x80 != 0,
            reserved: first & 0x70 != 0,
            opcode: first & 0x0F,
            mask,
            payload,
            size,
        })
    }

    /// Control frames have the high bit of the opcode set.
    pub(crate) const fn is_control(&self) -> bool {
        self.opcode & 0x8 != 0
    }
}

/// Appends one whole frame as a client sends it, masked with `mask`.
pub(crate) fn write_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    write_header(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask);
}

/// Appends one whole frame as a server sends it.
pub(crate) fn write_plain(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    write_header(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// Masks or unmasks `bytes` in place, eight at a time.
pub(crate) fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

fn write_header(out: &mut Vec<u8>, opcode: u8, payload: usize, mask_bit: u8) {
    out.push(0x80 | opcode);
    match payload {
        0..126 => out.push(mask_bit | u8::try_from(payload).unwrap_or(125)),
        126..=0xFFFF => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&u16::try_from(payload).unwrap_or(u16::MAX).to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_form_is_read_back_as_written() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let payload = vec![b'x'; length];
            let mut out = Vec::new();
            write_plain(&mut out, TEXT, &payload);
            let header = Header::parse(&out).unwrap();
            assert_eq!((header.fin, header.opcode, header.mask), (true, TEXT, None));
            assert_eq!(header.payload, length as u64);
            assert_eq!(&out[header.size..], &payload[..]);
        }
    }

    #[test]
    fn a_masked_frame_unmasks_to_its_payload() {
        let payload: Vec<u8> = (0..=200).collect();
        let mut out = Vec::new();
        write_masked(&mut out, BINARY, &payload, [1, 2, 3, 250]);
        let header = Header::parse(&out).unwrap();
        assert_eq!(header.mask, Some([1, 2, 3, 250]));
        let body = &mut out[header.size..];
        assert_ne!(&body[..], &payload[..]);
        apply_mask(body, [1, 2, 3, 250]);
        assert_eq!(&body[..], &payload[..]);
    }

    #[test]
    fn a_cut_header_asks_for_more() {
        let mut out = Vec::new();
        write_masked(&mut out, TEXT, &[0; 70_000], [9; 4]);
        for cut in 0..MAX_HEADER {
            assert_eq!(Header::parse(&out[..cut]), None, "cut after {cut} bytes");
        }
        assert!(Header::parse(&out[..MAX_HEADER]).is_some());
    }
}
