//! What the fuzz targets run: the checks that the tests run too.

#[path = "../../crates/protocol/tests/checks/mod.rs"]
mod checks;

mod proxy;

#[path = "../../crates/protocol/tests/api/check.rs"]
mod api_check;

#[path = "../../crates/protocol/tests/frame/check.rs"]
mod frame_check;

#[path = "../../crates/protocol/tests/frame/oracle.rs"]
mod oracle;

#[path = "../../crates/protocol/tests/frame/support.rs"]
#[expect(dead_code, reason = "only the tests make frames; the fuzz target is given bytes")]
mod support;

/// Gives each fuzz target its check; how much of an input is accepted does not matter here.
macro_rules! targets {
    ($($name:ident)+) => {$(
        #[doc = concat!("See `checks::", stringify!($name), "`.")]
        pub fn $name(bytes: &[u8]) {
            checks::$name(bytes);
        }
    )+};
}

targets! { json_commands json_replies protobuf_commands protobuf_replies channel_names fossil }

/// See `frame_check::frame`.
pub fn frame(bytes: &[u8]) {
    frame_check::frame(bytes);
}

/// See `api_check::api`.
pub fn api(bytes: &[u8]) {
    api_check::api(bytes);
}

/// See `proxy::check::header`.
pub fn proxy_header(bytes: &[u8]) {
    proxy::check(bytes);
}

/// Gives each fuzz target of the server's inside its check.
macro_rules! server_targets {
    ($($name:ident)+) => {$(
        #[doc = concat!("See `throng_server::fuzzing::", stringify!($name), "`.")]
        pub fn $name(bytes: &[u8]) {
            throng_server::fuzzing::$name(bytes);
        }
    )+};
}

server_targets! { config patterns session tokens }
