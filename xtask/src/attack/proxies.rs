//! Attacks with what proxies say: strangers who claim to be somebody else, and proxies that say nothing that makes sense.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::Result;
use throng_protocol::{Format, SubscribeRequest};

use super::{
    Target,
    addresses::{self, PROXY, crowd_in, stranger, upgrade},
    answers::{Answers, Seen},
    arena::{self, Ground},
    crowd::{drip, many},
    raw::{self, Raw},
};

/// The same limits as where proxies speak HTTP.
pub(super) const GROUND: Ground = Ground {
    tables: r#"
[http_server.proxy]
protocol = "proxy"
trusted_networks = ["127.0.0.9"]
"#,
    ..addresses::GROUND
};

/// How a connection ends that is cut.
const CUT: &[Seen] = &[Seen::End, Seen::Reset];
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const BAD_HEADERS: &str = "throng_handshakes_total{result=\"bad_proxy_header\"}";

/// `X-Forwarded-For` from strangers, who must not be believed, and from a proxy.
pub(super) async fn forwarded(target: Target) -> Result<Answers> {
    let mut answers = Answers::default();
    let claimed = |number: usize| format!("198.51.100.{}", number % 250 + 1);
    let [attacker, behind] = [10, 11].map(|number| stranger(target, number));
    let strangers = |number| {
        let one = claimed(number);
        let headers = format!("X-Forwarded-For: {one}\r\nForwarded: for={one}\r\nX-Real-IP: {one}\r\n");
        async move { upgrade(target, attacker, &headers).await }
    };
    drop(crowd_in(&mut answers, "a stranger that claims to be many", strangers).await?);
    let clients = |number| {
        let headers =
            format!("X-Forwarded-For: {}, {behind}\r\nForwarded: for=192.0.2.1\r\n", claimed(number));
        async move { upgrade(target, PROXY, &headers).await }
    };
    drop(crowd_in(&mut answers, "a client that claims to be many to its proxy", clients).await?);
    let many_clients = many(SEVERAL, 8, |number| async move {
        upgrade(target, PROXY, &format!("X-Forwarded-For: {}\r\n", behind_proxy(target, number))).await
    });
    for seen in many_clients.await {
        answers.expect("many clients of a proxy", &[Seen::Status(101)], seen?.1);
    }
    let huge = format!("{}{behind}", "127.0.0.9, ".repeat(400));
    let malformed = ["nobody", "1.2.3", "1.2.3.4.5", "[::1", "1.2.3.4:99999", "1.2.3.4;", "\"", "a b", &huge];
    for value in malformed {
        let (_, seen) = upgrade(target, PROXY, &format!("X-Forwarded-For: {value}\r\n")).await?;
        let shown: String = value.chars().take(20).collect();
        answers.expect(&format!("a proxy that forwards for {shown}"), &[Seen::Status(400)], seen);
        let (_, seen) =
            upgrade(target, stranger(target, 12), &format!("X-Forwarded-For: {value}\r\n")).await?;
        answers.expect(&format!("a stranger that forwards for {shown}"), &[Seen::Status(101)], seen);
    }
    for (what, source, expected) in [
        ("a stranger that names its user", stranger(target, 13), Seen::Error(103)),
        ("a proxy that names its user", PROXY, Seen::Granted),
    ] {
        answers.expect(what, &[expected], user_named(target, source).await?);
    }
    Ok(answers)
}

/// More clients than one address may have.
const SEVERAL: usize = addresses::SEATS + 8;

fn behind_proxy(target: Target, number: usize) -> Ipv4Addr {
    let [.., high, low] = target.seed.to_be_bytes();
    Ipv4Addr::new(10, u8::try_from(number % 256).unwrap_or_default(), high, low)
}

/// Names a user in a header, and asks for that user's channel.
async fn user_named(target: Target, source: Ipv4Addr) -> Result<Seen> {
    let headers = format!("X-User: victim\r\nX-Forwarded-For: {}\r\n", behind_proxy(target, 255));
    let (mut raw, _) = upgrade(target, source, &headers).await?;
    raw.throw(&raw::connect(Format::Json, "")).await;
    raw.reply(Format::Json).await;
    let request = SubscribeRequest { channel: "dm#victim".into(), ..Default::default() };
    raw.throw(&raw::command(Format::Json, 2, request.into())).await;
    Ok(raw.reply(Format::Json).await)
}

