use std::time::{Duration, Instant};

use crate::{Backoff, Token, TokenError, TokenGetter};

/// A token is renewed so long before it expires, or a tenth of its life where that is shorter; of that, the first half
/// is left to chance, so that clients whose tokens were made together do not come for new ones together.
const LEAD: Duration = Duration::from_secs(10);
/// Two renewals are at least so far apart, whatever the server says of the token's life.
const SHORTEST_LIFE: Duration = Duration::from_millis(500);

/// A token, the connection's or that of one subscription, and how it is kept fresh.
#[derive(Debug)]
pub(crate) struct Credential {
    getter: Option<TokenGetter>,
    /// Empty: none, or none any more.
    token: Token,
    /// The getter was asked and has not answered.
    fetching: bool,
    /// The server wants what the token allows to be prolonged before it expires.
    expires: bool,
    /// When a newer token is to be got.
    renew_at: Option<Instant>,
    /// Exponent of the wait after the next failed renewal.
    step: u32,
}

impl Credential {
    /// `token` is what there is before the getter is asked, or empty.
    pub(crate) const fn new(token: Token, getter: Option<TokenGetter>) -> Self {
        Self { getter, token, fetching: false, expires: false, renew_at: None, step: 0 }
    }

    /// What to show the server; empty for nothing.
    pub(crate) const fn token(&self) -> &Token {
        &self.token
    }

    /// True when there is no token and one can be got.
    pub(crate) const fn is_missing(&self) -> bool {
        self.getter.is_some() && self.token.is_empty()
    }

    /// The getter, if it is to be asked now and is not at it already.
    pub(crate) fn fetch(&mut self) -> Option<TokenGetter> {
        let getter = self.getter.clone().filter(|_| !self.fetching)?;
        self.fetching = true;
        Some(getter)
    }

    /// The getter has answered.
    ///
    /// # Errors
    ///
    /// Why there is no newer token. An empty one says that there will be none.
    pub(crate) fn got(&mut self, outcome: Result<Token, TokenError>) -> Result<(), TokenError> {
        self.fetching = false;
        let token = outcome?;
        if token.is_empty() {
            return Err(TokenError::Unauthorized);
        }
        self.token = token;
        Ok(())
    }

    /// The token is of no use any more. True when another one can be got; without a getter it stays, as there is none.
    pub(crate) fn forget(&mut self) -> bool {
        if self.getter.is_some() {
            self.token = Token::default();
        }
        self.getter.is_some()
    }

    /// The server has accepted the token, and says for how many seconds. `random` is uniform over all of `u64`.
    /// Returns when the next one is to be got.
    pub(crate) fn granted(
        &mut self,
        expires: bool,
        ttl_s: u32,
        now: Instant,
        random: u64,
    ) -> Option<Instant> {
        self.step = 0;
        self.expires = expires;
        let renewed = expires && self.getter.is_some();
        self.renew_at = renewed.then(|| now + renewal_wait(ttl_s, random));
        self.renew_at
    }

    /// There is no newer token yet, or the server has not taken it for the moment. Returns when to try again.
    pub(crate) fn retry(&mut self, now: Instant, backoff: &Backoff, random: u64) -> Instant {
        let at = now + backoff.delay(self.step, random).max(SHORTEST_LIFE);
        self.step = self.step.saturating_add(1);
        self.renew_at = Some(at);
        at
    }

    /// What the token allowed is over, so that there is nothing to prolong.
    pub(crate) const fn suspend(&mut self) {
        self.expires = false;
        self.renew_at = None;
        self.step = 0;
    }

    /// True when the server waits for a newer token in place of this one.
    pub(crate) const fn prolongs(&self) -> bool {
        self.expires
    }

    /// True, once, when a newer token is to be got by now.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        let due = self.renew_at.is_some_and(|at| at <= now);
        if due {
            self.renew_at = None;
        }
        due
    }

    /// When [`due`](Self::due) will be true.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.renew_at
    }
}

fn renewal_wait(ttl_s: u32, random: u64) -> Duration {
    // Servers count in whole seconds, so that up to one of them may be over already.
    let life = Duration::from_secs(u64::from(ttl_s.saturating_sub(1)));
    let lead = (life / 10).min(LEAD);
    let chance = Backoff::new(lead / 2, lead / 2).delay(0, random);
    (life - lead + chance).max(SHORTEST_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn credential() -> Credential {
        Credential::new(Token::default(), Some(TokenGetter::new(|| async { Ok(Token::from("t")) })))
    }

    #[test]
    fn a_token_is_renewed_before_it_expires_and_not_before_most_of_its_life() {
        for ttl_s in [2, 10, 60, 3_600, 31_536_000, u32::MAX] {
            let life = Duration::from_secs(u64::from(ttl_s - 1));
            for random in [0, u64::MAX / 2, u64::MAX] {
                let wait = renewal_wait(ttl_s, random);
                assert!(wait >= life * 9 / 10 && wait < life, "{ttl_s} s: {wait:?}");
                assert!(life - wait <= 10 * SECOND, "{ttl_s} s: {wait:?}");
            }
        }
        assert_eq!((renewal_wait(0, 0), renewal_wait(1, 0)), (SHORTEST_LIFE, SHORTEST_LIFE));
    }

    #[test]
    fn the_getter_is_asked_once_at_a_time() {
        let mut credential = credential();
        assert!(credential.is_missing());
        assert!(credential.fetch().is_some());
        assert!(credential.fetch().is_none());
        assert!(credential.got(Err(TokenError::temporary("down"))).is_err());
        assert!(credential.fetch().is_some());
        credential.got(Ok(Token::from("t"))).unwrap();
        assert!(!credential.is_missing());
        assert!(credential.fetch().is_some());
    }

    #[test]
    fn an_empty_token_is_a_refusal() {
        let mut credential = credential();
        let refused = credential.got(Ok(Token::default()));
        assert!(matches!(refused, Err(TokenError::Unauthorized)), "{refused:?}");
    }

    #[test]
    fn a_token_that_nobody_can_replace_is_kept() {
        let mut fixed = Credential::new(Token::from("t"), None);
        assert!(!fixed.forget());
        assert_eq!(fixed.token().as_str(), "t");
        assert_eq!(fixed.granted(true, 60, Instant::now(), 0), None);
        let mut replaced = credential();
        replaced.got(Ok(Token::from("t"))).unwrap();
        assert!(replaced.forget());
        assert!(replaced.is_missing());
    }

    #[test]
    fn failed_renewals_are_repeated_with_a_growing_wait_and_success_starts_again() {
        let mut credential = credential();
        let now = Instant::now();
        let backoff = Backoff::new(4 * SECOND, 20 * SECOND);
        let half = u64::MAX / 2 + 1;
        for wait in [2, 4, 8, 10, 10] {
            assert_eq!(credential.retry(now, &backoff, half), now + wait * SECOND);
        }
        credential.granted(true, 60, now, 0);
        assert_eq!(credential.retry(now, &backoff, half), now + 2 * SECOND);
        assert!(!credential.due(now + SECOND));
        assert!(credential.due(now + 2 * SECOND));
        assert!(!credential.due(now + 2 * SECOND));
    }
}
