//! The payload of a measured message: a JSON object that says who sent it, which one it is, and when it was due.

/// Shortest payload that holds a stamp, in bytes.
pub const MIN_SIZE: usize = HEAD.len() + HEX + MIDDLE.len() + TAIL.len();

/// What marks the start of a stamped payload wherever it is embedded.
pub(crate) const HEAD: &[u8] = b"{\"throng\":\"";
const MIDDLE: &[u8] = b"\",\"pad\":\"";
const TAIL: &[u8] = b"\"}";
/// Room, publisher and sequence take 8 digits each, the time 16.
const HEX: usize = 40;

/// Who sent a message, which one it is, and when it was due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    /// Number of the room within this run.
    pub(crate) room: u32,
    /// Number of the publisher within its room.
    pub(crate) publisher: u32,
    /// Position in this publisher's messages, from 0.
    pub(crate) sequence: u32,
    /// When the schedule wanted it sent, in nanoseconds of the run's clock.
    pub(crate) due_ns: u64,
}

impl Stamp {
    /// Appends the payload, padded to `size` bytes (at least [`MIN_SIZE`]).
    pub(crate) fn write(&self, size: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(HEAD);
        for word in [self.room, self.publisher, self.sequence] {
            out.extend_from_slice(&hex8(word));
        }
        let [high, low] = [(self.due_ns >> 32) & 0xFFFF_FFFF, self.due_ns & 0xFFFF_FFFF];
        for half in [high, low] {
            out.extend_from_slice(&hex8(u32::try_from(half).unwrap_or(u32::MAX)));
        }
        out.extend_from_slice(MIDDLE);
        out.resize((start + size).saturating_sub(TAIL.len()).max(out.len()), b'x');
        out.extend_from_slice(TAIL);
    }

    /// Reads a payload of exactly `size` bytes; `None` when it is anything else, also when it was cut or changed at its ends.
    pub(crate) fn read(payload: &[u8], size: usize) -> Option<Self> {
        if payload.len() != size {
            return None;
        }
        let rest = payload.strip_prefix(HEAD)?.strip_suffix(TAIL)?;
        let (hex, rest) = rest.split_first_chunk::<HEX>()?;
        if !rest.starts_with(MIDDLE) {
            return None;
        }
        let (words, _) = hex.as_chunks::<8>();
        let [room, publisher, sequence, high, low] = *words.first_chunk::<5>()?;
        Some(Self {
            room: unhex8(room)?,
            publisher: unhex8(publisher)?,
            sequence: unhex8(sequence)?,
            due_ns: u64::from(unhex8(high)?) << 32 | u64::from(unhex8(low)?),
        })
    }
}

fn hex8(word: u32) -> [u8; 8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; 8];
    for (index, digit) in out.iter_mut().enumerate() {
        *digit = DIGITS[(word >> (28 - 4 * index)) as usize & 0xF];
    }
    out
}

/// Eight digits at once: a delivery reads forty of them, and the generator takes millions of deliveries per second.
fn unhex8(text: [u8; 8]) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_be_bytes(text);
    // Per byte, 0x80 where it is a decimal digit and where it is a letter a to f; sums cannot carry below 0x80.
    let ascii = word & (ONES * 0x80) == 0;
    let at_least = |low: u8| (word + ONES * u64::from(0x80 - low)) & (ONES * 0x80);
    if !ascii {
        return None;
    }
    let digit = at_least(b'0') & !at_least(b'9' + 1);
    let letter = at_least(b'a') & !at_least(b'f' + 1);
    if digit | letter != ONES * 0x80 {
        return None;
    }
    let nibbles = (word & (ONES * 0x0F)) + (letter >> 7) * 9;
    let pairs = (nibbles | nibbles >> 4) & 0x00FF_00FF_00FF_00FF;
    let quads = (pairs | pairs >> 8) & 0x0000_FFFF_0000_FFFF;
    u32::try_from((quads | quads >> 16) & 0xFFFF_FFFF).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_survives_its_payload(room: u32, publisher: u32, sequence: u32, due_ns: u64, extra in 0usize..200) {
            let stamp = Stamp { room, publisher, sequence, due_ns };
            let mut payload = Vec::new();
            stamp.write(MIN_SIZE + extra, &mut payload);
            prop_assert_eq!(payload.len(), MIN_SIZE + extra);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&payload).is_ok());
            prop_assert_eq!(Stamp::read(&payload, MIN_SIZE + extra), Some(stamp));
        }

        #[test]
        fn eight_bytes_are_hex_exactly_when_the_standard_library_says_so(text: [u8; 8]) {
            let lower = text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            let expected = lower.then(|| u32::from_str_radix(std::str::from_utf8(&text).unwrap(), 16).unwrap());
            prop_assert_eq!(unhex8(text), expected);
        }

        #[test]
        fn hex_digits_are_read_back(word: u32) {
            prop_assert_eq!(unhex8(hex8(word)), Some(word));
            prop_assert_eq!(hex8(word).to_vec(), format!("{word:08x}").into_bytes());
        }
    }

    #[test]
    fn every_single_wrong_digit_is_refused() {
        for byte in 0..=255 {
            let good = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            for place in 0..8 {
                let mut text = *b"0123cdef";
                text[place] = byte;
                assert_eq!(unhex8(text).is_some(), good, "byte {byte} at {place}");
            }
        }
    }

    #[test]
    fn a_cut_or_changed_payload_is_no_stamp() {
        let mut payload = Vec::new();
        Stamp { room: 1, publisher: 2, sequence: 3, due_ns: 4 }.write(128, &mut payload);
        assert_eq!(Stamp::read(&payload[..127], 128), None);
        assert_eq!(Stamp::read(&payload[..127], 127), None);
        payload[12] = b'G';
        assert_eq!(Stamp::read(&payload, 128), None);
    }
}
