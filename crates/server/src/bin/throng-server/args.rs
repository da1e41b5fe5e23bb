//! The command line.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{Parser, builder::PossibleValuesParser};
use throng_server::config::Sources;

use crate::commands::Command;

/// A real-time messaging server: one message in, a throng of WebSocket clients out.
///
/// Without any configuration it listens on 127.0.0.1:8080 and lets every program on this machine in.
#[derive(Debug, Parser)]
#[command(name = "throng-server", version, after_help = SHORT_NOTES, after_long_help = LONG_NOTES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Listen on this address and port; port 0 takes any free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Connections")]
    listen: Option<Listen>,

    /// Speak TLS with this certificate: a PEM file that holds the server's and then those that vouch for it
    ///
    /// The same as enabled = true and cert_pem under [http_server.tls]. Files that change are read again by themselves, or at
    /// once on SIGHUP; open connections stay.
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Connections")]
    tls_cert: Option<String>,

    /// The private key of --tls-cert, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Connections")]
    tls_key: Option<String>,

    /// Let clients without a token in although the address can be reached from other machines
    ///
    /// Without this, and without a key for tokens, the server refuses to listen on any address but a loopback one, because nothing
    /// is configured that says who may connect. The same as allow_anonymous_connect_without_token = true under [client].
    #[arg(long, help_heading = "Connections")]
    allow_anonymous: bool,

    /// Keep what must outlive the process, such as revocations, in this directory
    ///
    /// It is made if it is not there. The same as data_dir under [engine.memory].
    #[arg(long, value_name = "DIR", help_heading = "Settings")]
    data_dir: Option<String>,

    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE", env = "THRONG_CONFIG", global = true, help_heading = "Settings")]
    config: Option<PathBuf>,

    /// Print the settings in force as a TOML file for --config, each with its source, and exit
    #[arg(long, help_heading = "Settings")]
    pub(crate) print_config: bool,

    /// Log this level and above: trace, debug, info, warn, error, none [default: info]
    ///
    /// Parts of the program can have levels of their own: --log info,throng_server=debug. Logs go to the standard error
    /// stream.
    #[arg(long, value_name = "LEVEL", help_heading = "Logs")]
    log: Option<String>,

    /// Log lines for people, or one JSON object a line [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(["text", "json"]),
          hide_possible_values = true, help_heading = "Logs")]
    log_format: Option<String>,
}

const SHORT_NOTES: &str = "Longer explanations, examples and exit statuses: --help";

const LONG_NOTES: &str = "\
Examples:
  throng-server
          Serve this machine: a chat page on http://127.0.0.1:8080/
  throng-server --listen 127.0.0.1:0
          Take any free port, and say which
  throng-server --listen 0.0.0.0:8080 --allow-anonymous
          Serve everybody who can reach this machine
  throng-server --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem --allow-anonymous
          The same for https:// and wss://
  throng-server --config throng.toml --print-config
          Check a file, and show what it comes to
  throng-server gen-key hmac --out secret
          Make a secret for tokens; see also gen-token and check-token --help

Sources of settings:
  Defaults, then the file, then the environment, then flags; later ones win.
  A variable is THRONG_ and the path of a key in capitals:
  THRONG_CLIENT_CHANNEL_LIMIT=10 is channel_limit = 10 under [client].
  Files for Centrifugo v6 work as long as they ask for nothing that throng
  lacks. docs/configuration.md lists every key.

Signals:
  SIGINT and SIGTERM stop the server: it takes no new connections, tells its
  clients, waits for them as long as shutdown.timeout says, and reports how
  many it had to cut. A second signal ends it at once. SIGHUP makes a server
  that speaks TLS read its certificates again, and stops any other.

Exit status:
  0    stopped by a signal
  1    the settings are faulty, or the server cannot start
  2    the command line is not understood
  130  ended at once by a second signal";

impl Args {
    /// The sources of the settings: the file, the environment, and these flags.
    pub(crate) fn sources(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Sources {
        let mut sources = Sources::new().environment(environment);
        if let Some(path) = &self.config {
            sources = sources.file(path);
        }
        if let Some(Listen(address)) = self.listen {
            sources = sources.flag("--listen", "http_server.address", address.ip().to_string()).flag(
                "--listen",
                "http_server.port",
                address.port().to_string(),
            );
        }
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            sources = sources
                .flag("--tls-cert", "http_server.tls.enabled", "true")
                .flag("--tls-cert", "http_server.tls.cert_pem", cert)
                .flag("--tls-key", "http_server.tls.key_pem", key);
        }
        if self.allow_anonymous {
            sources =
                sources.flag("--allow-anonymous", "client.allow_anonymous_connect_without_token", "true");
        }
        for (flag, key, value) in [
            ("--data-dir", "engine.memory.data_dir", &self.data_dir),
            ("--log", "log.level", &self.log),
            ("--log-format", "log.format", &self.log_format),
        ] {
            if let Some(value) = value {
                sources = sources.flag(flag, key, value);
            }
        }
        sources
    }
}

/// An address and a port, where `localhost` may stand for the address.
#[derive(Clone, Copy, Debug)]
struct Listen(SocketAddr);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        numeric.parse().map(Self).map_err(|_| ListenError)
    }
}

/// Why text is no address to listen on.
#[derive(Debug, thiserror::Error)]
#[error("write an address and a port such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080")]
struct ListenError;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn sources(arguments: &[&str]) -> Sources {
        let arguments = ["throng-server"].iter().chain(arguments);
        Args::try_parse_from(arguments).expect("the arguments are understood").sources([])
    }

    #[test]
    fn the_command_line_is_defined_without_contradictions() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_set_their_keys() {
        let loaded = sources(&[
            "--listen",
            "[::]:9000",
            "--allow-anonymous",
            "--data-dir",
            "kept",
            "--log",
            "warn",
            "--log-format",
            "json",
        ])
        .load()
        .unwrap();
        let settings = loaded.settings();
        assert_eq!(settings.listen_address().to_string(), "[::]:9000");
        assert!(settings.client.allow_anonymous_connect_without_token);
        assert_eq!(settings.engine.memory.data_dir, "kept");
        assert_eq!(settings.log.level, "warn");
        assert_eq!(loaded.place("log.format").to_string(), "--log-format");
    }

    #[test]
    fn localhost_is_the_loopback_address() {
        let loaded = sources(&["--listen", "localhost:0"]).load().unwrap();
        assert_eq!(loaded.settings().listen_address().to_string(), "127.0.0.1:0");
    }

    #[test]
    fn an_address_without_a_port_is_refused() {
        for address in ["127.0.0.1", "8080", "example.org:80", "127.0.0.1:99999", ""] {
            assert!(Args::try_parse_from(["throng-server", "--listen", address]).is_err(), "{address}");
        }
    }
}
