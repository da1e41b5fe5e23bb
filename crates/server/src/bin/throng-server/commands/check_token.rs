//! `throng-server check-token`.

use std::fmt::Write as _;
use std::io::{self, Read as _};

use anyhow::{Context as _, bail};
use clap::Parser;
use throng_server::config::Settings;
use throng_server::tokens::{Checked, Checker};
use tokio::runtime::Builder;

/// Reads the settings as the server does. The token itself is never printed.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckToken {
    /// The token; without it, or with -, it is read from the standard input stream, so that it stands in no list of processes
    token: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  throng-server check-token --config throng.toml < token
          Exit status 0 if the server would accept it, else 1 and the reason
  throng-server gen-token --user 42 | throng-server check-token
          Both with the secret in THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY";

impl CheckToken {
    /// Checks the token, and gives what it says.
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<String> {
        let client = &settings.client;
        if !client.token.has_keys() && !client.insecure_skip_token_signature_verify {
            bail!("there is no key to check tokens with; set one under [client.token]");
        }
        let token = match self.token.as_deref() {
            None | Some("-") => from_input()?,
            Some(token) => token.to_owned(),
        };
        // Keys may have to be fetched.
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        let checker = Checker::new(settings, runtime.handle().clone())?;
        Ok(said(&runtime.block_on(checker.check(token.trim()))?))
    }
}

fn from_input() -> anyhow::Result<String> {
    const MAX_BYTES: u64 = 64 * 1024;

    let mut token = String::new();
    io::stdin().take(MAX_BYTES).read_to_string(&mut token).context("cannot read a token")?;
    Ok(token)
}

/// What a token says, line by line. Texts in it are quoted, because they may be anything.
fn said(checked: &Checked) -> String {
    let mut said = String::from("the token is valid");
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(said, "\n{name}: {value}");
        }
    };
    let quoted = |text: &str| format!("{text:?}");
    let user = if checked.user.is_empty() { "none; it is anonymous".into() } else { quoted(&checked.user) };
    line("user", Some(user));
    line("channel", checked.channel.as_deref().map(quoted));
    line("expires (Unix seconds)", Some(checked.expires.map_or_else(|| "never".into(), |at| at.to_string())));
    line("issued (Unix seconds)", checked.issued.map(|at| at.to_string()));
    line("id", checked.id.as_deref().map(quoted));
    line("subscriptions", (checked.subscriptions > 0).then(|| checked.subscriptions.to_string()));
    said
}
