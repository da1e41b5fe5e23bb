//! What a run must have achieved: `p99<50ms`, `lost==0`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::report::{Report, number};

/// One condition on a report.
///
/// ```
/// use throng_bench::assertion::Assertion;
///
/// assert_eq!("p99 < 50ms".parse::<Assertion>()?.to_string(), "p99<50ms");
/// assert!("p98<50ms".parse::<Assertion>().is_err());
/// # Ok::<(), throng_bench::assertion::AssertionError>(())
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Assertion {
    metric: Metric,
    comparison: Comparison,
    /// Microseconds for times, else the number as it is.
    bound: f64,
    text: String,
}

/// How an assertion ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Verdict {
    /// The assertion as it was written.
    pub assertion: String,
    /// What was measured, in microseconds for times; absent when the run did not measure it, which fails the assertion.
    pub measured: Option<f64>,
    /// The same with its unit, for people.
    pub shown: String,
    /// Whether the condition holds.
    pub holds: bool,
}

/// Why an expression is no assertion.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AssertionError {
    /// There is no comparison in it.
    #[error(
        "{0:?} compares nothing: write a metric, one of < <= > >= ==, and a number, as p99<50ms or lost==0"
    )]
    NoComparison(String),
    /// The metric does not exist.
    #[error("there is no metric {name:?}; there are {}", metric_names())]
    UnknownMetric {
        /// What was given.
        name: String,
    },
    /// The right side is no number.
    #[error("{0:?} is no number")]
    NotANumber(String),
    /// A time without a unit, or with an unknown one.
    #[error("{metric} is a time: give {value:?} a unit, us, ms or s")]
    NoTimeUnit {
        /// The metric.
        metric: &'static str,
        /// What was given.
        value: String,
    },
    /// A unit behind a plain number.
    #[error("{metric} is a plain number: {value:?} must have no unit")]
    NeedlessUnit {
        /// The metric.
        metric: &'static str,
        /// What was given.
        value: String,
    },
}

/// What can be asserted. The value comes from [`Report::metric`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Metric {
    /// Median latency.
    P50,
    /// 90th percentile of latency.
    P90,
    /// 99th percentile of latency.
    P99,
    /// 99.9th percentile of latency.
    P999,
    /// Highest latency.
    Max,
    /// 99th percentile of the time to an open connection.
    ConnectP99,
    /// Time until all connections were back after a storm.
    AllBack,
    /// 99th percentile of how late the generator itself was.
    BehindP99,
    /// Deliveries that never arrived.
    Lost,
    /// Deliveries that arrived more than once.
    Duplicated,
    /// Deliveries that arrived after a later one.
    Reordered,
    /// Messages that arrived in a room they were not sent to.
    Misrouted,
    /// Messages that were none of the run's.
    Foreign,
    /// Publications that the server refused.
    Refused,
    /// Open connections that the server ended.
    Disconnected,
    /// Connections that could not be opened.
    ConnectFailed,
    /// Deliveries per second.
    DeliveriesPerS,
    /// Messages published per second.
    MessagesPerS,
    /// Connections opened per second.
    HandshakesPerS,
    /// Server CPU per delivery, in microseconds.
    CpuUsPerDelivery,
    /// Server CPU per opened connection, in microseconds.
    CpuUsPerHandshake,
    /// Server memory per open connection, in bytes.
    RssBytesPerConnection,
    /// Server memory at the end of the load, beyond that of the open connections before it, in bytes.
    RssBytesLoad,
    /// Server memory that stayed after all connections left, in bytes.
    RssBytesKept,
    /// Share of one core that the generator used, 0 to 1.
    GeneratorUtilisation,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

impl Metric {
    const ALL: [(&'static str, Self); 25] = [
        ("p50", Self::P50),
        ("p90", Self::P90),
        ("p99", Self::P99),
        ("p999", Self::P999),
        ("max", Self::Max),
        ("connect_p99", Self::ConnectP99),
        ("all_back", Self::AllBack),
        ("behind_p99", Self::BehindP99),
        ("lost", Self::Lost),
        ("duplicated", Self::Duplicated),
        ("reordered", Self::Reordered),
        ("misrouted", Self::Misrouted),
        ("foreign", Self::Foreign),
        ("refused", Self::Refused),
        ("disconnected", Self::Disconnected),
        ("connect_failed", Self::ConnectFailed),
        ("deliveries_per_s", Self::DeliveriesPerS),
        ("messages_per_s", Self::MessagesPerS),
        ("handshakes_per_s", Self::HandshakesPerS),
        ("cpu_us_per_delivery", Self::CpuUsPerDelivery),
        ("cpu_us_per_handshake", Self::CpuUsPerHandshake),
        ("rss_bytes_per_connection", Self::RssBytesPerConnection),
        ("rss_bytes_load", Self::RssBytesLoad),
        ("rss_bytes_kept", Self::RssBytesKept),
        ("generator_utilisation", Self::GeneratorUtilisation),
    ];

    /// The name in an expression.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, metric)| *metric == self).map_or("", |(name, _)| name)
    }

    /// Times need a unit, everything else must have none.
    const fn is_time(self) -> bool {
        matches!(
            self,
            Self::P50
                | Self::P90
                | Self::P99
                | Self::P999
                | Self::Max
                | Self::ConnectP99
                | Self::AllBack
                | Self::BehindP99
        )
    }
}

