//! What is compared with what, and the targets.

use std::time::Duration;

use serde::Serialize;
use throng_bench::{LoadOptions, Protocol, assertion::Metric, options::ScenarioName};

/// Names for `--only`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Group {
    /// One publisher, 1,000 subscribers, 16 messages in flight.
    Burst,
    /// The same at 50,000 deliveries per second.
    Paced,
    /// 100 connections that get their own messages back, 1 and 16 outstanding.
    Echo,
    /// 10,000 and 19,000 idle connections.
    Idle,
    /// Connecting and hanging up.
    Handshake,
    /// As many subscribers that read as do not, by policy for the latter.
    Slow,
}

/// Contenders under the same load, and what is asked of them.
pub(super) struct Case {
    pub(super) group: Group,
    pub(super) name: &'static str,
    pub(super) title: String,
    pub(super) contenders: Vec<Contender>,
    pub(super) targets: Vec<Target>,
}

/// A server under one load.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) program: Program,
    pub(super) arguments: &'static [&'static str],
    pub(super) environment: &'static [(&'static str, &'static str)],
    pub(super) load: LoadOptions,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Program {
    Throng,
    Tutorial,
    Floor,
    NodeWs,
}

/// One promise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Contender that makes it.
    pub(super) of: &'static str,
    pub(super) metric: Metric,
    /// Contender that it is measured by; `None`: the figure itself is bounded.
    pub(super) against: Option<&'static str>,
    pub(super) bound: Bound,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

const RELAY: &str = "throng relay";
const JSON: &str = "throng json";
const NO_HISTORY: &str = "throng json, no history";
const TUTORIAL: &str = "tutorial";
const FLOOR: &str = "floor";
const MERGING: &str = "merging floor";
const NODE: &str = "npm ws";
const ALL_READ: &str = "all read";
const MIB: f64 = 1024.0 * 1024.0;

/// Policies for those who do not read, each with what sets it.
const POLICIES: [(&str, &[(&str, &str)]); 4] = [
    ("disconnect", &open_with("disconnect")),
    ("drop_oldest", &open_with("drop_oldest")),
    ("drop_newest", &open_with("drop_newest")),
    ("keep_latest", &open_with("keep_latest")),
];

const fn open_with(policy: &'static str) -> [(&'static str, &'static str); 5] {
    let [a, b, c, d] = *OPEN_WITHOUT_HISTORY;
    [a, b, c, d, ("THRONG_CHANNEL_WITHOUT_NAMESPACE_SLOW_CONSUMER", policy)]
}

/// As open as channels are without any setting, but without their history.
const OPEN_WITHOUT_HISTORY: &[(&str, &str); 4] = &[
    ("THRONG_CHANNEL_WITHOUT_NAMESPACE_ALLOW_SUBSCRIBE_FOR_CLIENT", "true"),
    ("THRONG_CHANNEL_WITHOUT_NAMESPACE_ALLOW_SUBSCRIBE_FOR_ANONYMOUS", "true"),
    ("THRONG_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_CLIENT", "true"),
    ("THRONG_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_ANONYMOUS", "true"),
];

/// All comparisons, each run measured for `duration`.
pub(super) fn all(duration: Duration) -> Vec<Case> {
    let mut cases = vec![burst(duration), paced(duration)];
    cases.extend([(1, 0.4), (16, 0.25)].map(|(depth, bound)| echo(duration, depth, bound)));
    cases.extend([10_000, 19_000].map(idle));
    cases.push(handshake(duration));
    cases.push(slow(duration));
    cases
}

fn burst(duration: Duration) -> Case {
    let load = |protocol| LoadOptions {
        connections: Some(1000),
        in_flight: Some(16),
        protocol,
        ..base(ScenarioName::Fanout, duration)
    };
    Case {
        group: Group::Burst,
        name: "burst",
        title: "1 publisher, 1,000 subscribers, 16 messages of 128 bytes in flight".to_owned(),
        contenders: vec![
            contender(RELAY, Program::Throng, &[], load(Protocol::Relay)),
            contender(JSON, Program::Throng, &[], load(Protocol::Json)),
            Contender {
                environment: OPEN_WITHOUT_HISTORY,
                ..contender(NO_HISTORY, Program::Throng, &[], load(Protocol::Json))
            },
            contender(TUTORIAL, Program::Tutorial, &[], load(Protocol::Relay)),
            contender(MERGING, Program::Floor, &["--merge"], load(Protocol::Relay)),
            contender(NODE, Program::NodeWs, &[], load(Protocol::Relay)),
        ],
        targets: [RELAY, JSON]
            .into_iter()
            .flat_map(|of| {
                [
                    target(of, Metric::DeliveriesPerS, TUTORIAL, Bound::AtLeast(3.5)),
                    target(of, Metric::CpuUsPerDelivery, MERGING, Bound::AtMost(1.3)),
                ]
            })
            .chain([target(JSON, Metric::CpuUsPerDelivery, NO_HISTORY, Bound::AtMost(1.3))])
            .collect(),
    }
}

