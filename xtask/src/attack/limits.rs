//! Attacks with more of everything that is allowed: commands, bytes, publications, subscriptions and mistakes.

use std::time::Instant;

use anyhow::Result;
use throng_protocol::{Format, Payload, PublishRequest, Request, RpcRequest, SubscribeRequest};

use super::{
    Target,
    answers::{Answers, Seen},
    arena::Ground,
    crowd::many,
    raw::{self, Next, PING, Raw, TEXT},
    tokens,
};

/// What may be done in a second; the pair publishes 500 times.
const PUBLICATIONS: u32 = 600;
const SUBSCRIPTIONS: u32 = 20;
const USER_PUBLICATIONS: u32 = 100;
const USER_SUBSCRIPTIONS: u32 = 30;
const USER_CONNECTIONS: usize = 4;
/// Commands that may fail.
const ERRORS: u32 = 10;

/// A server that takes loopback addresses for any others, and allows little.
pub(super) const GROUND: Ground = Ground {
    client: "user_connection_limit = 4\n",
    tables: r#"
[client.token]
hmac_secret_key = "the-secret-of-the-attacked-server-0"

[client.limits]
include_loopback = true
burst = "1s"
connection_commands = 2500
connection_bytes = 1048576
connection_publish = 600
connection_subscribe = 20
connection_errors = 10
user_publish = 100
user_subscribe = 30
user_history = 30
user_presence = 30
user_rpc = 30
channel_publish = 600
"#,
    tls: false,
};

/// How one connection fared that asked for too much.
#[derive(Debug)]
struct Fate {
    granted: usize,
    refused: usize,
    /// How it ended, or was answered in another way; `None` if it is still there.
    end: Option<Seen>,
}

/// Asks for the same again and again, some at once, and hears every answer.
async fn exhaust(mut raw: Raw, times: u32, request: impl Fn(u32) -> Request) -> Result<Fate> {
    const BATCH: u32 = 10;
    let mut fate = Fate { granted: 0, refused: 0, end: None };
    for batch in 0..times / BATCH {
        let ids = 2 + batch * BATCH..2 + (batch + 1) * BATCH;
        let commands: Vec<u8> = ids.flat_map(|id| raw::command(Format::Json, id, request(id))).collect();
        raw.throw(&commands).await;
        let mut answered = 0;
        while answered < BATCH as usize {
            let seen = match raw.next().await {
                Next::Message(message) => raw::replies(Format::Json, message),
                Next::Other(end) => vec![end],
            };
            answered += seen.len();
            for seen in seen {
                match seen {
                    Seen::Granted => fate.granted += 1,
                    Seen::Error(111) => fate.refused += 1,
                    other => return Ok(Fate { end: Some(other), ..fate }),
                }
            }
        }
    }
    Ok(fate)
}

/// Whether as much was granted as may be in this time, and no more.
fn is_bounded(granted: usize, limit: u32, began: Instant) -> bool {
    let most = f64::from(limit) * (began.elapsed().as_secs_f64() + 1.5);
    granted >= limit as usize && granted as f64 <= most
}

fn publish(channel: &str) -> impl Fn(u32) -> Request {
    move |_| PublishRequest { channel: channel.into(), data: Payload::from("1"), ..Default::default() }.into()
}

/// More than one connection may do.
pub(super) async fn connection(target: Target) -> Result<Answers> {
    let mut answers = Answers::default();
    let member = || Raw::member(target.address, Format::Json, "");
    // The channel has a limit, too.
    let own = format!("own-{:016x}", rand::random::<u64>());
    let sent_away = Some(Seen::Close(3509));
    let subscribe = |id| SubscribeRequest { channel: format!("limited.{id}"), ..Default::default() }.into();
    let began = Instant::now();
    for (what, limit, fate) in [
        ("publications", PUBLICATIONS, exhaust(member().await?, PUBLICATIONS * 3, publish(&own)).await?),
        ("subscriptions", SUBSCRIPTIONS, exhaust(member().await?, SUBSCRIPTIONS * 5, subscribe).await?),
    ] {
        answers.hold(&format!("{what} of a connection"), is_bounded(fate.granted, limit, began));
        answers.hold(&format!("{what} above the limit are refused"), fate.refused >= ERRORS as usize);
        answers.hold(&format!("{what} that are refused end the connection"), fate.end == sent_away);
    }
    for (path, code) in [(raw::path(Format::Json), 3013), ("/relay/limited", 1013)] {
        let mut raw = Raw::upgraded(target.address, path).await?;
        if code == 3013 {
            raw.send(&raw::connect(Format::Json, "")).await?;
        }
        raw.throw(&raw::frame(PING, b"").repeat(8_000)).await;
        answers.expect("a flood of pings", &[Seen::Close(code)], raw.ending().await);
    }
    let mut raw = Raw::upgraded(target.address, "/relay/limited-bytes").await?;
    raw.throw(&raw::frame(TEXT, &[b' '; 60_000]).repeat(40)).await;
    answers.expect("a flood of bytes", &[Seen::Close(1013)], raw.ending().await);
    Ok(answers)
}

