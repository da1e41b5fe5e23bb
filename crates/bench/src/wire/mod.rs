//! What travels on a connection, seen from the client: frames, the opening handshake, the stamped payload,
//! and the three dialects a server may be spoken to in.
//!
//! Nothing here is shared with the server that is measured: a fault in its codec cannot hide behind the same fault here.

pub(crate) mod dialect;
pub(crate) mod frame;
mod json;
mod protobuf;
pub(crate) mod stamp;
pub(crate) mod upgrade;
