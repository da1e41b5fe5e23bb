//! Messages behind their lengths, as Protobuf (proto3) writes them.
//!
//! The primitives are our own: `prost` cannot derive on types whose payloads are [`Payload`](crate::Payload), so
//! it would need a second struct for each message, and its nesting limit is fixed. The tests use it as an oracle.

mod envelope;
mod reader;
mod writer;

pub(crate) use envelope::{
    decode_command, decode_reply, encode_command, encode_publication_push, encode_reply,
};
#[cfg(test)]
pub(crate) use reader::Context;
pub(crate) use reader::{WireType, WireValue, cut};
pub(crate) use writer::{key_len, prefixed, put_bytes, put_key, put_len, put_varint, varint_len};
