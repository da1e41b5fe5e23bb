//! What the program does besides serving.

mod check_token;
mod gen_key;
mod gen_token;

use clap::Subcommand;
use throng_server::config::{Loaded, Settings, Token};

pub(crate) use check_token::CheckToken;
pub(crate) use gen_key::GenKey;
pub(crate) use gen_token::GenToken;

/// What the program does instead of serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check the settings, and say what is wrong with them
    ///
    /// Reads the file, the environment and the flags as the server does. Every fault stands on a line of its own, with
    /// its place, its key, what is wrong, and what to do. The exit status is 1 if there is any.
    #[command(after_help = CHECK_CONFIG)]
    CheckConfig,
    /// Make a secret or a key pair for tokens
    GenKey(GenKey),
    /// Make a token for a client
    GenToken(Box<GenToken>),
    /// Check a token as the server would, and say which claim fails
    CheckToken(CheckToken),
}

const CHECK_CONFIG: &str = "\
Examples:
  throng-server check-config --config throng.toml
          Before the server is started with a new file
  throng-server --print-config
          See all settings that are in force, and where they come from";

/// Says that the settings are good, which they are once they are loaded.
pub(crate) fn check_config(loaded: &Loaded) -> String {
    let settings = loaded.settings();
    let tokens =
        if settings.client.token.has_keys() { "tokens are checked" } else { "there are no keys for tokens" };
    format!("the settings are good: {}, {tokens}", settings.listen_address())
}

/// The keys for tokens of this kind.
fn keys(settings: &Settings, of_subscription: bool) -> (&'static str, &Token) {
    let own = &settings.client.subscription_token;
    if of_subscription && own.enabled {
        ("client.subscription_token", &own.token)
    } else {
        ("client.token", &settings.client.token)
    }
}
