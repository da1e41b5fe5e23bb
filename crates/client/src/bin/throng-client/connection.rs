//! Where to connect and as whom, once flags, environment and profile are put together.

use std::{path::PathBuf, process::Stdio};

use throng_client::{
    Client, ClientBuilder, Endpoint, Format, QueueBounds, RelayBuilder, RelayClient, Token, TokenError,
};
use tokio::{io::AsyncReadExt as _, process::Command};

use crate::{args::ConnectionArguments, config::Profile, failure::Failure, tls};

/// A pipe is often read in bursts, and a line that is missing is worse than memory for a while.
const QUEUE: QueueBounds = QueueBounds { events: 1 << 20, bytes: 64 << 20 };
/// Longest output of a token command. What is longer is no token.
const MAX_TOKEN_BYTES: u64 = 64 << 10;

/// How to reach the server, and as whom.
pub(crate) struct Connection {
    pub(crate) url: Endpoint,
    pub(crate) protobuf: bool,
    pub(crate) insecure: bool,
    credential: Credential,
    cacert: Option<PathBuf>,
}

/// Who this is.
enum Credential {
    /// Nobody, with an empty one.
    Token(Token),
    /// Whoever this shell command prints a token of.
    Command(String),
}

impl Connection {
    /// Flags win over the environment, and that over the profile.
    ///
    /// # Errors
    ///
    /// There is no such profile, or it makes no sense.
    pub(crate) fn new(arguments: ConnectionArguments) -> Result<Self, Failure> {
        let profile = Profile::load(arguments.config.as_deref(), arguments.profile.as_deref())?;
        let credential = match (arguments.token_command, arguments.token) {
            (Some(command), _) => Credential::Command(command),
            (None, Some(token)) => Credential::Token(token),
            (None, None) => match (profile.token_command, profile.token) {
                (Some(command), _) => Credential::Command(command),
                (None, token) => Credential::Token(token.unwrap_or_default()),
            },
        };
        let url = match arguments.url.or(profile.url) {
            Some(url) => url,
            None => "ws://127.0.0.1:8080"
                .parse()
                .map_err(|error| Failure::other(format!("no default URL: {error}")))?,
        };
        let tls::TlsArguments { cacert, insecure } = arguments.tls;
        let cacert = if insecure { None } else { cacert.or(profile.cacert) };
        Ok(Self { url, protobuf: arguments.protobuf, insecure, credential, cacert })
    }

    /// A client of the protocol.
    pub(crate) fn client(&self) -> Result<ClientBuilder, Failure> {
        let format = if self.protobuf { Format::Protobuf } else { Format::Json };
        let builder = Client::builder(self.url.to_url())
            .format(format)
            .name("throng-client", env!("CARGO_PKG_VERSION"))
            .queue(QUEUE);
        let builder = match &self.credential {
            Credential::Token(token) => builder.token(token.clone()),
            Credential::Command(command) => {
                let command = command.clone();
                builder.token_getter(move || printed_token(command.clone()))
            }
        };
        Ok(match self.tls()? {
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
        self.plain(&self.url.or_relay(room))
    }

    /// A client of the echo.
    pub(crate) fn echo(&self) -> Result<RelayBuilder, Failure> {
        self.plain(&self.url.or_path("/echo"))
    }

    /// A client of plain messages.
    pub(crate) fn plain(&self, url: &Endpoint) -> Result<RelayBuilder, Failure> {
        let builder = RelayClient::builder(url.to_url()).queue(QUEUE);
        Ok(match self.tls()? {
            Some(config) => builder.tls_config(config),
            None => builder,
        })
    }

    /// TLS settings that differ from the library's.
    pub(crate) fn tls(&self) -> Result<Option<std::sync::Arc<rustls::ClientConfig>>, Failure> {
        tls::config(self.cacert.as_deref(), self.insecure)
    }

    /// The token to show now, for who shows it by hand.
    pub(crate) async fn current_token(&self) -> Result<Token, Failure> {
        match &self.credential {
            Credential::Token(token) => Ok(token.clone()),
            Credential::Command(command) => printed_token(command.clone())
                .await
                .map_err(|error| Failure::other(crate::failure::chain(&error))),
        }
    }
}

/// What a token command may be at fault for.
#[derive(Debug, thiserror::Error)]
enum TokenCommandError {
    #[error("the token command cannot be run")]
    Run(#[source] std::io::Error),
    #[error("the token command ended with {0}; its own words are on stderr")]
    Failed(std::process::ExitStatus),
    #[error("the token command printed no token: its stdout has to be the token and nothing else")]
    NoToken,
}

/// Runs the command in a shell. What it prints is the token, without the white space around it.
async fn printed_token(command: String) -> Result<Token, TokenError> {
    let run = |error| TokenError::temporary(TokenCommandError::Run(error));
    let (shell, option) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut child = Command::new(shell)
        .args([option, &command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(run)?;
    let mut printed = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // One byte more than allowed tells too much from just enough; the rest makes the command end by itself.
        stdout.take(MAX_TOKEN_BYTES + 1).read_to_end(&mut printed).await.map_err(run)?;
    }
    let status = child.wait().await.map_err(run)?;
    if !status.success() {
        return Err(TokenError::temporary(TokenCommandError::Failed(status)));
    }
    let token = String::from_utf8(printed).unwrap_or_default();
    let token = token.trim();
    let plausible = !token.is_empty() && !token.contains(char::is_whitespace);
    if !plausible || token.len() as u64 > MAX_TOKEN_BYTES {
        return Err(TokenError::temporary(TokenCommandError::NoToken));
    }
    Ok(token.into())
}
