use std::cell::Cell;

use bytes::{Buf, Bytes};

use crate::{DecodeError, Format, Limits};

/// How a field's value is framed; the low three bits of its key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
}

/// Cuts the first message of a frame off, without its length.
pub(crate) fn cut(frame: &mut Bytes, max: usize) -> Result<Bytes, DecodeError> {
    let Some((len, read)) = varint(frame) else {
        return Err(malformed(0, "a length"));
    };
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len > max {
        return Err(DecodeError::TooLong { bytes: len, max });
    }
    frame.advance(read);
    if len > frame.len() {
        return Err(malformed(frame.len(), "more bytes"));
    }
    Ok(frame.split_to(len))
}

/// What all values of one message share.
pub(crate) struct Context<'a> {
    message: &'a Bytes,
    nesting: usize,
    elements: usize,
    elements_seen: Cell<usize>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(message: &'a Bytes, limits: &Limits) -> Self {
        Self {
            message,
            nesting: limits.nesting.min(Limits::MAX_NESTING),
            elements: limits.elements,
            elements_seen: Cell::new(0),
        }
    }

    /// The message as the value of a field.
    pub(crate) const fn root(&'a self) -> WireValue<'a> {
        WireValue { context: self, position: 0, depth: 0, content: Content::Bytes(self.message.len()) }
    }
}

/// The value of one field, not yet understood.
#[derive(Clone, Copy)]
pub(crate) struct WireValue<'a> {
    context: &'a Context<'a>,
    /// Where the content starts in the message.
    position: usize,
    /// How many messages are around it.
    depth: usize,
    content: Content,
}

#[derive(Clone, Copy)]
enum Content {
    Varint(u64),
    /// So many bytes at `position`.
    Bytes(usize),
    /// So many bytes at `position`: 4, which no field of ours has, or 8.
    Fixed(usize),
}

impl<'a> WireValue<'a> {
    pub(crate) fn varint(self) -> Result<u64, DecodeError> {
        match self.content {
            Content::Varint(number) => Ok(number),
            Content::Bytes(_) | Content::Fixed(_) => Err(malformed(self.position, "a varint field")),
        }
    }

    pub(crate) fn fixed64(self) -> Result<u64, DecodeError> {
        let bytes = match self.content {
            Content::Fixed(8) => self.context.message[self.position..].first_chunk(),
            Content::Varint(_) | Content::Bytes(_) | Content::Fixed(_) => None,
        };
        bytes
            .map(|bytes| u64::from_le_bytes(*bytes))
            .ok_or_else(|| malformed(self.position, "a field of 64 bits"))
    }

    /// The value as a slice of the frame: nothing is copied.
    pub(crate) fn bytes(self) -> Result<Bytes, DecodeError> {
        Ok(self.context.message.slice_ref(self.slice()?))
    }

    pub(crate) fn text(self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.slice()?)
            .map_err(|error| malformed(self.position + error.valid_up_to(), "UTF-8"))
    }

    /// Gives the fields of the message in this value to `each`, in order.
    pub(crate) fn fields(
        self,
        mut each: impl FnMut(u32, Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.depth == self.context.nesting {
            return Err(DecodeError::TooDeep { max: self.context.nesting });
        }
        let end = self.position + self.slice()?.len();
        let mut at = self.position;
        while at < end {
            let (number, value) = self.field(&mut at, end)?;
            each(number, value)?;
        }
        Ok(())
    }

    /// Counts an element of a list or map against the limit.
    pub(crate) fn count_element(self) -> Result<(), DecodeError> {
        let seen = &self.context.elements_seen;
        if seen.get() == self.context.elements {
            return Err(DecodeError::TooManyElements { max: self.context.elements });
        }
        seen.set(seen.get() + 1);
        Ok(())
    }

    fn slice(self) -> Result<&'a [u8], DecodeError> {
        match self.content {
            Content::Bytes(len) => Ok(&self.context.message[self.position..self.position + len]),
            Content::Varint(_) | Content::Fixed(_) => Err(malformed(self.position, "a field with a length")),
        }
    }

    /// Reads the field at `at`, which belongs to a message that stops at `end`.
    fn field(self, at: &mut usize, end: usize) -> Result<(u32, Self), DecodeError> {
        let start = *at;
        let key = self.read_varint(at, end)?;
        let content = match key & 7 {
            0 => Content::Varint(self.read_varint(at, end)?),
            1 => Content::Fixed(8),
            2 => Content::Bytes(usize::try_from(self.read_varint(at, end)?).unwrap_or(usize::MAX)),
            5 => Content::Fixed(4),
            // Groups (3 and 4) are not part of proto3; 6 and 7 have no meaning.
            _ => return Err(malformed(start, "a known kind of field")),
        };
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| malformed(start, "a field number"))?;
        let (Content::Bytes(len) | Content::Fixed(len)) = content else {
            return Ok((number, self.inner(*at, content)));
        };
        if len > end - *at {
            return Err(malformed(end, "more bytes"));
        }
        let value = self.inner(*at, content);
        *at += len;
        Ok((number, value))
    }

    const fn inner(self, position: usize, content: Content) -> Self {
        Self { context: self.context, position, depth: self.depth + 1, content }
    }

    fn read_varint(self, at: &mut usize, end: usize) -> Result<u64, DecodeError> {
        let (number, read) =
            varint(&self.context.message[*at..end]).ok_or_else(|| malformed(*at, "a varint"))?;
        *at += read;
        Ok(number)
    }
}

/// The varint at the start of `bytes` and its length; none if it is cut short or does not fit 64 bits.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        number |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, index + 1));
        }
    }
    None
}

const fn malformed(position: usize, expected: &'static str) -> DecodeError {
    DecodeError::Malformed { format: Format::Protobuf, position, expected }
}

#[cfg(test)]
mod tests {
    use super::varint;

    #[test]
    fn a_varint_holds_64_bits_and_no_more() {
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(varint(&max), Some((u64::MAX, 10)));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), None);
        assert_eq!(varint(&[0xff; 11]), None);
    }

    #[test]
    fn a_varint_that_is_cut_short_is_none() {
        assert_eq!(varint(&[]), None);
        assert_eq!(varint(&[0x80, 0x80]), None);
        assert_eq!(varint(&[0xac, 0x02, 0xff]), Some((300, 2)));
    }
}
