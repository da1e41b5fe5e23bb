//! What the rounds of a comparison found: figures, ratios with their spread, verdicts.

use std::{fs, time::Duration};

use serde::Serialize;
use throng_bench::{Report, assertion::Metric, report::Integrity};

use super::cases::{Bound, Case, Contender, Target};

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    machine: Machine,
    rounds: u32,
    seconds_measured: f64,
    pub(super) cases: Vec<CaseResult>,
}

/// Where it was found.
#[derive(Debug, Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
}

/// All rounds of one case.
#[derive(Debug, Serialize)]
pub(super) struct CaseResult {
    name: &'static str,
    title: String,
    contenders: Vec<ContenderResult>,
    verdicts: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
struct ContenderResult {
    name: &'static str,
    /// One per round.
    reports: Vec<Report>,
}

/// One target and whether it is met.
#[derive(Debug, Serialize)]
struct Verdict {
    of: &'static str,
    metric: &'static str,
    against: Option<&'static str>,
    wanted: Bound,
    /// Of the ratios, or of the figures where nothing is compared; absent when a round did not measure it.
    found: Option<Spread>,
    met: bool,
    /// In so many rounds the generator was the limit for a side of it.
    generator_was_limit: usize,
}

/// Median and extremes of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Outcome {
    pub(super) fn new(rounds: u32, duration: Duration) -> Self {
        Self { machine: Machine::this(), rounds, seconds_measured: duration.as_secs_f64(), cases: Vec::new() }
    }

    pub(super) fn all_met(&self) -> bool {
        self.cases.iter().flat_map(|case| &case.verdicts).all(|verdict| verdict.met)
    }

    /// All targets in one table.
    pub(super) fn summary(&self) -> String {
        let Machine { processor, cores, kernel } = &self.machine;
        let mut out =
            format!("{processor}, {cores} cores, Linux {kernel}; median of {} rounds\n\n", self.rounds);
        out += "| load | target | wanted | found (min to max) | |\n|---|---|---|---|---|\n";
        for case in &self.cases {
            for verdict in &case.verdicts {
                let (target, wanted) = (verdict.target(), verdict.wanted());
                let (found, word) = (verdict.found(), verdict.word());
                out += &format!("| {} | {target} | {wanted} | {found} | {word} |\n", case.name);
            }
        }
        out
    }
}

impl CaseResult {
    pub(super) fn new(case: &Case, contenders: &[&Contender]) -> Self {
        let contenders =
            contenders.iter().map(|contender| ContenderResult { name: contender.name, reports: Vec::new() });
        Self {
            name: case.name,
            title: case.title.clone(),
            contenders: contenders.collect(),
            verdicts: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, contender: usize, report: Report) {
        self.contenders[contender].reports.push(report);
    }

    /// One run in a line.
    pub(super) fn line(&self, contender: usize, report: &Report) -> String {
        let figures: Vec<String> = figures(report).into_iter().map(|(_, figure)| figure).collect();
        format!("{}: {}", self.contenders[contender].name, figures.join(" · "))
    }

    pub(super) fn judge(&mut self, case: &Case) {
        self.verdicts = case.targets.iter().map(|target| self.verdict(target)).collect();
    }

    /// Medians of each contender, and the verdicts.
    pub(super) fn to_text(&self) -> String {
        let mut out = format!("{}\n", self.title);
        for contender in &self.contenders {
            let columns = figures_of(&contender.reports);
            out += &format!("  {:14} {}\n", contender.name, columns.join(" · "));
            if let Some(fault) = contender.fault() {
                out += &format!("  {:14} {fault}: its figures are void\n", "");
            }
        }
        for verdict in &self.verdicts {
            let (target, wanted) = (verdict.target(), verdict.wanted());
            let (found, word) = (verdict.found(), verdict.word());
            out += &format!("  {word:7} {target}: {found}, wanted {wanted}\n");
        }
        out
    }

    fn verdict(&self, target: &Target) -> Verdict {
        let reports = |name: &str| {
            let found = self.contenders.iter().find(|contender| contender.name == name);
            found.map_or(&[][..], |contender| contender.reports.as_slice())
        };
        let of = reports(target.of);
        let against = target.against.map(reports);
        let values: Option<Vec<f64>> = of
            .iter()
            .enumerate()
            .map(|(round, report)| {
                let value = report.metric(target.metric)?;
                let Some(against) = against else { return Some(value) };
                Some(value / against.get(round)?.metric(target.metric)?)
            })
            .collect();
        let found = values.and_then(|values| Spread::of(&values));
        let limited =
            of.iter().chain(against.unwrap_or_default()).filter(|report| report.generator.was_limit);
        let sound = [Some(target.of), target.against].into_iter().flatten().all(|name| {
            self.contenders.iter().all(|contender| contender.name != name || contender.fault().is_none())
        });
        Verdict {
            of: target.of,
            metric: target.metric.name(),
            against: target.against,
            wanted: target.bound,
            met: sound && found.is_some_and(|spread| target.bound.holds(spread.median)),
            found,
            generator_was_limit: limited.count(),
        }
    }
}

impl ContenderResult {
    /// What was wrong with the messages in any round.
    fn fault(&self) -> Option<String> {
        let total = |count: fn(&Integrity) -> u64| -> u64 {
            self.reports.iter().map(|report| count(&report.integrity)).sum()
        };
        let faults = [
            ("lost", total(|integrity| integrity.lost)),
            ("duplicated", total(|integrity| integrity.duplicated)),
            ("reordered", total(|integrity| integrity.reordered)),
            ("misrouted", total(|integrity| integrity.misrouted)),
            ("disconnected", total(|integrity| integrity.disconnected)),
        ];
        let found: Vec<String> = faults
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        (!found.is_empty()).then(|| found.join(", "))
    }
}

impl Verdict {
    fn target(&self) -> String {
        match self.against {
            Some(against) => format!("{} / {against}: {}", self.of, self.metric),
            None => format!("{}: {}", self.of, self.metric),
        }
    }

