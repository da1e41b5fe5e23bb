//! Delta compression in the format of Fossil: a patch says how to make a *target* from a *source* that the other side
//! already has, here the previous payload of a channel.
//!
//! A patch is `<length of the target>\n`, then commands, then `<checksum of the target>;`. The commands are
//! `<length>@<offset>,` (copy from the source) and `<length>:<bytes>` (insert). Numbers are big-endian in base 64
//! with the digits `0-9A-Z_a-z~`. The checksum is the sum, modulo 2^32, of the target's big-endian 32-bit words, the
//! last one filled up with zeros.
//!
//! ```
//! use throng_protocol::fossil;
//!
//! let (source, target) = (b"{\"price\": 12, \"unit\": \"EUR\"}", b"{\"price\": 13, \"unit\": \"EUR\"}");
//! let patch = fossil::diff(source, target);
//! assert_eq!(patch, b"S\nC:{\"price\": 13G@C,18dU8W;");
//! assert_eq!(fossil::apply(source, &patch, 1024)?, target);
//! # Ok::<(), fossil::PatchError>(())
//! ```

mod apply;
mod diff;

pub use apply::{PatchError, apply};
pub use diff::diff;

fn checksum(target: &[u8]) -> u32 {
    let mut words = target.chunks_exact(4);
    let sum = (words.by_ref())
        .fold(0_u32, |sum, word| sum.wrapping_add(u32::from_be_bytes([word[0], word[1], word[2], word[3]])));
    let mut last = [0; 4];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    sum.wrapping_add(u32::from_be_bytes(last))
}

#[cfg(test)]
mod tests;
