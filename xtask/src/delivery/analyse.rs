//! The judgement: from the record of a run alone, without a clock or a socket, what the server broke of its promises.
//!
//! - Between two points of one subscriber without an announced gap, every offset is there once, and in order.
//! - What was acknowledged while a subscriber was there reaches it. Without positions this can be told from times alone:
//!   a publication that was acknowledged before another one was sent comes before it in the channel's order, so who got
//!   the second one must have got the first.
//! - One order for all: an offset of an epoch is the same payload everywhere; without offsets, no two subscribers
//!   contradict each other, not even through a third.
//! - Nothing appears twice, changed, in another channel, after an unsubscribe, or after it was refused.
//! - A recovery fails only where the stream cannot serve it.

use std::{collections::BTreeMap, fmt::Write};

use super::log::{ChannelId, Log, Promise};

mod cycle;
mod filter;
mod ledger;
mod loss;
mod trail;

#[cfg(test)]
mod tests;

use ledger::Ledger;

/// Most violations that are kept; the others are counted.
const KEPT: usize = 200;
/// Events that are shown before and after a violation.
const BEFORE: usize = 12;
const AFTER: usize = 6;

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    /// Offsets are missing, and nobody said so.
    SilentGap,
    /// An acknowledged publication did not reach somebody who was there.
    Lost,
    /// Something came twice, or stands twice in the stream.
    Doubled,
    /// Something came after what follows it.
    Reordered,
    /// Two have different payloads for one place, or contradict each other in the order.
    Disagreement,
    /// A payload that nobody sent.
    Changed,
    /// A publication of another channel.
    Misrouted,
    /// A publication that its publisher was refused.
    Refused,
    /// A publication that the subscriber's filter hides.
    Unwanted,
    /// A publication where there was no subscription.
    NotSubscribed,
    /// The answer to a subscribe contradicts itself or what was asked.
    BadStart,
    /// A recovery failed although the stream could serve it.
    NeedlessFailure,
    /// A frame or a patch that cannot be read.
    Unreadable,
    /// What was published last did not come in time.
    Stuck,
}

/// One broken promise.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) kind: Kind,
    channel: Option<ChannelId>,
    /// A subscriber, and the number of the event at which it shows.
    witness: Option<(usize, usize)>,
    text: String,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) violations: Vec<Violation>,
    /// Violations that were counted but not kept.
    pub(super) more: usize,
}

/// Judges a run.
pub(super) fn analyse(log: &Log) -> Findings {
    let mut findings = Findings::default();
    let mut ledger = Ledger::new(log, &mut findings);
    let trails = trail::follow(log, &mut ledger, &mut findings);
    filter::check(&ledger, &trails, &mut findings);
    loss::check(log, &ledger, &trails, &mut findings);
    for (channel, _) in log.channels.iter().enumerate().filter(|(_, channel)| !channel.promise.is_announced())
    {
        cycle::check(channel, &trails, &mut findings);
    }
    findings
}

impl Findings {
    fn add(&mut self, kind: Kind, channel: Option<ChannelId>, witness: Option<(usize, usize)>, text: String) {
        if self.violations.len() < KEPT {
            self.violations.push(Violation { kind, channel, witness, text });
        } else {
            self.more += 1;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.violations.len() + self.more
    }

    /// The first violation of each kind, with what its witness saw around it.
    pub(super) fn show(&self, log: &Log) -> String {
        let mut text = String::new();
        let mut shown = Vec::new();
        for violation in &self.violations {
            if !shown.contains(&violation.kind) {
                shown.push(violation.kind);
                violation.show(log, &mut text);
            }
        }
        text + &self.counts(log)
    }

    /// How many there are of each kind in each channel.
    fn counts(&self, log: &Log) -> String {
        let mut counts: BTreeMap<(Kind, &str), usize> = BTreeMap::new();
        for violation in &self.violations {
            let channel = violation.channel.and_then(|channel| log.channels.get(channel));
            *counts.entry((violation.kind, channel.map_or("-", |channel| &channel.name))).or_default() += 1;
        }
        let mut lines: Vec<_> =
            counts.iter().map(|((kind, name), count)| format!("{count:>6} {kind:?} in {name}\n")).collect();
        if self.more > 0 {
            lines.push(format!("{:>6} more\n", self.more));
        }
        lines.concat()
    }
}

impl Violation {
    fn show(&self, log: &Log, text: &mut String) {
        let mut put = |line: String| text.push_str(&(line + "\n"));
        put(format!("VIOLATION {:?}: {}", self.kind, self.text));
        if let Some(channel) = self.channel.and_then(|channel| log.channels.get(channel)) {
            put(format!("  channel {} ({:?})", channel.name, channel.promise));
        }
        let Some((subscriber, event)) = self.witness else { return };
        put(format!("  subscriber {subscriber}, its event {event}:"));
        let Some(events) = log.subscribers.get(subscriber) else { return };
        let about = |number: &usize| {
            let channel = events[*number].what.channel();
            self.channel.is_none() || channel.is_none() || channel == self.channel
        };
        let mut before: Vec<_> = (0..event).rev().filter(about).take(BEFORE).collect();
        before.reverse();
        let after = (event..events.len()).filter(about).take(AFTER + 1);
        for number in before.into_iter().chain(after) {
            let mark = if number == event { ">" } else { " " };
            let mut line = format!("  {mark} {number:>6} ");
            // Writing into a string cannot fail.
            let _ = write!(line, "{}", events[number]);
            put(line);
        }
    }
}

impl Promise {
    const fn is_announced(self) -> bool {
        match self {
            Self::Announced { .. } => true,
            Self::Lossless | Self::Ordered => false,
        }
    }
}
