//! Who may come in: tokens, verified by the keys of the configuration. Nothing below the node knows of them.

#![allow(dead_code, unused_imports, reason = "the parts that use it come next")]

mod claims;

pub(crate) use claims::{
    Capabilities, Capability, ChannelMatch, ConnectionToken, Credential, Operation, SubscriptionToken,
    TokenError, TokenSubscription,
};

/// The verifiers of connection and subscription tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens {}

impl Tokens {
    /// Whether any key is configured, so that tokens can be checked.
    pub(crate) const fn is_configured(&self) -> bool {
        let Self {} = self;
        false
    }

    /// Verifies a connection token: signature, times, audience, issuer, and that its claims make sense.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; its text is for the log and never repeats the token.
    #[expect(clippy::unused_async, reason = "the keys may have to be fetched")]
    pub(crate) async fn connection(&self, _token: &str) -> Result<ConnectionToken, TokenError> {
        Err(TokenError::Invalid("no key is configured".into()))
    }

    /// Verifies a subscription token in the same way. Whether it is for this user, channel and client is the session's to see.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    #[expect(clippy::unused_async, reason = "the keys may have to be fetched")]
    pub(crate) async fn subscription(&self, _token: &str) -> Result<SubscriptionToken, TokenError> {
        Err(TokenError::Invalid("no key is configured".into()))
    }
}