fn paced(duration: Duration) -> Case {
    let load = |protocol| LoadOptions {
        connections: Some(1000),
        rate: Some(50_000.0),
        protocol,
        ..base(ScenarioName::Fanout, duration)
    };
    Case {
        group: Group::Paced,
        name: "paced",
        title: "1 publisher, 1,000 subscribers, 50,000 deliveries of 128 bytes per second".to_owned(),
        contenders: vec![
            contender(RELAY, Program::Throng, &[], load(Protocol::Relay)),
            contender(JSON, Program::Throng, &[], load(Protocol::Json)),
            contender(FLOOR, Program::Floor, &[], load(Protocol::Relay)),
            contender(TUTORIAL, Program::Tutorial, &[], load(Protocol::Relay)),
            contender(NODE, Program::NodeWs, &[], load(Protocol::Relay)),
        ],
        targets: [RELAY, JSON]
            .into_iter()
            .flat_map(|of| {
                [
                    target(of, Metric::CpuUsPerDelivery, FLOOR, Bound::AtMost(1.15)),
                    target(of, Metric::P99, FLOOR, Bound::AtMost(1.3)),
                ]
            })
            .collect(),
    }
}

fn echo(duration: Duration, depth: usize, bound: f64) -> Case {
    let load =
        || LoadOptions { connections: Some(100), depth: Some(depth), ..base(ScenarioName::Echo, duration) };
    Case {
        group: Group::Echo,
        name: if depth == 1 { "echo-1" } else { "echo-16" },
        title: format!("echo: 100 connections, {depth} outstanding on each, 64 bytes"),
        contenders: vec![
            contender(RELAY, Program::Throng, &[], load()),
            contender(TUTORIAL, Program::Tutorial, &["--echo"], load()),
            contender(FLOOR, Program::Floor, &["--echo", "--merge"], load()),
            contender(NODE, Program::NodeWs, &["--echo"], load()),
        ],
        targets: vec![target(RELAY, Metric::CpuUsPerDelivery, TUTORIAL, Bound::AtMost(bound))],
    }
}

fn idle(connections: usize) -> Case {
    let load = |protocol| LoadOptions {
        connections: Some(connections),
        protocol,
        ..base(ScenarioName::Idle, Duration::from_secs(2))
    };
    let bounds = |of, bytes| {
        [(Metric::RssBytesPerConnection, bytes), (Metric::RssBytesKept, 32.0 * MIB)]
            .map(|(metric, bound)| Target { of, metric, against: None, bound: Bound::AtMost(bound) })
    };
    let mut case = Case {
        group: Group::Idle,
        name: "idle-19000",
        title: format!("{connections} idle connections in one room; json: connected, one subscription"),
        contenders: vec![
            contender(RELAY, Program::Throng, &[], load(Protocol::Relay)),
            contender(JSON, Program::Throng, &[], load(Protocol::Json)),
            contender(FLOOR, Program::Floor, &[], load(Protocol::Relay)),
        ],
        targets: bounds(RELAY, 2048.0).into_iter().chain(bounds(JSON, 4096.0)).collect(),
    };
    if connections == 10_000 {
        // Here the tutorial's 137 KB each still fit; connections that stay cost it what short ones do not, see `handshake`.
        case.name = "idle-10000";
        case.contenders.push(contender(TUTORIAL, Program::Tutorial, &[], load(Protocol::Relay)));
        case.contenders.push(contender(NODE, Program::NodeWs, &[], load(Protocol::Relay)));
        case.targets.push(target(RELAY, Metric::HandshakesPerS, TUTORIAL, Bound::AtLeast(2.0)));
    }
    case
}

