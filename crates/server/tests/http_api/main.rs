//! The server API over real sockets: every method, every error, and what keeps it safe.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod caller;
mod channels;
mod clients;
mod connections;
mod description;
mod errors;
mod keys;
mod limits;
