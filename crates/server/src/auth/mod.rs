//! Who may come in: tokens, verified by the keys of the configuration. Nothing below the node knows of them.

#[allow(dead_code, reason = "sessions ask it")]
mod capabilities;
#[allow(dead_code, reason = "sessions read the rest")]
mod claims;
mod fetch;
mod generate;
mod jwks;
mod keys;
mod parts;
mod read;
mod sign;
mod template;
pub mod tools;
mod values;
mod verify;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::config::{Settings, Token};
use crate::metrics::{Number, Page};

pub(crate) use claims::{
    Capabilities, Capability, ChannelMatch, ConnectionToken, Credential, Operation, SubscriptionToken,
    TokenError, TokenSubscription,
};
pub(crate) use keys::{Family, Key};
pub(crate) use template::{Template, TemplateError};

use verify::Verifier;

/// Time that the check of a token may take: all attempts to fetch its key fit in, and it ends before a client that has not yet
/// connected is stale.
const PATIENCE: Duration = Duration::from_secs(5);

/// The verifiers of connection and subscription tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Option<Box<Configured>>);

#[derive(Debug)]
struct Configured {
    connection: Option<Verifier>,
    /// Its own, or none if it is the one for connections.
    subscription: Option<Verifier>,
    /// Where public keys are worked with, and keys are fetched.
    runtime: Handle,
    counts: [Number; Outcome::ALL.len()],
}

/// Why the verifiers cannot be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The cryptographic library does not do what it should.
    #[error("the cryptographic library does not check signatures as it should")]
    Provider,
    /// The system has no certificates to know the server of keys by.
    #[error("this machine trusts no certificates, so that no keys can be fetched over https")]
    Roots,
    /// A public key cannot be used.
    #[error("a public key {0}")]
    Key(&'static str),
    /// The URL of keys is none.
    #[error("the URL of keys is no URL")]
    Url,
    /// The expression for issuer or audience is none.
    #[error("an expression for issuer or audience is no regular expression")]
    Expression,
}

/// How a verification ended.
#[derive(Clone, Copy)]
enum Outcome {
    Accepted,
    Expired,
    Invalid,
    Unavailable,
}

impl Outcome {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Accepted, "accepted"),
        (Self::Expired, "expired"),
        (Self::Invalid, "invalid"),
        (Self::Unavailable, "unavailable"),
    ];

    const fn of<T>(result: &Result<T, TokenError>) -> Self {
        match result {
            Ok(_) => Self::Accepted,
            Err(TokenError::Expired) => Self::Expired,
            Err(TokenError::Invalid(_)) => Self::Invalid,
            Err(TokenError::Unavailable(_)) => Self::Unavailable,
        }
    }
}

impl Tokens {
    /// The verifiers that checked settings ask for. Whatever takes long is done on this runtime.
    ///
    /// # Errors
    ///
    /// [`TokensError`].
    pub(crate) fn new(settings: &Settings, runtime: Handle) -> Result<Self, TokensError> {
        let client = &settings.client;
        let unchecked = client.insecure_skip_token_signature_verify;
        let connection = Verifier::new(&client.token, unchecked, &runtime)?;
        let own = &client.subscription_token;
        let subscription = if own.enabled { Verifier::new(&own.token, unchecked, &runtime)? } else { None };
        if connection.is_none() && subscription.is_none() {
            return Ok(Self::default());
        }
        tools::self_test()?;
        warn("client.token", &client.token);
        if own.enabled {
            warn("client.subscription_token", &own.token);
        }
        if unchecked {
            tracing::warn!("client.insecure_skip_token_signature_verify: everybody can make tokens");
        }
        let counts = Default::default();
        Ok(Self(Some(Box::new(Configured { connection, subscription, runtime, counts }))))
    }

    /// Whether any key is configured, so that tokens can be checked.
    #[allow(dead_code, reason = "sessions ask it")]
    pub(crate) const fn is_configured(&self) -> bool {
        self.0.is_some()
    }

