//! What the verifier accepts, and above all what it does not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};
use throng_protocol::Payload;

use super::generate::{KeyPairKind, key_pair};
use super::tools::Signer;
use super::*;

const SECRET: &str = "secret";
/// A day in 2026, in Unix seconds.
const NOW: i64 = 1_795_000_000;

fn with(change: impl FnOnce(&mut Token)) -> Verifier {
    let mut token = Token::default();
    change(&mut token);
    Verifier::new(&token, false, &Handle::current()).unwrap().expect("there is a key")
}

fn hmac() -> Verifier {
    with(|token| token.hmac_secret_key = SECRET.into())
}

fn signed(claims: &Value) -> String {
    Signer::hmac(SECRET).sign(claims).unwrap()
}

async fn connection(verifier: &Verifier, token: &str) -> Result<ConnectionToken, TokenError> {
    verifier.connection(token, NOW, &Handle::current()).await
}

async fn subscription(verifier: &Verifier, claims: &Value) -> Result<SubscriptionToken, TokenError> {
    verifier.subscription(&signed(claims), NOW, &Handle::current()).await
}

/// Why the claims are refused.
async fn refusal(verifier: &Verifier, claims: &Value) -> String {
    connection(verifier, &signed(claims)).await.unwrap_err().to_string()
}

fn raw(header: &str, payload: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", encode(header), encode(payload), encode("signature"))
}

/// A token with this payload that is no JSON of serde's making.
fn signed_text(payload: &str) -> String {
    use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(payload.as_bytes()));
    let signature = sign(&Key::new(HMAC_SHA256, SECRET.as_bytes()), message.as_bytes());
    format!("{message}.{}", encode(signature.as_ref()))
}

#[tokio::test(start_paused = true)]
async fn a_check_that_does_not_end_is_given_up() {
    let pair = key_pair(KeyPairKind::P256).unwrap();
    let mut settings = Settings::default();
    settings.client.token.ecdsa_public_key = pair.public.clone();
    // Nobody drives it: whatever is to be done there is never done.
    let stuck = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tokens = Tokens::new(&settings, stuck.handle().clone()).unwrap();
    let token = Signer::pem(&pair.private).unwrap().sign(&json!({"sub": "42"})).unwrap();
    let outcome = timeout(2 * PATIENCE, tokens.connection(&token)).await.expect("it ends by itself");
    assert!(matches!(outcome, Err(TokenError::Unavailable(_))), "{outcome:?}");
    stuck.shutdown_background();
}

