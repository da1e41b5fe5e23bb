//! The tokens of a conversation: who gets one, when, and what follows when there is none.

use std::{collections::VecDeque, time::Instant};

use rand::Rng as _;
use throng_protocol::{ErrorCode, ErrorReply, RefreshRequest, RefreshResult, Request, SubRefreshResult};

use super::{Conversation, Pending};
use crate::{
    Disconnect, Token, TokenError, TokenGetter,
    error::is_temporary,
    state::{Action, SubscriptionKey, TokenOwner, subscriptions::TokenStep},
};

/// Most getters of subscriptions that are at work at once. After a restart of a server, a client with thousands of
/// subscriptions would else ask its application for thousands of tokens at once.
const MAX_FETCHES: usize = 16;

/// Getters of subscriptions that are at work, and those that wait for their turn: at most one for each subscription.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    running: usize,
    waiting: VecDeque<(SubscriptionKey, TokenGetter)>,
}

impl Conversation {
    /// Begins an attempt to connect, with getting a token if there has to be one.
    pub(super) fn attempt(&mut self) {
        if !self.credential.is_missing() {
            return self.dial();
        }
        self.link.prepare();
        self.fetch_own();
    }

    /// A getter has answered.
    pub(super) fn token(&mut self, owner: TokenOwner, outcome: Result<Token, TokenError>, now: Instant) {
        match owner {
            TokenOwner::Connection => self.own_token(outcome, now),
            TokenOwner::Subscription(key) => {
                self.fetches.running -= 1;
                match self.subscriptions.token(&key, outcome, now) {
                    TokenStep::Nothing => {}
                    TokenStep::Ask => self.ask(&key.channel, now),
                    TokenStep::Leave => self.leave(&key.channel, now),
                    TokenStep::Prolong(request) => {
                        let pending = Pending::SubRefresh(key.clone());
                        if let Err(bytes) = self.send(Request::SubRefresh(request), pending, now) {
                            let max = self.settings.max_frame_bytes;
                            self.subscriptions.unsendable(&key, bytes, max);
                            self.leave(&key.channel, now);
                        }
                    }
                }
                self.fetch_next();
            }
        }
    }

    /// Asks for the token of a subscription, as soon as it is its turn.
    pub(super) fn fetch(&mut self, key: SubscriptionKey, getter: TokenGetter) {
        self.fetches.waiting.push_back((key, getter));
        self.fetch_next();
    }

    /// A subscription is gone: nobody waits for its token.
    pub(super) fn forget_fetch(&mut self, key: &SubscriptionKey) {
        self.fetches.waiting.retain(|(waiting, _)| waiting != key);
    }

    /// Gets what is due by now.
    pub(super) fn renew_tokens(&mut self, now: Instant) {
        if self.credential.due(now) {
            self.fetch_own();
        }
        while let Some((key, getter)) = self.subscriptions.pop_renewal(now) {
            self.fetch(key, getter);
        }
    }

    /// The server says for how long the connection lasts.
    pub(super) fn granted(&mut self, expires: bool, ttl_s: u32, now: Instant) {
        let random = self.random.next_u64();
        self.credential.granted(expires, ttl_s, now, random);
    }

    /// The server has answered a refresh command.
    pub(super) fn refreshed(&mut self, outcome: Result<RefreshResult, ErrorReply>, now: Instant) {
        match outcome {
            Ok(result) => self.granted(result.expires, result.ttl, now),
            Err(error) if is_worth_a_token(&error) => self.retry_refresh(now),
            Err(error) => self.hang_up(Disconnect::Refused(error), now),
        }
    }

    /// The server has answered a refresh command of a subscription.
    pub(super) fn subscription_refreshed(
        &mut self,
        key: &SubscriptionKey,
        outcome: Result<SubRefreshResult, ErrorReply>,
        now: Instant,
    ) {
        match outcome {
            Ok(result) => self.subscriptions.prolonged(key, &result, now),
            Err(error) if is_worth_a_token(&error) => self.subscriptions.retry_renewal(key, now),
            Err(error) => {
                if self.subscriptions.not_prolonged(key, error) {
                    self.leave(&key.channel, now);
                }
            }
        }
    }

    /// The server has not taken a newer token, for the moment.
    pub(super) fn retry_refresh(&mut self, now: Instant) {
        let random = self.random.next_u64();
        self.credential.retry(now, &self.settings.reconnect.backoff, random);
    }

    /// Drops the token if this end of a connection says that it is of no use. True when it does and another can be got:
    /// then the client tries again, whatever it would do otherwise.
    pub(super) fn needs_token(&mut self, reason: &Disconnect) -> bool {
        reason.voids_token() && self.credential.forget()
    }

    fn own_token(&mut self, outcome: Result<Token, TokenError>, now: Instant) {
        match self.credential.got(outcome) {
            Ok(()) if self.link.is_preparing() => self.dial(),
            Ok(()) if self.link.is_open() && self.credential.prolongs() => self.refresh(now),
            Ok(()) => {} // it goes with the next attempt
            Err(TokenError::Unauthorized) => self.hang_up(Disconnect::Unauthorized, now),
            Err(error) if self.link.is_preparing() => self.lose(Disconnect::NoToken(error), now),
            Err(error) => {
                tracing::debug!(%error, "no newer token");
                if self.link.is_open() && self.credential.prolongs() {
                    self.retry_refresh(now);
                }
            }
        }
    }

    fn dial(&mut self) {
        self.link.start();
        self.actions.push_back(Action::Dial { turn: self.link.turn() });
    }

    fn refresh(&mut self, now: Instant) {
        let request = RefreshRequest { token: self.credential.token().as_str().to_owned() };
        if let Err(bytes) = self.send(Request::Refresh(request), Pending::Refresh, now) {
            tracing::error!(bytes, "the refresh command does not fit a frame");
            self.hang_up(Disconnect::MessageTooLong { max: self.settings.max_frame_bytes }, now);
        }
    }

    fn fetch_own(&mut self) {
        if let Some(getter) = self.credential.fetch() {
            self.actions.push_back(Action::FetchToken { owner: TokenOwner::Connection, getter });
        }
    }

    fn fetch_next(&mut self) {
        while self.fetches.running < MAX_FETCHES
            && let Some((key, getter)) = self.fetches.waiting.pop_front()
        {
            self.fetches.running += 1;
            self.actions.push_back(Action::FetchToken { owner: TokenOwner::Subscription(key), getter });
        }
    }
}

/// True when the same may be accepted later, or with a newer token.
fn is_worth_a_token(error: &ErrorReply) -> bool {
    is_temporary(error) || error.code == ErrorCode::TokenExpired.code()
}
