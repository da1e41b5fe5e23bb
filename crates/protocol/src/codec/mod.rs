//! Both wire formats, made from the tables in `message`: the traits of `field` say how one field is read and
//! written, `json` and `protobuf` hold what is particular to a format.

mod envelope;
pub(crate) mod field;
mod format;
mod frames;
pub(crate) mod json;
pub(crate) mod protobuf;
pub(crate) mod shape;
pub(crate) mod value;

pub use format::Format;
pub use frames::{Commands, Replies};
