mod tokens;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use throng_protocol::{
    ErrorCode, ErrorReply, Format, Publication, SubscribeRequest, SubscribeResult, Unsubscribe,
    UnsubscribeCode,
};
use tokio::sync::oneshot;

pub(crate) use self::tokens::TokenStep;
use super::{
    credential::Credential,
    delta::{DeltaChain, DeltaFault},
    track::{Place, Told, Track},
};
use crate::{
    Backoff, Disconnect, Event, SubscribeError, SubscribeOptions, TokenGetter, UnsubscribeReason,
    error::is_temporary, mailbox::MailboxSender,
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
/// Where there has to be a token first, Fetching stands between Idle and Asked.
/// A lost connection makes every entry Idle. A refusal for good, or a removal with a code below 2500, ends the entry.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    entries: HashMap<Arc<str>, Entry>,
    /// Channels whose unsubscribe command is not answered yet. They are not asked for again before that: a server may
    /// handle several commands of one connection at once.
    leaving: HashSet<Arc<str>>,
    /// Ends of waits, soonest first. May hold what is no longer waited for.
    retries: BTreeSet<(Instant, Arc<str>)>,
    /// When tokens are to be renewed, soonest first: one for each live entry at most.
    renewals: BTreeSet<(Instant, Arc<str>)>,
    backoff: Backoff,
    random: SmallRng,
    format: Format,
    /// Longest payload that a patch may make.
    max_payload_bytes: usize,
}

/// What a handle asks for. The generation tells it from an earlier subscription to the same channel.
#[derive(Debug)]
pub(crate) struct NewSubscription {
    pub(crate) key: SubscriptionKey,
    /// Boxed, because it is large and rarely looked at.
    pub(crate) options: Box<SubscribeOptions>,
    pub(crate) events: MailboxSender<Told>,
    pub(crate) ready: Ready,
}

/// Who waits for the first confirmation, and then gets to know where the reader starts.
pub(crate) type Ready = oneshot::Sender<Result<Option<Place>, SubscribeError>>;

/// Names one subscription of one client, once and for all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SubscriptionKey {
    pub(crate) channel: Arc<str>,
    pub(crate) generation: u64,
}

#[derive(Debug)]
struct Entry {
    generation: u64,
    options: Box<SubscribeOptions>,
    credential: Credential,
    track: Track,
    events: MailboxSender<Told>,
    ready: Option<Ready>,
    state: EntryState,
    /// Exponent of the next wait.
    step: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum EntryState {
    Idle,
    Waiting {
        until: Instant,
    },
    /// The application is asked for a token.
    Fetching,
    Asked,
    Live {
        since: Instant,
    },
}

/// What a subscription needs next.
#[derive(Debug)]
pub(crate) enum Asking {
    /// The application's token.
    Getter(SubscriptionKey, TokenGetter),
    /// The server's confirmation.
    Server(SubscriptionKey, SubscribeRequest),
}

impl Subscriptions {
    /// `format` and `max_payload_bytes` are what payloads come in and grow to.
    pub(crate) fn new(backoff: Backoff, seed: u64, format: Format, max_payload_bytes: usize) -> Self {
        Self {
            entries: HashMap::new(),
            leaving: HashSet::new(),
            retries: BTreeSet::new(),
            renewals: BTreeSet::new(),
            backoff,
            random: SmallRng::seed_from_u64(seed),
            format,
            max_payload_bytes,
        }
    }