/// Headers of the PROXY protocol from strangers, and bad ones from a proxy.
pub(super) async fn headers(target: Target) -> Result<Answers> {
    let mut answers = Answers::default();
    let before = arena::metric(target, BAD_HEADERS)?;
    let request = raw::handshake(raw::path(Format::Json), "");
    let behind = stranger(target, 14);
    let good = [
        ("a line", line(behind)),
        ("a line for nobody", b"PROXY UNKNOWN\r\n".to_vec()),
        ("a header of version 2", binary(0x21, 0x11, &addresses_of(behind))),
        ("a header of version 2 for the proxy", binary(0x20, 0, b"")),
    ];
    for (what, header) in &good {
        let bytes = [header, request.as_bytes()].concat();
        let seen = say(target, stranger(target, 15), &bytes).await?;
        answers.expect(&format!("{what} from a stranger"), CUT, seen);
        answers.expect(
            &format!("{what} from a proxy"),
            &[Seen::Status(101)],
            say(target, PROXY, &bytes).await?,
        );
        let twice = [header, header, request.as_bytes()].concat();
        answers.expect(&format!("{what}, twice"), CUT, say(target, PROXY, &twice).await?);
    }
    let bad = bad_headers(behind);
    for (what, header) in &bad {
        let bytes = [header, request.as_bytes()].concat();
        answers.expect(&format!("a proxy with {what}"), CUT, say(target, PROXY, &bytes).await?);
    }
    let cut = 2 * good.len() + bad.len();
    let counted = arena::metric(target, BAD_HEADERS)? - before;
    answers.hold("every bad header is counted", counted == cut as u64);
    let clients = |_| {
        let bytes = [&line(behind), request.as_bytes()].concat();
        async move {
            let mut raw = Raw::connect_from(PROXY, target.address).await?;
            raw.throw(&bytes).await;
            let seen = raw.status().await;
            Ok((raw, seen))
        }
    };
    drop(crowd_in(&mut answers, "a client of a proxy that takes all the room", clients).await?);
    slow(target, &mut answers).await?;
    Ok(answers)
}

/// Proxies that do not come to the end of their headers, as many as nobody would believe.
async fn slow(target: Target, answers: &mut Answers) -> Result<()> {
    const EACH: usize = 60;
    const PAUSE: Duration = Duration::from_millis(40);
    let header = line(Ipv4Addr::new(198, 51, 100, 1)).repeat(2);
    let header = &header[..header.len() / 2 - 2];
    let proxies = many(EACH * 3, EACH * 3, |number| async move {
        let mut raw = Raw::connect_from(PROXY, target.address).await?;
        match number % 3 {
            0 => {}
            1 => raw.throw(&header[..1 + number % (header.len() - 1)]).await,
            // Slower than the server waits, however long it is.
            _ => drip(&mut raw, &[SIGNATURE, b"\x21\x11\x0f\xff", &[0; 64]].concat(), PAUSE).await,
        }
        anyhow::Ok(raw.status().await)
    });
    for seen in proxies.await {
        answers.expect("a PROXY header that never ends", CUT, seen?);
    }
    Ok(())
}

/// Says something from an address, and gives the status of the answer.
async fn say(target: Target, source: Ipv4Addr, bytes: &[u8]) -> Result<Seen> {
    let mut raw = Raw::connect_from(source, target.address).await?;
    raw.throw(bytes).await;
    Ok(raw.status().await)
}

fn line(source: Ipv4Addr) -> Vec<u8> {
    format!("PROXY TCP4 {source} 192.0.2.1 40000 443\r\n").into_bytes()
}

fn addresses_of(source: Ipv4Addr) -> Vec<u8> {
    [&source.octets()[..], &[192, 0, 2, 1], &40_000_u16.to_be_bytes(), &443_u16.to_be_bytes()].concat()
}

/// A header of version 2 with this command, this family, and what its length counts.
fn binary(command: u8, family: u8, counted: &[u8]) -> Vec<u8> {
    let length = u16::try_from(counted.len()).unwrap_or(u16::MAX);
    [SIGNATURE, &[command, family], &length.to_be_bytes(), counted].concat()
}

fn bad_headers(client: Ipv4Addr) -> Vec<(&'static str, Vec<u8>)> {
    let addresses = addresses_of(client);
    let mut bad = vec![
        ("no header", Vec::new()),
        ("a version that there is none of", binary(0x31, 0x11, &addresses)),
        ("a command that there is none of", binary(0x2f, 0x11, &addresses)),
        ("a family that there is none of", binary(0x21, 0xf1, &addresses)),
        ("a length that is too short", binary(0x21, 0x11, &addresses[..4])),
        ("a length that is too long", binary(0x21, 0x11, &[&addresses[..], &[0; 65_000]].concat())),
        ("a line that never ends", [&b"PROXY UNKNOWN "[..], &[b'x'; 5_000]].concat()),
    ];
    for (what, text) in [
        ("a family of no address", "TCP5 192.0.2.1 192.0.2.2 1 2"),
        ("an address of the other family", "TCP4 ::1 ::1 1 2"),
        ("a port too large", "TCP4 192.0.2.1 192.0.2.2 65536 2"),
        ("a port in octal", "TCP4 192.0.2.1 192.0.2.2 01 2"),
        ("a word too many", "TCP4 192.0.2.1 192.0.2.2 1 2 3"),
        ("two spaces", "TCP4  192.0.2.1 192.0.2.2 1 2"),
        ("a name", "TCP4 localhost 192.0.2.2 1 2"),
        ("a small letter", "tcp4 192.0.2.1 192.0.2.2 1 2"),
    ] {
        bad.push((what, format!("PROXY {text}\r\n").into_bytes()));
    }
    bad
}
