//! The throng server: listener, shards, sessions, fan-out; a library to embed and a binary to run.

pub mod config;
