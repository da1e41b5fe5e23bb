//! How the fields of the message tables are read and written, in both formats.

use std::collections::BTreeMap;

use bytes::BytesMut;

use super::json::{self, Object};
use super::protobuf::{self, WireType, WireValue};
use super::shape::{Alternative, Kind, Shape};
use crate::DecodeError;

/// A message: a struct declared with `message!`.
pub(crate) trait Message: Default {
    /// The table.
    const SHAPE: &'static Shape;
    /// Writes the members of the JSON object.
    fn write_members(&self, object: &mut Object<'_>);
    /// Reads the value of the member `key`; a key that the table does not have is skipped.
    fn read_member(&mut self, key: &str, reader: &mut json::Reader<'_>) -> Result<(), DecodeError>;
    /// Length of the Protobuf fields, in bytes.
    fn fields_len(&self) -> usize;
    /// Writes the Protobuf fields.
    fn put_fields(&self, out: &mut BytesMut);
    /// Takes one Protobuf field; a number that the table does not have is ignored.
    fn take_field(&mut self, number: u32, value: WireValue<'_>) -> Result<(), DecodeError>;
}

/// One of several messages: an enum declared with `choice!`. What no variant reads is left to the caller as `None`.
pub(crate) trait Choice: Sized {
    /// The table.
    const SHAPES: &'static [Alternative];
    /// Reads the value of the member `key`, if that is one of the choices; else nothing is read.
    fn read_member(key: &str, reader: &mut json::Reader<'_>) -> Result<Option<Self>, DecodeError>;
    /// Writes the choice as a member of a JSON object.
    fn write_member(&self, object: &mut Object<'_>);
    /// Writes the choice without its key.
    fn write_value(&self, out: &mut BytesMut);
    /// Reads the Protobuf field, if its number is one of the choices.
    fn from_field(number: u32, value: WireValue<'_>) -> Result<Option<Self>, DecodeError>;
    /// Length of the choice as a Protobuf field, in bytes.
    fn field_len(&self) -> usize;
    /// Writes the choice as a Protobuf field.
    fn put_field(&self, out: &mut BytesMut);
}

/// A single value: a scalar, a text, a payload, a message. In JSON `null` reads as the zero value.
pub(crate) trait Value: Sized {
    /// How Protobuf frames the value.
    const WIRE_TYPE: WireType;
    /// What it is, for descriptions.
    fn kind() -> Kind;
    /// True for the value that is left out.
    fn is_default(&self) -> bool;
    /// Writes JSON.
    fn write_json(&self, out: &mut BytesMut);
    /// Reads JSON.
    fn read_json(reader: &mut json::Reader<'_>) -> Result<Self, DecodeError>;
    /// Length in Protobuf without the key, in bytes.
    fn bare_len(&self) -> usize;
    /// Writes Protobuf without the key.
    fn put_bare(&self, out: &mut BytesMut);
    /// Reads Protobuf.
    fn from_wire(value: WireValue<'_>) -> Result<Self, DecodeError>;

    /// Reads Protobuf once more: the last value counts, but messages are merged.
    fn merge_wire(&mut self, value: WireValue<'_>) -> Result<(), DecodeError> {
        *self = Self::from_wire(value)?;
        Ok(())
    }
}

/// What a table's field can be: a value, an optional message, a list or a map.
pub(crate) trait Field {
    /// What it is, for descriptions.
    fn kind() -> Kind;
    /// True for a field that is left out.
    fn is_zero(&self) -> bool;
    /// Writes JSON.
    fn write(&self, out: &mut BytesMut);
    /// Reads JSON.
    fn read(&mut self, reader: &mut json::Reader<'_>) -> Result<(), DecodeError>;
    /// Length in Protobuf with the key (with every key, in lists and maps), in bytes.
    fn field_len(&self, number: u32) -> usize;
    /// Writes Protobuf with the key.
    fn put_field(&self, number: u32, out: &mut BytesMut);
    /// Reads Protobuf. Lists and maps grow, the rest is read as by [`Value::merge_wire`].
    fn merge(&mut self, value: WireValue<'_>) -> Result<(), DecodeError>;
}

impl<V: Value> Field for V {
    fn kind() -> Kind {
        <V as Value>::kind()
    }

    fn is_zero(&self) -> bool {
        self.is_default()
    }

    fn write(&self, out: &mut BytesMut) {
        self.write_json(out);
    }

    fn read(&mut self, reader: &mut json::Reader<'_>) -> Result<(), DecodeError> {
        *self = Value::read_json(reader)?;
        Ok(())
    }

    fn field_len(&self, number: u32) -> usize {
        protobuf::key_len(number) + self.bare_len()
    }

    fn put_field(&self, number: u32, out: &mut BytesMut) {
        protobuf::put_key(number, V::WIRE_TYPE, out);
        self.put_bare(out);
    }

    fn merge(&mut self, value: WireValue<'_>) -> Result<(), DecodeError> {
        self.merge_wire(value)
    }
}

impl<M: Message> Field for Option<M> {
    fn kind() -> Kind {
        <M as Value>::kind()
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }

    fn write(&self, out: &mut BytesMut) {
        if let Some(message) = self {
            message.write_json(out);
        }
    }

    fn read(&mut self, reader: &mut json::Reader<'_>) -> Result<(), DecodeError> {
        *self = if reader.take_null() { None } else { Some(Value::read_json(reader)?) };
        Ok(())
    }

    fn field_len(&self, number: u32) -> usize {
        self.as_ref().map_or(0, |message| message.field_len(number))
    }

    fn put_field(&self, number: u32, out: &mut BytesMut) {
        if let Some(message) = self {
            message.put_field(number, out);
        }
    }

    fn merge(&mut self, value: WireValue<'_>) -> Result<(), DecodeError> {
        self.get_or_insert_default().merge_wire(value)
    }
}

impl<V: Value> Field for Vec<V> {
    fn kind() -> Kind {
        Kind::List(Box::new(<V as Value>::kind()))
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, out: &mut BytesMut) {
        json::write_array(self, out);
    }

    fn read(&mut self, reader: &mut json::Reader<'_>) -> Result<(), DecodeError> {
        self.clear();
        reader.array(|reader| {
            reader.count_element()?;
            self.push(Value::read_json(reader)?);
            Ok(())
        })
    }

    fn field_len(&self, number: u32) -> usize {
        self.iter().map(|value| value.field_len(number)).sum()
    }

    fn put_field(&self, number: u32, out: &mut BytesMut) {
        for value in self {
            value.put_field(number, out);
        }
    }

    fn merge(&mut self, value: WireValue<'_>) -> Result<(), DecodeError> {
        value.count_element()?;
        self.push(Value::from_wire(value)?);
        Ok(())
    }
}

/// Protobuf sends a map as a list of messages with field 1 for the key and field 2 for the value.
impl<V: Value + Default> Field for BTreeMap<String, V> {
    fn kind() -> Kind {
        Kind::Map(Box::new(<V as Value>::kind()))
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, out: &mut BytesMut) {
        json::write_map(self, out);
    }

    fn read(&mut self, reader: &mut json::Reader<'_>) -> Result<(), DecodeError> {
        self.clear();
        reader.object(|reader, key| {
            reader.count_element()?;
            self.insert(key.to_owned(), Value::read_json(reader)?);
            Ok(())
        })
    }

    fn field_len(&self, number: u32) -> usize {
        self.iter().map(|entry| protobuf::key_len(number) + protobuf::prefixed(entry_len(entry))).sum()
    }

    fn put_field(&self, number: u32, out: &mut BytesMut) {
        for entry in self {
            protobuf::put_key(number, WireType::Bytes, out);
            protobuf::put_len(entry_len(entry), out);
            entry.0.put_field(1, out);
            entry.1.put_field(2, out);
        }
    }

    fn merge(&mut self, value: WireValue<'_>) -> Result<(), DecodeError> {
        value.count_element()?;
        let (mut key, mut entry) = (String::new(), V::default());
        value.fields(|number, value| match number {
            1 => key.merge(value),
            2 => entry.merge(value),
            _ => Ok(()),
        })?;
        self.insert(key, entry);
        Ok(())
    }
}

fn entry_len<V: Value>((key, value): (&String, &V)) -> usize {
    key.field_len(1) + value.field_len(2)
}

impl<M: Message> Value for M {
    const WIRE_TYPE: WireType = WireType::Bytes;

    fn kind() -> Kind {
        Kind::Message(M::SHAPE)
    }

    /// An empty message is not the same as none.
    fn is_default(&self) -> bool {
        false
    }

    fn write_json(&self, out: &mut BytesMut) {
        let mut object = Object::open(out);
        self.write_members(&mut object);
        object.close();
    }

    fn read_json(reader: &mut json::Reader<'_>) -> Result<Self, DecodeError> {
        let mut message = Self::default();
        reader.object(|reader, key| message.read_member(key, reader))?;
        Ok(message)
    }

    fn bare_len(&self) -> usize {
        protobuf::prefixed(self.fields_len())
    }

    fn put_bare(&self, out: &mut BytesMut) {
        protobuf::put_len(self.fields_len(), out);
        self.put_fields(out);
    }

    fn from_wire(value: WireValue<'_>) -> Result<Self, DecodeError> {
        let mut message = Self::default();
        message.merge_wire(value)?;
        Ok(message)
    }

    fn merge_wire(&mut self, value: WireValue<'_>) -> Result<(), DecodeError> {
        value.fields(|number, value| self.take_field(number, value))
    }
}

impl<M: Message> Message for Box<M> {
    const SHAPE: &'static Shape = M::SHAPE;

    fn write_members(&self, object: &mut Object<'_>) {
        (**self).write_members(object);
    }

    fn read_member(&mut self, key: &str, reader: &mut json::Reader<'_>) -> Result<(), DecodeError> {
        (**self).read_member(key, reader)
    }

    fn fields_len(&self) -> usize {
        (**self).fields_len()
    }

    fn put_fields(&self, out: &mut BytesMut) {
        (**self).put_fields(out);
    }

    fn take_field(&mut self, number: u32, value: WireValue<'_>) -> Result<(), DecodeError> {
        (**self).take_field(number, value)
    }
}
