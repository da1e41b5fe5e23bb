//! Attacks on who may come in, with tokens that are not ours, not any more, or not for this.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use throng_protocol::{Format, SubscribeRequest};

use super::{
    Target,
    answers::{Answers, Seen},
    arena::API_KEY,
    crowd::many,
    raw::{self, Raw},
};
use crate::{api::Api, process};

/// The server's keys, as lines of its configuration.
pub(super) const CONFIG: &str =
    "\n[client.token]\nhmac_secret_key = \"the-secret-of-the-attacked-server-0\"\n";
const SECRET: &str = "the-secret-of-the-attacked-server-0";
const CHANNEL: &str = "$secret";
const USER: &str = "42";

/// How often each token is tried.
const TRIES: usize = 5;
const INVALID: &[Seen] = &[Seen::Close(3500)];
const EXPIRED: &[Seen] = &[Seen::Error(109)];
const GRANTED: &[Seen] = &[Seen::Granted];

/// Headers in base64, with which an attacker would like its tokens to be read.
const HEADERS: [(&str, &str); 5] = [
    ("no algorithm", "eyJhbGciOiJub25lIn0"),
    ("no algorithm, in another case", "eyJhbGciOiJOb05lIn0"),
    ("a public key's algorithm", "eyJhbGciOiJSUzI1NiJ9"),
    ("an algorithm of the same family", "eyJhbGciOiJIUzUxMiJ9"),
    ("a header that is none", "e30"),
];

/// A token that the server takes.
pub(super) fn good(binary: &Path, user: &str) -> Result<String> {
    token(binary, SECRET, &["--user", user])
}

/// Makes a token with the server's own command line; `secret` is what it is signed with.
fn token(binary: &Path, secret: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(binary);
    command.arg("gen-token").args(arguments).env("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", secret);
    Ok(process::output(&mut command).context("no token can be made")?.trim().to_owned())
}

/// Tokens that open a connection, and those that must not.
pub(super) async fn connections(target: Target) -> Result<Answers> {
    let make = |arguments: &[&str]| token(target.binary, SECRET, &[&["--user", USER], arguments].concat());
    let good = make(&[])?;
    let other = token(target.binary, SECRET, &["--user", "43"])?;
    let mut cases = vec![
        ("a good token".to_owned(), good.clone(), GRANTED),
        ("an expired token".to_owned(), make(&["--exp", "1000000000"])?, EXPIRED),
        ("a token for later".to_owned(), make(&["--claim", "nbf=9999999999"])?, INVALID),
        ("a subscription token".to_owned(), make(&["--channel", CHANNEL])?, INVALID),
        (
            "another's secret".to_owned(),
            token(target.binary, "a-secret-that-is-not-the-servers-own", &["--user", USER])?,
            INVALID,
        ),
        ("a user that is no text".to_owned(), make(&["--claim", "sub=42"])?, INVALID),
        ("nothing but dots".to_owned(), "..".to_owned(), INVALID),
        ("a token above the limit".to_owned(), format!("{good}{}", "A".repeat(20_000)), INVALID),
        (
            "claims that are nested".to_owned(),
            format!("eyJhbGciOiJIUzI1NiJ9.{}.AAAA", "W1tb".repeat(3_000)),
            INVALID,
        ),
    ];
    let (header, payload, signature) = parts(&good)?;
    let (_, others, _) = parts(&other)?;
    cases.push(("another user's claims".to_owned(), format!("{header}.{others}.{signature}"), INVALID));
    cases.push(("no signature".to_owned(), format!("{header}.{payload}."), INVALID));
    cases.push((
        "half a signature".to_owned(),
        format!("{header}.{payload}.{}", &signature[..signature.len() / 2]),
        INVALID,
    ));
    for (what, header) in HEADERS {
        cases.push((what.to_owned(), format!("{header}.{payload}.{signature}"), INVALID));
        cases.push((format!("{what}, unsigned"), format!("{header}.{payload}."), INVALID));
    }
    let cases = &cases;
    let tries = many(cases.len() * TRIES, 16, |number| async move {
        let (what, token, expected) = &cases[number % cases.len()];
        let format = if number % 2 == 0 { Format::Json } else { Format::Protobuf };
        let mut raw = Raw::upgraded(target.address, raw::path(format)).await?;
        raw.throw(&raw::connect(format, token)).await;
        anyhow::Ok((what, *expected, raw.reply(format).await))
    });
    let mut answers = Answers::default();
    for seen in tries.await {
        let (what, expected, seen) = seen?;
        answers.expect(what, expected, seen);
    }
    Ok(answers)
}

