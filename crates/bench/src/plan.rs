//! A load run whose settings have been checked.

use std::{
    fmt, fs,
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::{
    options::{LoadOptions, ScenarioName},
    wire::{dialect::Protocol, stamp},
};

/// Longest payload, in bytes.
const MAX_SIZE: usize = 1 << 20;
/// Most connections of one run.
const MAX_CONNECTIONS: usize = 1_000_000;
/// Most messages outstanding, over all or per connection.
const MAX_OUTSTANDING: usize = 65_536;

/// A run that can be made: every number is in its range and every option belongs to the scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) url: String,
    pub(crate) target: Target,
    pub(crate) tls: Option<TlsPlan>,
    pub(crate) protocol: Protocol,
    pub(crate) path_template: String,
    pub(crate) size: usize,
    pub(crate) connect: ConnectPlan,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) drain: Duration,
    pub(crate) messages: Option<u64>,
    pub(crate) pid: Option<u32>,
}

/// How connections are opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectPlan {
    pub(crate) concurrency: usize,
    pub(crate) per_second: Option<f64>,
    pub(crate) deadline: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scenario {
    Fanout { subscribers: usize, stalled: usize, pace: Pace },
    Chat { rooms: usize, members: usize, deliveries_per_s: f64 },
    Echo { connections: usize, depth: usize },
    Idle { connections: usize, rooms: usize },
    Storm { connections: usize, rooms: usize },
    Handshake,
}

/// What decides when the next message is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// The clock alone (open loop).
    Deliveries { per_second: f64 },
    /// Deliveries: so many messages are kept outstanding (closed loop).
    Window { messages: usize },
}

/// Where a run's connections go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// Host and port as the Host header wants them.
    pub(crate) authority: String,
    pub(crate) address: SocketAddr,
}

/// How connections are made with TLS.
#[derive(Clone, Debug)]
pub(crate) struct TlsPlan {
    pub(crate) config: Arc<ClientConfig>,
    /// What the server's certificate must be for.
    pub(crate) name: ServerName<'static>,
}

/// Everything that is wrong with the options of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanErrors(Vec<PlanError>);

/// One thing that is wrong with the options of a run.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is no URL.
    #[error("no server: give --url ws://HOST:PORT")]
    NoUrl,
    /// The URL is not one that can be loaded.
    #[error("{url:?} is no URL of a WebSocket server: {why}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// TLS cannot be spoken.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The host of the URL has no address.
    #[error("{host:?} has no address: {why}")]
    Host {
        /// Host and port.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// A number is out of its range.
    #[error("{option} is {value}, but must be {low} to {high}")]
    Range {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// Lowest allowed value.
        low: usize,
        /// Highest allowed value.
        high: usize,
    },
    /// The option means nothing in this scenario.
    #[error("{option} has no meaning in the scenario {}", scenario.name())]
    NotHere {
        /// The option.
        option: &'static str,
        /// The scenario.
        scenario: ScenarioName,
    },
    /// Several rooms would all be the same one.
    #[error("rooms of the relay are told apart by the path: put {{room}} into the URL or --path-template")]
    RoomsNotInPath,
}

impl Plan {
    /// Checks the options of a run and fills in the defaults.
    ///
    /// # Errors
    ///
    /// Lists everything that is wrong, so that one edit repairs the command line.
    pub fn check(options: &LoadOptions) -> Result<Self, PlanErrors> {
        let mut faults = Vec::new();
        refuse_misplaced(options, &mut faults);
        let scenario = scenario(options, &mut faults);
        let default_size = if options.scenario == ScenarioName::Echo { 64 } else { 128 };
        let size =
            ranged("--size", options.size.unwrap_or(default_size), stamp::MIN_SIZE, MAX_SIZE, &mut faults);
        let concurrency =
            ranged("--connect-concurrency", options.connect_concurrency, 1, 10_000, &mut faults);
        let connect =
            ConnectPlan { concurrency, per_second: options.connect_rate, deadline: options.connect_timeout };
        if let Some(rate) = options.connect_rate {
            ranged_rate("--connect-rate", rate, &mut faults);
        }
        let url = options.url.clone().unwrap_or_default();
        let target = target(options, &mut faults);
        let tls = tls(options, &mut faults);
        let path_template = options.path_template.clone().unwrap_or_else(|| path(options, &url));
        let several = scenario.is_some_and(|scenario| scenario.rooms() > 1);
        let only_path = options.protocol == Protocol::Relay && options.scenario == ScenarioName::Chat;
        if several && only_path && !path_template.contains("{room}") {
            faults.push(PlanError::RoomsNotInPath);
        }
        let (Some(scenario), Some(target), true) = (scenario, target, faults.is_empty()) else {
            return Err(PlanErrors(faults));
        };
        let default_duration = match options.scenario {
            ScenarioName::Idle | ScenarioName::Handshake => Duration::from_secs(5),
            ScenarioName::Fanout | ScenarioName::Chat | ScenarioName::Echo => Duration::from_secs(10),
            ScenarioName::Storm => Duration::from_secs(30),
        };
        let default_warm_up = Duration::from_secs(u64::from(options.messages.is_none()));
        Ok(Self {
            scenario,
            url,
            target,
            tls,
            protocol: options.protocol,
            path_template,
            size,
            connect,
            warm_up: options.warm_up.unwrap_or(default_warm_up),
            duration: options.duration.unwrap_or(default_duration),
            drain: options.drain,
            messages: options.messages,
            pid: options.pid,
        })
    }
}

