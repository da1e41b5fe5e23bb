//! The server's reader of PROXY headers, which stands on its own.

#[path = "../../crates/server/src/listener/proxy/header.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "the listener also asks how a connection begins"))]
mod header;

#[path = "../../crates/server/src/listener/proxy/check.rs"]
#[expect(dead_code, reason = "only the tests write headers; the fuzz target is given bytes")]
mod check;

pub(crate) fn check(bytes: &[u8]) {
    check::header(bytes);
}
