use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use throng_protocol::{ErrorReply, Publication, SubscribeResult, Unsubscribe, UnsubscribeCode};
use tokio::sync::oneshot;

use crate::{
    Backoff, Disconnect, Event, SubscribeError, UnsubscribeReason, error::is_temporary,
    mailbox::MailboxSender,
};

/// A subscription that was live for less than this is not renewed at once but after a backoff, so that a server that
/// accepts and removes it in turn is not hit at full speed.
const SETTLE: Duration = Duration::from_secs(1);

/// What the application wants to be subscribed to, and how far each of it has come.
///
/// ```text
///              asked            confirmed
///     Idle ───────────► Asked ─────────────► Live
///      ▲                 │ refused for        │
///      │ due             ▼ the moment         │ removed by the server with a code of 2500 and up
///      └────────────── Waiting ◄──────────────┘ (at once Idle, if it was live for a while)
/// ```
/// A lost connection makes every entry Idle. A refusal for good, or a removal with a code below 2500, ends the entry.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    entries: HashMap<Arc<str>, Entry>,
    /// Channels whose unsubscribe command is not answered yet. They are not asked for again before that: a server may
    /// handle several commands of one connection at once.
    leaving: HashSet<Arc<str>>,
    /// Ends of waits, soonest first. May hold what is no longer waited for.
    retries: BTreeSet<(Instant, Arc<str>)>,
    backoff: Backoff,
    random: SmallRng,
}

/// What a handle asks for. The generation tells it from an earlier subscription to the same channel.
#[derive(Debug)]
pub(crate) struct NewSubscription {
    pub(crate) key: SubscriptionKey,
    pub(crate) events: MailboxSender<Event>,
    pub(crate) ready: oneshot::Sender<Result<(), SubscribeError>>,
}

/// Names one subscription of one client, once and for all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SubscriptionKey {
    pub(crate) channel: Arc<str>,
    pub(crate) generation: u64,
}

