use bytes::BytesMut;

use super::{ApiCommand, ApiReply, PublishResponse};
use crate::codec::field::{Choice, Value};
use crate::codec::json::{Object, Reader};
use crate::codec::protobuf::{self, WireType, WireValue};
use crate::codec::shape::Kind;
use crate::message::message;
use crate::{DecodeError, ErrorCode};

message! {
    /// Asks many things with one request. Each command is an object with one member, whose key is the command's name.
    pub struct BatchRequest {
        /// The commands. One that names nothing that is known is answered with error 104, and `null` with 107: such an
        /// entry is read as its code.
        pub commands: Vec<Result<ApiCommand, ErrorCode>> = 1,
        /// Carry the commands out side by side, in no order, instead of one after the other.
        pub parallel: bool = 2,
    }

    /// The answers to a batch. Each is an object with one member: the command's name, or an error.
    pub struct BatchResult {
        /// One for each command, in the order of the commands.
        pub replies: Vec<ApiReply> = 1 always,
    }
}

/// What stands in a list as an object with one member, the choice.
trait Entry: Sized {
    type Choice: Choice;
    /// Name for descriptions.
    const NAME: &'static str;
    /// None for an entry that holds nothing.
    fn choice(&self) -> Option<&Self::Choice>;
    /// The entry that held this, or no member that is known.
    fn new(choice: Option<Self::Choice>) -> Result<Self, DecodeError>;
    /// True for the entry that is written as `null`.
    fn is_null(&self) -> bool;
    /// The entry that was `null`.
    fn null() -> Result<Self, DecodeError>;
}

impl Entry for Result<ApiCommand, ErrorCode> {
    type Choice = ApiCommand;
    const NAME: &'static str = "BatchCommand";

    fn choice(&self) -> Option<&ApiCommand> {
        self.as_ref().ok()
    }

    fn new(choice: Option<ApiCommand>) -> Result<Self, DecodeError> {
        Ok(choice.ok_or(ErrorCode::MethodNotFound))
    }

    fn is_null(&self) -> bool {
        *self == Err(ErrorCode::BadRequest)
    }

    fn null() -> Result<Self, DecodeError> {
        Ok(Err(ErrorCode::BadRequest))
    }
}

/// An answer is always there.
macro_rules! answers {
    ($($answer:ident: $name:literal)+) => {$(
        impl Entry for $answer {
            type Choice = Self;
            const NAME: &'static str = $name;

            fn choice(&self) -> Option<&Self> {
                Some(self)
            }

            fn new(choice: Option<Self>) -> Result<Self, DecodeError> {
                choice.ok_or(DecodeError::NoBody { id: 0 })
            }

            fn is_null(&self) -> bool {
                false
            }

            fn null() -> Result<Self, DecodeError> {
                Self::new(None)
            }
        }
    )+};
}

answers! { ApiReply: "BatchReply" PublishResponse: "PublishResponse" }

/// Writes and reads entries as values. Not for all entries at once, because that is how messages are values.
macro_rules! entry_values {
    ($($entry:ty)+) => {$(
        impl Value for $entry {
            const WIRE_TYPE: WireType = WireType::Bytes;

            fn kind() -> Kind {
                Kind::OneOf(Self::NAME, <Self as Entry>::Choice::SHAPES)
            }

            fn is_default(&self) -> bool {
                false
            }

            fn write_json(&self, out: &mut BytesMut) {
                write_json(self, out);
            }

            fn read_json(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                read_json(reader)
            }

            fn bare_len(&self) -> usize {
                protobuf::prefixed(self.choice().map_or(0, Choice::field_len))
            }

            fn put_bare(&self, out: &mut BytesMut) {
                protobuf::put_len(self.choice().map_or(0, Choice::field_len), out);
                if let Some(choice) = self.choice() {
                    Choice::put_field(choice, out);
                }
            }

            fn from_wire(value: WireValue<'_>) -> Result<Self, DecodeError> {
                let mut found = None;
                value.fields(|number, value| fill(&mut found, Choice::from_field(number, value)?))?;
                Self::new(found)
            }
        }
    )+};
}

entry_values! { Result<ApiCommand, ErrorCode> ApiReply PublishResponse }

fn write_json<E: Entry>(entry: &E, out: &mut BytesMut) {
    if entry.is_null() {
        out.extend_from_slice(b"null");
        return;
    }
    let mut object = Object::open(out);
    if let Some(choice) = entry.choice() {
        choice.write_member(&mut object);
    }
    object.close();
}

fn read_json<E: Entry>(reader: &mut Reader<'_>) -> Result<E, DecodeError> {
    if reader.take_null() {
        return E::null();
    }
    let mut found = None;
    reader.object(|reader, key| {
        if reader.take_null() {
            return Ok(());
        }
        match Choice::read_member(key, reader)? {
            Some(choice) => fill(&mut found, Some(choice)),
            None => reader.skip(),
        }
    })?;
    E::new(found)
}

/// Takes what was read, if that was one of the choices; there can be one only.
fn fill<C>(found: &mut Option<C>, choice: Option<C>) -> Result<(), DecodeError> {
    match (&found, choice) {
        (Some(_), Some(_)) => Err(DecodeError::SeveralBodies { id: 0 }),
        (None, Some(choice)) => {
            *found = Some(choice);
            Ok(())
        }
        (_, None) => Ok(()),
    }
}
