//! What can be set, where it comes from, and what is wrong with it.
//!
//! [`Sources`] reads a TOML file, environment variables and flags on top of the defaults and gives [`Settings`], or
//! every [`Fault`] that it found. Programs that embed the server may as well fill [`Settings`] themselves.
//!
//! Keys that Centrifugo has keep its names, meanings and units; `docs/configuration.md` lists them all.

mod channel;
mod duration;
mod environment;
mod fault;
mod field;
mod file;
mod file_limit;
mod keys;
mod load;
mod namespaces;
mod options;
mod origin;
mod print;
mod rules;
mod settings;
mod suggest;
mod upstream;
mod value;

pub use channel::{
    Channel, ChannelOptions, ChannelRegex, DataFormat, DeltaType, Namespace, RecoveryMode, SlowConsumer,
};
pub use fault::{Fault, Faults, Name, Place, Problem};
pub use file_limit::FileLimit;
pub use load::{Loaded, Sources};
pub use origin::AllowedOrigins;
pub use settings::{
    Client, Echo, Engine, Health, HttpApi, HttpServer, Log, LogFormat, MemoryEngine, PersonalChannel,
    Prometheus, Relay, Rpc, RpcPing, Settings, Shards, Shutdown, WebSocket,
};
