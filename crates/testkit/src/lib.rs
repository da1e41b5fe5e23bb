//! For those who test applications on throng, and for throng's own tests.
//!
//! - [`TestServer`]: a real server on a free port, in one line; it can be restarted on the same port.
//! - [`MockServer`] and [`MockConnection`]: a server that the test plays by hand, command by command, for what a real one does rarely.
//! - [`Link`]: the way between a client and a server, which the test cuts, stalls, slows, delays or leaves half open; [`Cutter`] does
//!   so by chance, from a seed.
//! - [`bounded`]: fails a test that hangs.
//!
//! All of it speaks to any client of the protocol, and is used with any async test on tokio. An application's test:
//!
//! ```
//! use throng_testkit::{Link, MockServer, TestServer, bounded};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! bounded(async {
//!     let server = TestServer::start().await;
//!     let link = Link::to(server.address()).await;
//!     // Give `link.url()` to the application, then see how it takes this:
//!     link.cut();
//!     link.restore();
//!     server.stop().await;
//! })
//! .await;
//! # }
//! ```
//!
//! # Failing
//!
//! A test that cannot go on has failed, so what is called here **panics** instead of returning errors: with what came, and what was
//! awaited instead. Every wait for something that comes over the network is bounded by [`PATIENCE`].
#![expect(
    clippy::missing_panics_doc,
    reason = "said once, above: a test kit panics where the test has failed"
)]

mod bounded;
mod link;
mod mock;
mod server;

pub use bounded::{PATIENCE, bounded};
pub use link::{Cut, Cutter, Ending, Link, LinkCounts, Side, Way};
pub use mock::{Call, MockConnection, MockServer};
pub use server::TestServer;
