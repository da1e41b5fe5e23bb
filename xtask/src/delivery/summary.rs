//! What a run was, in numbers.

use std::{collections::BTreeMap, fmt};

use super::log::{Log, Outcome, What};

/// Counts of one run.
#[derive(Debug, Default)]
pub(super) struct Summary {
    attempts: usize,
    accepted: usize,
    unanswered: usize,
    refused: BTreeMap<u32, usize>,
    deliveries: usize,
    subscriptions: usize,
    recovered: usize,
    recovered_publications: usize,
    /// Recoveries that failed in the same epoch, in another one, and by a refusal.
    trimmed: usize,
    other_epoch: usize,
    refusals: BTreeMap<u32, usize>,
    unsubscribed: BTreeMap<u32, usize>,
    ends: BTreeMap<String, usize>,
    own: BTreeMap<&'static str, usize>,
    finished: usize,
    pub(super) stalls: usize,
    pub(super) kills: usize,
    pub(super) planted: usize,
}

impl Summary {
    pub(super) fn of(log: &Log) -> Self {
        let mut summary = Self { attempts: log.attempts.len(), ..Self::default() };
        for attempt in &log.attempts {
            match attempt.outcome {
                Outcome::Accepted { .. } => summary.accepted += 1,
                Outcome::Refused { code } => *summary.refused.entry(code).or_default() += 1,
                Outcome::Unknown => summary.unanswered += 1,
            }
        }
        log.subscribers.iter().flatten().for_each(|seen| summary.count(&seen.what));
        summary
    }

    fn count(&mut self, what: &What) {
        match what {
            What::Publication { .. } => self.deliveries += 1,
            What::Subscribed { start, .. } => {
                self.subscriptions += 1;
                self.deliveries += start.publications.len();
                match (&start.asked, &start.position) {
                    (Some(_), _) if start.recovered => {
                        self.recovered += 1;
                        self.recovered_publications += start.publications.len();
                    }
                    (Some(asked), Some(position)) if asked.epoch == position.epoch => self.trimmed += 1,
                    (Some(_), _) => self.other_epoch += 1,
                    (None, _) => {}
                }
            }
            What::Refused { code, .. } => *self.refusals.entry(*code).or_default() += 1,
            What::Unsubscribed { code, .. } => *self.unsubscribed.entry(*code).or_default() += 1,
            What::Disconnected { code } => {
                let code = code.map_or("without a code".to_owned(), |code| code.to_string());
                *self.ends.entry(code).or_default() += 1;
            }
            What::Did(what) => *self.own.entry(what).or_default() += 1,
            What::Finished => self.finished += 1,
            What::Connected | What::Left { .. } | What::Broken { .. } | What::Stuck { .. } => {}
        }
    }

    fn failed(&self) -> usize {
        self.trimmed + self.other_epoch + self.refusals.len()
    }

    /// What a run must hold to prove anything. Names the first that is missing.
    pub(super) fn missing(&self, calm: bool) -> Option<&'static str> {
        [
            (self.accepted == 0, "no publication was accepted"),
            (self.deliveries == 0, "nothing was delivered"),
            (self.finished == 0, "no subscriber came to its end"),
            (!calm && self.recovered == 0, "no recovery succeeded"),
            (self.kills > 0 && self.failed() == 0, "the server was killed, and no recovery failed"),
        ]
        .into_iter()
        .find_map(|(is_missing, what)| is_missing.then_some(what))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  publications   {} tried, {} acknowledged, {} without an answer{}",
            self.attempts,
            self.accepted,
            self.unanswered,
            listed(", refused with ", &self.refused)
        )?;
        writeln!(f, "  deliveries     {}", self.deliveries)?;
        writeln!(
            f,
            "  subscriptions  {}{}{}",
            self.subscriptions,
            listed(", refused with ", &self.refusals),
            listed(", taken away with ", &self.unsubscribed)
        )?;
        writeln!(
            f,
            "  recoveries     {} succeeded with {} publications, {} trimmed, {} of another epoch",
            self.recovered, self.recovered_publications, self.trimmed, self.other_epoch
        )?;
        writeln!(f, "  disconnects    {}", listed("", &self.ends))?;
        writeln!(f, "  subscribers    {}", listed("", &self.own))?;
        write!(f, "  the server     {} stall(s), {} kill(s)", self.stalls, self.kills)?;
        if self.planted > 0 { write!(f, ", {} planted fault(s)", self.planted) } else { Ok(()) }
    }
}

/// `prefix` and then each key with its count; nothing when there is none.
fn listed<K: fmt::Display>(prefix: &str, counts: &BTreeMap<K, usize>) -> String {
    let all: Vec<_> = counts.iter().map(|(key, count)| format!("{key}: {count}")).collect();
    if all.is_empty() { String::new() } else { format!("{prefix}{}", all.join(", ")) }
}
