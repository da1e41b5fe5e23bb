//! What comes in and what does not, over real sockets: proxies, limits, hosts and origins, requests that cheat, and the address for
//! those who run the server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod internal;
mod limits;
mod memory;
mod origins;
mod patience;
mod proxies;
mod raw;
mod smuggling;
