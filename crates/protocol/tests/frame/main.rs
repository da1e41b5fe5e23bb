//! What `throng_protocol::frame` promises: the rules of RFC 6455 one by one, independence of how bytes are cut into
//! reads, agreement with tungstenite, and frames that a client can read.

#![expect(clippy::unwrap_used, reason = "a helper that cannot do its work fails the test")]

mod check;
mod corpus;
mod decode;
mod encode;
mod oracle;
mod pieces;
mod support;
mod verdicts;
