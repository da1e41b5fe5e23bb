//! What a run found, as numbers for programs and as a table or a page for people.

mod html;
pub(crate) mod number;
mod svg;
mod text;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{
    assertion::{Assertion, Metric, Verdict},
    options::ScenarioName,
    wire::dialect::Protocol,
};

/// Share of a core above which a thread counts as the limit of a run.
pub(crate) const BUSY: f64 = 0.90;
/// 99th percentile of lateness above which the generator did not keep its schedule, in microseconds.
pub(crate) const BEHIND_US: f64 = 5_000.0;

/// The result of one run. Times are in microseconds unless their name says otherwise.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// What was done.
    pub scenario: ScenarioName,
    /// To whom.
    pub url: String,
    /// In which dialect.
    pub protocol: Protocol,
    /// The load in words.
    pub load: String,
    /// Whether the run was ended before its time.
    pub interrupted: bool,
    /// How connecting went.
    pub connect: Connect,
    /// What was sent and received; absent in scenarios without messages.
    pub traffic: Option<Traffic>,
    /// Whether everything arrived, once and in order.
    pub integrity: Integrity,
    /// How all connections came back; in the scenario `storm` only.
    pub storm: Option<Storm>,
    /// What the server process cost; absent when its process is unknown or on another machine.
    pub server: Option<Server>,
    /// What the generator itself cost.
    pub generator: Generator,
    /// What a reader should know before believing the numbers.
    pub notes: Vec<String>,
    /// The assertions and whether they hold.
    pub verdicts: Vec<Verdict>,
}

/// How opening the connections went.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Connect {
    /// Connections that were opened, with handshake and, where the protocol has them, connect and subscribe commands.
    pub opened: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Connections opened per second.
    pub per_second: f64,
    /// From the first packet to an open connection.
    pub latency: Option<Latency>,
}

/// Messages of the measured time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Traffic {
    /// Whether a schedule or the arrival of earlier messages decided when to send.
    pub pacing: Pacing,
    /// Length of the measured time.
    pub seconds: f64,
    /// Messages published.
    pub messages: u64,
    /// Deliveries received.
    pub deliveries: u64,
    /// Messages published per second.
    pub messages_per_s: f64,
    /// Deliveries received per second.
    pub deliveries_per_s: f64,
    /// From the intended send time to the arrival, of all messages due in the measured time, also when they arrived after it.
    pub latency: Option<Latency>,
    /// Deliveries in each second of the measured time; the last one may be a part of a second.
    pub timeline: Vec<u64>,
}

/// What decides when the next message is sent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pacing {
    /// The clock alone: a slow server does not slow the load down.
    Open,
    /// The server: the next message waits for an earlier one, so latency hides what a waiting sender would have felt.
    Closed,
}

/// A distribution of times, in microseconds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names of the percentiles say it all")]
pub struct Latency {
    /// How many times were measured.
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    /// Points of the distribution for a chart, by rising quantile.
    pub curve: Vec<CurvePoint>,
}

/// One point of a distribution.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Share of values, 0 to 1, that are at most `us`.
    pub quantile: f64,
    /// The value, in microseconds.
    pub us: f64,
}

/// Whether everything arrived, once and in order. Counts the whole run, warm-up and drain included.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Integrity {
    /// Deliveries that the messages sent should have caused.
    pub expected: u64,
    /// Deliveries that happened, repetitions not counted.
    pub delivered: u64,
    /// Deliveries that had not happened when the drain was over.
    pub lost: u64,
    /// Arrivals of what had arrived before.
    pub duplicated: u64,
    /// Deliveries that came after a later message of the same publisher.
    pub reordered: u64,
    /// Messages that arrived in another room than they were sent to, or at a stranger.
    pub misrouted: u64,
    /// Messages that are none of this run's.
    pub foreign: u64,
    /// Publications that the server refused.
    pub refused: u64,
    /// Open connections that the server ended.
    pub disconnected: u64,
}

/// How all connections came back after dropping at once.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Storm {
    /// Connections that dropped.
    pub connections: u64,
    /// Connections that were back.
    pub back: u64,
    /// From the drop until the last was back, in seconds.
    pub all_back_s: f64,
    /// Connections opened per second meanwhile.
    pub per_second: f64,
    /// Attempts that failed and were made again.
    pub retries: u64,
}

