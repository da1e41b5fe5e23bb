//! TLS on the listener: handshakes, certificates and how they are renewed, and messages over `wss`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod faults;
mod handshakes;
mod party;
mod renewal;
mod stress;
mod traffic;
