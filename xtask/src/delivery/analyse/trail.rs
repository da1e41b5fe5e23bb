//! What one subscriber saw of one channel, followed from its first subscription to its end.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use super::{Findings, Kind, ledger::Ledger};
use crate::delivery::log::{
    Attempt, Body, ChannelId, Id, Item, Log, Outcome, Position, Promise, Start, What,
};

/// Most offsets that a silent gap notes as missing, to tell a late publication from a doubled one.
const MISSING: u64 = 1_000;

/// One subscriber's view of one channel.
#[derive(Debug)]
pub(super) struct Trail {
    pub(super) subscriber: usize,
    pub(super) channel: ChannelId,
    pub(super) segments: Vec<Segment>,
    /// Everything in its order.
    pub(super) sequence: Vec<Id>,
    /// Offsets that a filter has passed over, each with its epoch and the event that showed it.
    pub(super) hidden: Vec<(Arc<str>, Range<u64>, usize)>,
    promise: Promise,
    live: bool,
    filtered: bool,
    /// The last that was given to it, where there are positions.
    cursor: Option<Position>,
    seen: HashSet<Id>,
    missing: HashSet<u64>,
    order: Order,
}

/// A stretch within which nothing may be missing.
#[derive(Debug)]
pub(super) struct Segment {
    /// When the subscriber knew that it was subscribed: what was sent later is for it.
    pub(super) began: Duration,
    pub(super) delivered: HashSet<Id>,
    /// The latest time at which one of them was sent: what was acknowledged before must be among them.
    pub(super) reached: Duration,
    pub(super) filtered: bool,
}

/// What is known of the order of publications, apart from their offsets.
#[derive(Debug, Default)]
struct Order {
    /// The latest time at which a publication so far was sent.
    reached: Duration,
    /// The highest number so far of each publisher's connection.
    numbers: HashMap<(u16, u32), u32>,
}

/// Follows all subscribers through all channels.
pub(super) fn follow(log: &Log, ledger: &mut Ledger<'_>, findings: &mut Findings) -> Vec<Trail> {
    let mut all = Vec::new();
    for (subscriber, events) in log.subscribers.iter().enumerate() {
        let mut trails: BTreeMap<ChannelId, Trail> = BTreeMap::new();
        for (number, seen) in events.iter().enumerate() {
            let witness = (subscriber, number);
            if let What::Broken { channel, text } = &seen.what {
                findings.add(Kind::Unreadable, *channel, Some(witness), text.clone());
            }
            match seen.what.channel().and_then(|channel| Some((channel, log.channels.get(channel)?))) {
                Some((channel, declared)) => {
                    let trail = trails
                        .entry(channel)
                        .or_insert_with(|| Trail::new(subscriber, channel, declared.promise));
                    trail.step(seen.at, &seen.what, &mut Notes { ledger, findings, witness });
                }
                None if matches!(seen.what, What::Disconnected { .. }) => {
                    trails.values_mut().for_each(Trail::interrupt);
                }
                None => {}
            }
        }
        all.extend(trails.into_values());
    }
    all
}

/// Where findings go, and which event they are about.
struct Notes<'n, 'l> {
    ledger: &'n mut Ledger<'l>,
    findings: &'n mut Findings,
    witness: (usize, usize),
}

impl Notes<'_, '_> {
    fn add(&mut self, trail: &Trail, kind: Kind, text: String) {
        self.findings.add(kind, Some(trail.channel), Some(self.witness), text);
    }
}

impl Trail {
    fn new(subscriber: usize, channel: ChannelId, promise: Promise) -> Self {
        Self {
            subscriber,
            channel,
            segments: Vec::new(),
            sequence: Vec::new(),
            hidden: Vec::new(),
            promise,
            live: false,
            filtered: false,
            cursor: None,
            seen: HashSet::new(),
            missing: HashSet::new(),
            order: Order::default(),
        }
    }

    fn step(&mut self, at: Duration, what: &What, notes: &mut Notes<'_, '_>) {
        match what {
            What::Subscribed { start, .. } => self.start(at, start, notes),
            What::Publication { item, epoch, .. } => {
                if !self.live {
                    notes.add(self, Kind::NotSubscribed, format!("{item} came without a subscription"));
                    return;
                }
                if let (Some(told), Some(cursor)) = (epoch, &self.cursor)
                    && *told != cursor.epoch
                {
                    let text = format!("{item} is of epoch {told}, the subscription of {}", cursor.epoch);
                    notes.add(self, Kind::SilentGap, text);
                }
                self.take(item, notes);
            }
            What::Unsubscribed { .. } | What::Left { .. } | What::Refused { .. } => self.interrupt(),
            What::Stuck { .. } => {
                notes.add(self, Kind::Stuck, "the last publication did not come in time".to_owned());
            }
            What::Broken { .. }
            | What::Connected
            | What::Disconnected { .. }
            | What::Did(_)
            | What::Finished => {}
        }
    }

    /// The subscription is over. Where there are positions, a recovery may go on from here.
    const fn interrupt(&mut self) {
        self.live = false;
    }

