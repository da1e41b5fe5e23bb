use std::path::PathBuf;

use clap::Args;
use throng_client::{Endpoint, Token};

use crate::tls::TlsArguments;

#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// The server: ws://, wss://, http:// or https://. A path, if there is one, is used as it is; otherwise each
    /// command adds its own (/connection/websocket, /relay/ROOM, /echo, /api). Without a port it is 80, or 443 for wss. [default: ws://127.0.0.1:8080]
    #[arg(long, global = true, env = "THRONG_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) url: Option<Endpoint>,
    /// The token that says who you are (sub, pub, history, presence, stats, rpc, ping, tail). Others on this machine can see an argument: prefer
    /// the environment.
    #[arg(long, global = true, env = "THRONG_TOKEN", hide_env_values = true, value_name = "JWT")]
    pub(crate) token: Option<Token>,
    /// A shell command that prints the token; --token is not used then. It runs again before the token expires, and when
    /// the server calls it expired.
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) token_command: Option<String>,
    /// The profile of the settings file: what neither flags nor environment say is taken from there.
    #[arg(long, global = true, env = "THRONG_PROFILE", value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The settings file, instead of $XDG_CONFIG_HOME/throng/client.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
    /// Speak Protobuf instead of JSON (sub, pub, history, presence, stats, rpc, ping, tail).
    #[arg(long, global = true)]
    pub(crate) protobuf: bool,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WaitArgument {
    /// Keep trying until the server can be reached, instead of failing at once.
    #[arg(long)]
    pub(crate) wait: bool,
}
