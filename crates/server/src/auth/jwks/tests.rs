//! Key sets from a server that also fails, stalls, lies and rotates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::super::generate::{KeyPairKind, key_pair};
use super::super::tools::Signer;
use super::*;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the server behaves.
#[derive(Clone)]
enum Mood {
    Answers(String),
    Says(&'static str),
    Stalls,
    HangsUp,
}

/// A server of keys.
struct Source {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    asked: tokio::sync::watch::Receiver<usize>,
}

impl Source {
    async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, asked) = tokio::sync::watch::channel(0);
        let shared = Arc::new(Mutex::new(mood));
        let mood = Arc::clone(&shared);
        Handle::current().spawn(async move {
            let mut stalled = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                count.send_modify(|count| *count += 1);
                let mood = shared.lock().clone();
                let answer = match mood {
                    Mood::Answers(body) => {
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                    }
                    Mood::Says(answer) => answer.to_owned(),
                    Mood::Stalls => {
                        stalled.push(stream);
                        continue;
                    }
                    Mood::HangsUp => continue,
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, mood, asked }
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    async fn asked_more_than(&mut self, count: usize) {
        let more = self.asked.wait_for(|asked| *asked > count);
        timeout(PATIENCE, more).await.expect("the keys are asked for").unwrap();
    }

    fn jwks(&self, times: Times) -> Arc<Jwks> {
        let template = Template::parse(&format!("http://{}/keys", self.address)).unwrap();
        let fetcher = Fetcher::trusting(RootCertStore::empty(), times.patience).unwrap();
        Jwks::with(template, fetcher, times, &Handle::current()).unwrap()
    }
}

/// Nothing happens in the background, and tokens may always cause a fetch.
const EAGER: Times = Times {
    refresh: Duration::from_hours(1),
    tick: Duration::from_hours(1),
    pause: Duration::ZERO,
    patience: Duration::from_millis(200),
    forget: Duration::from_hours(1),
};

/// A key pair of P-256: its public key as JWK, and a signer.
fn pair(kid: &str) -> (Value, Signer) {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    let pair = key_pair(KeyPairKind::P256).unwrap();
    let lines: String = pair.public.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(lines).unwrap();
    let coordinates = &der[der.len() - 64..];
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
        "x": encode(&coordinates[..32]), "y": encode(&coordinates[32..]),
    });
    (jwk, Signer::pem(&pair.private).unwrap().kid(kid))
}

fn set(keys: &[&Value]) -> Mood {
    Mood::Answers(json!({ "keys": keys }).to_string())
}

async fn ask(jwks: &Arc<Jwks>, kid: &str) -> Result<Vec<Arc<Key>>, TokenError> {
    let keys = jwks.keys(kid, Algorithm::ES256, || Ok(Groups::default()));
    timeout(PATIENCE, keys).await.expect("an answer comes in time")
}

fn is_unavailable<T>(outcome: &Result<T, TokenError>) -> bool {
    matches!(outcome, Err(TokenError::Unavailable(_)))
}

fn is_invalid<T>(outcome: &Result<T, TokenError>) -> bool {
    matches!(outcome, Err(TokenError::Invalid(_)))
}

#[tokio::test]
async fn a_fetched_key_checks_what_its_pair_has_signed() {
    let (jwk, signer) = pair("a");
    let source = Source::start(set(&[&jwk])).await;
    let keys = ask(&source.jwks(EAGER), "a").await.unwrap();
    let token = signer.sign(&json!({})).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    assert!(keys[0].has_signed(message, signature, Algorithm::ES256));
    assert!(!keys[0].has_signed(message, signature, Algorithm::ES384));
}

#[tokio::test]
async fn rotation_is_noticed_by_the_first_token_with_a_new_key() {
    let ((old, _), (new, _)) = (pair("old"), pair("new"));
    let source = Source::start(set(&[&old])).await;
    let jwks = source.jwks(EAGER);
    assert!(ask(&jwks, "old").await.is_ok());
    assert!(is_invalid(&ask(&jwks, "new").await));
    source.becomes(set(&[&new]));
    assert!(ask(&jwks, "new").await.is_ok());
    assert!(is_invalid(&ask(&jwks, "old").await), "a key that was withdrawn is gone");
}

