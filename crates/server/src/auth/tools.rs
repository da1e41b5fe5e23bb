//! Makes and checks tokens: for the command line, for tests, and for programs that embed the server.
//!
//! ```
//! use throng_server::tokens::{Checker, Signer};
//! use throng_server::config::Settings;
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let mut settings = Settings::default();
//! settings.client.token.hmac_secret_key = "a secret that only server and backend know".into();
//! let checker = Checker::new(&settings, tokio::runtime::Handle::current())?;
//!
//! let token = Signer::hmac("a secret that only server and backend know").sign(&serde_json::json!({ "sub": "42" }))?;
//! assert_eq!(checker.check(&token).await?.user, "42");
//! let forged = Signer::hmac("a guess").sign(&serde_json::json!({ "sub": "42" }))?;
//! assert!(checker.check(&forged).await.is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use jsonwebtoken::Algorithm;
use tokio::runtime::Handle;

use crate::config::Settings;

use super::keys::{Family, Key};
use super::parts::Parts;
use super::values::Claims;
use super::{TokenError, Tokens, now};

pub use super::TokensError;
pub use super::generate::{GenerateError, KeyPair, KeyPairKind, key_pair, secret};
pub use super::sign::{SignError, Signer};

/// Checks tokens as a server with the same settings does.
#[derive(Debug)]
pub struct Checker(Tokens);

/// What a token says that is valid.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Checked {
    /// The user; empty for an anonymous client.
    pub user: String,
    /// The channel that it is for, if it is a subscription token.
    pub channel: Option<String>,
    /// When the connection or the subscription expires unless it is refreshed, in Unix seconds.
    pub expires: Option<i64>,
    /// When it was made, in Unix seconds.
    pub issued: Option<i64>,
    /// Its id, by which it can be revoked.
    pub id: Option<String>,
    /// Subscriptions that come with the connection.
    pub subscriptions: usize,
}

/// Why a token is not accepted. `Display` says which claim, and never repeats the token.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Its time is over.
    #[error("the token has expired: claim exp or expire_at was over {seconds} s ago")]
    Expired {
        /// For how long.
        seconds: i64,
    },
    /// It is not one of ours.
    #[error("{0}")]
    Invalid(String),
    /// It could not be checked, because the keys cannot be had now.
    #[error("{0}")]
    Unavailable(String),
}

impl Checker {
    /// A checker with the keys of these settings. Whatever takes long is done on this runtime.
    ///
    /// # Errors
    ///
    /// [`TokensError`].
    pub fn new(settings: &Settings, runtime: Handle) -> Result<Self, TokensError> {
        Tokens::new(settings, runtime).map(Self)
    }

    /// Checks a token; with a claim `channel` it is one for a subscription, else one for a connection.
    ///
    /// # Errors
    ///
    /// [`CheckError`].
    pub async fn check(&self, token: &str) -> Result<Checked, CheckError> {
        let parts = Parts::of(token).map_err(|error| CheckError::of(&error, None))?;
        let claims = Claims::read(&parts.payload).ok();
        let (is_subscription, end) = claims.map_or((false, None), |claims| {
            let end = |name| claims.seconds(name).ok().flatten();
            (claims.has("channel"), [end("exp"), end("expire_at")].into_iter().flatten().min())
        });
        let checked = if is_subscription {
            self.0.subscription(token).await.map(|token| Checked {
                user: token.credential.user.to_string(),
                channel: Some(token.channel),
                expires: token.expires,
                issued: token.credential.issued,
                id: token.credential.id.map(String::from),
                subscriptions: 0,
            })
        } else {
            self.0.connection(token).await.map(|token| Checked {
                user: token.user,
                channel: None,
                expires: token.expires,
                issued: token.credential.issued,
                id: token.credential.id.map(String::from),
                subscriptions: token.subs.len(),
            })
        };
        checked.map_err(|error| CheckError::of(&error, end))
    }
}

impl CheckError {
    fn of(error: &TokenError, end: Option<i64>) -> Self {
        match error {
            TokenError::Expired => Self::Expired { seconds: now() - end.unwrap_or_else(now) },
            TokenError::Invalid(_) => Self::Invalid(error.to_string()),
            TokenError::Unavailable(_) => Self::Unavailable(error.to_string()),
        }
    }
}

/// Chooses the cryptography, which otherwise the first token would do, and sees whether it tells right from wrong.
pub(super) fn self_test() -> Result<(), TokensError> {
    // It fails when there is a provider already; the test below says what that one is good for.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let pair = key_pair(KeyPairKind::P256).map_err(|_| TokensError::Provider)?;
    let public = Key::public(&pair.public, Family::Ecdsa).map_err(|_| TokensError::Provider)?;
    let signer = Signer::pem(&pair.private).map_err(|_| TokensError::Provider)?;
    for (signer, key, algorithm) in [
        (signer, public, Algorithm::ES256),
        (Signer::hmac("test"), Key::secret("test", None), Algorithm::HS256),
    ] {
        let token = signer.sign(&serde_json::json!({})).map_err(|_| TokensError::Provider)?;
        let (message, signature) = token.rsplit_once('.').ok_or(TokensError::Provider)?;
        let other = format!("{message}x");
        if !key.has_signed(message, signature, algorithm) || key.has_signed(&other, signature, algorithm) {
            return Err(TokensError::Provider);
        }
    }
    Ok(())
}
