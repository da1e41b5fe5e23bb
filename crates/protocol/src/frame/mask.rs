//! Masking of client frames (RFC 6455, section 5.3).

/// The key of one frame, turned so that its first byte belongs to the next byte of payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Key(pub(super) [u8; 4]);

impl Key {
    /// Unmasks the next bytes of the frame where they lie, and turns the key for those that follow.
    pub(super) fn unmask(&mut self, payload: &mut [u8]) {
        let Self(key) = *self;
        let wide: [u8; BLOCK] = std::array::from_fn(|at| key[at % 4]);
        let (blocks, tail) = payload.as_chunks_mut::<BLOCK>();
        for block in blocks {
            for (byte, key) in block.iter_mut().zip(wide) {
                *byte ^= key;
            }
        }
        let (words, rest) = tail.as_chunks_mut::<4>();
        for word in words {
            *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(key) {
            *byte ^= key;
        }
        self.0 = std::array::from_fn(|at| key[(at + payload.len()) % 4]);
    }
}

/// Bytes per step of the main loop: a multiple of the key's length, and of every vector register that the compiler may
/// choose for the loop over a block.
const BLOCK: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// The RFC's definition, byte by byte.
    fn reference(payload: &[u8]) -> Vec<u8> {
        payload.iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]).collect()
    }

    fn masked(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at * 7 % 256).unwrap()).collect()
    }

    #[test]
    fn unmasking_follows_the_definition_at_every_length() {
        for len in 0..=3 * BLOCK + 5 {
            let mut payload = masked(len);
            Key(KEY).unmask(&mut payload);
            assert_eq!(payload, reference(&masked(len)), "length {len}");
        }
    }

    #[test]
    fn unmasking_in_two_pieces_equals_unmasking_the_whole() {
        let len = 2 * BLOCK + 7;
        for cut in 0..=len {
            let mut payload = masked(len);
            let mut key = Key(KEY);
            let (head, tail) = payload.split_at_mut(cut);
            key.unmask(head);
            key.unmask(tail);
            assert_eq!(payload, reference(&masked(len)), "cut at {cut}");
        }
    }
}
