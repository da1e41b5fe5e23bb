use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::auth::{TokenError, Tokens};
use crate::config::Settings;

/// What tokens of the seeds are signed with.
const SECRET: &str = "a secret that the seeds are signed with";

/// Verifiers, and a runtime for them.
struct Verifiers {
    runtime: Runtime,
    /// Checks signatures.
    strict: Tokens,
    /// Looks at claims only.
    lenient: Tokens,
}

/// A token is accepted only with a signature, and its claims only if they make sense. The input is taken for a token, and for
/// the claims of one.
pub fn tokens(bytes: &[u8]) -> usize {
    let Verifiers { runtime, strict, lenient } = verifiers();
    let mut accepted = 0;
    if let Ok(token) = std::str::from_utf8(bytes) {
        for subscription in [false, true] {
            let verdict = runtime.block_on(verify(strict, token, subscription));
            if verdict.is_ok() {
                let claims = claims_of(token);
                // The same claims signed again are the same token, but for its header.
                let again = crate::tokens::Signer::hmac(SECRET).sign(&claims).expect("claims can be signed");
                let again = runtime.block_on(verify(strict, &again, subscription));
                assert_eq!(again, verdict, "{token:?}");
                let mut tampered = token.to_owned().into_bytes();
                let last = tampered.len() - 2;
                tampered[last] = if tampered[last] == b'A' { b'B' } else { b'A' };
                let tampered = String::from_utf8(tampered).expect("a token is ASCII");
                assert!(
                    runtime.block_on(verify(strict, &tampered, subscription)).is_err(),
                    "{token:?} was tampered with"
                );
                accepted += 1;
            }
        }
    }
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let token = format!("{header}.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(bytes));
    for subscription in [false, true] {
        if let Ok(user) = runtime.block_on(verify(lenient, &token, subscription)) {
            claims_make_sense(bytes, &user, subscription);
            accepted += 1;
        }
        assert!(
            runtime.block_on(verify(strict, &token, subscription)).is_err(),
            "a signature was not needed"
        );
    }
    accepted
}

/// The user, if the token is accepted.
async fn verify(tokens: &Tokens, token: &str, subscription: bool) -> Result<String, TokenError> {
    if subscription {
        let token = tokens.subscription(token).await?;
        assert!(!token.channel.is_empty(), "a subscription to nothing");
        return Ok(token.credential.user.to_string());
    }
    tokens.connection(token).await.map(|token| token.user)
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let claims = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    claims.expect("what was accepted has claims")
}

/// The claims that the check below is about. What else is there may be any JSON, such as a number that no float holds.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    channel: Option<IgnoredAny>,
}

fn claims_make_sense(claims: &[u8], user: &str, subscription: bool) {
    let Claims { sub, channel } = serde_json::from_slice(claims).expect("claims are JSON");
    assert_eq!(sub.unwrap_or_default(), user, "{}", claims.escape_ascii());
    assert_eq!(channel.is_some(), subscription, "{}", claims.escape_ascii());
}

fn verifiers() -> &'static Verifiers {
    static VERIFIERS: OnceLock<Verifiers> = OnceLock::new();
    VERIFIERS.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
        let mut settings = Settings::default();
        settings.client.token.hmac_secret_key = SECRET.into();
        let strict = Tokens::new(&settings, runtime.handle().clone()).expect("the settings are good");
        settings.client.insecure_skip_token_signature_verify = true;
        let lenient = Tokens::new(&settings, runtime.handle().clone()).expect("the settings are good");
        Verifiers { runtime, strict, lenient }
    })
}
