//! The settings as a TOML file that gives the same settings when it is read.

use std::fmt::Write;

use super::{
    channel::ChannelOptions,
    fault::Place,
    keys::KEYS,
    load::Loaded,
    namespaces::{LIST, Scope, WITHOUT},
    options::OPTIONS,
    tls::{CERTIFICATE_KEYS, CERTIFICATES},
    value::Value,
};

/// Why a key that stands in the settings themselves is not printed.
const INLINE_KEY: &str = "it has a value, which is secret; the path of a file can stand there instead";

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
            let _ = writeln!(toml, "{line}{}", self.source(key.path));
        }
        self.print_certificates(&mut toml);
        self.print_options(&mut toml);
        toml
    }

    fn print_certificates(&self, toml: &mut String) {
        for (index, certificate) in self.settings().http_server.tls.certificates.iter().enumerate() {
            let _ = write!(toml, "\n[[{CERTIFICATES}]]\n");
            for key in CERTIFICATE_KEYS {
                let path = format!("{CERTIFICATES}[{index}].{}", key.path);
                let line = match key.get(certificate) {
                    Some(value) => format!("{} = {value}", key.path),
                    None => format!("# {} is not shown: {INLINE_KEY}", key.path),
                };
                let _ = writeln!(toml, "{line}{}", self.source(&path));
            }
        }
    }

    fn print_options(&self, toml: &mut String) {
        let channel = &self.settings().channel;
        match &channel.without_namespace {
            Some(options) => {
                let _ = write!(toml, "\n[{WITHOUT}]\n");
                self.print_scope(Scope::Without, options, toml);
            }
            None => {
                let _ = write!(toml, "\n# [{WITHOUT}] is not set: {}\n", self.unset(WITHOUT));
                let (options, default) = (self.settings().without_namespace(), ChannelOptions::default());
                for option in OPTIONS {
                    if let Some(value) = option.get(&options)
                        && option.get(&default).as_ref() != Some(&value)
                    {
                        let _ = writeln!(toml, "# {} = {value}", option.path);
                    }
                }
            }
        }
        for (index, space) in channel.namespaces.iter().enumerate() {
            let name = Value::Text(space.name.clone());
            let scope = Scope::Element(index);
            let _ = write!(toml, "\n[[{LIST}]]\nname = {name}{}\n", self.source(&scope.path("name")));
            self.print_scope(scope, &space.options, toml);
        }
    }

    fn print_scope(&self, scope: Scope, options: &ChannelOptions, toml: &mut String) {
        for option in OPTIONS {
            if let Some(value) = option.get(options) {
                let _ = writeln!(toml, "{} = {value}{}", option.path, self.source(&scope.path(option.path)));
            }
        }
    }

    /// The place of a key that is no default, as a comment.
    fn source(&self, path: &str) -> String {
        match self.place(path) {
            Place::Default => String::new(),
            place => format!("  # {place}"),
        }
    }

    fn unset(&self, path: &str) -> &'static str {
        let settings = self.settings();
        let on = match path {
            path if path.ends_with("_secret_key") => {
                return "it has a value, which is secret; a file can give it instead";
            }
            "http_server.tls.key_pem" => return INLINE_KEY,
            "http_api.key" => return "it has a value, which is secret; http_api.key_file can give it instead",
            WITHOUT if !settings.channel.namespaces.is_empty() => {
                return "all options are off, because there are namespaces";
            }
            WITHOUT if !settings.anonymous_allowed() => return "all options are off",
            WITHOUT => return "whoever may connect may do this, because nothing else is said of channels",
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
            "[channel.without_namespace]\n",
            "[channel]\npublication_data_format = 'binary'\n[channel.without_namespace]\nchannel_regex = '^\\d+$'\n\
             [[channel.namespaces]]\nname = 'a.b'\nhistory_size = 5\nhistory_ttl = '1m'\nslow_consumer = 'keep_latest'\n\
             allowed_delta_types = ['fossil']\npublication_data_format = 'json'\n[[channel.namespaces]]\nname = 'cd'\n",
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
            "# allow_publish_for_anonymous = true",
        ] {
            assert!(printed.lines().any(|printed| printed == line), "{line} is not in:\n{printed}");
        }
    }
}