#[tokio::test]
async fn old_keys_stay_while_new_ones_cannot_be_had() {
    let (jwk, _) = pair("a");
    let many: Vec<_> = (0..=MAX_KEYS).map(|number| pair(&number.to_string()).0).collect();
    let many: Vec<_> = many.iter().collect();
    let mut foreign = jwk.clone();
    foreign["use"] = "enc".into();
    let source = Source::start(set(&[&jwk])).await;
    let jwks = source.jwks(EAGER);
    assert!(ask(&jwks, "a").await.is_ok());
    for mood in [
        Mood::HangsUp,
        Mood::Stalls,
        Mood::Says("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
        Mood::Says("HTTP/1.1 302 There\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"),
        Mood::Says("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":["),
        Mood::Says("this is no HTTP\r\n\r\n"),
        Mood::Answers("{\"keys\":[]}".into()),
        Mood::Answers("[]".into()),
        Mood::Answers("<html>Sign in</html>".into()),
        Mood::Answers("[".repeat(50_000)),
        Mood::Answers(" ".repeat(super::super::fetch::MAX_BYTES + 1)),
        set(&many),
        set(&[&foreign]),
    ] {
        source.becomes(mood);
        assert!(is_unavailable(&ask(&jwks, "b").await), "nobody knows whether there is such a key");
        assert!(ask(&jwks, "a").await.is_ok(), "the old one still counts");
    }
}

#[tokio::test]
async fn keys_that_are_not_for_signatures_or_are_no_public_keys_are_left_out() {
    let (good, _) = pair("good");
    let with = |kid: &str, name: &str, value: Value| {
        let mut jwk = good.clone();
        (jwk["kid"], jwk[name]) = (kid.into(), value);
        jwk
    };
    let bad = [
        with("enc", "use", "enc".into()),
        with("ops", "key_ops", json!(["sign"])),
        with("private", "d", "AAAA".into()),
        with("alg", "alg", "HS256".into()),
        with("curve", "crv", "P-384".into()),
        with("x", "x", "AAAA".into()),
        with("kid", "kid", Value::Null),
        json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "oct" }),
        json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short" }),
        json!(42),
    ];
    let keys: Vec<_> = bad.iter().chain([&good]).collect();
    let source = Source::start(set(&keys)).await;
    let jwks = source.jwks(EAGER);
    assert!(ask(&jwks, "good").await.is_ok());
    for kid in ["enc", "ops", "private", "alg", "curve", "x", "", "oct", "short"] {
        assert!(is_invalid(&ask(&jwks, kid).await), "{kid}");
    }
}

#[tokio::test]
async fn tokens_with_unknown_keys_do_not_make_the_server_fetch_all_the_time() {
    let (jwk, _) = pair("a");
    let source = Source::start(set(&[&jwk])).await;
    let jwks = source.jwks(Times { pause: Duration::from_hours(1), ..EAGER });
    assert!(ask(&jwks, "a").await.is_ok());
    for _ in 0..100 {
        assert!(is_unavailable(&ask(&jwks, "b").await));
    }
    assert_eq!(source.asked(), 1);
    assert_eq!(jwks.counts.held_back.get(), 100);
}

#[tokio::test]
async fn many_tokens_at_once_wait_for_one_fetch() {
    let (jwk, _) = pair("a");
    let source = Source::start(set(&[&jwk])).await;
    let jwks = source.jwks(EAGER);
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let jwks = Arc::clone(&jwks);
            Handle::current().spawn(async move { ask(&jwks, "a").await })
        })
        .collect();
    for one in asking {
        assert!(one.await.unwrap().is_ok());
    }
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
async fn more_tokens_than_may_wait_are_turned_away() {
    let source = Source::start(Mood::Stalls).await;
    let jwks = source.jwks(EAGER);
    let permits = jwks.waiting.try_acquire_many(u32::try_from(MAX_WAITING).unwrap()).unwrap();
    assert!(is_unavailable(&ask(&jwks, "a").await));
    drop(permits);
    assert_eq!(jwks.counts.held_back.get(), 1);
}