/// Commands that fail.
pub(super) async fn errors(target: Target) -> Result<Answers> {
    let mut answers = Answers::default();
    let began = Instant::now();
    let clients = many(16, 4, |_| async move {
        let mut raw = Raw::member(target.address, Format::Json, "").await?;
        let command = raw::command(Format::Json, 2, RpcRequest::default().into());
        let mut failed = 0;
        loop {
            raw.throw(&command).await;
            match raw.reply(Format::Json).await {
                Seen::Error(108) => failed += 1,
                end => return anyhow::Ok((failed, end)),
            }
        }
    });
    for client in clients.await {
        let (failed, end) = client?;
        answers.hold("as many mistakes are answered as may be", is_bounded(failed, ERRORS, began));
        answers.expect("too many mistakes", &[Seen::Close(3509)], end);
    }
    Ok(answers)
}

/// More than one user may do, over several connections, and more than a channel takes.
pub(super) async fn shared(target: Target) -> Result<Answers> {
    let mut answers = Answers::default();
    let name = format!("{:016x}", rand::random::<u64>());
    let token = |user: &str| tokens::good(target.binary, user);
    let (attacker, other) = (token(&format!("a{name}"))?, token(&format!("b{name}"))?);
    let attacker = &attacker;
    let began = Instant::now();
    let (channel, flooded) = (&format!("user-{name}"), &format!("flooded-{name}"));
    let publishers = many(USER_CONNECTIONS, USER_CONNECTIONS, |_| async move {
        let raw = Raw::member(target.address, Format::Json, attacker).await?;
        exhaust(raw, USER_PUBLICATIONS, publish(channel)).await
    });
    sum_up(&mut answers, "publications of a user", publishers.await, USER_PUBLICATIONS, began)?;
    let mut raw = Raw::member(target.address, Format::Json, &other).await?;
    raw.send(&raw::command(Format::Json, 2, publish(channel)(2))).await?;
    answers.expect("another user", &[Seen::Granted], raw.reply(Format::Json).await);
    let began = Instant::now();
    let publishers = many(6, 6, |_| async move {
        let raw = Raw::member(target.address, Format::Json, "").await?;
        exhaust(raw, PUBLICATIONS * 9 / 10, publish(flooded)).await
    });
    sum_up(&mut answers, "publications in a channel", publishers.await, PUBLICATIONS, began)?;
    let began = Instant::now();
    let (other, name) = (&other, &name);
    let subscribers = many(3, 3, |number| async move {
        let raw = Raw::member(target.address, Format::Json, other).await?;
        let channel = |id| format!("{number}.{id}.{name}");
        exhaust(raw, SUBSCRIPTIONS, |id| {
            SubscribeRequest { channel: channel(id), ..Default::default() }.into()
        })
        .await
    });
    sum_up(&mut answers, "subscriptions of a user", subscribers.await, USER_SUBSCRIPTIONS, began)?;
    let mut seats = Vec::new();
    for number in 0..USER_CONNECTIONS + 2 {
        let mut raw = Raw::upgraded(target.address, raw::path(Format::Json)).await?;
        raw.throw(&raw::connect(Format::Json, attacker)).await;
        let expected = if number < USER_CONNECTIONS { Seen::Granted } else { Seen::Close(3504) };
        answers.expect("connections of a user", &[expected], raw.reply(Format::Json).await);
        seats.push(raw);
    }
    Ok(answers)
}

/// Holds that several connections together were granted no more than they may, and were told so.
fn sum_up(
    answers: &mut Answers,
    what: &str,
    fates: Vec<Result<Fate>>,
    limit: u32,
    began: Instant,
) -> Result<()> {
    let fates = fates.into_iter().collect::<Result<Vec<_>>>()?;
    let granted = fates.iter().map(|fate| fate.granted).sum();
    answers.hold(what, is_bounded(granted, limit, began));
    answers.hold(&format!("{what}: some are refused"), fates.iter().any(|fate| fate.refused > 0));
    let proper = |fate: &Fate| fate.end.is_none_or(|end| end == Seen::Close(3509));
    answers.hold(&format!("{what}: whoever goes on is sent away"), fates.iter().all(proper));
    Ok(())
}