/// What the server's process cost, from `/proc`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Server {
    /// The process.
    pub pid: u32,
    /// Share of one core during the measured time; above 1 with several threads.
    pub utilisation: f64,
    /// CPU per delivery during the measured time.
    pub cpu_us_per_delivery: Option<f64>,
    /// CPU per connection while they were opened.
    pub cpu_us_per_handshake: Option<f64>,
    /// Resident bytes before the first connection.
    pub rss_before: u64,
    /// Resident bytes with all connections open, before any message.
    pub rss_connected: Option<u64>,
    /// Resident bytes at the end of the measured time.
    pub rss_loaded: Option<u64>,
    /// Resident bytes after all connections had left.
    pub rss_left: Option<u64>,
    /// What the connections added to the resident memory, each.
    pub rss_bytes_per_connection: Option<f64>,
}

/// What the generator cost and whether it kept up.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Generator {
    /// Share of one core that its thread used during the measured time.
    pub utilisation: f64,
    /// How late it came to its messages, in microseconds; absent without a schedule.
    pub behind_p99_us: Option<f64>,
    /// The worst lateness.
    pub behind_max_us: Option<f64>,
    /// It had no more to give, or did not keep its schedule: the numbers are its own, not the server's.
    pub was_limit: bool,
}

impl Latency {
    /// Summarises a histogram of nanoseconds; `None` when it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        // Points at equal distances on an axis of nines: 90 %, 99 %, 99.9 %, … as far as there are values to tell them apart.
        let nines = (histogram.len() as f64).log10();
        let curve = (0..)
            .map(|step| f64::from(step) * 0.05)
            .take_while(|x| *x <= nines)
            .map(|x| 1.0 - 10f64.powf(-x))
            .map(|quantile| CurvePoint { quantile, us: at(quantile) })
            .collect();
        Some(Self {
            count: histogram.len(),
            mean: histogram.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
            curve,
        })
    }
}

impl Report {
    /// The value of a metric: microseconds for times, else as its name says. `None` when the run did not measure it.
    pub fn metric(&self, metric: Metric) -> Option<f64> {
        let traffic = self.traffic.as_ref();
        let latency = || traffic.and_then(|traffic| traffic.latency.as_ref());
        let server = self.server.as_ref();
        let count = |value: u64| Some(value as f64);
        match metric {
            Metric::P50 => latency().map(|latency| latency.p50),
            Metric::P90 => latency().map(|latency| latency.p90),
            Metric::P99 => latency().map(|latency| latency.p99),
            Metric::P999 => latency().map(|latency| latency.p999),
            Metric::Max => latency().map(|latency| latency.max),
            Metric::ConnectP99 => self.connect.latency.as_ref().map(|latency| latency.p99),
            Metric::AllBack => self.storm.as_ref().map(|storm| storm.all_back_s * 1e6),
            Metric::BehindP99 => self.generator.behind_p99_us,
            // Without a message nothing can be lost, and nothing is proved either.
            Metric::Lost => traffic.and(count(self.integrity.lost)),
            Metric::Duplicated => traffic.and(count(self.integrity.duplicated)),
            Metric::Reordered => traffic.and(count(self.integrity.reordered)),
            Metric::Misrouted => traffic.and(count(self.integrity.misrouted)),
            Metric::Foreign => count(self.integrity.foreign),
            Metric::Refused => count(self.integrity.refused),
            Metric::Disconnected => count(self.integrity.disconnected),
            Metric::ConnectFailed => count(self.connect.failed),
            Metric::DeliveriesPerS => traffic.map(|traffic| traffic.deliveries_per_s),
            Metric::MessagesPerS => traffic.map(|traffic| traffic.messages_per_s),
            Metric::HandshakesPerS => {
                Some(self.storm.as_ref().map_or(self.connect.per_second, |storm| storm.per_second))
            }
            Metric::CpuUsPerDelivery => server.and_then(|server| server.cpu_us_per_delivery),
            Metric::CpuUsPerHandshake => server.and_then(|server| server.cpu_us_per_handshake),
            Metric::RssBytesPerConnection => server.and_then(|server| server.rss_bytes_per_connection),
            Metric::RssBytesLoad => server
                .and_then(|server| Some(server.rss_loaded?.saturating_sub(server.rss_connected?) as f64)),
            Metric::RssBytesKept => {
                server.and_then(|server| Some(server.rss_left?.saturating_sub(server.rss_before) as f64))
            }
            Metric::GeneratorUtilisation => Some(self.generator.utilisation),
        }
    }

    /// Judges the assertions and keeps the verdicts.
    pub fn judge(&mut self, assertions: &[Assertion]) {
        self.verdicts = assertions.iter().map(|assertion| assertion.judge(self)).collect();
    }

    /// Whether every assertion that was judged holds.
    pub fn passes(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.holds)
    }

    /// The report as a table for a terminal.
    pub fn to_text(&self) -> String {
        text::render(self)
    }

    /// The report as a page that needs nothing else: charts are inline, light and dark follow the reader's setting.
    pub fn to_html(&self) -> String {
        html::render(self)
    }
}

#[cfg(test)]
mod tests;
