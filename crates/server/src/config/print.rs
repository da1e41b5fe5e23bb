//! The settings as a TOML file that gives the same settings when it is read.

use std::fmt::Write;

use super::{fault::Place, keys::KEYS, load::Loaded, namespaces};

impl Loaded {
    /// The settings in force as TOML, each that is no default with the place where it was set. Read back as a file,
    /// it gives the same settings.
    ///
    /// A key that is unset and follows from something else stands there as a comment.
    pub fn to_toml(&self) -> String {
        let mut toml =
            String::from("# The settings in force. As a file for --config they give the same again.\n");
        let mut open_table = "";
        for key in KEYS {
            let (table, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
            if table != open_table {
                let _ = write!(toml, "\n[{table}]\n");
                open_table = table;
            }
            let line = match key.get(self.settings()) {
                Some(value) => format!("{name} = {value}"),
                None => format!("# {name} is not set: {}", self.unset(key.path)),
            };
            let place = match self.place(key.path) {
                Place::Default => String::new(),
                place => format!("  # {place}"),
            };
            let _ = writeln!(toml, "{line}{place}");
        }
        namespaces::print(self.settings(), self.option_places(), &mut toml);
        toml
    }

    fn unset(&self, path: &str) -> &'static str {
        let settings = self.settings();
        let on = match path {
            "http_api.key" => return "it is a secret, and not shown",
            "relay.enabled" => settings.relay_enabled(),
            "echo.enabled" => settings.echo_enabled(),
            "prometheus.enabled" => settings.prometheus_enabled(),
            _ => return "the server's own host and loopback hosts",
        };
        if on {
            "true, because the address is a loopback address"
        } else {
            "false, because the address is no loopback address"
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Loaded, Sources};

    fn loaded(text: &str) -> Loaded {
        Sources::new().text("throng.toml", text).load().unwrap()
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_settings() {
        for text in [
            "",
            "[client]\nping_interval = -1\nconnection_limit = 5\nallowed_origins = []\n",
            "[client]\nallowed_origins = ['https://*.example', 'null']\n[relay]\nenabled = false\n",
            "[log]\nlevel = 'info,throng_server=debug'\nformat = 'json'\n[shards]\npublish_wait = '1.5s'\n",
            "[http_server]\naddress = '::1'\nport = 0\n",
        ] {
            let first = loaded(text);
            let second = loaded(&first.to_toml());
            assert_eq!(first.settings(), second.settings(), "{text}");
        }
    }

    #[test]
    fn what_is_no_default_names_its_place() {
        let printed = Sources::new()
            .text("throng.toml", "[client]\nchannel_limit = 10\n")
            .environment([("THRONG_LOG_LEVEL".into(), "debug".into())])
            .flag("--listen", "http_server.port", "0")
            .load()
            .unwrap()
            .to_toml();
        for line in [
            "port = 0  # --listen",
            "channel_limit = 10  # throng.toml:2",
            "level = \"debug\"  # THRONG_LOG_LEVEL",
            "address = \"127.0.0.1\"",
            "# enabled is not set: true, because the address is a loopback address",
        ] {
            assert!(printed.lines().any(|printed| printed == line), "{line} is not in:\n{printed}");
        }
    }
}
