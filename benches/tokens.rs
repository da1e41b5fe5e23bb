//! What a token costs: from its text to what a session knows of it, for a secret and for public keys.

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use throng_server::config::Settings;
use throng_server::tokens::{Checker, KeyPairKind, Signer, key_pair};
use tokio::runtime::Builder;

fn verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tokens/verify");
    let secret = "a secret that only server and backend know";
    let [rsa, ec, ed] = [KeyPairKind::Rsa, KeyPairKind::P256, KeyPairKind::Ed25519]
        .map(|kind| key_pair(kind).expect("a key can be made"));
    let mut settings = Settings::default();
    settings.client.token.hmac_secret_key = secret.into();
    settings.client.token.rsa_public_key = rsa.public.clone();
    settings.client.token.ecdsa_public_key = ec.public.clone();
    settings.client.token.eddsa_public_key = ed.public.clone();
    // One thread: what is measured is the work, and not how two threads find each other.
    let runtime = Builder::new_current_thread().build().expect("a runtime can be made");
    let checker = Checker::new(&settings, runtime.handle().clone()).expect("the keys are good");
    let claims =
        json!({ "sub": "42", "exp": 4_000_000_000_u64, "iat": 1_795_000_000, "info": { "name": "Ann" } });
    let pem = |text: &str| Signer::pem(text).expect("the key is good");
    for (name, signer) in [
        ("HS256", Signer::hmac(secret)),
        ("ES256", pem(&ec.private)),
        ("RS256", pem(&rsa.private)),
        ("EdDSA", pem(&ed.private)),
    ] {
        let token = signer.sign(&claims).expect("the key signs");
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(checker.check(&token)).expect("the token is good"));
        });
    }
    let forged = Signer::hmac("a guess").sign(&claims).expect("the key signs");
    group.bench_function("HS256 forged", |bencher| {
        bencher.iter(|| runtime.block_on(checker.check(&forged)).expect_err("the token is forged"));
    });
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