#[tokio::test]
async fn every_algorithm_is_checked_with_its_own_key_and_with_no_other() {
    let kinds = [KeyPairKind::Rsa, KeyPairKind::P256, KeyPairKind::P384, KeyPairKind::Ed25519];
    let [rsa, p256, p384, ed25519] = kinds.map(|kind| key_pair(kind).unwrap());
    let verifiers = [
        hmac(),
        with(|token| token.rsa_public_key = rsa.public.clone()),
        with(|token| token.ecdsa_public_key = p256.public.clone()),
        with(|token| token.ecdsa_public_key = p384.public.clone()),
        with(|token| token.eddsa_public_key = ed25519.public.clone()),
    ];
    let by =
        |pair: &generate::KeyPair, name: &str| Signer::pem(&pair.private).unwrap().algorithm(name).unwrap();
    let secret = |name: &str| Signer::hmac(SECRET).algorithm(name).unwrap();
    let mut signers: Vec<_> = ["HS256", "HS384", "HS512"].map(|name| (0, secret(name))).into();
    signers.extend(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(|name| (1, by(&rsa, name))));
    signers.extend([(2, by(&p256, "ES256")), (3, by(&p384, "ES384")), (4, by(&ed25519, "EdDSA"))]);
    for (own, signer) in &signers {
        let token = signer.sign(&json!({ "sub": "42" })).unwrap();
        for (index, verifier) in verifiers.iter().enumerate() {
            let outcome = connection(verifier, &token).await;
            assert_eq!(outcome.is_ok(), index == *own, "{signer:?} with verifier {index}");
        }
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret_and_the_header_does_not_make_it_one() {
    let pair = key_pair(KeyPairKind::Rsa).unwrap();
    let verifier = with(|token| token.rsa_public_key = pair.public.clone());
    for guess in [pair.public.as_str(), pair.public.trim()] {
        for name in ["HS256", "HS384", "HS512"] {
            let token = Signer::hmac(guess).algorithm(name).unwrap().sign(&json!({ "sub": "42" })).unwrap();
            let error = connection(&verifier, &token).await.unwrap_err();
            assert_eq!(error, TokenError::Invalid("no key is configured for its algorithm".into()));
        }
    }
    // With a secret beside it, too: each key is used for its own algorithms only.
    let both = with(|token| {
        token.rsa_public_key = pair.public.clone();
        token.hmac_secret_key = SECRET.into();
    });
    let token = Signer::hmac(&pair.public).sign(&json!({ "sub": "42" })).unwrap();
    assert!(connection(&both, &token).await.is_err());
    assert!(connection(&both, &signed(&json!({ "sub": "42" }))).await.is_ok());
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused_however_it_is_spelt() {
    let verifier = hmac();
    for name in ["none", "None", "NONE", "nOnE", "", "HS256 ", "hs256", "ES512", "HS1"] {
        let token = raw(&json!({ "alg": name }).to_string(), "{}");
        assert!(connection(&verifier, &token).await.is_err(), "{name}");
        let unsigned = token.rsplit_once('.').unwrap().0;
        assert!(connection(&verifier, &format!("{unsigned}.")).await.is_err(), "{name}");
    }
    for header in [
        "{}",
        "[]",
        "",
        "null",
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
    ] {
        assert!(connection(&verifier, &raw(header, "{}")).await.is_err(), "{header}");
    }
    for token in ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "\0.\0.\0"] {
        assert!(connection(&verifier, token).await.is_err(), "{token}");
    }
}

#[tokio::test]
async fn a_key_of_somebody_else_is_worth_nothing() {
    let verifier = hmac();
    let token = Signer::hmac("another secret").sign(&json!({ "sub": "42" })).unwrap();
    let error = connection(&verifier, &token).await.unwrap_err();
    assert_eq!(error, TokenError::Invalid("its signature is wrong".into()));
}

#[tokio::test]
async fn times_are_kept_with_the_leeway_that_is_configured() {
    let strict = hmac();
    let lenient = with(|token| {
        token.hmac_secret_key = SECRET.into();
        token.leeway = Duration::from_secs(30);
    });
    for (claims, by_strict, by_lenient) in [
        (json!({}), true, true),
        (json!({ "exp": NOW + 1 }), true, true),
        (json!({ "exp": NOW }), false, true),
        (json!({ "exp": NOW - 29 }), false, true),
        (json!({ "exp": NOW - 30 }), false, false),
        (json!({ "exp": 0 }), false, false),
        (json!({ "exp": (NOW + 1) as f64 + 0.5 }), true, true),
        (json!({ "nbf": NOW }), true, true),
        (json!({ "nbf": NOW + 30 }), false, true),
        (json!({ "nbf": NOW + 31 }), false, false),
        (json!({ "exp": NOW + 1, "expire_at": NOW - 60 }), false, false),
    ] {
        let token = signed(&claims);
        assert_eq!(connection(&strict, &token).await.is_ok(), by_strict, "{claims}");
        assert_eq!(connection(&lenient, &token).await.is_ok(), by_lenient, "{claims}");
    }
    let expired = signed(&json!({ "exp": NOW }));
    assert_eq!(connection(&strict, &expired).await.unwrap_err(), TokenError::Expired);
}

#[tokio::test]
async fn a_token_that_is_wrong_in_another_way_is_not_called_expired() {
    // Otherwise its owner would be told to fetch the next one, for ever.
    let verifier = with(|token| {
        token.hmac_secret_key = SECRET.into();
        token.issuer = "us".into();
    });
    assert_eq!(
        refusal(&verifier, &json!({ "exp": 0, "iss": "them" })).await,
        "the token is not valid: claim iss is not what is configured"
    );
}

#[tokio::test]
async fn the_connection_expires_with_the_token_or_as_expire_at_says() {
    let verifier = hmac();
    for (claims, expires) in [
        (json!({}), None),
        (json!({ "exp": NOW + 10 }), Some(NOW + 10)),
        (json!({ "exp": NOW + 10, "expire_at": NOW + 99 }), Some(NOW + 99)),
        (json!({ "exp": NOW + 10, "expire_at": 0 }), None),
        (json!({ "expire_at": NOW + 99 }), Some(NOW + 99)),
    ] {
        let token = connection(&verifier, &signed(&claims)).await.unwrap();
        assert_eq!(token.expires, expires, "{claims}");
        assert_eq!(token.credential.expires, claims["exp"].as_i64(), "{claims}");
    }
}

#[tokio::test]
async fn audience_and_issuer_are_what_is_configured() {
    let exact = with(|token| {
        token.hmac_secret_key = SECRET.into();
        (token.audience, token.issuer) = ("chat".into(), "https://auth.example".into());
    });
    let matching = with(|token| {
        token.hmac_secret_key = SECRET.into();
        token.audience_regex = "chat|news".into();
        token.issuer_regex = r"https://(?P<tenant>[a-z]+)\.example".into();
    });
    let good = json!({ "aud": "chat", "iss": "https://auth.example" });
    for (name, value, accepted) in [
        ("aud", json!("chat"), true),
        ("aud", json!(["x", "chat"]), true),
        ("aud", json!([]), false),
        ("aud", json!("chats"), false),
        ("aud", json!(["x"]), false),
        ("aud", json!(["chat", 1]), false),
        ("aud", json!({ "chat": 1 }), false),
        ("aud", Value::Null, false),
        ("iss", json!("https://auth.example.evil"), false),
        ("iss", json!("xhttps://auth.example"), false),
        ("iss", json!(["https://auth.example"]), false),
        ("iss", json!(""), false),
        ("iss", Value::Null, false),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        for verifier in [&exact, &matching] {
            assert_eq!(connection(verifier, &signed(&claims)).await.is_ok(), accepted, "{claims}");
        }
    }
    assert!(connection(&exact, &signed(&json!({}))).await.is_err(), "what is not there is wrong");
}

#[tokio::test]
async fn a_previous_secret_counts_until_its_time_is_over() {
    let verifier = |until| {
        with(|token| {
            token.hmac_secret_key = "new".into();
            token.hmac_previous_secret_key = SECRET.into();
            token.hmac_previous_secret_key_valid_until = until;
        })
    };
    let token = signed(&json!({}));
    assert!(connection(&verifier(0), &token).await.is_ok());
    assert!(connection(&verifier(NOW), &token).await.is_ok());
    assert!(connection(&verifier(NOW - 1), &token).await.is_err());
    let new = Signer::hmac("new").sign(&json!({})).unwrap();
    assert!(connection(&verifier(NOW - 1), &new).await.is_ok());
}

#[tokio::test]
async fn claims_of_other_types_are_refused_by_name() {
    let verifier = hmac();
    for (name, value) in [
        ("sub", json!(42)),
        ("sub", Value::Null),
        ("sub", json!(["42"])),
        ("exp", json!("1795000001")),
        ("exp", Value::Null),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("nbf", json!("x")),
        ("iat", json!(true)),
        ("jti", json!(1)),
        ("expire_at", json!("never")),
        ("b64info", json!("*")),
        ("b64info", json!(1)),
        ("b64info", json!("Kg==")),
        ("channels", json!("news")),
        ("channels", json!([1])),
        ("subs", json!(["news"])),
        ("subs", json!({ "news": { "override": { "presence": true } } })),
        ("subs", json!({ "news": null })),
        ("subs", json!({ "news": { "b64data": "*" } })),
        ("subs", json!({ "news": { "b64info": "fSw=" } })),
        ("caps", json!({})),
        ("caps", json!([{ "channels": ["a"] }])),
        ("meta", json!("text")),
    ] {
        let claims = json!({ name: value });
        let reason = refusal(&verifier, &claims).await;
        assert!(reason.contains(&format!("claim {name} ")), "{claims}: {reason}");
    }
    assert!(refusal(&verifier, &json!({ "channels": [""] })).await.contains("no name"));
    assert!(refusal(&verifier, &json!([1])).await.contains("claims"));
}

#[tokio::test]
async fn a_claim_that_stands_twice_is_refused() {
    let verifier = hmac();
    for payload in [
        r#"{"sub":"1","sub":"2"}"#,
        r#"{"sub":"1","s\u0075b":"2"}"#,
        r#"{"subs":{"a":{},"a":{}}}"#,
        r#"{"x":1,"x":1}"#,
    ] {
        assert!(connection(&verifier, &signed_text(payload)).await.is_err(), "{payload}");
    }
    assert!(connection(&verifier, &signed_text(r#"{"sub":"1"}"#)).await.is_ok());
}

#[tokio::test]
async fn what_is_huge_or_nested_without_end_is_refused() {
    let verifier = hmac();
    let long = |length: usize| signed(&json!({ "info": "x".repeat(length) }));
    assert!(connection(&verifier, &long(10_000)).await.is_ok());
    assert!(connection(&verifier, &long(17_000)).await.is_err());
    assert!(connection(&verifier, &"x".repeat(100_000_000)).await.is_err());
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for depth in [100, 2_000] {
            let nested = open.repeat(depth) + "1" + &close.repeat(depth);
            let payload = format!(r#"{{"info":{nested}}}"#);
            let error = connection(&verifier, &signed_text(&payload)).await.unwrap_err();
            assert!(matches!(error, TokenError::Invalid(_)), "{depth}");
        }
        let cut = format!(r#"{{"info":{}"#, open.repeat(2_000));
        assert!(connection(&verifier, &signed_text(&cut)).await.is_err());
        let header = format!(r#"{{"alg":"HS256","x":{}1{}}}"#, open.repeat(1_000), close.repeat(1_000));
        assert!(connection(&verifier, &raw(&header, "{}")).await.is_err());
    }
}

#[tokio::test]
async fn a_connection_token_says_what_the_reference_lists() {
    let claims = json!({
        "sub": "42", "jti": "j", "iat": NOW - 5, "exp": NOW + 60,
        "info": {"name": "Ann"}, "meta": {"plan": "free"},
        "channels": ["ignored"],
        "subs": {
            "news": {"info": 1, "b64info": "e30=", "data": [1]},
            "chat": {"b64data": "W10=", "override": {"presence": {"value": true}, "force_recovery": {"value": false}}},
        },
        "caps": [{"channels": ["chat"], "allow": ["pub"]}],
    });
    let token = connection(&hmac(), &signed(&claims)).await.unwrap();
    assert_eq!((token.user.as_str(), token.expires), ("42", Some(NOW + 60)));
    assert_eq!(token.info, Payload::from(r#"{"name":"Ann"}"#));
    assert_eq!(token.meta, Payload::from(r#"{"plan":"free"}"#));
    let [chat, news] = token.subs.as_slice() else { panic!("{:?}", token.subs) };
    assert_eq!((chat.channel.as_str(), &chat.data), ("chat", &Payload::from("[]")));
    assert_eq!((chat.overrides.presence, chat.overrides.force_recovery), (Some(true), Some(false)));
    assert_eq!(chat.overrides.join_leave, None);
    assert_eq!((&news.info, &news.data), (&Payload::from("{}"), &Payload::from("[1]")));
    assert!(token.capabilities.unwrap().allows("chat", Operation::Publish));
    let credential = Credential {
        user: "42".into(),
        id: Some("j".into()),
        issued: Some(NOW - 5),
        expires: Some(NOW + 60),
    };
    assert_eq!(token.credential, credential);
}

#[tokio::test]
async fn a_token_may_say_next_to_nothing() {
    let token = connection(&hmac(), &signed(&json!({ "iat": NOW }))).await.unwrap();
    assert_eq!((token.user.as_str(), token.expires, token.subs.len()), ("", None, 0));
    assert!(token.info.is_empty() && token.meta.is_empty() && token.capabilities.is_none());
    let token = connection(&hmac(), &signed(&json!({ "channels": ["b", "a", "b"] }))).await.unwrap();
    let channels: Vec<_> = token.subs.iter().map(|sub| sub.channel.as_str()).collect();
    assert_eq!(channels, ["a", "b"]);
}

#[tokio::test]
async fn another_claim_can_name_the_user() {
    let verifier = with(|token| {
        token.hmac_secret_key = SECRET.into();
        token.user_id_claim = "user_id".into();
    });
    let token = connection(&verifier, &signed(&json!({ "sub": "service", "user_id": "42" }))).await.unwrap();
    assert_eq!((token.user.as_str(), &*token.credential.user), ("42", "42"));
    assert!(connection(&verifier, &signed(&json!({ "user_id": 42 }))).await.is_err());
}

#[tokio::test]
async fn a_subscription_token_is_for_a_channel_and_opens_no_connection() {
    let verifier = hmac();
    let claims = json!({
        "sub": "42", "channel": "$news", "client": "c", "exp": NOW + 60, "expire_at": 0, "info": 1, "data": 2,
        "override": {"join_leave": {"value": true}},
    });
    let token = subscription(&verifier, &claims).await.unwrap();
    assert_eq!((token.channel.as_str(), token.client.as_str(), token.expires), ("$news", "c", None));
    assert_eq!((&token.info, &token.data), (&Payload::from("1"), &Payload::from("2")));
    assert_eq!(token.overrides.join_leave, Some(true));
    assert_eq!(&*token.credential.user, "42");
    assert!(refusal(&verifier, &claims).await.contains("claim channel"));
    assert!(refusal(&verifier, &json!({ "channel": null })).await.contains("claim channel"));
    for wrong in
        [json!({}), json!({ "channel": "" }), json!({ "channel": 1 }), json!({ "channel": "a", "client": 1 })]
    {
        assert!(subscription(&verifier, &wrong).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn subscription_tokens_have_keys_of_their_own_if_they_are_configured() {
    let mut settings = Settings::default();
    assert!(!Tokens::new(&settings, Handle::current()).unwrap().is_configured());
    settings.client.token.hmac_secret_key = SECRET.into();
    let token = |secret: &str| Signer::hmac(secret).sign(&json!({ "channel": "a" })).unwrap();
    let shared = Tokens::new(&settings, Handle::current()).unwrap();
    assert!(shared.is_configured());
    assert!(shared.subscription(&token(SECRET)).await.is_ok());
    settings.client.subscription_token.enabled = true;
    settings.client.subscription_token.token.hmac_secret_key = "other".into();
    let own = Tokens::new(&settings, Handle::current()).unwrap();
    assert!(own.subscription(&token(SECRET)).await.is_err());
    assert!(own.subscription(&token("other")).await.is_ok());
    assert!(own.connection(&signed(&json!({}))).await.is_ok());
    let connection = Signer::hmac("other").sign(&json!({})).unwrap();
    assert!(own.connection(&connection).await.is_err());
}

#[tokio::test]
async fn signatures_are_skipped_only_where_that_is_said() {
    let token = Token::default();
    let verifier = Verifier::new(&token, true, &Handle::current()).unwrap().unwrap();
    let forged = Signer::hmac("anything").sign(&json!({ "sub": "42" })).unwrap();
    assert_eq!(connection(&verifier, &forged).await.unwrap().user, "42");
    let expired = Signer::hmac("anything").sign(&json!({ "exp": 1 })).unwrap();
    assert_eq!(connection(&verifier, &expired).await.unwrap_err(), TokenError::Expired);
}

#[test]
fn the_cryptography_is_what_it_should_be() {
    assert_eq!(tools::self_test(), Ok(()));
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut settings = Settings::default();
    settings.client.token.hmac_secret_key = "hush-hush".into();
    settings.client.token.hmac_previous_secret_key = "hush-again".into();
    let tokens = Tokens::new(&settings, runtime.handle().clone()).unwrap();
    let pair = key_pair(KeyPairKind::Ed25519).unwrap();
    for printed in [
        format!("{settings:?}"),
        format!("{tokens:?}"),
        format!("{:?}", Signer::hmac("hush-hush")),
        format!("{:?}", Key::secret("hush-hush", None)),
        format!("{pair:?}"),
    ] {
        assert!(!printed.contains("hush") && !printed.contains("PRIVATE"), "{printed}");
        assert!(!printed.contains("104, 117, 115, 104"), "nor as bytes: {printed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_token_with_any_character_changed_is_refused(at in 0_usize..400, by in 1_u8..64) {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let token = signed(&json!({ "sub": "42", "exp": NOW + 60 }));
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        if let Some(place) = ALPHABET.iter().position(|letter| *letter == bytes[at]) {
            bytes[at] = ALPHABET[(place + usize::from(by)) % ALPHABET.len()];
            let tampered = String::from_utf8(bytes).unwrap();
            let outcome = runtime.block_on(async { connection(&hmac(), &tampered).await });
            prop_assert!(outcome.is_err(), "{token} became {tampered}");
        }
    }

    #[test]
    fn any_text_as_a_token_is_refused_and_does_no_harm(text in "\\PC{0,300}|[A-Za-z0-9._-]{0,300}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(async { connection(&hmac(), &text).await });
        prop_assert!(outcome.is_err());
    }

    #[test]
    fn any_signed_claims_are_read_or_refused_and_do_no_harm(payload in "\\PC{0,200}|[\\[\\]{}\",:a-z0-9]{0,200}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let token = signed_text(&payload);
        let outcome = runtime.block_on(async { connection(&hmac(), &token).await });
        prop_assert!(!matches!(outcome, Err(TokenError::Unavailable(_))));
    }
}