    fn start(&mut self, at: Duration, start: &Start, notes: &mut Notes<'_, '_>) {
        (self.live, self.filtered) = (true, start.filtered);
        if let Promise::Announced { kept } = self.promise {
            let Some(position) = start.position.as_ref().filter(|position| !position.epoch.is_empty()) else {
                notes.add(self, Kind::BadStart, "no position was told".to_owned());
                return self.begin(at, None);
            };
            if start.asked.is_some() != start.was_recovering {
                let text = format!("was_recovering is {}", start.was_recovering);
                notes.add(self, Kind::BadStart, text);
            }
            match &start.asked {
                Some(asked) if start.recovered => return self.resume(at, start, asked, position, notes),
                Some(asked) if asked.epoch == position.epoch => {
                    let missed = position.offset.saturating_sub(asked.offset);
                    if missed <= kept {
                        let text = format!("{missed} were missed after {asked}, {kept} are kept");
                        notes.add(self, Kind::NeedlessFailure, text);
                    }
                }
                Some(_) => {}
                None if start.recovered => {
                    notes.add(self, Kind::BadStart, "recovered, and nobody had asked".to_owned());
                }
                None => {}
            }
        }
        if !start.publications.is_empty() {
            let text = format!("{} publication(s) without a recovery", start.publications.len());
            notes.add(self, Kind::BadStart, text);
        }
        self.begin(at, start.position.clone());
    }

    /// A recovery succeeded: nothing is missing between `asked` and what comes now.
    fn resume(
        &mut self,
        at: Duration,
        start: &Start,
        asked: &Position,
        position: &Position,
        notes: &mut Notes<'_, '_>,
    ) {
        if position != asked {
            notes.add(self, Kind::BadStart, format!("recovered from {asked}, and told {position}"));
        }
        if self.cursor.as_ref() != Some(asked) || self.segments.is_empty() {
            self.begin(at, Some(asked.clone()));
        }
        start.publications.iter().for_each(|item| self.take(item, notes));
    }

    fn begin(&mut self, at: Duration, cursor: Option<Position>) {
        self.cursor = cursor.filter(|_| matches!(self.promise, Promise::Announced { .. }));
        self.missing.clear();
        let filtered = self.filtered;
        self.segments.push(Segment {
            began: at,
            delivered: HashSet::new(),
            reached: Duration::ZERO,
            filtered,
        });
    }

    /// A publication arrived, live or recovered.
    fn take(&mut self, item: &Item, notes: &mut Notes<'_, '_>) {
        let in_place = self.advance(item, notes);
        let attempt = match &item.body {
            Body::Foreign(_) => None,
            Body::Sent(id) => notes.ledger.attempt(*id),
        };
        let Some(attempt) = attempt else {
            return notes.add(self, Kind::Changed, format!("nobody sent {item}"));
        };
        if attempt.channel != self.channel {
            let text = format!("{item} was sent to {}", notes.ledger.name(attempt.channel));
            return notes.add(self, Kind::Misrouted, text);
        }
        if self.filtered && !attempt.tagged {
            notes.add(self, Kind::Unwanted, format!("{item} has no tag"));
        }
        if let Outcome::Refused { code } = attempt.outcome {
            notes.add(self, Kind::Refused, format!("the publisher of {item} was told {code}"));
        }
        let first = self.seen.insert(attempt.id);
        if in_place && !first {
            notes.add(self, Kind::Doubled, format!("{item} came before"));
        }
        if let Some(text) = self.order.contradicts(attempt)
            && in_place
            && first
        {
            notes.add(self, Kind::Reordered, format!("{item}: {text}"));
        }
        self.sequence.push(attempt.id);
        if let Some(segment) = self.segments.last_mut() {
            segment.delivered.insert(attempt.id);
            segment.reached = segment.reached.max(attempt.sent);
        }
    }

    /// Checks the offset against the one before. True when nothing is wrong with it.
    fn advance(&mut self, item: &Item, notes: &mut Notes<'_, '_>) -> bool {
        let Some(cursor) = self.cursor.clone() else { return true };
        let here = Position { epoch: cursor.epoch.clone(), offset: item.offset };
        notes.ledger.place(self.channel, &here, item, Some(notes.witness), notes.findings);
        let next = cursor.offset + 1;
        if item.offset == next {
            self.cursor = Some(here);
            return true;
        }
        if item.offset > next && self.filtered {
            self.hidden.push((here.epoch.clone(), next..item.offset, notes.witness.1));
            self.cursor = Some(here);
            return true;
        }
        if item.offset > next {
            notes.add(self, Kind::SilentGap, format!("{item} came where {next} was due"));
            self.missing.extend(next..item.offset.min(next + MISSING));
            self.cursor = Some(here);
        } else if self.missing.remove(&item.offset) {
            notes.add(self, Kind::Reordered, format!("{item} came after {}", cursor.offset));
        } else {
            notes.add(self, Kind::Doubled, format!("{item} came again after {}", cursor.offset));
        }
        false
    }
}

impl Order {
    /// Notes one more publication, and says why it should have come earlier, if it should.
    fn contradicts(&mut self, attempt: &Attempt) -> Option<String> {
        let key = (attempt.id.publisher, attempt.connection);
        let number = self.numbers.entry(key).or_insert(attempt.id.number);
        let overtaken = *number > attempt.id.number;
        *number = (*number).max(attempt.id.number);
        let late = match attempt.outcome {
            Outcome::Accepted { at, .. } => at < self.reached,
            Outcome::Refused { .. } | Outcome::Unknown => false,
        };
        self.reached = self.reached.max(attempt.sent);
        if overtaken {
            Some(format!("its publisher sent it before number {number}, on one connection"))
        } else {
            late.then(|| "it was acknowledged before another one was sent that came first".to_owned())
        }
    }
}
