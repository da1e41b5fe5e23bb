//! The wire of throng: Centrifuge client protocol messages, JSON and Protobuf codecs, and the server side of RFC 6455.

mod channel;
mod code;
mod codec;
mod error;
mod limits;
mod message;
mod payload;

pub mod frame;

pub use channel::{ChannelName, ChannelNameError};
pub use code::{DisconnectCode, ErrorCode, UnsubscribeCode, close_code_reconnects};
pub use codec::{Commands, Format, Replies};
pub use error::DecodeError;
pub use limits::Limits;
pub use message::*;
pub use payload::Payload;
