//! A token in its three parts, before anything in it is trusted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;
use throng_protocol::Payload;

use super::TokenError;

/// Bytes that a token may have.
pub(super) const MAX_BYTES: usize = 16 * 1024;

/// A token in its parts. Nothing is known of its signature yet.
#[derive(Debug)]
pub(super) struct Parts<'t> {
    /// What is signed: header and payload as they stand in the token.
    pub(super) message: &'t str,
    /// In base64.
    pub(super) signature: &'t str,
    /// What the header says; a key decides whether it counts.
    pub(super) algorithm: Algorithm,
    /// The name of the key, as the header says.
    pub(super) kid: Option<String>,
    /// What should be the claims as JSON.
    pub(super) payload: Payload,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'t> Parts<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// [`TokenError::Invalid`] when it is no signed token, or one that nobody here can check.
    pub(super) fn of(token: &'t str) -> Result<Self, TokenError> {
        const SHAPE: &str = "it is not three parts with dots between them";

        if token.len() > MAX_BYTES {
            return Err(invalid("it is longer than 16 KiB"));
        }
        let (message, signature) = token.rsplit_once('.').ok_or_else(|| invalid(SHAPE))?;
        let (header, payload) = message.split_once('.').ok_or_else(|| invalid(SHAPE))?;
        if payload.contains('.') {
            return Err(invalid(SHAPE));
        }
        let header = URL_SAFE_NO_PAD.decode(header).ok();
        let header = header.and_then(|header| serde_json::from_slice::<Header>(&header).ok());
        let header = header.ok_or_else(|| invalid("its header cannot be read"))?;
        if header.crit.is_some() {
            return Err(invalid("its header asks for extensions"));
        }
        let algorithm = header.alg.parse().map_err(|_| invalid("its algorithm is none that throng has"))?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| invalid("its claims cannot be read"))?;
        Ok(Self { message, signature, algorithm, kid: header.kid, payload: payload.into() })
    }
}

/// A token is not valid, for this reason.
pub(super) fn invalid(reason: &'static str) -> TokenError {
    TokenError::Invalid(reason.into())
}
