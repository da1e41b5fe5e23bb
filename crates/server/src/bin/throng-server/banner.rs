//! What the server says when it has started.

use std::{
    fmt::{self, Display, Formatter},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use throng_server::config::Settings;

/// What is served where, who may connect, and what to try next.
#[derive(Debug)]
pub(crate) struct Banner<'a> {
    pub(crate) settings: &'a Settings,
    /// Where the server listens, with the real port.
    pub(crate) address: SocketAddr,
    /// Where API, health and metrics are, if elsewhere.
    pub(crate) internal: Option<SocketAddr>,
    pub(crate) connection_limit: usize,
    /// Whether cargo runs the server, so that cargo can run the client as well.
    pub(crate) under_cargo: bool,
}

impl Display for Banner<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "throng {}", env!("CARGO_PKG_VERSION"))?;
        // Programs that start the server with port 0 look for this line.
        writeln!(f, "listening on {}://{}", self.scheme("http"), self.address)?;
        if let Some(internal) = self.internal {
            writeln!(f, "internal endpoints on {}://{internal}", self.scheme("http"))?;
        }
        writeln!(f)?;
        for (name, scheme, path, on, key) in self.endpoints() {
            let is_internal = matches!(name, "api" | "health" | "metrics");
            let address = self.internal.filter(|_| is_internal).unwrap_or(self.address);
            let reachable = reachable(address);
            if !on && name == "api" {
                writeln!(f, "  {name:<10} off; {key} turns it on")?;
            } else if on {
                let scheme = self.scheme(scheme);
                writeln!(f, "  {name:<10} {scheme}://{reachable}{path}")?;
            } else {
                writeln!(f, "  {name:<10} off; {key} = true turns it on")?;
            }
        }
        writeln!(f)?;
        writeln!(f, "{}", self.who_may_connect())?;
        if self.settings.channels_are_open() {
            writeln!(
                f,
                "Nothing is set under [channel]: everybody may subscribe and publish, with presence and a short history."
            )?;
        }
        let reason = match self.settings.client.connection_limit {
            Some(_) => "client.connection_limit says",
            None => "the limit of open files allows",
        };
        writeln!(f, "Up to {} connections at once, as {reason}.", self.connection_limit)?;
        writeln!(f)?;
        if !self.settings.anonymous_allowed() {
            writeln!(f, "Try it: run this in one terminal, and `pub news hello` in its place in another:")?;
            writeln!(f, "  {}", self.client_command("sub news --token TOKEN"))?;
        } else if self.settings.relay_enabled() {
            writeln!(f, "Try it: open the page in two windows, or run this in two terminals:")?;
            writeln!(f, "  {}", self.client_command("chat lobby"))?;
        } else {
            writeln!(f, "Try it: run this in one terminal, and `pub news hello` in its place in another:")?;
            writeln!(f, "  {}", self.client_command("sub news"))?;
        }
        write!(f, "Ctrl-C stops the server.")
    }
}

impl Banner<'_> {
    /// Name, scheme, path, whether it is served, and the key that switches it on.
    fn endpoints(&self) -> [(&'static str, &'static str, &str, bool, &'static str); 7] {
        let settings = self.settings;
        let protocol = settings.websocket.handler_prefix.as_str();
        [
            ("page", "http", "/", settings.relay_enabled(), "relay.enabled"),
            ("protocol", "ws", protocol, true, ""),
            ("relay", "ws", "/relay/{room}", settings.relay_enabled(), "relay.enabled"),
            ("echo", "ws", "/echo", settings.echo_enabled(), "echo.enabled"),
            (
                "api",
                "http",
                settings.http_api.handler_prefix.as_str(),
                settings.http_api_enabled(),
                "http_api.key",
            ),
            ("health", "http", "/health", settings.health.enabled, "health.enabled"),
            ("metrics", "http", "/metrics", settings.prometheus_enabled(), "prometheus.enabled"),
        ]
    }

    fn who_may_connect(&self) -> &'static str {
        if !self.settings.anonymous_allowed() {
            "Clients need a token; `throng-server gen-token` makes one."
        } else if self.settings.listens_on_loopback() {
            "Anonymous clients may connect, because only this machine can reach a loopback address."
        } else {
            "Anonymous clients may connect FROM ANYWHERE, because the settings allow it."
        }
    }

    /// The client's command; its default address is left out.
    fn client_command(&self, command: &str) -> String {
        let program =
            if self.under_cargo { "cargo run --release --bin throng-client --" } else { "throng-client" };
        let reachable = reachable(self.address);
        if reachable == Settings::default().listen_address() && !self.settings.http_server.tls.enabled {
            format!("{program} {command}")
        } else {
            format!("{program} --url {}://{reachable} {command}", self.scheme("ws"))
        }
    }

    /// A scheme as it is with TLS, if the server speaks it.
    const fn scheme(&self, scheme: &'static str) -> &'static str {
        match scheme.as_bytes() {
            b"http" if self.settings.http_server.tls.enabled => "https",
            b"ws" if self.settings.http_server.tls.enabled => "wss",
            _ => scheme,
        }
    }
}

