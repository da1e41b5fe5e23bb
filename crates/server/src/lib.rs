//! The throng server: listener, shards, sessions, fan-out; a library to embed and a binary to run.
//!
//! ```
//! use throng_server::{Server, config::Settings};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let mut settings = Settings::default();
//! settings.http_server.port = 0; // any free port
//! let running = Server::builder().settings(settings).start().await?;
//! assert!(running.url("/relay/lobby").starts_with("ws://127.0.0.1:"));
//! let report = running.shutdown().await;
//! assert_eq!(report.cut, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The modules from the outside in: `server` assembles; `listener` accepts and does the handshake; `shard` owns connections;
//! `transport` turns bytes into commands; `session` decides; `node` is the one door to the engine and the registry.

mod auth;
pub mod config;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod handlers;
mod http;
pub mod limits;
mod listener;
mod memory;
mod metrics;
mod node;
mod server;
mod session;
mod shard;
mod tls;
mod transport;

pub use auth::tools as tokens;
pub use server::{Running, Server, ServerBuilder, ShardFailure, ShutdownReport, StartError};
