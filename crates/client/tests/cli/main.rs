//! The built binary, in pipes, against a server that the test plays, or a real one in this process.
#![cfg(feature = "cli")]

mod ask;
mod chat;
#[path = "../cli_support/mod.rs"]
mod cli_support;
mod echo;
mod pages;
mod ping;
mod profile;
mod publish;
mod relay;
mod subscribe;
#[path = "../support/mod.rs"]
mod support;
mod tail;
mod usage;

use cli_support::Cli;
use support::{Listener, bounded};