#[derive(Debug)]
struct Entry {
    generation: u64,
    events: MailboxSender<Event>,
    /// Who waits for the first confirmation.
    ready: Option<oneshot::Sender<Result<(), SubscribeError>>>,
    state: EntryState,
    /// Exponent of the next wait.
    step: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum EntryState {
    Idle,
    Waiting { until: Instant },
    Asked,
    Live { since: Instant },
}

impl Subscriptions {
    pub(crate) fn new(backoff: Backoff, seed: u64) -> Self {
        Self {
            entries: HashMap::new(),
            leaving: HashSet::new(),
            retries: BTreeSet::new(),
            backoff,
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// Takes a subscription in; one to a channel that is taken is refused.
    pub(crate) fn add(&mut self, new: NewSubscription) {
        let NewSubscription { key, events, ready } = new;
        if ready.is_closed() {
            return; // the caller has left, and may have said so before this arrived
        }
        if self.entries.contains_key(&key.channel) {
            let _ = ready.send(Err(SubscribeError::AlreadySubscribed)); // a caller that left needs no answer
            return;
        }
        let entry = Entry {
            generation: key.generation,
            events,
            ready: Some(ready),
            state: EntryState::Idle,
            step: 0,
        };
        self.entries.insert(key.channel, entry);
    }

    /// The handle is gone. True when the server has to be told, which then is a matter of [`left`](Self::left).
    pub(crate) fn remove(&mut self, key: &SubscriptionKey) -> bool {
        if self.entries.get(&key.channel).is_none_or(|entry| entry.generation != key.generation) {
            return false;
        }
        let Some(entry) = self.entries.remove(&key.channel) else { return false };
        let known = matches!(entry.state, EntryState::Asked | EntryState::Live { .. });
        if known {
            self.leaving.insert(Arc::clone(&key.channel));
        }
        known
    }

    /// The server has answered the unsubscribe command.
    pub(crate) fn left(&mut self, channel: &str) {
        self.leaving.remove(channel);
    }

    /// Marks the channel as asked for, if it is time to ask: the caller sends the command.
    pub(crate) fn ask(&mut self, channel: &str) -> Option<SubscriptionKey> {
        if self.leaving.contains(channel) {
            return None;
        }
        let (channel, _) = self.entries.get_key_value(channel)?;
        let channel = Arc::clone(channel);
        let entry = self.entries.get_mut(&channel)?;
        if entry.state != EntryState::Idle {
            return None;
        }
        entry.state = EntryState::Asked;
        Some(SubscriptionKey { channel, generation: entry.generation })
    }

    /// All channels, for a new connection.
    pub(crate) fn channels(&self) -> Vec<Arc<str>> {
        self.entries.keys().cloned().collect()
    }

    /// The server has confirmed the subscription.
    pub(crate) fn confirmed(&mut self, key: &SubscriptionKey, result: SubscribeResult, now: Instant) {
        let Some(entry) = self.asked(key) else { return };
        entry.state = EntryState::Live { since: now };
        match entry.ready.take() {
            Some(ready) => {
                let _ = ready.send(Ok(())); // a caller that left has dropped the subscription as well
            }
            None => entry.events.push(Event::Subscribed, 0),
        }
        for publication in result.publications {
            entry.deliver(publication);
        }
    }

    /// The server has refused the subscription.
    pub(crate) fn refused(&mut self, key: &SubscriptionKey, error: ErrorReply, now: Instant) {
        if self.asked(key).is_none() {
            return;
        }
        if is_temporary(&error) {
            self.wait(&key.channel, now);
        } else if let Some(entry) = self.entries.remove(&key.channel) {
            match entry.ready {
                Some(ready) => {
                    let _ = ready.send(Err(SubscribeError::Refused(error)));
                }
                None => entry.end(UnsubscribeReason::Refused(error)),
            }
        }
    }

    /// The subscribe command could not even be sent.
    pub(crate) fn unsendable(&mut self, key: &SubscriptionKey, bytes: usize, max: usize) {
        if let Some(Entry { ready: Some(ready), .. }) = self.entries.remove(&key.channel) {
            let _ = ready.send(Err(SubscribeError::TooLong { bytes, max }));
        }
    }

    /// A publication for whoever is subscribed. One that precedes the confirmation belongs to an earlier subscription.
    pub(crate) fn publication(&self, channel: &str, publication: Publication) {
        if let Some(entry) = self.live(channel) {
            entry.deliver(publication);
        }
    }

    /// Another event of a channel, without a payload to speak of.
    pub(crate) fn event(&self, channel: &str, event: Event) {
        if let Some(entry) = self.live(channel) {
            entry.events.push(event, 0);
        }
    }

    /// The server has removed the subscription. True when it is to be asked for again now.
    pub(crate) fn removed(&mut self, channel: &str, push: Unsubscribe, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(channel) else { return false };
        let EntryState::Live { since } = entry.state else { return false };
        if !UnsubscribeCode::resubscribes(push.code) {
            if let Some(entry) = self.entries.remove(channel) {
                entry.end(UnsubscribeReason::Server { code: push.code, reason: push.reason });
            }
            return false;
        }
        entry.events.push(Event::Subscribing, 0);
        if now.duration_since(since) < SETTLE {
            self.wait(channel, now);
            return false;
        }
        entry.step = 0;
        entry.state = EntryState::Idle;
        true
    }

    /// The connection is gone and will be tried again: everything has to be asked for again.
    pub(crate) fn connection_lost(&mut self) {
        self.leaving.clear();
        self.retries.clear();
        for entry in self.entries.values_mut() {
            if matches!(entry.state, EntryState::Live { .. }) {
                entry.events.push(Event::Subscribing, 0);
            }
            entry.state = EntryState::Idle;
            entry.step = 0;
        }
    }

    /// The client has stopped: every subscription ends.
    pub(crate) fn stop(&mut self, reason: &Disconnect) {
        self.leaving.clear();
        self.retries.clear();
        for (_, entry) in self.entries.drain() {
            match entry.ready {
                Some(ready) => {
                    let _ = ready.send(Err(SubscribeError::Stopped(reason.clone())));
                }
                None => entry.end(UnsubscribeReason::Stopped(reason.clone())),
            }
        }
    }

    /// A channel whose wait is over.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Arc<str>> {
        loop {
            if self.deadline()? > now {
                return None;
            }
            let (until, channel) = self.retries.pop_first()?;
            match self.entries.get_mut(&channel) {
                Some(entry) if entry.state == (EntryState::Waiting { until }) => {
                    entry.state = EntryState::Idle;
                    return Some(channel);
                }
                Some(_) | None => {} // asked for in another way meanwhile, or dropped
            }
        }
    }

    /// When [`pop_due`](Self::pop_due) may have something.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.retries.first().map(|(until, _)| *until)
    }

    fn wait(&mut self, channel: &str, now: Instant) {
        let Some((channel, _)) = self.entries.get_key_value(channel) else { return };
        let channel = Arc::clone(channel);
        let Some(entry) = self.entries.get_mut(&channel) else { return };
        let until = now + self.backoff.delay(entry.step, self.random.next_u64());
        entry.step = entry.step.saturating_add(1);
        entry.state = EntryState::Waiting { until };
        self.retries.insert((until, channel));
    }

    /// The entry that an answer to a subscribe command is about, if it still is the same one.
    fn asked(&mut self, key: &SubscriptionKey) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&key.channel)?;
        (entry.generation == key.generation && entry.state == EntryState::Asked).then_some(entry)
    }

    fn live(&self, channel: &str) -> Option<&Entry> {
        self.entries.get(channel).filter(|entry| matches!(entry.state, EntryState::Live { .. }))
    }
}

impl Entry {
    fn deliver(&self, publication: Publication) {
        let bytes = publication.data.len();
        self.events.push(Event::Publication(publication), bytes);
    }

    /// Tells the reader why, as the last event.
    fn end(self, reason: UnsubscribeReason) {
        self.events.push(Event::Unsubscribed(reason), 0);
    }
}