/// Tokens that open a private channel, and those that must not.
pub(super) async fn subscriptions(target: Target) -> Result<Answers> {
    let make = |user: &str, arguments: &[&str]| {
        token(target.binary, SECRET, &[&["--user", user], arguments].concat())
    };
    let own = make(USER, &[])?;
    let cases = [
        ("no token", String::new(), &[Seen::Error(103)][..]),
        ("a good subscription token", make(USER, &["--channel", CHANNEL])?, GRANTED),
        ("another channel's token", make(USER, &["--channel", "$other"])?, INVALID),
        ("another user's token", make("43", &["--channel", CHANNEL])?, INVALID),
        (
            "an expired subscription token",
            make(USER, &["--channel", CHANNEL, "--exp", "1000000000"])?,
            EXPIRED,
        ),
        ("a connection token", own.clone(), &[Seen::Error(103)]),
        (
            // By docs/security.md, so that a client with one wrong token keeps its other channels.
            "a subscription token of another secret",
            token(
                target.binary,
                "a-secret-that-is-not-the-servers-own",
                &["--user", USER, "--channel", CHANNEL],
            )?,
            &[Seen::Error(103)],
        ),
        (
            "another connection's token",
            make(USER, &["--channel", CHANNEL, "--claim", "client=\"other\""])?,
            INVALID,
        ),
    ];
    let (cases, own) = (&cases, &own);
    let tries = many(cases.len() * TRIES, 16, |number| async move {
        let (what, token, expected) = &cases[number % cases.len()];
        let mut raw = Raw::member(target.address, Format::Json, own).await?;
        let request =
            SubscribeRequest { channel: CHANNEL.into(), token: token.clone(), ..Default::default() };
        raw.throw(&raw::command(Format::Json, 2, request.into())).await;
        anyhow::Ok((*what, *expected, raw.reply(Format::Json).await))
    });
    let mut answers = Answers::default();
    for seen in tries.await {
        let (what, expected, seen) = seen?;
        answers.expect(what, expected, seen);
    }
    Ok(answers)
}

/// Tokens that were good and are shown again after they were revoked, while the connections that they had opened are still there.
pub(super) async fn replayed(target: Target) -> Result<Answers> {
    const REPLAYS: usize = 20;
    let mut api = Api::new(target.address, API_KEY);
    let mut answers = Answers::default();
    for (method, body, code) in [
        ("revoke_token", r#"{"uid":"ID"}"#, 3500),
        ("revoke_user", r#"{"user":"ID"}"#, 3500),
        ("block_user", r#"{"user":"ID"}"#, 3503),
    ] {
        // Neither the id nor the user has been met before, however often this is repeated.
        let id = format!("{method}-{:016x}", rand::random::<u64>());
        let token = token(target.binary, SECRET, &["--user", &id, "--claim", &format!("jti=\"{id}\"")])?;
        let mut open = Raw::member(target.address, Format::Json, &token).await?;
        let called = api.call::<serde_json::Value>(method, body.replace("ID", &id)).await;
        answers.hold(&format!("{method} is carried out"), called.is_ok());
        answers.expect(&format!("{method}: who is connected"), &[Seen::Close(code)], open.ending().await);
        let token = &token;
        let replays = many(REPLAYS, REPLAYS, |_| async move {
            let mut raw = Raw::upgraded(target.address, raw::path(Format::Json)).await?;
            raw.throw(&raw::connect(Format::Json, token)).await;
            anyhow::Ok(raw.reply(Format::Json).await)
        });
        for seen in replays.await {
            answers.expect(&format!("{method}: the token, again"), &[Seen::Close(code)], seen?);
        }
    }
    Ok(answers)
}

/// Tokens for the relay, which takes them in its URL.
pub(super) async fn relay(target: Target) -> Result<Answers> {
    let good = token(target.binary, SECRET, &["--user", USER])?;
    let expired = token(target.binary, SECRET, &["--user", USER, "--exp", "1000000000"])?;
    let forged = token(target.binary, "a-secret-that-is-not-the-servers-own", &["--user", USER])?;
    let cases = [
        ("a good token", good, Seen::Status(101)),
        ("an expired token", expired, Seen::Status(401)),
        ("another's secret", forged, Seen::Status(401)),
        ("garbage", "%00%0d%0a".to_owned(), Seen::Status(401)),
    ];
    let mut answers = Answers::default();
    for (what, token, expected) in cases {
        let mut raw = Raw::connect(target.address).await?;
        raw.throw(raw::handshake(&format!("/relay/tokens?token={token}"), "").as_bytes()).await;
        answers.expect(&format!("the relay with {what}"), &[expected], raw.status().await);
    }
    Ok(answers)
}

fn parts(token: &str) -> Result<(&str, &str, &str)> {
    let (message, signature) = token.rsplit_once('.').context("a token has three parts")?;
    let (header, payload) = message.split_once('.').context("a token has three parts")?;
    Ok((header, payload, signature))
}
