//! The tokens of subscriptions.

use std::{sync::Arc, time::Instant};

use rand::Rng as _;
use throng_protocol::{ErrorReply, SubRefreshRequest, SubRefreshResult};

use super::{EntryState, SubscriptionKey, Subscriptions};
use crate::{SubscribeError, Token, TokenError, TokenGetter, UnsubscribeReason};

/// What follows when the getter of a subscription has answered.
#[derive(Debug)]
pub(crate) enum TokenStep {
    /// Nothing: it is not wanted any more, or not now.
    Nothing,
    /// The channel can be asked for.
    Ask,
    /// The server is to be shown the newer token.
    Prolong(SubRefreshRequest),
    /// The subscription is over, and the server has to be told.
    Leave,
}

impl Subscriptions {
    /// A getter has answered.
    pub(crate) fn token(
        &mut self,
        key: &SubscriptionKey,
        outcome: Result<Token, TokenError>,
        now: Instant,
    ) -> TokenStep {
        let Some(entry) = self.entries.get_mut(&key.channel) else { return TokenStep::Nothing };
        if entry.generation != key.generation {
            return TokenStep::Nothing;
        }
        match entry.credential.got(outcome) {
            Ok(()) => match entry.state {
                EntryState::Fetching => {
                    entry.state = EntryState::Idle;
                    TokenStep::Ask
                }
                EntryState::Live { .. } if entry.credential.prolongs() => {
                    let token = entry.credential.token().as_str().to_owned();
                    let channel = key.channel.as_ref().to_owned();
                    TokenStep::Prolong(SubRefreshRequest { channel, token, kind: 0 })
                }
                EntryState::Live { .. }
                | EntryState::Idle
                | EntryState::Waiting { .. }
                | EntryState::Asked => TokenStep::Nothing,
            },
            Err(TokenError::Unauthorized) => {
                if self.end(key, SubscribeError::Unauthorized, UnsubscribeReason::Unauthorized) {
                    TokenStep::Leave
                } else {
                    TokenStep::Nothing
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no token for a subscription");
                match entry.state {
                    EntryState::Fetching => self.wait(&key.channel, now),
                    EntryState::Live { .. } => self.retry_renewal(key, now),
                    EntryState::Idle | EntryState::Waiting { .. } | EntryState::Asked => {}
                }
                TokenStep::Nothing
            }
        }
    }

    /// The server has answered that a subscription goes on.
    pub(crate) fn prolonged(&mut self, key: &SubscriptionKey, result: &SubRefreshResult, now: Instant) {
        self.granted(key, result.expires, result.ttl, now);
    }

    /// The server has answered that it does not. True when it has to be told that the subscription is over.
    pub(crate) fn not_prolonged(&mut self, key: &SubscriptionKey, error: ErrorReply) -> bool {
        self.end(key, SubscribeError::Refused(error.clone()), UnsubscribeReason::Refused(error))
    }

    /// The newer token is not there, or was not taken, for the moment.
    pub(crate) fn retry_renewal(&mut self, key: &SubscriptionKey, now: Instant) {
        let random = self.random.next_u64();
        let backoff = self.backoff;
        let Some(entry) = self.live(&key.channel) else { return };
        if entry.generation == key.generation && entry.credential.prolongs() {
            let at = entry.credential.retry(now, &backoff, random);
            self.renewals.insert((at, Arc::clone(&key.channel)));
        }
    }

    /// A subscription whose token is to be renewed by now.
    pub(crate) fn pop_renewal(&mut self, now: Instant) -> Option<(SubscriptionKey, TokenGetter)> {
        loop {
            if self.renewals.first()?.0 > now {
                return None;
            }
            let (_, channel) = self.renewals.pop_first()?;
            // What is not live any more, or was renewed in another way, is not due.
            let Some(entry) = self.live(&channel) else { continue };
            if entry.credential.due(now)
                && let Some(getter) = entry.credential.fetch()
            {
                return Some((SubscriptionKey { generation: entry.generation, channel }, getter));
            }
        }
    }

    /// The server says for how long a subscription lasts.
    pub(super) fn granted(&mut self, key: &SubscriptionKey, expires: bool, ttl_s: u32, now: Instant) {
        let random = self.random.next_u64();
        let Some(entry) = self.live(&key.channel) else { return };
        if entry.generation == key.generation
            && let Some(at) = entry.credential.granted(expires, ttl_s, now, random)
        {
            self.renewals.insert((at, Arc::clone(&key.channel)));
        }
    }

    /// Ends a subscription and tells who waits for it. True when the server takes it for one.
    fn end(&mut self, key: &SubscriptionKey, refusal: SubscribeError, reason: UnsubscribeReason) -> bool {
        if self.entries.get(&key.channel).is_none_or(|entry| entry.generation != key.generation) {
            return false;
        }
        let Some(entry) = self.take(&key.channel) else { return false };
        let known = matches!(entry.state, EntryState::Asked | EntryState::Live { .. });
        if known {
            self.leaving.insert(Arc::clone(&key.channel));
        }
        match entry.ready {
            Some(ready) => drop(ready.send(Err(refusal))),
            None => entry.end(reason),
        }
        known
    }
}
