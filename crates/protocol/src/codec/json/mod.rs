//! JSON objects separated by newlines.
//!
//! The reader is our own: it delimits payloads without parsing them, hands them out as slices of the frame, and
//! has limits that hold inside payloads too, where `serde_json` has none. The tests use `serde_json` as an oracle.

mod envelope;
mod reader;
mod string;
mod writer;

pub(crate) use envelope::{
    decode_command, decode_reply, encode_command, encode_publication_push, encode_reply,
};
pub(crate) use reader::{Reader, cut, is_value, read_string};
pub(crate) use writer::{
    Object, write_array, write_double, write_map, write_raw, write_signed, write_string, write_unsigned,
};