/// An address at which this machine reaches the server: "every address" is none that one can connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner(settings: &Settings, under_cargo: bool) -> String {
        let address = settings.listen_address();
        let internal = settings.internal_listen_address();
        Banner { settings, address, internal, connection_limit: 960, under_cargo }.to_string()
    }

    #[test]
    fn with_a_key_for_tokens_the_banner_asks_for_one() {
        let mut settings = Settings::default();
        settings.client.token.hmac_secret_key = "0123456789abcdef0123456789abcdef".into();
        let banner = banner(&settings, false);
        assert!(
            banner.contains("Clients need a token") && banner.contains("sub news --token TOKEN"),
            "{banner}"
        );
        assert!(!banner.contains("Anonymous") && !banner.contains("0123456789"), "{banner}");
    }

    #[test]
    fn the_banner_of_the_defaults() {
        let expected = "
listening on http://127.0.0.1:8080

  page       http://127.0.0.1:8080/
  protocol   ws://127.0.0.1:8080/connection/websocket
  relay      ws://127.0.0.1:8080/relay/{room}
  echo       ws://127.0.0.1:8080/echo
  api        off; http_api.key turns it on
  health     http://127.0.0.1:8080/health
  metrics    http://127.0.0.1:8080/metrics

Anonymous clients may connect, because only this machine can reach a loopback address.
Nothing is set under [channel]: everybody may subscribe and publish, with presence and a short history.
Up to 960 connections at once, as the limit of open files allows.

Try it: open the page in two windows, or run this in two terminals:
  cargo run --release --bin throng-client -- chat lobby
Ctrl-C stops the server.";
        let banner = banner(&Settings::default(), true);
        let (version, rest) = banner.split_once('\n').unwrap();
        assert_eq!(version, concat!("throng ", env!("CARGO_PKG_VERSION")));
        assert_eq!(rest, expected.trim_start());
    }

    #[test]
    fn with_tls_every_url_says_so() {
        let mut settings = Settings::default();
        settings.http_server.tls.enabled = true;
        let banner = banner(&settings, false);
        assert!(!banner.contains("http://") && !banner.contains(" ws://"), "{banner}");
        for line in [
            "listening on https://127.0.0.1:8080",
            "  relay      wss://127.0.0.1:8080/relay/{room}",
            "  throng-client --url wss://127.0.0.1:8080 chat lobby",
        ] {
            assert!(banner.lines().any(|found| found == line), "{line} is not in:\n{banner}");
        }
    }

    #[test]
    fn what_is_off_says_how_to_turn_it_on() {
        let mut settings = Settings::default();
        settings.http_server.address = [0, 0, 0, 0].into();
        settings.http_server.port = 9000;
        settings.client.allow_anonymous_connect_without_token = true;
        settings.client.connection_limit = Some(960);
        let banner = banner(&settings, false);
        for line in [
            "listening on http://0.0.0.0:9000",
            "  relay      off; relay.enabled = true turns it on",
            "  metrics    off; prometheus.enabled = true turns it on",
            "  health     http://127.0.0.1:9000/health",
            "Anonymous clients may connect FROM ANYWHERE, because the settings allow it.",
            "Up to 960 connections at once, as client.connection_limit says.",
            "  throng-client --url ws://127.0.0.1:9000 sub news",
        ] {
            assert!(banner.lines().any(|found| found == line), "{line} is not in:\n{banner}");
        }
    }

    #[test]
    fn internal_endpoints_are_shown_where_they_are() {
        let mut settings = Settings::default();
        settings.http_server.address = [0, 0, 0, 0].into();
        settings.client.allow_anonymous_connect_without_token = true;
        settings.http_server.internal_address = Some(Ipv4Addr::LOCALHOST.into());
        settings.http_server.internal_port = Some(9090);
        let banner = banner(&settings, false);
        for line in [
            "listening on http://0.0.0.0:8080",
            "internal endpoints on http://127.0.0.1:9090",
            "  protocol   ws://127.0.0.1:8080/connection/websocket",
            "  health     http://127.0.0.1:9090/health",
            "  metrics    http://127.0.0.1:9090/metrics",
        ] {
            assert!(banner.lines().any(|found| found == line), "{line} is not in:\n{banner}");
        }
    }
}