    /// Verifies a connection token: signature, times, audience, issuer, and that its claims make sense.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; its text is for the log and never repeats the token.
    pub(crate) async fn connection(&self, token: &str) -> Result<ConnectionToken, TokenError> {
        let Some((configured, verifier)) = self.verifier(false) else { return Err(NO_KEY) };
        configured.count(in_time(verifier.connection(token, now(), &configured.runtime)).await)
    }

    /// Verifies a subscription token in the same way. Whether it is for this user, channel and client is the session's to see.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub(crate) async fn subscription(&self, token: &str) -> Result<SubscriptionToken, TokenError> {
        let Some((configured, verifier)) = self.verifier(true) else { return Err(NO_KEY) };
        configured.count(in_time(verifier.subscription(token, now(), &configured.runtime)).await)
    }

    fn verifier(&self, of_subscriptions: bool) -> Option<(&Configured, &Verifier)> {
        let configured = self.0.as_deref()?;
        let own = configured.subscription.as_ref().filter(|_| of_subscriptions);
        Some((configured, own.or(configured.connection.as_ref())?))
    }

    /// Writes the numbers, if there are keys.
    pub(crate) fn render(&self, page: &mut Page) {
        let Some(configured) = self.0.as_deref() else { return };
        page.family("throng_tokens_total", "counter", "Tokens that were checked, by how that ended.");
        for (outcome, label) in Outcome::ALL {
            let count = configured.counts[outcome as usize].get();
            page.sample("throng_tokens_total", &[("result", label)], count);
        }
        let sets = || [&configured.connection, &configured.subscription].into_iter().flatten();
        let jwks: Vec<_> = sets().filter_map(Verifier::jwks).collect();
        if jwks.is_empty() {
            return;
        }
        let help =
            "Fetches of keys for tokens, by how they ended; held_back are those that a bound prevented.";
        page.family("throng_token_key_fetches_total", "counter", help);
        let sum = |number: fn(&jwks::Counts) -> &Number| -> u64 {
            jwks.iter().map(|jwks| number(&jwks.counts).get()).sum()
        };
        for (label, count) in [
            ("fetched", sum(|counts| &counts.fetched)),
            ("failed", sum(|counts| &counts.failed)),
            ("held_back", sum(|counts| &counts.held_back)),
        ] {
            page.sample("throng_token_key_fetches_total", &[("result", label)], count);
        }
        let count = jwks.iter().map(|jwks| jwks.len() as u64).sum();
        page.single("throng_token_key_sets", "gauge", "Sets of keys for tokens that are kept.", count);
    }
}

const NO_KEY: TokenError = TokenError::Invalid(std::borrow::Cow::Borrowed("no key is configured"));

impl Configured {
    fn count<T>(&self, result: Result<T, TokenError>) -> Result<T, TokenError> {
        self.counts[Outcome::of(&result) as usize].add(1);
        result
    }
}

/// Bounds the time that a check may take, whatever it waits for: keys that others fetch too, or a runtime that is behind.
async fn in_time<T>(check: impl Future<Output = Result<T, TokenError>>) -> Result<T, TokenError> {
    timeout(PATIENCE, check).await.unwrap_or(Err(TokenError::Unavailable("the check took too long".into())))
}

/// Says what can be configured and hardly be meant.
fn warn(table: &str, token: &Token) {
    /// Bytes that HS256 asks for (RFC 7518, section 3.2).
    const SECRET: usize = 32;

    let secret = token.hmac_secret_key.expose().len();
    if !token.jwks_public_endpoint.is_empty() {
        let mut fixed = token.clone();
        fixed.jwks_public_endpoint.clear();
        if fixed.has_keys() {
            tracing::warn!(table, "jwks_public_endpoint is set: the other keys are not used");
        }
    } else if (1..SECRET).contains(&secret) {
        tracing::warn!(
            table,
            "hmac_secret_key is short and could be guessed: gen-key hmac makes a better one"
        );
    }
}

/// The time in Unix seconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
