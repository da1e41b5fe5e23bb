//! Attacks on whoever reads the log: line breaks and escape sequences in everything that may be logged.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;
use throng_protocol::{ConnectRequest, Format, RpcRequest, SubscribeRequest};
use tokio::runtime::Runtime;

use super::{
    Row, Target,
    answers::Answers,
    arena::{Arena, Ground},
    raw::{self, Raw},
    verdict::Complaint,
};

pub(super) const NAME: &str = "log_injection";

const TEXT: &str = "\n[log]\nlevel = \"debug\"\nformat = \"text\"\n";
const JSON: &str = "\n[log]\nlevel = \"debug\"\nformat = \"json\"\n";

/// Begins what an attacker would like to see as a line of its own.
const FORGED: &str = "9999-01-01T00:00:00Z  INFO forged";

/// Attacks the logs in both shapes, and reads them.
///
/// # Errors
///
/// When a server cannot be started or a log cannot be read.
pub(super) fn attack(binary: &'static Path, directory: &Path, runtime: &Runtime) -> Result<Row> {
    let began = Instant::now();
    let mut answers = Answers::default();
    for (name, tables, check) in
        [("text", TEXT, check_text as fn(&str) -> Result<(), String>), ("json", JSON, check_json)]
    {
        let ground = Ground { tables, ..Ground::default() };
        let arena = Arena::start(binary, directory, &format!("log-{name}"), ground)?;
        let target =
            Target { address: arena.address(), tls: arena.trust, binary, seed: 0, length: Duration::ZERO };
        runtime.block_on(inject(target))?;
        let log = arena.log.clone();
        answers.hold("the server lives", arena.health() == Some(200));
        arena.stop()?;
        let text = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let text = String::from_utf8_lossy(&text);
        answers.hold("something is logged", text.lines().count() > 50);
        for line in text.lines() {
            match check(line) {
                Ok(()) => answers.hold("a line", true),
                Err(what) => answers.hold(&format!("{what} in the {name} log: {line:?}"), false),
            }
        }
    }
    let row = Row {
        name: NAME,
        what: "line breaks and escape sequences in everything that may be logged",
        took: began.elapsed(),
        grown: (0, 0),
        p99: Duration::ZERO,
        answers: answers.to_string(),
        complaints: answers.wrong().map(Complaint::from).collect(),
    };
    row.tell();
    Ok(row)
}

/// Puts line breaks and escape sequences wherever they may end up in a log.
async fn inject(target: Target) -> Result<()> {
    let poison = [
        format!("a\n{FORGED}"),
        format!("a\r{FORGED}"),
        format!("a\r\n{FORGED}"),
        "\u{1b}[2J\u{1b}]0;title\u{7}".to_owned(),
        "\u{9b}31m".to_owned(),
        "\u{2028}\u{2029}\u{85}\u{b}\u{c}".to_owned(),
        "\"}\n{\"level\":\"INFO\",\"message\":\"forged\"}".to_owned(),
        "\u{202e}gnirts".to_owned(),
        "\0".to_owned(),
    ];
    for poison in &poison {
        let encoded: String = poison.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in ["/relay/", "/connection/websocket/", "/api/", "/"] {
            for path in
                [format!("{path}{encoded}"), format!("{path}{poison}"), format!("{path}?token={encoded}")]
            {
                shout(target, &raw::handshake(&path, "")).await?;
            }
        }
        for header in [
            "Origin",
            "Host",
            "X-Forwarded-For",
            "Forwarded",
            "Sec-WebSocket-Protocol",
            "User-Agent",
            "X-API-Key",
        ] {
            shout(target, &raw::handshake("/connection/websocket", &format!("{header}: {poison}\r\n")))
                .await?;
            shout(
                target,
                &format!("GET /api/info HTTP/1.1\r\nHost: localhost\r\n{header}: {poison}\r\n\r\n"),
            )
            .await?;
        }
        for format in [Format::Json, Format::Protobuf] {
            commands(target, format, poison).await?;
        }
    }
    Ok(())
}

async fn shout(target: Target, request: &str) -> Result<()> {
    let mut raw = Raw::connect(target.address).await?;
    raw.throw(request.as_bytes()).await;
    raw.status().await;
    Ok(())
}

async fn commands(target: Target, format: Format, poison: &str) -> Result<()> {
    let poison = || poison.to_owned();
    let mut raw = Raw::upgraded(target.address, raw::path(format)).await?;
    let connect = ConnectRequest { name: poison(), version: poison(), token: poison(), ..Default::default() };
    raw.throw(&raw::command(format, 1, connect.into())).await;
    raw.reply(format).await;
    let subscribe = SubscribeRequest { channel: poison(), ..Default::default() };
    raw.throw(&raw::command(format, 2, subscribe.into())).await;
    raw.throw(&raw::command(
        format,
        3,
        SubscribeRequest { channel: format!("$a{}", poison()), ..Default::default() }.into(),
    ))
    .await;
    raw.throw(&raw::command(format, 4, RpcRequest { method: poison(), ..Default::default() }.into())).await;
    raw.throw(&raw::frame(raw::first(format), poison().as_bytes())).await;
    raw.ending().await;
    Ok(())
}

/// A line for people: it begins with the time, and moves nobody's cursor.
fn check_text(line: &str) -> Result<(), String> {
    let digits =
        |range| line.get(range).is_some_and(|part: &str| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !(digits(0..4) && line.get(4..5) == Some("-") && digits(5..7)) || line.starts_with("9999") {
        return Err("a line that the server did not begin".to_owned());
    }
    match line.chars().find(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        Some(control) => Err(format!("the control character {control:?}")),
        None => Ok(()),
    }
}

/// A line for programs: one JSON object.
fn check_json(line: &str) -> Result<(), String> {
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(fields)) if fields.contains_key("timestamp") => Ok(()),
        Ok(_) => Err("an object that the server did not make".to_owned()),
        Err(error) => Err(format!("no JSON ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_lines_and_control_characters_are_seen() {
        assert_eq!(check_text("2026-11-24T10:00:00.000000Z  INFO throng: all is well"), Ok(()));
        for bad in
            [FORGED, "INFO forged", "", "2026-11-24T10:00:00Z a\u{1b}[2Jb", "2026-11-24T10:00:00Z \u{9b}31m"]
        {
            assert!(check_text(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_json(r#"{"timestamp":"2026","level":"INFO","message":"a\nb"}"#), Ok(()));
        for bad in [r#"{"level":"INFO","message":"forged"}"#, "a", "", "[1]", r#"{"timestamp":"#] {
            assert!(check_json(bad).is_err(), "{bad:?}");
        }
    }
}