    fn wanted(&self) -> String {
        match self.wanted {
            Bound::AtLeast(bound) => format!("≥ {}", short(bound)),
            Bound::AtMost(bound) => format!("≤ {}", short(bound)),
        }
    }

    fn found(&self) -> String {
        let Some(Spread { median, min, max }) = self.found else { return "not measured".to_owned() };
        let limit = match self.generator_was_limit {
            0 => String::new(),
            runs => format!("; the generator was the limit in {runs} runs"),
        };
        format!("{} ({} to {}{limit})", short(median), short(min), short(max))
    }

    const fn word(&self) -> &'static str {
        if self.met { "met" } else { "MISSED" }
    }
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self { median, min, max })
    }
}

impl Machine {
    fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            processor: processor.map_or("unknown processor", |(_, name)| name).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// Metrics that say something in a comparison, in the order in which they are shown, with the unit behind the figure.
const SHOWN: &[(Metric, &str)] = &[
    (Metric::DeliveriesPerS, "deliveries/s"),
    (Metric::CpuUsPerDelivery, "µs CPU each"),
    (Metric::P99, "µs p99"),
    (Metric::HandshakesPerS, "handshakes/s"),
    (Metric::CpuUsPerHandshake, "µs CPU per handshake"),
    (Metric::RssBytesPerConnection, "B RSS per connection"),
    (Metric::RssBytesLoad, "B RSS under load"),
    (Metric::RssBytesKept, "B RSS kept"),
];

/// The figures of one run that belong to its scenario.
fn figures(report: &Report) -> Vec<(Metric, String)> {
    let shown = |metric: Metric| match metric {
        // With messages, connecting is not what the run is about.
        Metric::HandshakesPerS | Metric::CpuUsPerHandshake | Metric::RssBytesPerConnection => {
            report.traffic.is_none()
        }
        _ => true,
    };
    SHOWN
        .iter()
        .filter(|(metric, _)| shown(*metric))
        .filter_map(|(metric, unit)| Some((*metric, format!("{} {unit}", short(report.metric(*metric)?)))))
        .collect()
}

/// Medians of those figures over the rounds.
fn figures_of(reports: &[Report]) -> Vec<String> {
    let Some(first) = reports.first() else { return Vec::new() };
    let shown: Vec<Metric> = figures(first).into_iter().map(|(metric, _)| metric).collect();
    SHOWN
        .iter()
        .filter(|(metric, _)| shown.contains(metric))
        .filter_map(|(metric, unit)| {
            let values: Option<Vec<f64>> = reports.iter().map(|report| report.metric(*metric)).collect();
            Some(format!("{} {unit}", short(Spread::of(&values?)?.median)))
        })
        .collect()
}

/// Three significant digits, thousands grouped.
fn short(value: f64) -> String {
    let text = match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or(grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}

#[cfg(test)]
mod tests;
