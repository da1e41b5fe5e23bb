//! Attacks by number and by patience: connections that say nothing, little, or hardly anything at a time.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::{StreamExt, stream};
use throng_protocol::Format;
use tokio::time::sleep;

use super::{
    Target,
    answers::{Answers, Seen},
    raw::{self, Raw},
};

/// How a connection may end that never asked for anything: its time is over.
const IGNORED: &[Seen] = &[Seen::End, Seen::Reset, Seen::Status(408)];
/// Connections of a crowd.
pub(super) const CROWD: usize = 2_000;
/// Connections that come and go at once.
const REVOLVING: usize = 48;
/// Most connections that come and go in all, so that the machine does not run out of ports.
const MOST_VISITS: usize = 8_000;

/// Does something many times, so many at once, and gives all results.
pub(super) async fn many<T, F: Future<Output = T>>(
    count: usize,
    at_once: usize,
    make: impl FnMut(usize) -> F,
) -> Vec<T> {
    stream::iter(0..count).map(make).buffer_unordered(at_once).collect().await
}

/// Connections that are opened and say nothing.
pub(super) async fn half_open(target: Target) -> Result<Answers> {
    let connections = many(CROWD, CROWD, |_| async move {
        let mut raw = Raw::connect(target.address).await?;
        anyhow::Ok(raw.status().await)
    });
    ignored("a connection that says nothing", connections.await)
}

/// Connections that begin a handshake and stop.
pub(super) async fn half_sent(target: Target) -> Result<Answers> {
    let connections = many(CROWD, CROWD, |number| async move {
        let mut raw = Raw::connect(target.address).await?;
        let whole = raw::handshake("/connection/websocket", "");
        // Anything but the whole.
        raw.send(&whole.as_bytes()[..1 + number % (whole.len() - 1)]).await?;
        anyhow::Ok(raw.status().await)
    });
    ignored("a handshake that was never finished", connections.await)
}

fn ignored(what: &str, seen: Vec<Result<Seen>>) -> Result<Answers> {
    let mut answers = Answers::default();
    for seen in seen {
        answers.expect(what, IGNORED, seen?);
    }
    Ok(answers)
}

/// One byte at a time: handshakes and messages that would take for ever, and a command that is finished in time.
pub(super) async fn trickle(target: Target) -> Result<Answers> {
    const SLOWLY: Duration = Duration::from_millis(40);
    let handshakes = many(100, 100, |_| async move {
        let mut raw = Raw::connect(target.address).await?;
        drip(&mut raw, raw::handshake("/connection/websocket", "").as_bytes(), SLOWLY).await;
        anyhow::Ok(raw.status().await)
    });
    let commands = many(50, 50, |_| async move {
        let mut raw = Raw::upgraded(target.address, raw::path(Format::Json)).await?;
        drip(&mut raw, &raw::frame(raw::TEXT, &[b' '; 100]), SLOWLY).await;
        anyhow::Ok(raw.ending().await)
    });
    let messages = many(50, 50, |_| async move {
        let mut raw = Raw::upgraded(target.address, "/relay/trickle").await?;
        drip(&mut raw, &raw::frame(raw::TEXT, &[b' '; 120]), SLOWLY).await;
        anyhow::Ok(raw.ending().await)
    });
    let quick = many(50, 50, |_| async move {
        let mut raw = Raw::upgraded(target.address, raw::path(Format::Json)).await?;
        drip(&mut raw, &raw::connect(Format::Json, ""), Duration::ZERO).await;
        anyhow::Ok(raw.reply(Format::Json).await)
    });
    let (handshakes, commands, messages, quick) = tokio::join!(handshakes, commands, messages, quick);
    let mut answers = ignored("a handshake in single bytes", handshakes)?;
    for seen in commands {
        // The connect command must be there in time.
        answers.expect("a command in single bytes", &[Seen::Close(3502)], seen?);
    }
    for seen in messages {
        // Who is in the middle of a frame cannot answer a ping either; what is noticed first ends it.
        answers.expect("a message in single bytes", &[Seen::Close(1008), Seen::Close(3012)], seen?);
    }
    for seen in quick {
        answers.expect("a command in single bytes, in time", &[Seen::Granted], seen?);
    }
    Ok(answers)
}

/// Sends single bytes until the connection takes no more of them.
pub(super) async fn drip(raw: &mut Raw, bytes: &[u8], pause: Duration) {
    for byte in bytes {
        if raw.send(&[*byte]).await.is_err() {
            return;
        }
        if pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            sleep(pause).await;
        }
    }
}

/// Connections that come and go, in every way to go.
pub(super) async fn churn(target: Target) -> Result<Answers> {
    let end = Instant::now() + target.length;
    let visitors = many(REVOLVING, REVOLVING, |number| async move {
        let mut seen = Vec::new();
        for visit in 0..MOST_VISITS / REVOLVING {
            if Instant::now() > end {
                break;
            }
            seen.push(visit_once(target, number + visit).await?);
        }
        anyhow::Ok(seen)
    });
    let mut answers = Answers::default();
    for seen in visitors.await {
        for seen in seen? {
            answers.expect(
                "a connection that came and went",
                &[Seen::Granted, Seen::Status(101), Seen::End],
                seen,
            );
        }
    }
    Ok(answers)
}

async fn visit_once(target: Target, way: usize) -> Result<Seen> {
    let mut raw = Raw::connect(target.address).await?;
    match way % 5 {
        0 => raw.reset(),
        1 => raw.send(b"GET / HTTP/1.1\r\nHo").await?,
        2 => {
            raw.send(raw::handshake("/relay/churn", "").as_bytes()).await?;
            let seen = raw.status().await;
            raw.reset();
            return Ok(seen);
        }
        3 => {
            let mut raw = raw.upgrade(raw::path(Format::Protobuf), "").await?;
            raw.send(&raw::connect(Format::Protobuf, "")).await?;
            let seen = raw.reply(Format::Protobuf).await;
            raw.reset();
            return Ok(seen);
        }
        _ => {
            let mut raw = raw.upgrade(raw::path(Format::Json), "").await?;
            raw.send(&raw::connect(Format::Json, "")).await?;
            raw.send(&raw::frame(0x88, &1000_u16.to_be_bytes())).await?;
            let seen = raw.reply(Format::Json).await;
            return Ok(match (seen, raw.ending().await) {
                (Seen::Granted, Seen::Close(1000)) => Seen::Granted,
                (_, end) => end,
            });
        }
    }
    Ok(Seen::End)
}
