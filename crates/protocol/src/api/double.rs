use bytes::BytesMut;

use crate::DecodeError;
use crate::codec::field::Value;
use crate::codec::json::{self, Reader};
use crate::codec::protobuf::{WireType, WireValue};
use crate::codec::shape::Kind;

/// A number with a fraction. Two are equal if their bits are; in JSON one that is not finite becomes 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Double(pub f64);

impl PartialEq for Double {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Double {}

impl From<f64> for Double {
    fn from(number: f64) -> Self {
        Self(number)
    }
}

impl Value for Double {
    const WIRE_TYPE: WireType = WireType::Fixed64;

    fn kind() -> Kind {
        Kind::Number
    }

    /// Minus zero is another number, as in proto3.
    fn is_default(&self) -> bool {
        *self == Self(0.0)
    }

    fn write_json(&self, out: &mut BytesMut) {
        json::write_double(self.0, out);
    }

    fn read_json(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.double().map(Self)
    }

    fn bare_len(&self) -> usize {
        8
    }

    fn put_bare(&self, out: &mut BytesMut) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn from_wire(value: WireValue<'_>) -> Result<Self, DecodeError> {
        value.fixed64().map(|bits| Self(f64::from_bits(bits)))
    }
}
