//! What the tests here call the parts of the test kit.
#![allow(unreachable_pub, unused_imports, reason = "every test file uses its own part of this")]

pub use throng_testkit::{Call, Link as Proxy, MockConnection as Peer, MockServer as Listener, bounded};
