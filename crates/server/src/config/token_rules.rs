//! Rules for the keys of tokens: for single texts, and between settings.

use crate::auth::{Family, Key, Template};

use super::{fault::Problem, rules::Broken, settings::Settings, token::Token};

/// A public key for RSA, or none.
pub(super) fn rsa(text: &str) -> Result<&str, Problem> {
    public_key(text, Family::Rsa, "the public key of an RSA pair of at least 2048 bits, as PEM or JWK")
}

/// A public key for ECDSA, or none.
pub(super) fn ecdsa(text: &str) -> Result<&str, Problem> {
    public_key(text, Family::Ecdsa, "the public key of an ECDSA pair of P-256 or P-384, as PEM or JWK")
}

/// A public key for EdDSA, or none.
pub(super) fn eddsa(text: &str) -> Result<&str, Problem> {
    public_key(text, Family::Eddsa, "the public key of an Ed25519 pair, as PEM or JWK")
}

fn public_key<'t>(text: &'t str, family: Family, good: &'static str) -> Result<&'t str, Problem> {
    if text.is_empty() {
        return Ok(text);
    }
    // What stands there may be a private key, and is not repeated.
    let malformed = |rule| Problem::Malformed { found: "the key".into(), rule, good };
    Key::public(text, family).map(|_| text).map_err(|error| malformed(error.rule()))
}

/// A regular expression, or none.
pub(super) fn expression(text: &str) -> Result<&str, Problem> {
    match regex_lite::Regex::new(text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Problem::BadRegex { found: format!("{text:?}"), reason: error.to_string() }),
    }
}

/// The name of a claim, or none.
pub(super) fn claim(name: &str) -> Result<&str, Problem> {
    /// Claims with a meaning of their own.
    const TAKEN: [&str; 20] = [
        "aud",
        "b64data",
        "b64info",
        "caps",
        "channel",
        "channels",
        "client",
        "data",
        "exp",
        "expire_at",
        "iat",
        "info",
        "iss",
        "jti",
        "labels",
        "meta",
        "nbf",
        "override",
        "subs",
        "typ",
    ];
    const GOOD: &str = "a name of letters and _ such as \"user_id\"";
    let malformed = |rule| Problem::Malformed { found: format!("{name:?}"), rule, good: GOOD };
    if !name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
        Err(malformed("is not the name of a claim"))
    } else if TAKEN.contains(&name) {
        Err(malformed("is a claim that means something else"))
    } else {
        Ok(name)
    }
}

/// The URL of keys, or none.
pub(super) fn endpoint(url: &str) -> Result<&str, Problem> {
    use crate::auth::TemplateError;

    const GOOD: &str = "a URL such as \"https://auth.example/.well-known/jwks.json\"";
    let rule = match Template::parse(url) {
        _ if url.is_empty() => return Ok(url),
        Ok(_) => return Ok(url),
        Err(TemplateError::Url) => "is not a URL",
        Err(TemplateError::Scheme) => "is neither an https nor an http URL",
        Err(TemplateError::Open) => "has a group that does not end",
    };
    Err(Problem::Malformed { found: format!("{url:?}"), rule, good: GOOD })
}

/// Checks the rules between settings of tokens.
pub(super) fn broken(settings: &Settings) -> Vec<Broken> {
    let client = &settings.client;
    let mut broken = table("client.token", &client.token);
    if client.subscription_token.enabled {
        broken.extend(table("client.subscription_token", &client.subscription_token.token));
        if !client.subscription_token.token.has_keys() {
            broken.push(Broken {
                key: "client.subscription_token.enabled".into(),
                others: Vec::new(),
                problem: Problem::Contradiction {
                    rule: "asks for keys of its own, and there are none",
                    remedy: "set one under [client.subscription_token], or remove it",
                },
            });
        }
    }
    if client.insecure_skip_token_signature_verify && !settings.listens_on_loopback() {
        broken.push(Broken {
            key: "client.insecure_skip_token_signature_verify".into(),
            others: vec!["http_server.address".into()],
            problem: Problem::Contradiction {
                rule: "lets everybody who can reach the address be whoever they say",
                remedy: "remove it, or listen on 127.0.0.1",
            },
        });
    }
    broken
}