fn handshake(duration: Duration) -> Case {
    let load = |protocol| LoadOptions { protocol, ..base(ScenarioName::Handshake, duration) };
    Case {
        group: Group::Handshake,
        name: "handshake",
        title: "connect and hang up, 128 at a time; json: connected, one subscription".to_owned(),
        contenders: vec![
            contender(RELAY, Program::Throng, &[], load(Protocol::Relay)),
            contender(JSON, Program::Throng, &[], load(Protocol::Json)),
            contender(TUTORIAL, Program::Tutorial, &[], load(Protocol::Relay)),
            contender(FLOOR, Program::Floor, &[], load(Protocol::Relay)),
            contender(NODE, Program::NodeWs, &[], load(Protocol::Relay)),
        ],
        targets: vec![target(RELAY, Metric::HandshakesPerS, TUTORIAL, Bound::AtLeast(2.0))],
    }
}

/// 500 messages of 1 KB a second: an outbox is full in two seconds.
fn slow(duration: Duration) -> Case {
    const READERS: usize = 100;
    const OUTBOX: f64 = MIB;
    let load = |stalled| LoadOptions {
        connections: Some(READERS),
        stalled: Some(stalled),
        rate: Some(50_000.0),
        size: Some(1_024),
        protocol: Protocol::Json,
        warm_up: Some(Duration::from_secs(4)),
        ..base(ScenarioName::Fanout, duration)
    };
    let reading =
        Contender { environment: OPEN_WITHOUT_HISTORY, ..contender(ALL_READ, Program::Throng, &[], load(0)) };
    let stalling = POLICIES.map(|(name, environment)| Contender {
        environment,
        ..contender(name, Program::Throng, &[], load(READERS))
    });
    let targets = POLICIES.into_iter().flat_map(|(of, _)| {
        let memory = Bound::AtMost(READERS as f64 * OUTBOX);
        [
            target(of, Metric::P99, ALL_READ, Bound::AtMost(1.3)),
            Target { of, metric: Metric::RssBytesLoad, against: None, bound: memory },
        ]
    });
    Case {
        group: Group::Slow,
        name: "slow",
        title: "100 subscribers that read and 100 that do not, 500 messages of 1 KB per second".to_owned(),
        targets: targets.collect(),
        contenders: std::iter::once(reading).chain(stalling).collect(),
    }
}

fn base(scenario: ScenarioName, duration: Duration) -> LoadOptions {
    LoadOptions { scenario, duration: Some(duration), quiet: true, ..LoadOptions::default() }
}

const fn contender(
    name: &'static str,
    program: Program,
    arguments: &'static [&'static str],
    load: LoadOptions,
) -> Contender {
    Contender { name, program, arguments, environment: &[], load }
}

const fn target(of: &'static str, metric: Metric, against: &'static str, bound: Bound) -> Target {
    Target { of, metric, against: Some(against), bound }
}

impl Bound {
    pub(super) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use throng_bench::Plan;

    use super::*;

    #[test]
    fn every_load_is_one_that_the_generator_takes_and_every_target_names_contenders() {
        for case in all(Duration::from_secs(1)) {
            let names: Vec<_> = case.contenders.iter().map(|contender| contender.name).collect();
            for contender in &case.contenders {
                let url = Some("ws://127.0.0.1:1".to_owned());
                assert!(Plan::check(&LoadOptions { url, ..contender.load.clone() }).is_ok(), "{}", case.name);
            }
            assert!(!case.targets.is_empty());
            for target in &case.targets {
                assert!(names.contains(&target.of), "{}: {}", case.name, target.of);
                assert!(target.against.is_none_or(|against| names.contains(&against)), "{}", case.name);
            }
        }
    }

    #[test]
    fn the_targets_are_those_that_were_set() {
        let bounds: Vec<String> = all(Duration::from_secs(1))
            .iter()
            .flat_map(|case| case.targets.iter().map(|target| (case.name, target)))
            .filter(|(_, target)| target.of == RELAY)
            .map(|(name, target)| format!("{name} {} {:?}", target.metric.name(), target.bound))
            .collect();
        assert_eq!(
            bounds,
            [
                "burst deliveries_per_s AtLeast(3.5)",
                "burst cpu_us_per_delivery AtMost(1.3)",
                "paced cpu_us_per_delivery AtMost(1.15)",
                "paced p99 AtMost(1.3)",
                "echo-1 cpu_us_per_delivery AtMost(0.4)",
                "echo-16 cpu_us_per_delivery AtMost(0.25)",
                "idle-10000 rss_bytes_per_connection AtMost(2048.0)",
                "idle-10000 rss_bytes_kept AtMost(33554432.0)",
                "idle-10000 handshakes_per_s AtLeast(2.0)",
                "idle-19000 rss_bytes_per_connection AtMost(2048.0)",
                "idle-19000 rss_bytes_kept AtMost(33554432.0)",
                "handshake handshakes_per_s AtLeast(2.0)",
            ]
        );
    }
}
