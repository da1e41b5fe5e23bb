//! What the fuzz targets run: the checks that the tests run too.

#[path = "../../crates/protocol/tests/checks/mod.rs"]
mod checks;

/// Gives each fuzz target its check; how much of an input is accepted does not matter here.
macro_rules! targets {
    ($($name:ident)+) => {$(
        #[doc = concat!("See `checks::", stringify!($name), "`.")]
        pub fn $name(bytes: &[u8]) {
            checks::$name(bytes);
        }
    )+};
}

targets! { json_commands json_replies protobuf_commands protobuf_replies channel_names }
