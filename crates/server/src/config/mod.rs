//! What can be set, where it comes from, and what is wrong with it.
//!
//! [`Sources`] reads a TOML file, environment variables and flags on top of the defaults and gives [`Settings`], or
//! every [`Fault`] that it found. Programs that embed the server may as well fill [`Settings`] themselves.
//!
//! Keys that Centrifugo has keep its names, meanings and units; `docs/configuration.md` lists them all.

mod channel;
mod client;
mod door;
mod duration;
mod engine;
mod environment;
mod fault;
mod field;
mod file;
mod file_limit;
mod http_api;
mod keys;
mod load;
mod namespaces;
mod network;
mod options;
mod origin;
mod print;
mod rules;
mod secret;
mod settings;
mod suggest;
mod tls;
mod token;
mod token_rules;
mod upstream;
mod value;

pub use channel::{
    Channel, ChannelOptions, ChannelRegex, ChannelRegexError, DataFormat, DeltaType, Namespace, RecoveryMode,
    SlowConsumer,
};
pub use client::{Client, Limits, PersonalChannel, Revocation, Rpc, RpcPing};
pub use door::{HttpServer, Memory, Proxy, ProxyProtocol};
pub use duration::parse as parse_duration;
pub use engine::{Engine, MemoryEngine};
pub use fault::{Fault, Faults, Name, Place, Problem};
pub use file_limit::FileLimit;
pub use http_api::HttpApi;
pub use load::{Loaded, Sources};
pub use network::{Network, NetworkError};
pub use origin::AllowedOrigins;
pub(crate) use origin::is_loopback;
pub use secret::Secret;
pub use settings::{Echo, Health, Log, LogFormat, Prometheus, Relay, Settings, Shards, Shutdown, WebSocket};
pub use tls::{ClientAuth, Pem, Tls, TlsCertificate, TlsVersion};
pub use token::{SubscriptionToken, Token};
