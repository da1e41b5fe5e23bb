//! Above the shards: accepts sockets, answers HTTP, does the opening handshake, and hands upgraded sockets down.

mod accept;
mod admission;
mod handshake;
mod held;
mod pass;
mod visit;

pub(crate) use accept::run;
pub(crate) use admission::{Admission, Seat};
pub(crate) use handshake::{RELAY_NAMESPACE, Upgrade, is_upgrade, upgrade};
pub(crate) use pass::Pass;
