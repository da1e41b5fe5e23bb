//! What a person asks for on a command line; [`Plan::check`](crate::Plan::check) turns it into what a run trusts.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{assertion::Assertion, wire::dialect::Protocol};

/// Options of a load run. Whatever is not given has a default that fits the scenario.
#[derive(Clone, Debug, Deserialize, Serialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    /// What to do to the server.
    #[arg(value_enum, default_value_t)]
    pub scenario: ScenarioName,

    /// The server, as ws://HOST:PORT[/PATH], or wss:// with --cacert.
    ///
    /// Without a path: /relay/{room} for the relay, /echo for echo over it, /connection/websocket for json and protobuf.
    #[arg(long, help_heading = "Target")]
    pub url: Option<String>,
    /// How the server is spoken to.
    #[arg(long, value_enum, default_value_t, help_heading = "Target")]
    pub protocol: Protocol,
    /// Path of the handshake; {room} stands for the room's name.
    #[arg(long, value_name = "PATH", help_heading = "Target")]
    pub path_template: Option<String>,
    /// wss: a PEM file of the certificates to trust.
    #[arg(long, value_name = "FILE", help_heading = "Target")]
    pub cacert: Option<PathBuf>,
    /// wss: let connections go on from earlier TLS sessions, instead of a full handshake each.
    #[arg(long, help_heading = "Target")]
    pub resume: bool,
    /// Process of the server when it runs on this machine: its CPU and memory are then measured.
    #[arg(long, help_heading = "Target")]
    pub pid: Option<u32>,

    /// fanout: subscribers; echo, idle, storm: connections [default: 1000, 100, 10000, 5000].
    #[arg(long, short = 'c', value_name = "N", help_heading = "Load")]
    pub connections: Option<usize>,
    /// chat, idle, storm: rooms that the connections are spread over [default: chat 100, else 1].
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub rooms: Option<usize>,
    /// chat: members of each room [default: 10].
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub members: Option<usize>,
    /// fanout: further subscribers that read nothing from the first message on; nothing is expected of them [default: 0].
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub stalled: Option<usize>,
    /// fanout, chat: deliveries per second that the schedule aims at [default: 50000, 20000].
    #[arg(long, value_name = "PER_SECOND", conflicts_with_all = ["message_rate", "in_flight"], help_heading = "Load")]
    pub rate: Option<f64>,
    /// fanout, chat: the same, given as messages published per second.
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "in_flight", help_heading = "Load")]
    pub message_rate: Option<f64>,
    /// fanout: no schedule; keep so many messages outstanding until all subscribers have them (closed loop).
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub in_flight: Option<usize>,
    /// echo: messages outstanding on each connection [default: 1].
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub depth: Option<usize>,
    /// Bytes of each message [default: 128, echo 64].
    #[arg(long, value_name = "BYTES", help_heading = "Load")]
    pub size: Option<usize>,
    /// Stop publishing after so many messages in all.
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub messages: Option<u64>,

    /// Connections that may be opening at the same time.
    #[arg(long, value_name = "N", default_value_t = 128, help_heading = "Phases")]
    pub connect_concurrency: usize,
    /// Connections that may be started per second [default: no limit].
    #[arg(long, value_name = "PER_SECOND", help_heading = "Phases")]
    pub connect_rate: Option<f64>,
    /// Time a connection may take to be open.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration, help_heading = "Phases")]
    pub connect_timeout: Duration,
    /// Load before measuring [default: 1s, none with --messages].
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Phases")]
    pub warm_up: Option<Duration>,
    /// Measured time; idle: how long the connections are held; storm: longest wait until all are back
    /// [default: 10s; idle, handshake 5s; storm 30s].
    #[arg(long, short = 'd', value_name = "TIME", value_parser = parse_duration, help_heading = "Phases")]
    pub duration: Option<Duration>,
    /// Longest wait for what is still outstanding after the last message; then it counts as lost.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration, help_heading = "Phases")]
    pub drain: Duration,
    /// Processor core to run on.
    #[arg(long, value_name = "N", help_heading = "Phases")]
    pub core: Option<usize>,

    /// Write the report as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub json: Option<PathBuf>,
    /// Write the report as a page with charts.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub html: Option<PathBuf>,
    /// Fail unless this holds, as 'p99<50ms' or 'lost==0'; may be repeated.
    #[arg(long = "assert", value_name = "EXPRESSION", help_heading = "Report")]
    pub assertions: Vec<Assertion>,
    /// Show no progress.
    #[arg(long, short, help_heading = "Report")]
    pub quiet: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            scenario: ScenarioName::default(),
            url: None,
            protocol: Protocol::default(),
            path_template: None,
            cacert: None,
            resume: false,
            pid: None,
            connections: None,
            rooms: None,
            members: None,
            stalled: None,
            rate: None,
            message_rate: None,
            in_flight: None,
            depth: None,
            size: None,
            messages: None,
            connect_concurrency: 128,
            connect_rate: None,
            connect_timeout: Duration::from_secs(10),
            warm_up: None,
            duration: None,
            drain: Duration::from_secs(5),
            core: None,
            json: None,
            html: None,
            assertions: Vec::new(),
            quiet: false,
        }
    }
}

/// What a run does to a server.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ScenarioName {
    /// One publisher, many subscribers.
    #[default]
    Fanout,
    /// Many rooms whose members all talk.
    Chat,
    /// Every connection gets its own messages back.
    Echo,
    /// Connections that do nothing: what does each cost?
    Idle,
    /// All connections drop at once and return.
    Storm,
    /// Connect and hang up, again and again.
    Handshake,
}

impl ScenarioName {
    /// The name as it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout",
            Self::Chat => "chat",
            Self::Echo => "echo",
            Self::Idle => "idle",
            Self::Storm => "storm",
            Self::Handshake => "handshake",
        }
    }
}

/// A duration that could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no duration: write a number and a unit, as 250ms, 10s or 2m")]
pub struct BadDuration(String);

/// Reads `250ms`, `1.5s`, `2m` or `1h`, up to a day.
///
/// # Errors
///
/// There is no number, no such unit, or more than a day.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let bad = || BadDuration(text.to_owned());
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    let seconds = number.trim().parse::<f64>().map_err(|_| bad())? * scale;
    let day = 24.0 * 3600.0;
    if (0.0..=day).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        options: LoadOptions,
    }

    #[test]
    fn an_empty_command_line_means_the_default_options() {
        let parsed = <CommandLine as clap::Parser>::parse_from(["load"]).options;
        assert_eq!(
            serde_json::to_value(parsed).unwrap(),
            serde_json::to_value(LoadOptions::default()).unwrap()
        );
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "-1s", "5 parsecs", "25h", "NaNs", "1e9s"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }
}