impl Scenario {
    pub(crate) const fn rooms(&self) -> usize {
        match self {
            Self::Fanout { .. } | Self::Handshake => 1,
            Self::Echo { connections, .. } => *connections,
            Self::Chat { rooms, .. } | Self::Idle { rooms, .. } | Self::Storm { rooms, .. } => *rooms,
        }
    }

    pub(crate) const fn name(&self) -> ScenarioName {
        match self {
            Self::Fanout { .. } => ScenarioName::Fanout,
            Self::Chat { .. } => ScenarioName::Chat,
            Self::Echo { .. } => ScenarioName::Echo,
            Self::Idle { .. } => ScenarioName::Idle,
            Self::Storm { .. } => ScenarioName::Storm,
            Self::Handshake => ScenarioName::Handshake,
        }
    }
}

impl PlanErrors {
    /// The faults, in the order in which they were found.
    pub fn faults(&self) -> &[PlanError] {
        &self.0
    }
}

impl std::error::Error for PlanErrors {}

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

fn scenario(options: &LoadOptions, faults: &mut Vec<PlanError>) -> Option<Scenario> {
    let before = faults.len();
    let connections = |default, faults: &mut Vec<PlanError>| {
        ranged("--connections", options.connections.unwrap_or(default), 1, MAX_CONNECTIONS, faults)
    };
    let rooms = |default, faults: &mut Vec<PlanError>| {
        ranged("--rooms", options.rooms.unwrap_or(default), 1, MAX_CONNECTIONS, faults)
    };
    let scenario = match options.scenario {
        ScenarioName::Fanout => {
            let subscribers = connections(1000, faults);
            let pace = match options.in_flight {
                Some(messages) => {
                    Pace::Window { messages: ranged("--in-flight", messages, 1, MAX_OUTSTANDING, faults) }
                }
                None => Pace::Deliveries { per_second: deliveries(options, 50_000.0, subscribers, faults) },
            };
            let stalled = ranged("--stalled", options.stalled.unwrap_or(0), 0, MAX_CONNECTIONS, faults);
            Scenario::Fanout { subscribers, stalled, pace }
        }
        ScenarioName::Chat => {
            let rooms = rooms(100, faults);
            let members = ranged("--members", options.members.unwrap_or(10), 2, 10_000, faults);
            ranged("--rooms times --members", rooms.saturating_mul(members), 2, MAX_CONNECTIONS, faults);
            let receivers = members - usize::from(!options.protocol.hears_itself());
            let deliveries_per_s = deliveries(options, 20_000.0, receivers, faults);
            Scenario::Chat { rooms, members, deliveries_per_s }
        }
        ScenarioName::Echo => Scenario::Echo {
            connections: connections(100, faults),
            depth: ranged("--depth", options.depth.unwrap_or(1), 1, MAX_OUTSTANDING, faults),
        },
        ScenarioName::Idle => {
            Scenario::Idle { connections: connections(10_000, faults), rooms: rooms(1, faults) }
        }
        ScenarioName::Storm => {
            Scenario::Storm { connections: connections(5_000, faults), rooms: rooms(1, faults) }
        }
        ScenarioName::Handshake => Scenario::Handshake,
    };
    (faults.len() == before).then_some(scenario)
}

/// The rate in deliveries per second, whichever way it was given.
fn deliveries(options: &LoadOptions, default: f64, receivers: usize, faults: &mut Vec<PlanError>) -> f64 {
    match (options.rate, options.message_rate) {
        (Some(rate), _) => ranged_rate("--rate", rate, faults),
        (None, Some(rate)) => ranged_rate("--message-rate", rate, faults) * receivers as f64,
        (None, None) => default,
    }
}