    /// Takes a subscription in; one to a channel that is taken is refused.
    pub(crate) fn add(&mut self, new: NewSubscription) {
        let NewSubscription { key, options, events, ready } = new;
        if ready.is_closed() {
            return; // the caller has left, and may have said so before this arrived
        }
        if self.entries.contains_key(&key.channel) {
            let _ = ready.send(Err(SubscribeError::AlreadySubscribed)); // a caller that left needs no answer
            return;
        }
        let chain = DeltaChain::new(options.delta, self.format, self.max_payload_bytes);
        let entry = Entry {
            generation: key.generation,
            credential: Credential::new(options.token.clone(), options.token_getter.clone()),
            track: Track::new(options.since.as_ref(), options.tags_filter.is_some(), chain),
            options,
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
        let Some(entry) = self.take(&key.channel) else { return false };
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

    /// Marks the channel as asked for, if it is time to ask: the caller asks for what is returned.
    pub(crate) fn ask(&mut self, channel: &str) -> Option<Asking> {
        if self.leaving.contains(channel) {
            return None;
        }
        let (channel, _) = self.entries.get_key_value(channel)?;
        let channel = Arc::clone(channel);
        let entry = self.entries.get_mut(&channel)?;
        if entry.state != EntryState::Idle {
            return None;
        }
        if entry.credential.is_missing() {
            entry.state = EntryState::Fetching;
            let getter = entry.credential.fetch()?; // none: it is at it already
            return Some(Asking::Getter(SubscriptionKey { channel, generation: entry.generation }, getter));
        }
        entry.state = EntryState::Asked;
        let request = entry.request(&channel);
        Some(Asking::Server(SubscriptionKey { channel, generation: entry.generation }, request))
    }

    /// All channels, for a new connection.
    pub(crate) fn channels(&self) -> Vec<Arc<str>> {
        self.entries.keys().cloned().collect()
    }

    /// The server has confirmed the subscription. True when the server has to be told that it begins anew; see
    /// [`publication`](Self::publication).
    pub(crate) fn confirmed(&mut self, key: &SubscriptionKey, result: SubscribeResult, now: Instant) -> bool {
        let Some(entry) = self.asked(key) else { return false };
        entry.state = EntryState::Live { since: now };
        self.granted(key, result.expires, result.ttl, now);
        let Some(Entry { track, events, ready, .. }) = self.live(&key.channel) else { return false };
        let taken = track.confirmed(result, |told| match ready.take() {
            // The first event says that there is a subscription, which is what the caller waits for.
            Some(ready) => {
                let _ = ready.send(Ok(told.place)); // a caller that left has dropped the subscription as well
            }
            None => put(events, told),
        });
        taken.is_err_and(|fault| self.broken(&key.channel, &fault)) || self.overrun(&key.channel)
    }

    /// The server has refused the subscription.
    pub(crate) fn refused(&mut self, key: &SubscriptionKey, error: ErrorReply, now: Instant) {
        let Some(entry) = self.asked(key) else { return };
        let expired = error.code == ErrorCode::TokenExpired.code() && entry.credential.forget();
        if expired || is_temporary(&error) {
            self.wait(&key.channel, now);
        } else if let Some(entry) = self.take(&key.channel) {
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
        let Some(entry) = self.take(&key.channel) else { return };
        match entry.ready {
            Some(ready) => {
                let _ = ready.send(Err(SubscribeError::TooLong { bytes, max }));
            }
            None => entry.end(UnsubscribeReason::TooLong { bytes, max }),
        }
    }

    /// True when the application has subscribed to this channel, whether the server has confirmed it or not.
    pub(crate) fn has(&self, channel: &str) -> bool {
        self.entries.contains_key(channel)
    }

    /// A publication for whoever is subscribed. One that precedes the confirmation belongs to an earlier subscription.
    /// True when the caller has to unsubscribe: it cannot be read, and the channel is asked for again once that is
    /// answered; or the reader was too slow and wants its end.
    pub(crate) fn publication(&mut self, channel: &str, publication: Publication) -> bool {
        let Some(entry) = self.live(channel) else { return false };
        let Entry { track, events, .. } = entry;
        let taken = track.publication(publication, |told| put(events, told));
        taken.is_err_and(|fault| self.broken(channel, &fault)) || self.overrun(channel)
    }

    /// Another event of a channel, without a payload to speak of. True when the caller has to unsubscribe.
    pub(crate) fn event(&mut self, channel: &str, event: Event) -> bool {
        let Some(entry) = self.live(channel) else { return false };
        entry.tell(event);
        self.overrun(channel)
    }

    /// The server has removed the subscription. True when it is to be asked for again now.
    pub(crate) fn removed(&mut self, channel: &str, push: Unsubscribe, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(channel) else { return false };
        let EntryState::Live { since } = entry.state else { return false };
        if !UnsubscribeCode::resubscribes(push.code) {
            if let Some(entry) = self.take(channel) {
                entry.end(UnsubscribeReason::Server { code: push.code, reason: push.reason });
            }
            return false;
        }
        let invalidated = push.code == UnsubscribeCode::StateInvalidated.code();
        if invalidated {
            entry.track.forget();
        }
        if invalidated || push.code == UnsubscribeCode::Expired.code() {
            entry.credential.forget();
        }
        entry.credential.suspend();
        entry.tell(Event::Subscribing);
        if self.overrun(channel) {
            self.leaving.remove(channel); // the server knows
            return false;
        }
        let Some(entry) = self.entries.get_mut(channel) else { return false };
        if now.duration_since(since) < SETTLE {
            self.wait(channel, now);
            return false;
        }
        entry.step = 0;
        entry.state = EntryState::Idle;
        true
    }

    /// The connection is gone and will be tried again: everything has to be asked for again. `void`: what this client
    /// remembers of the streams is of no use any more.
    pub(crate) fn connection_lost(&mut self, void: bool) {
        self.retries.clear();
        self.renewals.clear();
        for entry in self.entries.values_mut() {
            if matches!(entry.state, EntryState::Live { .. }) {
                entry.tell(Event::Subscribing);
            }
            if void {
                entry.track.forget();
                entry.credential.forget();
            }
            entry.credential.suspend();
            entry.state = EntryState::Idle;
            entry.step = 0;
        }
        for channel in self.channels() {
            self.overrun(&channel);
        }
        self.leaving.clear();
    }

    /// The client has stopped: every subscription ends.
    pub(crate) fn stop(&mut self, reason: &Disconnect) {
        self.leaving.clear();
        self.retries.clear();
        self.renewals.clear();
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
            if self.retries.first()?.0 > now {
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

    /// When [`pop_due`](Self::pop_due) or [`pop_renewal`](Self::pop_renewal) may have something.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let retry = self.retries.first().map(|(until, _)| *until);
        let renewal = self.renewals.first().map(|(at, _)| *at);
        retry.into_iter().chain(renewal).min()
    }

    /// Takes an entry out, and what is planned for it.
    fn take(&mut self, channel: &str) -> Option<Entry> {
        let (channel, entry) = self.entries.remove_entry(channel)?;
        if let Some(at) = entry.credential.deadline() {
            self.renewals.remove(&(at, channel));
        }
        Some(entry)
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

    fn live(&mut self, channel: &str) -> Option<&mut Entry> {
        self.entries.get_mut(channel).filter(|entry| matches!(entry.state, EntryState::Live { .. }))
    }

    /// Ends a subscription whose reader was too slow and wants that. True when the server has to be told.
    fn overrun(&mut self, channel: &str) -> bool {
        if !self.entries.get(channel).is_some_and(|entry| entry.events.is_overrun()) {
            return false;
        }
        let Some(entry) = self.take(channel) else { return false };
        entry.end(UnsubscribeReason::TooSlow);
        self.leaving.insert(channel.into());
        true
    }

    /// A patch did not fit. The subscription begins anew, without patches and from the last publication that was whole.
    fn broken(&mut self, channel: &str, fault: &DeltaFault) -> bool {
        let Some((channel, _)) = self.entries.get_key_value(channel) else { return false };
        let channel = Arc::clone(channel);
        let Some(entry) = self.entries.get_mut(&channel) else { return false };
        tracing::warn!(%fault, "a subscription begins anew without delta compression");
        entry.tell(Event::Subscribing);
        entry.state = EntryState::Idle;
        self.leaving.insert(channel);
        true
    }
}

impl Entry {
    fn request(&self, channel: &str) -> SubscribeRequest {
        let mut request = self.options.request(channel);
        request.token = self.credential.token().as_str().to_owned();
        if let Some(position) = self.track.recovery() {
            request.recover = true;
            request.offset = position.offset;
            request.epoch = position.epoch;
        }
        if self.track.wants_delta() {
            request.delta = "fossil".to_owned();
        }
        request
    }

    fn tell(&self, event: Event) {
        self.events.push(self.track.other(event), 0);
    }

    /// Tells the reader why, as the last event.
    fn end(self, reason: UnsubscribeReason) {
        self.events.push_last(self.track.other(Event::Unsubscribed(reason)));
    }
}

/// Gives a reader an event with what it weighs.
fn put(events: &MailboxSender<Told>, told: Told) {
    let bytes = told.event.payload_bytes();
    events.push(told, bytes);
}