fn table(name: &str, token: &Token) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut refuse = |is_wrong: bool, key: &str, other: &str, rule, remedy| {
        if is_wrong {
            let problem = Problem::Contradiction { rule, remedy };
            let others = vec![format!("{name}.{other}")];
            broken.push(Broken { key: format!("{name}.{key}"), others, problem });
        }
    };
    for (exact, key, expression, other) in [
        (&token.audience, "audience", &token.audience_regex, "audience_regex"),
        (&token.issuer, "issuer", &token.issuer_regex, "issuer_regex"),
    ] {
        let both = !exact.is_empty() && !expression.is_empty();
        refuse(both, other, key, "says in another way what a text says already", "remove one of them");
    }
    let Ok(template) = Template::parse(&token.jwks_public_endpoint) else { return broken };
    refuse(
        template.is_exposed() && !token.jwks_allow_http,
        "jwks_public_endpoint",
        "jwks_allow_http",
        "fetches keys in a way that lets others on the network replace them",
        "use https, or set jwks_allow_http = true",
    );
    let expressions =
        [&token.issuer_regex, &token.audience_regex].map(|text| regex_lite::Regex::new(text).ok());
    let names: Vec<&str> =
        expressions.iter().flatten().flat_map(|expression| expression.capture_names().flatten()).collect();
    refuse(
        template.groups().any(|group| !names.contains(&group)),
        "jwks_public_endpoint",
        "issuer_regex",
        "has a group that no expression names",
        "add a group such as (?P<name>[a-z]+) to issuer_regex or audience_regex",
    );
    broken
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::rules::TextRule;
    use super::*;
    use crate::auth::tools::{KeyPairKind, key_pair};

    fn broken_keys(change: impl FnOnce(&mut Settings)) -> Vec<String> {
        let mut settings = Settings::default();
        change(&mut settings);
        broken(&settings).into_iter().map(|broken| broken.key).collect()
    }

    #[test]
    fn a_key_belongs_where_its_kind_belongs_and_is_never_repeated() {
        let pairs = [KeyPairKind::Rsa, KeyPairKind::P256, KeyPairKind::P384, KeyPairKind::Ed25519]
            .map(|kind| key_pair(kind).unwrap());
        let rules: [TextRule; 4] = [rsa, ecdsa, ecdsa, eddsa];
        for (index, pair) in pairs.iter().enumerate() {
            for (other, rule) in rules.iter().enumerate() {
                let belongs = index == other || index + other == 3 && (1..=2).contains(&index);
                assert_eq!(rule(&pair.public).is_ok(), belongs, "{index} {other}");
            }
            let error = rules[index](&pair.private).unwrap_err();
            assert_eq!(error.to_string(), "the key is a private one, which only signers may have");
        }
        assert_eq!(rsa("junk").unwrap_err().to_string(), "the key is neither PEM nor a JWK");
        assert_eq!(rsa(""), Ok(""));
    }

    #[test]
    fn a_key_of_an_algorithm_that_is_lacking_is_named() {
        use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
        use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
        use base64::{Engine as _, engine::general_purpose::STANDARD};

        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let error = ecdsa(&pem).unwrap_err();
        assert_eq!(error.to_string(), "the key is of the curve P-521, for ES512, which throng does not have");
    }

    #[test]
    fn claims_that_have_a_meaning_name_no_user() {
        assert!(claim("user_id").is_ok() && claim("sub").is_ok() && claim("").is_ok());
        assert!(claim("exp").is_err() && claim("a b").is_err() && claim("user-id").is_err());
    }

    #[test]
    fn signatures_are_skipped_on_this_machine_only() {
        let skip = |settings: &mut Settings| settings.client.insecure_skip_token_signature_verify = true;
        assert_eq!(broken_keys(skip), [""; 0]);
        let open = |settings: &mut Settings| {
            skip(settings);
            settings.http_server.address = Ipv4Addr::UNSPECIFIED.into();
        };
        assert_eq!(broken_keys(open), ["client.insecure_skip_token_signature_verify"]);
    }

    #[test]
    fn an_issuer_is_said_once() {
        let twice = |settings: &mut Settings| {
            settings.client.token.issuer = "a".into();
            settings.client.token.issuer_regex = "a".into();
        };
        assert_eq!(broken_keys(twice), ["client.token.issuer_regex"]);
    }

    #[test]
    fn keys_are_fetched_safely_and_from_a_url_that_can_be_made() {
        let fetch = |url: &'static str, expression: &'static str, allow: bool| {
            broken_keys(move |settings| {
                settings.client.token.jwks_public_endpoint = url.into();
                settings.client.token.issuer_regex = expression.into();
                settings.client.token.jwks_allow_http = allow;
            })
        };
        let refused = ["client.token.jwks_public_endpoint"];
        assert_eq!(fetch("https://auth.example/keys", "", false), [""; 0]);
        assert_eq!(fetch("http://127.0.0.1/keys", "", false), [""; 0]);
        assert_eq!(fetch("http://auth.example/keys", "", false), refused);
        assert_eq!(fetch("http://auth.example/keys", "", true), [""; 0]);
        assert_eq!(fetch("https://{{tenant}}.example/", "", false), refused);
        assert_eq!(fetch("https://{{tenant}}.example/", "https://(?P<tenant>[a-z]+)", false), [""; 0]);
    }

    #[test]
    fn keys_of_their_own_are_there() {
        let enabled = |settings: &mut Settings| settings.client.subscription_token.enabled = true;
        assert_eq!(broken_keys(enabled), ["client.subscription_token.enabled"]);
    }
}
