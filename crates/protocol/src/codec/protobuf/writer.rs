use bytes::BytesMut;

use super::WireType;

/// Length of a varint, in bytes: seven bits each.
pub(crate) const fn varint_len(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Length of a field's key, in bytes.
pub(crate) const fn key_len(number: u32) -> usize {
    varint_len((number as u64) << 3)
}

/// Length of `len` bytes with their length in front.
pub(crate) const fn prefixed(len: usize) -> usize {
    varint_len(len as u64) + len
}

pub(crate) fn put_varint(mut number: u64, out: &mut BytesMut) {
    let mut bytes = [0_u8; 10];
    let mut used = 0;
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        bytes[used] = if number == 0 { low } else { low | 0x80 };
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&bytes[..used]);
}

pub(crate) fn put_key(number: u32, wire_type: WireType, out: &mut BytesMut) {
    put_varint(u64::from(number) << 3 | wire_type as u64, out);
}

/// Writes the length that stands in front of a message.
pub(crate) fn put_len(len: usize, out: &mut BytesMut) {
    put_varint(len as u64, out);
}

pub(crate) fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    put_len(bytes.len(), out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_the_length_that_is_foretold() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX]);
        for number in edges {
            let mut out = BytesMut::new();
            put_varint(number, &mut out);
            assert_eq!(out.len(), varint_len(number), "{number}");
        }
    }
}
