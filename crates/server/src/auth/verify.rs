//! One set of keys, and what else is asked of a token.

use std::sync::Arc;

use regex_lite::Regex;
use tokio::runtime::Handle;

use crate::config::Token;

use super::capabilities::whole;
use super::jwks::Jwks;
use super::keys::{Family, Key};
use super::parts::{Parts, invalid};
use super::template::Groups;
use super::values::{Claims, wrong};
use super::{ConnectionToken, SubscriptionToken, TokenError, TokensError, read};

/// Bytes that an expression of the configuration may take once it is compiled.
const EXPRESSION_BYTES: usize = 1024 * 1024;

/// What tokens of one kind are verified with.
#[derive(Debug)]
pub(super) struct Verifier {
    keys: Keys,
    policy: Policy,
}

#[derive(Debug)]
enum Keys {
    /// Those of the configuration.
    Fixed(Vec<Arc<Key>>),
    /// Those that are fetched.
    Fetched(Arc<Jwks>),
    /// Signatures are not checked.
    Unchecked,
}

/// What the claims must be like.
#[derive(Debug)]
struct Policy {
    audience: Expected,
    issuer: Expected,
    /// Seconds that clocks may differ.
    leeway: i64,
    /// The claim that names the user.
    user: Box<str>,
}

#[derive(Debug)]
enum Expected {
    Anything,
    Exactly(Box<str>),
    Matching(Regex),
}

/// Claim `aud`.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Verifier {
    /// The verifier that the settings ask for; `None` if they have no key. Keys are fetched on this runtime.
    ///
    /// # Errors
    ///
    /// [`TokensError`], for settings that were not checked before.
    pub(super) fn new(token: &Token, unchecked: bool, runtime: &Handle) -> Result<Option<Self>, TokensError> {
        let policy = Policy::new(token)?;
        let keys = if unchecked {
            Keys::Unchecked
        } else if token.jwks_public_endpoint.is_empty() {
            Keys::Fixed(fixed(token)?)
        } else {
            Keys::Fetched(Jwks::new(&token.jwks_public_endpoint, runtime)?)
        };
        let nothing = matches!(&keys, Keys::Fixed(keys) if keys.is_empty());
        Ok((!nothing).then_some(Self { keys, policy }))
    }

    pub(super) fn jwks(&self) -> Option<&Jwks> {
        match &self.keys {
            Keys::Fetched(jwks) => Some(jwks),
            Keys::Fixed(_) | Keys::Unchecked => None,
        }
    }

    /// Verifies a connection token at this time, in Unix seconds. Public keys work on the runtime.
    pub(super) async fn connection(
        &self,
        token: &str,
        now: i64,
        runtime: &Handle,
    ) -> Result<ConnectionToken, TokenError> {
        let parts = Parts::of(token)?;
        self.signed(&parts, now, runtime).await?;
        let claims = Claims::read(&parts.payload)?;
        self.policy.accepts(&claims, now)?;
        let token = read::connection(&claims, &self.policy.user)?;
        self.policy.in_time(token.credential.expires, now)?;
        self.policy.in_time(token.expires, now)?;
        Ok(token)
    }

    /// Verifies a subscription token in the same way.
    pub(super) async fn subscription(
        &self,
        token: &str,
        now: i64,
        runtime: &Handle,
    ) -> Result<SubscriptionToken, TokenError> {
        let parts = Parts::of(token)?;
        self.signed(&parts, now, runtime).await?;
        let claims = Claims::read(&parts.payload)?;
        self.policy.accepts(&claims, now)?;
        let token = read::subscription(&claims, &self.policy.user)?;
        self.policy.in_time(token.credential.expires, now)?;
        self.policy.in_time(token.expires, now)?;
        Ok(token)
    }

    /// Whether the signature is one of our keys'.
    async fn signed(&self, parts: &Parts<'_>, now: i64, runtime: &Handle) -> Result<(), TokenError> {
        let keys: Vec<Arc<Key>> = match &self.keys {
            Keys::Unchecked => return Ok(()),
            Keys::Fixed(keys) => {
                let fits = |key: &&Arc<Key>| key.allows(parts.algorithm) && key.counts_at(now);
                keys.iter().filter(fits).cloned().collect()
            }
            Keys::Fetched(jwks) => {
                let kid = parts.kid.as_deref().ok_or_else(|| invalid("its header names no key (kid)"))?;
                jwks.keys(kid, parts.algorithm, || self.policy.groups(&Claims::read(&parts.payload)?)).await?
            }
        };
        if keys.is_empty() {
            return Err(invalid("no key is configured for its algorithm"));
        }
        let algorithm = parts.algorithm;
        let signed = if keys.iter().any(|key| key.is_public()) {
            let (message, signature) = (parts.message.to_owned(), parts.signature.to_owned());
            let check = async move { keys.iter().any(|key| key.has_signed(&message, &signature, algorithm)) };
            let checked = runtime.spawn(check).await;
            checked.map_err(|_| TokenError::Unavailable("the server stops".into()))?
        } else {
            keys.iter().any(|key| key.has_signed(parts.message, parts.signature, algorithm))
        };
        if signed { Ok(()) } else { Err(invalid("its signature is wrong")) }
    }
}