impl Assertion {
    /// Judges a report. What was not measured does not hold.
    pub fn judge(&self, report: &Report) -> Verdict {
        let measured = report.metric(self.metric);
        let holds = measured.is_some_and(|value| match self.comparison {
            Comparison::Less => value < self.bound,
            Comparison::LessOrEqual => value <= self.bound,
            Comparison::Greater => value > self.bound,
            Comparison::GreaterOrEqual => value >= self.bound,
            Comparison::Equal => (value - self.bound).abs() <= f64::EPSILON * self.bound.abs(),
        });
        let shown = match measured {
            None => "not measured".to_owned(),
            Some(us) if self.metric.is_time() => number::time(us),
            Some(value) if value.fract() == 0.0 => number::grouped(value),
            Some(value) => number::significant(value),
        };
        Verdict { assertion: self.text.clone(), measured, shown, holds }
    }
}

impl FromStr for Assertion {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        let operator =
            text.find(['<', '>', '=']).ok_or_else(|| AssertionError::NoComparison(text.to_owned()))?;
        let (name, rest) = (text[..operator].trim(), &text[operator..]);
        // Longer operators first, or `<=` would be `<` with a bad number.
        let (comparison, symbol, value) = [
            (Comparison::LessOrEqual, "<="),
            (Comparison::GreaterOrEqual, ">="),
            (Comparison::Equal, "=="),
            (Comparison::Less, "<"),
            (Comparison::Greater, ">"),
        ]
        .into_iter()
        .find_map(|(comparison, symbol)| Some((comparison, symbol, rest.strip_prefix(symbol)?.trim())))
        .ok_or_else(|| AssertionError::NoComparison(text.to_owned()))?;
        let metric = Metric::ALL.iter().find(|(known, _)| *known == name).map(|(_, metric)| *metric);
        let metric = metric.ok_or_else(|| AssertionError::UnknownMetric { name: name.to_owned() })?;
        let bound = parse_bound(metric, value)?;
        Ok(Self { metric, comparison, bound, text: format!("{name}{symbol}{value}") })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Assertion {
    type Error = AssertionError;

    fn try_from(text: String) -> Result<Self, AssertionError> {
        text.parse()
    }
}

impl From<Assertion> for String {
    fn from(assertion: Assertion) -> Self {
        assertion.text
    }
}

fn parse_bound(metric: Metric, value: &str) -> Result<f64, AssertionError> {
    let split = value.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(value.len());
    let (number, unit) = value.split_at(split);
    let number: f64 = number.trim().parse().map_err(|_| AssertionError::NotANumber(value.to_owned()))?;
    let scale = match (metric.is_time(), unit) {
        (true, "us") => 1.0,
        (true, "ms") => 1e3,
        (true, "s") => 1e6,
        (true, _) => {
            return Err(AssertionError::NoTimeUnit { metric: metric.name(), value: value.to_owned() });
        }
        (false, "") => 1.0,
        (false, _) => {
            return Err(AssertionError::NeedlessUnit { metric: metric.name(), value: value.to_owned() });
        }
    };
    Ok(number * scale)
}

fn metric_names() -> String {
    Metric::ALL.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Metric, Comparison, f64), AssertionError> {
        text.parse().map(|assertion: Assertion| (assertion.metric, assertion.comparison, assertion.bound))
    }

    #[test]
    fn every_operator_and_unit_is_understood() {
        assert_eq!(parse("p99<50ms"), Ok((Metric::P99, Comparison::Less, 50_000.0)));
        assert_eq!(parse("max <= 1.5s"), Ok((Metric::Max, Comparison::LessOrEqual, 1_500_000.0)));
        assert_eq!(parse("p50>80us"), Ok((Metric::P50, Comparison::Greater, 80.0)));
        assert_eq!(
            parse("deliveries_per_s>=1000000"),
            Ok((Metric::DeliveriesPerS, Comparison::GreaterOrEqual, 1e6))
        );
        assert_eq!(parse(" lost == 0 "), Ok((Metric::Lost, Comparison::Equal, 0.0)));
    }

    #[test]
    fn a_bad_expression_says_what_is_allowed() {
        for (text, part) in [
            ("p99", "one of < <= > >= =="),
            ("p99=5ms", "one of < <= > >= =="),
            ("p98<5ms", "there are p50, p90, p99, p999, max"),
            ("p99<fast", "no number"),
            ("p99<5", "a unit, us, ms or s"),
            ("p99<5min", "a unit, us, ms or s"),
            ("lost==0ms", "must have no unit"),
            ("lost==", "no number"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?} gives {error:?}");
        }
    }

    #[test]
    fn an_assertion_is_judged_by_the_report() {
        let report = Report::example();
        let holds = |text: &str| text.parse::<Assertion>().unwrap().judge(&report).holds;
        assert!(holds("p99<50ms"));
        assert!(!holds("p99<1us"));
        assert!(holds("lost==0"));
        assert!(!holds("lost>0"));
        assert!(holds("deliveries_per_s>=1"));
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let mut report = Report::example();
        report.server = None;
        let verdict = "cpu_us_per_delivery<1000".parse::<Assertion>().unwrap().judge(&report);
        assert_eq!((verdict.measured, verdict.holds), (None, false));
        assert_eq!(verdict.shown, "not measured");
    }
}
