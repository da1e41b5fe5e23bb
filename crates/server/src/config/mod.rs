//! What can be set, where it comes from, and what is wrong with it.

mod settings;

pub use settings::{
    Channel, Client, Echo, Health, HttpServer, Log, LogFormat, Prometheus, Relay, Settings, Shards, Shutdown,
    WebSocket,
};
