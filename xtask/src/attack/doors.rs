//! Attacks on who may come in: pages of other origins.

use anyhow::Result;

use super::{
    Target,
    answers::{Answers, Seen},
    arena::{self, ORIGIN},
    raw::{self, Raw},
};

/// Pages of origins that are not allowed, and some that are.
pub(super) async fn origins(target: Target) -> Result<Answers> {
    const FORBIDDEN: &str = "throng_handshakes_total{result=\"forbidden_origin\"}";
    let wrong = [
        "https://evil.example",
        "http://app.example",
        "https://app.example.evil.example",
        "https://evilapp.example",
        "https://app.example:8443",
        "https://user@app.example",
        "https://app.example/",
        "https://evil.example/.app.example",
        "null",
        "",
        "app.example",
        "file://",
        "https://",
        "http://127.0.0.1",
        "https://app.example https://evil.example",
        "https://evil.example#.app.example",
        "https://evil.example?.app.example",
        "https://APP.EXAMPLE.evil",
        "*",
    ];
    let right = [ORIGIN, "HTTPS://APP.EXAMPLE", "https://a.app.example", "https://a.b.app.example"];
    let before = arena::metric(target, FORBIDDEN)?;
    let mut answers = Answers::default();
    for path in ["/connection/websocket", "/relay/origins", "/echo", "/"] {
        for origin in wrong {
            let seen = upgrade(target, path, origin).await?;
            answers.expect(&format!("the origin {origin:?}"), &[Seen::Status(403)], seen);
        }
        for origin in right {
            let seen = upgrade(target, path, origin).await?;
            answers.expect(&format!("the origin {origin:?}"), &[Seen::Status(101)], seen);
        }
    }
    let counted = arena::metric(target, FORBIDDEN)? - before;
    answers.hold("every wrong origin is counted", counted == 4 * wrong.len() as u64);
    Ok(answers)
}

async fn upgrade(target: Target, path: &str, origin: &str) -> Result<Seen> {
    let mut raw = Raw::connect(target.address).await?;
    raw.send(raw::handshake(path, &format!("Origin: {origin}\r\n")).as_bytes()).await?;
    Ok(raw.status().await)
}
