use clap::Args;
use throng_client::{Client, ClientBuilder, Endpoint, Format, QueueBounds, RelayBuilder, RelayClient, Token};

use crate::{failure::Failure, tls::TlsArguments};

/// A pipe is often read in bursts, and a line that is missing is worse than memory for a while.
const QUEUE: QueueBounds = QueueBounds { events: 1 << 20, bytes: 64 << 20 };

#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// The server: ws://, wss://, http:// or https://. A path, if there is one, is used as it is; otherwise each
    /// command adds its own (/connection/websocket, /relay/ROOM, /echo, /api). Without a port it is 80, or 443 for wss.
    #[arg(
        long,
        global = true,
        env = "THRONG_URL",
        hide_env_values = true,
        default_value = "ws://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) url: Endpoint,
    /// The token that says who you are (sub, pub, history, presence, stats). Others on this machine can see an argument: prefer
    /// the environment.
    #[arg(long, global = true, env = "THRONG_TOKEN", hide_env_values = true, value_name = "JWT")]
    pub(crate) token: Option<Token>,
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
    /// Speak Protobuf instead of JSON (sub, pub, history, presence, stats).
    #[arg(long, global = true)]
    pub(crate) protobuf: bool,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WaitArgument {
    /// Keep trying until the server can be reached, instead of failing at once.
    #[arg(long)]
    pub(crate) wait: bool,
}

impl ConnectionArguments {
    /// A client of the protocol.
    pub(crate) fn client(&self) -> Result<ClientBuilder, Failure> {
        let format = if self.protobuf { Format::Protobuf } else { Format::Json };
        let builder = Client::builder(self.url.to_url())
            .format(format)
            .name("throng-client", env!("CARGO_PKG_VERSION"))
            .token(self.token.clone().unwrap_or_default())
            .queue(QUEUE);
        Ok(match self.tls.config()? {
            Some(config) => builder.tls_config(config),
            None => builder,
        })
    }

    /// A client of the protocol, connected.
    pub(crate) async fn connected(&self) -> Result<Client, Failure> {
        self.client()?.connect().await.map_err(|error| Failure::connect(&error, &self.url))
    }

    /// A client of a room.
    pub(crate) fn room(&self, room: &str) -> Result<RelayBuilder, Failure> {
        Ok(self.relay(&self.url.or_relay(room))?.queue(QUEUE))
    }

    /// A client of the echo.
    pub(crate) fn echo(&self) -> Result<RelayBuilder, Failure> {
        self.relay(&self.url.or_path("/echo"))
    }

    fn relay(&self, url: &Endpoint) -> Result<RelayBuilder, Failure> {
        let builder = RelayClient::builder(url.to_url());
        Ok(match self.tls.config()? {
            Some(config) => builder.tls_config(config),
            None => builder,
        })
    }
}
