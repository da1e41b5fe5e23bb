//! Above the shards: accepts sockets, answers HTTP, does the opening handshake, and hands upgraded sockets down.

mod accept;
mod addresses;
mod admission;
mod guest;
mod handshake;
mod held;
mod hosts;
mod line;
mod pass;
mod proxy;
mod scan;
mod visit;

pub(crate) use accept::{Listening, run};
pub(crate) use admission::{Admission, Seat};
pub(crate) use handshake::RELAY_NAMESPACE;
pub(crate) use pass::Pass;
