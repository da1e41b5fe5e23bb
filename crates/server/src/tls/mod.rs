//! TLS: certificates and how they are renewed, the handshake, and the byte stream that comes of it.
//!
//! A handshake runs above the shards, where it holds up nobody's messages. What it leaves, a socket and the state of the
//! connection, is handed down and read and written by the shard as any other stream.

mod accept;
mod certificates;
mod counts;
mod keeper;
mod pem;
mod stream;
mod validity;

pub(crate) use accept::speaks_tls;
pub(crate) use certificates::check;
pub(crate) use counts::{Counts, Outcome};
pub(crate) use keeper::{Keeper, watch};
pub(crate) use stream::TlsStream;
