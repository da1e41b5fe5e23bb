//! The keys of tokens: tables `[client.token]` and `[client.subscription_token]`.

use std::time::Duration;

use super::Secret;

/// How tokens of clients are checked: table `[client.token]`. Without any key there are none.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Token {
    /// The secret for HS256, HS384 and HS512. Default none.
    pub hmac_secret_key: Secret,
    /// The file that [`Sources`](super::Sources) read `hmac_secret_key` from. A program fills in `hmac_secret_key` alone.
    pub hmac_secret_key_file: String,
    /// A secret that is accepted, too, while tokens move to a new one. Default none.
    pub hmac_previous_secret_key: Secret,
    /// The file that [`Sources`](super::Sources) read `hmac_previous_secret_key` from.
    pub hmac_previous_secret_key_file: String,
    /// Until when the previous secret counts, in Unix seconds; 0 for ever. Default 0.
    pub hmac_previous_secret_key_valid_until: i64,
    /// The key for RS256 to RS512 and PS256 to PS512, as PEM or JWK. Default none.
    pub rsa_public_key: String,
    /// The key for ES256 (of the curve P-256) or ES384 (of P-384), as PEM or JWK. Default none.
    pub ecdsa_public_key: String,
    /// The key for EdDSA, of the curve Ed25519, as PEM or JWK. Default none.
    pub eddsa_public_key: String,
    /// The URL of a set of keys, which is used instead of the keys above. `{{name}}` in it stands for what the named group of
    /// `issuer_regex` or `audience_regex` matches. Default none.
    pub jwks_public_endpoint: String,
    /// Whether keys may come over plain http from other machines. Default false.
    pub jwks_allow_http: bool,
    /// What claim `aud` must be or contain; empty for anything. Default empty.
    pub audience: String,
    /// An expression that claim `aud`, or one of its members, must match as a whole. Default none.
    pub audience_regex: String,
    /// What claim `iss` must be; empty for anything. Default empty.
    pub issuer: String,
    /// An expression that claim `iss` must match as a whole. Default none.
    pub issuer_regex: String,
    /// The claim that names the user; empty for `sub`. Default empty.
    pub user_id_claim: String,
    /// By how much clocks may differ. Default 0.
    pub leeway: Duration,
}

/// How subscription tokens are checked: table `[client.subscription_token]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SubscriptionToken {
    /// Whether they have keys of their own, instead of those of `[client.token]`. Default false.
    pub enabled: bool,
    /// The keys, with the same names as in `[client.token]`.
    pub token: Token,
}

impl Token {
    /// Whether there is any key, so that tokens can be checked.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !(self.hmac_secret_key.is_empty()
            && self.hmac_previous_secret_key.is_empty()
            && self.rsa_public_key.is_empty()
            && self.ecdsa_public_key.is_empty()
            && self.eddsa_public_key.is_empty()
            && self.jwks_public_endpoint.is_empty())
    }
}