#[tokio::test]
async fn keys_are_renewed_in_the_background_without_any_token() {
    let ((old, _), (new, _)) = (pair("old"), pair("new"));
    let mut source = Source::start(set(&[&old])).await;
    let short = Duration::from_millis(20);
    let jwks = source.jwks(Times { refresh: short, tick: short, ..EAGER });
    source.asked_more_than(0).await;
    source.becomes(set(&[&new]));
    let before = source.asked();
    source.asked_more_than(before + 1).await;
    let fixed = jwks.set(Groups::default()).unwrap();
    timeout(PATIENCE, async {
        while fixed.find("new", Algorithm::ES256).is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the new key comes by itself");
    drop((fixed, jwks));
    // Once nobody needs them, nobody asks for them.
    timeout(PATIENCE, async {
        loop {
            let before = source.asked();
            if timeout(10 * short, source.asked.wait_for(|asked| *asked > before)).await.is_err() {
                return;
            }
        }
    })
    .await
    .expect("the server is left alone");
}

#[tokio::test]
async fn sets_of_many_issuers_are_kept_apart_and_bounded() {
    let (jwk, _) = pair("a");
    let source = Source::start(set(&[&jwk])).await;
    let template = Template::parse(&format!("http://{}/{{{{tenant}}}}/keys", source.address)).unwrap();
    let fetcher = Fetcher::trusting(RootCertStore::empty(), PATIENCE).unwrap();
    let jwks = Jwks::with(template, fetcher, EAGER, &Handle::current()).unwrap();
    let groups = |tenant: String| Ok(Groups::from([("tenant".to_owned(), tenant)]));
    let one = jwks.keys("a", Algorithm::ES256, || groups("acme".into())).await;
    assert!(one.is_ok());
    for number in 0..2 * MAX_SETS {
        let _ = jwks.keys("a", Algorithm::ES256, || groups(format!("t{number}"))).await;
        let _ = jwks.keys("a", Algorithm::ES256, || groups("acme".into())).await;
    }
    assert!(jwks.len() <= MAX_SETS);
    assert!(jwks.sets.lock().keys().any(|url| url.ends_with("/acme/keys")), "what is used stays");
    let outcome = jwks.keys("a", Algorithm::ES256, || groups("../x".into())).await;
    assert!(is_invalid(&outcome));
}

#[tokio::test]
async fn tokens_of_many_issuers_cause_a_bounded_number_of_fetches() {
    let source = Source::start(Mood::Stalls).await;
    let jwks = source.jwks(EAGER);
    let allowed = (0..10_000).filter(|_| jwks.may_fetch()).count();
    // A new second may begin in between.
    assert!((MAX_FETCHES_PER_SECOND..=3 * MAX_FETCHES_PER_SECOND).contains(&allowed), "{allowed}");
}

#[tokio::test]
async fn keys_come_over_https_from_a_server_that_is_trusted_and_from_no_other() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (certified.cert.der().clone(), certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.try_into().unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = json!({ "keys": [pair("a").0] }).to_string();
    Handle::current().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let fetch = async |roots| {
        let template = Template::parse(&format!("https://localhost:{port}/keys")).unwrap();
        let fetcher = Fetcher::trusting(roots, PATIENCE).unwrap();
        let jwks = Jwks::with(template, fetcher, EAGER, &Handle::current()).unwrap();
        ask(&jwks, "a").await
    };
    let mut roots = RootCertStore::empty();
    assert!(is_unavailable(&fetch(roots.clone()).await));
    roots.add(certificate).unwrap();
    assert!(fetch(roots).await.is_ok());
}
