//! Attacks with HTTP: requests that two readers could read in two ways, and bodies that do not come.

use std::time::Duration;

use anyhow::Result;

use super::{
    Target,
    answers::{Answers, Seen},
    arena::API_KEY,
    crowd::many,
    raw::Raw,
};

/// Requests that a proxy and this server could understand in two ways. Each is followed by one that would be smuggled in.
pub(super) async fn smuggling(target: Target) -> Result<Answers> {
    let key = format!("X-API-Key: {API_KEY}\r\n");
    let smuggled = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = |headers: &str, body: &str| {
        format!("POST /api/info HTTP/1.1\r\nHost: localhost\r\n{key}{headers}\r\n{body}{smuggled}")
            .into_bytes()
    };
    let get = |head: &str| format!("{head}{smuggled}").into_bytes();
    let cases: [(&str, Vec<u8>); 18] = [
        ("a length and chunks", post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("chunks and a length", post("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "0\r\n\r\n")),
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 40\r\n", "{}")),
        ("two lengths in one", post("Content-Length: 2, 40\r\n", "{}")),
        ("a length with a sign", post("Content-Length: +2\r\n", "{}")),
        ("a length below zero", post("Content-Length: -2\r\n", "{}")),
        ("a length in hex", post("Content-Length: 0x2\r\n", "{}")),
        ("a coding that is none", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        ("a coding behind chunked", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
        ("a chunk's length that is none", post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n")),
        (
            "a chunk's length that overflows",
            post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ),
        ("a space before the colon", post("Content-Length : 2\r\n", "{}")),
        ("a folded header", post("X-A: b\r\n Content-Length: 2\r\n", "{}")),
        ("a bare CR in a header", post("X-A: b\rContent-Length: 2\r\n", "{}")),
        ("a NUL in a header", post("X-A: b\0c\r\n", "")),
        ("two hosts", get("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n")),
        ("no host", get("GET /health HTTP/1.1\r\n\r\n")),
        ("another HTTP", get("GET /health HTTP/2.5\r\nHost: localhost\r\n\r\n")),
    ];
    let mut answers = Answers::default();
    for (what, bytes) in &cases {
        let tries = many(3, 3, |_| async move {
            let mut raw = Raw::connect(target.address).await?;
            raw.throw(bytes).await;
            anyhow::Ok(raw.answers().await)
        });
        for answered in tries.await {
            let (seen, count) = answered?;
            answers.expect(what, &[Seen::Status(400), Seen::End, Seen::Reset], seen);
            answers.hold(&format!("{what}: what is behind it is not answered"), count <= 1);
        }
    }
    bare_line_feeds(target, &mut answers).await?;
    Ok(answers)
}

/// Lines that end in LF alone may be read (RFC 9112 section 2.2), but then they end for everybody in the same place: there is
/// one answer to one request.
async fn bare_line_feeds(target: Target, answers: &mut Answers) -> Result<()> {
    let mut raw = Raw::connect(target.address).await?;
    raw.throw(b"GET /health HTTP/1.1\nHost: localhost\n\n").await;
    let (seen, count) = raw.answers().await;
    answers.expect("bare line feeds", &[Seen::Status(400), Seen::Status(200), Seen::End, Seen::Reset], seen);
    answers.hold("bare line feeds: one answer", count <= 1);
    Ok(())
}

/// Bodies that come a byte at a time, or never, or are announced larger than anybody needs.
pub(super) async fn slow_bodies(target: Target) -> Result<Answers> {
    const EACH: usize = 60;
    let slow: &[Seen] = &[Seen::Status(408), Seen::Status(503)];
    let refused: &[Seen] = &[Seen::Status(401)];
    let keyed = format!("X-API-Key: {API_KEY}\r\n");
    let cases: [(&str, String, &[Seen]); 5] = [
        ("a slow body", head(&format!("{keyed}Content-Length: 1000\r\n")), slow),
        (
            "a slow body in chunks",
            format!("{}fff\r\n", head(&format!("{keyed}Transfer-Encoding: chunked\r\n"))),
            slow,
        ),
        (
            "a body of a terabyte",
            head(&format!("{keyed}Content-Length: 1099511627776\r\n")),
            &[Seen::Status(413)],
        ),
        ("a slow body without the key", head("Content-Length: 1000\r\n"), refused),
        ("a slow body with a wrong key", head("X-API-Key: wrong\r\nContent-Length: 1000\r\n"), refused),
    ];
    let cases = &cases;
    let posts = many(cases.len() * EACH, cases.len() * EACH, |number| async move {
        let (what, head, expected) = &cases[number % cases.len()];
        let mut raw = Raw::connect(target.address).await?;
        raw.send(head.as_bytes()).await?;
        // Longer than the server waits for a body.
        for _ in 0..50 {
            raw.throw(b"x").await;
            if let Some(seen) = raw.status_within(Duration::from_millis(80)).await {
                return anyhow::Ok((*what, *expected, seen));
            }
        }
        anyhow::Ok((*what, *expected, Seen::Silence))
    });
    let mut answers = Answers::default();
    for answered in posts.await {
        let (what, expected, seen) = answered?;
        answers.expect(what, expected, seen);
    }
    Ok(answers)
}

fn head(headers: &str) -> String {
    format!("POST /api/publish HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}
