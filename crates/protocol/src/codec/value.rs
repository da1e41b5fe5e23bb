//! The single values that have no fields of their own.

use std::borrow::Cow;

use bytes::BytesMut;

use super::field::Value;
use super::json;
use super::protobuf::{self, WireType, WireValue};
use super::shape::Kind;
use crate::{DecodeError, Payload};

impl Value for bool {
    const WIRE_TYPE: WireType = WireType::Varint;

    fn kind() -> Kind {
        Kind::Boolean
    }

    fn is_default(&self) -> bool {
        !self
    }

    fn write_json(&self, out: &mut BytesMut) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn read_json(reader: &mut json::Reader<'_>) -> Result<Self, DecodeError> {
        reader.boolean()
    }

    fn bare_len(&self) -> usize {
        1
    }

    fn put_bare(&self, out: &mut BytesMut) {
        protobuf::put_varint(u64::from(*self), out);
    }

    fn from_wire(value: WireValue<'_>) -> Result<Self, DecodeError> {
        Ok(value.varint()? != 0)
    }
}

/// Integers. Protobuf cuts a varint to the field's width and sends negative numbers as 64 bits.
macro_rules! integer_value {
    ($($integer:ty: $write:ident, $cut:expr;)+) => {$(
        impl Value for $integer {
            const WIRE_TYPE: WireType = WireType::Varint;

            fn kind() -> Kind {
                Kind::Integer { min: Self::MIN.into(), max: Self::MAX.into() }
            }

            fn is_default(&self) -> bool {
                *self == 0
            }

            fn write_json(&self, out: &mut BytesMut) {
                json::$write((*self).into(), out);
            }

            fn read_json(reader: &mut json::Reader<'_>) -> Result<Self, DecodeError> {
                reader.integer()
            }

            fn bare_len(&self) -> usize {
                protobuf::varint_len(*self as u64)
            }

            fn put_bare(&self, out: &mut BytesMut) {
                protobuf::put_varint(*self as u64, out);
            }

            fn from_wire(value: WireValue<'_>) -> Result<Self, DecodeError> {
                value.varint().map($cut)
            }
        }
    )+};
}

integer_value! {
    u32: write_unsigned, |number| (number & 0xffff_ffff) as u32;
    u64: write_unsigned, |number| number;
    i32: write_signed, |number| ((number & 0xffff_ffff) as u32).cast_signed();
    i64: write_signed, u64::cast_signed;
}

impl Value for String {
    const WIRE_TYPE: WireType = WireType::Bytes;

    fn kind() -> Kind {
        Kind::Text
    }

    fn is_default(&self) -> bool {
        self.is_empty()
    }

    fn write_json(&self, out: &mut BytesMut) {
        json::write_string(self, out);
    }

    fn read_json(reader: &mut json::Reader<'_>) -> Result<Self, DecodeError> {
        Ok(reader.string()?.into_owned())
    }

    fn bare_len(&self) -> usize {
        protobuf::prefixed(self.len())
    }

    fn put_bare(&self, out: &mut BytesMut) {
        protobuf::put_bytes(self.as_bytes(), out);
    }

    fn from_wire(value: WireValue<'_>) -> Result<Self, DecodeError> {
        Ok(value.text()?.to_owned())
    }
}

impl Value for Cow<'static, str> {
    const WIRE_TYPE: WireType = WireType::Bytes;

    fn kind() -> Kind {
        Kind::Text
    }

    fn is_default(&self) -> bool {
        self.is_empty()
    }

    fn write_json(&self, out: &mut BytesMut) {
        json::write_string(self, out);
    }

    fn read_json(reader: &mut json::Reader<'_>) -> Result<Self, DecodeError> {
        String::read_json(reader).map(Cow::Owned)
    }

    fn bare_len(&self) -> usize {
        protobuf::prefixed(self.len())
    }

    fn put_bare(&self, out: &mut BytesMut) {
        protobuf::put_bytes(self.as_bytes(), out);
    }

    fn from_wire(value: WireValue<'_>) -> Result<Self, DecodeError> {
        String::from_wire(value).map(Cow::Owned)
    }
}

/// Any JSON value, `null` too.
impl Value for Payload {
    const WIRE_TYPE: WireType = WireType::Bytes;

    fn kind() -> Kind {
        Kind::Json
    }

    fn is_default(&self) -> bool {
        self.is_empty()
    }

    fn write_json(&self, out: &mut BytesMut) {
        json::write_raw(self.as_bytes(), out);
    }

    fn read_json(reader: &mut json::Reader<'_>) -> Result<Self, DecodeError> {
        reader.raw().map(Self::new)
    }

    fn bare_len(&self) -> usize {
        protobuf::prefixed(self.len())
    }

    fn put_bare(&self, out: &mut BytesMut) {
        protobuf::put_bytes(self.as_bytes(), out);
    }

    fn from_wire(value: WireValue<'_>) -> Result<Self, DecodeError> {
        value.bytes().map(Self::new)
    }
}

/// Protobuf's `sint64`: small numbers of either sign get short varints.
pub(crate) const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// Undoes [`zigzag`].
pub(crate) const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::{unzigzag, zigzag};

    #[test]
    fn zigzag_alternates_signs() {
        for (number, code) in
            [(0, 0), (-1, 1), (1, 2), (-2, 3), (i64::MAX, u64::MAX - 1), (i64::MIN, u64::MAX)]
        {
            assert_eq!((zigzag(number), unzigzag(code)), (code, number));
        }
    }
}
