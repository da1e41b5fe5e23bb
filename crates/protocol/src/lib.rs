//! The wire of throng: Centrifuge client protocol messages, JSON and Protobuf codecs, and the server side of RFC 6455.
//!
//! Bytes in, values out, and back: no sockets, no clocks, no runtime. The crate has five parts.
//!
//! - **Messages.** A client sends [`Command`]s, a server sends [`Reply`]s, which are answers, [`Push`]es or pings. All
//!   of them are plain structs with public fields, named as on the wire (only `type` is called `kind`, and `pub`
//!   is [`PushEvent::Publication`]). What applications send is a [`Payload`], which is never parsed.
//! - **Codecs.** [`Format`] reads and writes commands and replies as JSON lines or as Protobuf. Payloads that were read
//!   are slices of the frame that they came in; [`Limits`] bound what hostile input can cost.
//! - **Frames.** [`frame`] is the server side of WebSocket framing.
//! - **The HTTP server API.** [`api`] has what backends ask a server, in JSON, and a description of it.
//! - **Delta compression.** [`fossil`] makes and applies patches between payloads.
//!
//! [`ErrorCode`], [`DisconnectCode`] and [`UnsubscribeCode`] are the protocol's numbers and what clients do about them;
//! [`ChannelName`] is a checked name, [`TagsFilter`] a checked condition on tags.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use throng_protocol::{
//!     Command, ErrorCode, Format, Limits, Outcome, Publication, PublishResult, Reply, Request,
//! };
//!
//! // What a server does with a frame: it may hold many commands.
//! let frame = Bytes::from_static(br#"{"id":3,"publish":{"channel":"news","data":{"n":1}}}"#);
//! let mut answers = BytesMut::new();
//! for command in Format::Json.decode_commands(frame, &Limits::default()) {
//!     match command? {
//!         Command::Request { id, request: Request::Publish(publish) } => {
//!             // The same publication for subscribers that speak Protobuf.
//!             let publication = Publication { data: publish.data, offset: 8, ..Default::default() };
//!             let mut push = BytesMut::new();
//!             Format::Protobuf.encode_publication_push(&publish.channel, &publication, &mut push);
//!             assert_eq!(&push[..], b"\x15\x22\x13\x12\x04news\x22\x0b\x22\x07{\"n\":1}\x30\x08");
//!
//!             let outcome = Ok(Outcome::from(PublishResult {}));
//!             Format::Json.encode_reply(&Reply::Answer { id, outcome }, &mut answers);
//!         }
//!         Command::Request { id, .. } => {
//!             let outcome = Err(ErrorCode::NotAvailable.into());
//!             Format::Json.encode_reply(&Reply::Answer { id, outcome }, &mut answers);
//!         }
//!         Command::Pong | Command::Send(_) => {}
//!     }
//! }
//! assert_eq!(&answers[..], br#"{"id":3,"publish":{}}"#);
//! # Ok::<(), throng_protocol::DecodeError>(())
//! ```
//!
//! Left out on purpose: fields of map subscriptions and shared polls beyond those that tell a server that one is meant,
//! numeric channel ids, and fields that only travel between upstream's nodes. Where they arrive they are ignored.

mod channel;
mod code;
mod codec;
mod error;
mod filter;
mod limits;
mod message;
mod payload;

pub mod api;
pub mod fossil;
pub mod frame;

pub use channel::{ChannelName, ChannelNameError};
pub use code::{DisconnectCode, ErrorCode, UnsubscribeCode, close_code_reconnects};
pub use codec::{Commands, Format, Replies};
pub use error::DecodeError;
pub use filter::{FilterError, TagsFilter};
pub use limits::Limits;
pub use message::*;
pub use payload::Payload;
