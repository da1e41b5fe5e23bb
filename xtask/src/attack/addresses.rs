//! Attacks of one address: more connections than it may have, faster than it may open them, and handshakes that fail.
//!
//! The well-behaved pair has an address of its own, and so have those who must not be confused with the attacker.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    Target,
    answers::{Answers, Seen},
    arena::Ground,
    crowd::many,
    raw::{self, PATIENCE, Raw},
};

/// Connections that one address may have.
pub(super) const SEATS: usize = 32;
/// Connections that it may open at once, and in a second after that.
const BURST: usize = 100;
const RATE: usize = 50;
/// Handshakes that may fail, and the time in which they are counted.
const FAILURES: usize = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// A proxy on this machine, which is trusted.
pub(super) const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// A server that takes loopback addresses for any others.
pub(super) const GROUND: Ground = Ground {
    client: r#"
address_limit_includes_loopback = true
address_connection_limit = 32
address_connection_burst = 100
address_connection_rate = 50
address_failure_limit = 20
address_failure_window = "1s"
user_id_http_header = "X-User"
"#,
    tables: r#"
[http_server.proxy]
protocol = "x-forwarded-for"
trusted_networks = ["127.0.0.9"]
"#,
    tls: false,
};

/// Those who are attacked with, or beside, at one moment of the day: nobody has met them before.
pub(super) fn stranger(target: Target, number: u8) -> Ipv4Addr {
    let [.., high, low] = target.seed.to_be_bytes();
    Ipv4Addr::new(127, 16 + number, high, low.clamp(1, 254))
}

/// Upgrades from an address, with more headers.
pub(super) async fn upgrade(target: Target, source: Ipv4Addr, headers: &str) -> Result<(Raw, Seen)> {
    let mut raw = Raw::connect_from(source, target.address).await?;
    raw.throw(raw::handshake(raw::path(throng_protocol::Format::Json), headers).as_bytes()).await;
    let seen = raw.status().await;
    Ok((raw, seen))
}

/// Opens more connections than an address may have, which are told apart by their numbers, and keeps them: so many may come in.
pub(super) async fn crowd_in<F: Future<Output = Result<(Raw, Seen)>>>(
    answers: &mut Answers,
    what: &str,
    each: impl FnMut(usize) -> F,
) -> Result<Vec<Raw>> {
    let mut inside = Vec::new();
    // As many at once as are told that there is no room.
    for entered in many(SEATS + 24, 8, each).await {
        let (raw, seen) = entered?;
        answers.expect(what, &[Seen::Status(101), Seen::Status(429)], seen);
        if seen == Seen::Status(101) {
            inside.push(raw);
        }
    }
    answers.hold(&format!("{what}: as many come in as may"), inside.len() == SEATS);
    Ok(inside)
}

/// More connections than one address may have.
pub(super) async fn crowd(target: Target) -> Result<Answers> {
    let mut answers = Answers::default();
    let (attacker, other) = (stranger(target, 0), stranger(target, 1));
    let inside = crowd_in(&mut answers, "a crowd of one address", |_| upgrade(target, attacker, "")).await?;
    answers.expect("another address", &[Seen::Status(101)], upgrade(target, other, "").await?.1);
    drop(inside);
    let back = comes_in(target, attacker).await?;
    answers.hold("an address whose connections are gone may come again", back);
    Ok(answers)
}

/// Whether an address comes in, now or soon.
async fn comes_in(target: Target, source: Ipv4Addr) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while upgrade(target, source, "").await?.1 != Seen::Status(101) {
        if Instant::now() > deadline {
            return Ok(false);
        }
        // Slower than any limit of the server's.
        sleep(Duration::from_millis(100)).await;
    }
    Ok(true)
}

/// Connections that one address opens faster than it may; few are open at any time.
pub(super) async fn rate(target: Target) -> Result<Answers> {
    const VISITS: usize = BURST * 4;
    let mut answers = Answers::default();
    let (attacker, other) = (stranger(target, 2), stranger(target, 3));
    let began = Instant::now();
    let visits = many(VISITS, 8, |_| async move {
        let mut raw = Raw::connect_from(attacker, target.address).await?;
        raw.throw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        anyhow::Ok(raw.status().await)
    });
    let mut served = 0;
    for seen in visits.await {
        let seen = seen?;
        answers.expect("a visit too many", &[Seen::Status(200), Seen::Status(429)], seen);
        served += usize::from(seen == Seen::Status(200));
    }
    let most = BURST + RATE * (1 + began.elapsed().as_millis() as usize / 1_000 + 1);
    answers.hold("as many visits are served as may be", (BURST..=most.min(VISITS - 1)).contains(&served));
    answers.expect("another address", &[Seen::Status(101)], upgrade(target, other, "").await?.1);
    answers.hold("who was too fast comes in later", comes_in(target, attacker).await?);
    Ok(answers)
}

/// Handshakes that fail, in every way to fail.
pub(super) async fn failures(target: Target) -> Result<Answers> {
    let ways: [(&str, &[u8], &[Seen]); 4] = [
        ("bytes that are no HTTP", b"\x01\x02\x03\r\n\r\n", &[Seen::Status(400), Seen::End, Seen::Reset]),
        ("a request without a version", b"GET /\r\n\r\n", &[Seen::Status(400), Seen::End, Seen::Reset]),
        (
            "a call without the key",
            b"POST /api/info HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
            &[Seen::Status(401)],
        ),
        (
            "a wrong origin",
            b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://evil.example\r\n\r\n",
            &[Seen::Status(403)],
        ),
    ];
    let mut answers = Answers::default();
    let other = stranger(target, 4);
    for (number, (what, bytes, expected)) in (5..).zip(ways) {
        let attacker = stranger(target, number);
        let began = Instant::now();
        for _ in 0..FAILURES {
            let mut raw = Raw::connect_from(attacker, target.address).await?;
            raw.throw(bytes).await;
            answers.expect(what, expected, raw.status().await);
        }
        let (_, seen) = upgrade(target, attacker, "").await?;
        // On a machine that is too slow for the window nothing is proven, and nothing is wrong.
        let in_time = began.elapsed() < WINDOW;
        let refused =
            if in_time { &[Seen::Status(429)][..] } else { &[Seen::Status(429), Seen::Status(101)] };
        answers.expect(&format!("{what}, and then a good handshake"), refused, seen);
        answers.expect("another address", &[Seen::Status(101)], upgrade(target, other, "").await?.1);
    }
    answers.hold("who failed comes in later", comes_in(target, stranger(target, 5)).await?);
    Ok(answers)
}