fn refuse_misplaced(options: &LoadOptions, faults: &mut Vec<PlanError>) {
    use ScenarioName::{Chat, Echo, Fanout, Idle, Storm};
    let rules: [(&'static str, bool, &[ScenarioName]); 9] = [
        ("--connections", options.connections.is_some(), &[Fanout, Echo, Idle, Storm]),
        ("--rooms", options.rooms.is_some(), &[Chat, Idle, Storm]),
        ("--members", options.members.is_some(), &[Chat]),
        ("--stalled", options.stalled.is_some(), &[Fanout]),
        ("--rate", options.rate.is_some(), &[Fanout, Chat]),
        ("--message-rate", options.message_rate.is_some(), &[Fanout, Chat]),
        ("--in-flight", options.in_flight.is_some(), &[Fanout]),
        ("--depth", options.depth.is_some(), &[Echo]),
        ("--messages", options.messages.is_some(), &[Fanout, Chat, Echo]),
    ];
    for (option, given, places) in rules {
        if given && !places.contains(&options.scenario) {
            faults.push(PlanError::NotHere { option, scenario: options.scenario });
        }
    }
}

fn ranged(option: &'static str, value: usize, low: usize, high: usize, faults: &mut Vec<PlanError>) -> usize {
    if !(low..=high).contains(&value) {
        faults.push(PlanError::Range { option, value: value.to_string(), low, high });
    }
    value
}

fn ranged_rate(option: &'static str, value: f64, faults: &mut Vec<PlanError>) -> f64 {
    let (low, high) = (1, 1_000_000_000);
    // The comparison is also false for what is no number.
    if !(low as f64..=high as f64).contains(&value) {
        faults.push(PlanError::Range { option, value: value.to_string(), low, high });
    }
    value
}

fn target(options: &LoadOptions, faults: &mut Vec<PlanError>) -> Option<Target> {
    let Some(url) = &options.url else {
        faults.push(PlanError::NoUrl);
        return None;
    };
    let mut fault = |why| {
        faults.push(PlanError::Url { url: url.clone(), why });
        None
    };
    let Some((scheme, rest)) = url.split_once("://") else { return fault("it has no scheme") };
    let port = match scheme {
        "ws" => 80,
        "wss" => 443,
        _ => return fault("the scheme is not ws or wss"),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return fault("it names no host");
    }
    // A colon inside the brackets of an IPv6 address is none of a port.
    let has_port = authority.rsplit(']').next().is_some_and(|behind| behind.contains(':'));
    let host = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
    let resolved = host.to_socket_addrs().map(|mut addresses| addresses.next());
    let why = match resolved {
        Ok(Some(address)) => return Some(Target { authority: authority.to_owned(), address }),
        Ok(None) => "the resolver knows none".to_owned(),
        Err(error) => error.to_string(),
    };
    faults.push(PlanError::Host { host, why });
    None
}

/// How TLS is spoken, if the URL wants it.
fn tls(options: &LoadOptions, faults: &mut Vec<PlanError>) -> Option<TlsPlan> {
    let rest = options.url.as_deref()?.strip_prefix("wss://")?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let planned = match &options.cacert {
        Some(path) => tls_config(path, options.resume),
        None => Err("give --cacert FILE with the certificates to trust".to_owned()),
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host:?}: {error}"));
    match planned.and_then(|config| Ok(TlsPlan { config, name: name? })) {
        Ok(plan) => Some(plan),
        Err(why) => {
            faults.push(PlanError::Tls(why));
            None
        }
    }
}

fn tls_config(cacert: &Path, resume: bool) -> Result<Arc<ClientConfig>, String> {
    let why = |error: &dyn std::error::Error| format!("{}: {error}", cacert.display());
    let pem = fs::read(cacert).map_err(|error| why(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| why(&error))?;
        roots.add(certificate).map_err(|error| why(&error))?;
    }
    if roots.is_empty() {
        return Err(format!("{} holds no certificate", cacert.display()));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| why(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resume {
        config.resumption = Resumption::disabled();
    }
    Ok(Arc::new(config))
}

fn path(options: &LoadOptions, url: &str) -> String {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    if let Some(start) = rest.find('/') {
        return rest[start..].to_owned();
    }
    match (options.protocol, options.scenario) {
        (Protocol::Relay, ScenarioName::Echo) => "/echo",
        (Protocol::Relay, _) => "/relay/{room}",
        (Protocol::Json | Protocol::Protobuf, _) => "/connection/websocket",
    }
    .to_owned()
}

#[cfg(test)]
mod tests;