fn fixed(token: &Token) -> Result<Vec<Arc<Key>>, TokensError> {
    let mut keys = Vec::new();
    let until = token.hmac_previous_secret_key_valid_until;
    for (secret, until) in
        [(&token.hmac_secret_key, None), (&token.hmac_previous_secret_key, (until != 0).then_some(until))]
    {
        if !secret.is_empty() {
            keys.push(Arc::new(Key::secret(secret.expose(), until)));
        }
    }
    for (text, family) in [
        (&token.rsa_public_key, Family::Rsa),
        (&token.ecdsa_public_key, Family::Ecdsa),
        (&token.eddsa_public_key, Family::Eddsa),
    ] {
        if !text.is_empty() {
            keys.push(Arc::new(Key::public(text, family).map_err(|error| TokensError::Key(error.rule()))?));
        }
    }
    Ok(keys)
}

impl Policy {
    fn new(token: &Token) -> Result<Self, TokensError> {
        let user = if token.user_id_claim.is_empty() { "sub" } else { &token.user_id_claim };
        Ok(Self {
            audience: Expected::new(&token.audience, &token.audience_regex)?,
            issuer: Expected::new(&token.issuer, &token.issuer_regex)?,
            leeway: i64::try_from(token.leeway.as_secs()).unwrap_or(i64::MAX),
            user: user.into(),
        })
    }

    /// Whether the token is for us, by whom we trust, and not for later.
    fn accepts(&self, claims: &Claims<'_>, now: i64) -> Result<(), TokenError> {
        if claims.seconds("nbf")?.is_some_and(|start| start > now.saturating_add(self.leeway)) {
            return Err(invalid("claim nbf says that it is for later"));
        }
        if !self.audience.is_met_by(&audience(claims)?) {
            return Err(invalid("claim aud is not what is configured"));
        }
        if !self.issuer.is_met_by(&issuer(claims)?) {
            return Err(invalid("claim iss is not what is configured"));
        }
        Ok(())
    }

    fn in_time(&self, expires: Option<i64>, now: i64) -> Result<(), TokenError> {
        match expires {
            Some(end) if end.saturating_add(self.leeway) <= now => Err(TokenError::Expired),
            Some(_) | None => Ok(()),
        }
    }

    /// What the named groups of the expressions stand for, of claims that nobody has signed yet.
    fn groups(&self, claims: &Claims<'_>) -> Result<Groups, TokenError> {
        let mut groups = Groups::default();
        self.issuer.collect(&issuer(claims)?, &mut groups)?;
        self.audience.collect(&audience(claims)?, &mut groups)?;
        Ok(groups)
    }
}

fn issuer(claims: &Claims<'_>) -> Result<Vec<String>, TokenError> {
    Ok(claims.text("iss")?.into_iter().collect())
}

fn audience(claims: &Claims<'_>) -> Result<Vec<String>, TokenError> {
    Ok(match claims.typed("aud", "a text or a list of texts")? {
        Some(Audience::One(audience)) => vec![audience],
        Some(Audience::Several(audience)) => audience,
        None => Vec::new(),
    })
}

impl Expected {
    fn new(exactly: &str, matching: &str) -> Result<Self, TokensError> {
        match (exactly, matching) {
            ("", "") => Ok(Self::Anything),
            (exactly, "") => Ok(Self::Exactly(exactly.into())),
            (_, matching) => {
                whole(matching, EXPRESSION_BYTES).map(Self::Matching).ok_or(TokensError::Expression)
            }
        }
    }

    /// Whether one of the values is it.
    fn is_met_by(&self, values: &[String]) -> bool {
        match self {
            Self::Anything => true,
            Self::Exactly(expected) => values.iter().any(|value| **value == **expected),
            Self::Matching(expression) => values.iter().any(|value| expression.is_match(value)),
        }
    }

    /// Adds the named groups of the first value that matches.
    fn collect(&self, values: &[String], groups: &mut Groups) -> Result<(), TokenError> {
        let Self::Matching(expression) = self else { return Ok(()) };
        let captures = values.iter().find_map(|value| expression.captures(value));
        let captures = captures.ok_or_else(|| wrong("iss or aud", "what is configured"))?;
        for name in expression.capture_names().flatten() {
            if let Some(found) = captures.name(name) {
                groups.insert(name.to_owned(), found.as_str().to_owned());
            }
        }
        Ok(())
    }
}
