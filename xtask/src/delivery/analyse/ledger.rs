//! Who published what, and which publication stands where in which stream.

use std::collections::{HashMap, hash_map::Entry};

use super::{Findings, Kind};
use crate::delivery::log::{Attempt, Body, ChannelId, Id, Item, Log, Outcome, Position};

/// All publications and all places known so far.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    log: &'a Log,
    attempts: HashMap<Id, &'a Attempt>,
    bodies: HashMap<(ChannelId, Position), Body>,
    places: HashMap<Id, Position>,
}

impl<'a> Ledger<'a> {
    /// Reads what publishers and the final audits tell.
    pub(super) fn new(log: &'a Log, findings: &mut Findings) -> Self {
        let mut ledger =
            Self { log, attempts: HashMap::new(), bodies: HashMap::new(), places: HashMap::new() };
        for attempt in &log.attempts {
            // A repeat with the same idempotency key has the same id, and is accepted if either is.
            let known = ledger.attempts.entry(attempt.id).or_insert(attempt);
            if attempt.outcome.weight() > known.outcome.weight() {
                *known = attempt;
            }
            if let Outcome::Accepted { position: Some(position), .. } = &attempt.outcome {
                let item = Item { offset: position.offset, body: Body::Sent(attempt.id) };
                ledger.place(attempt.channel, position, &item, None, findings);
            }
        }
        for audit in &log.audits {
            let mut last = None;
            for item in &audit.publications {
                let position = Position { epoch: audit.position.epoch.clone(), offset: item.offset };
                ledger.place(audit.channel, &position, item, None, findings);
                if last.is_some_and(|last| item.offset != last + 1) {
                    let text = format!("the history jumps from {last:?} to {}", item.offset);
                    findings.add(Kind::SilentGap, Some(audit.channel), None, text);
                }
                last = Some(item.offset);
            }
            if last.is_some_and(|last| last != audit.position.offset) {
                let text = format!("the history ends at {last:?}, the stream at {}", audit.position);
                findings.add(Kind::SilentGap, Some(audit.channel), None, text);
            }
        }
        ledger
    }

    /// What stands at this place, as far as anybody has seen it.
    pub(super) fn body(&self, channel: ChannelId, position: &Position) -> Option<&Body> {
        self.bodies.get(&(channel, position.clone()))
    }

    pub(super) fn attempt(&self, id: Id) -> Option<&'a Attempt> {
        self.attempts.get(&id).copied()
    }

    /// The accepted publications of a channel, with when they were acknowledged, in the order in which they were sent.
    pub(super) fn accepted(&self, channel: ChannelId) -> Vec<(&'a Attempt, std::time::Duration)> {
        let of_channel = self.attempts.values().filter(|attempt| attempt.channel == channel);
        let mut accepted: Vec<_> = of_channel
            .filter_map(|attempt| match attempt.outcome {
                Outcome::Accepted { at, .. } => Some((*attempt, at)),
                Outcome::Refused { .. } | Outcome::Unknown => None,
            })
            .collect();
        accepted.sort_by_key(|(attempt, _)| (attempt.sent, attempt.id));
        accepted
    }

    /// Notes that a publication stands at this place, and complains if another one does, or if it stands elsewhere too.
    pub(super) fn place(
        &mut self,
        channel: ChannelId,
        position: &Position,
        item: &Item,
        witness: Option<(usize, usize)>,
        findings: &mut Findings,
    ) {
        match self.bodies.entry((channel, position.clone())) {
            Entry::Vacant(vacant) => {
                vacant.insert(item.body.clone());
            }
            Entry::Occupied(other) if *other.get() != item.body => {
                let other = Item { offset: position.offset, body: other.get().clone() };
                let text = format!("epoch {}: {item} here, {other} elsewhere", position.epoch);
                findings.add(Kind::Disagreement, Some(channel), witness, text);
            }
            Entry::Occupied(_) => {}
        }
        let Body::Sent(id) = item.body else { return };
        let other = self.places.entry(id).or_insert_with(|| position.clone());
        if other != position {
            let text = format!("{id} stands in the stream at {position} and at {other}");
            findings.add(Kind::Doubled, Some(channel), witness, text);
        }
    }

    /// The name of a channel, for messages.
    pub(super) fn name(&self, channel: ChannelId) -> &str {
        self.log.channels.get(channel).map_or("?", |channel| &channel.name)
    }
}

impl Outcome {
    /// What more weight says holds, when two attempts at one publication went differently.
    const fn weight(&self) -> u8 {
        match self {
            Self::Refused { .. } => 0,
            Self::Unknown => 1,
            Self::Accepted { .. } => 2,
        }
    }
}
