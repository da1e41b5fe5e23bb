//! Attacks with frames: rules of RFC 6455 broken, floods of control frames, fragments without end, lengths that are lies.

use std::time::{Duration, Instant};

use anyhow::Result;
use throng_protocol::Format;
use tokio::time::sleep;

use super::{
    Target,
    answers::{Answers, Seen},
    crowd::many,
    raw::{self, BINARY, PING, PONG, Raw, TEXT},
};

/// Every kind of endpoint.
const PATHS: [&str; 4] =
    ["/connection/websocket", "/connection/websocket?format=protobuf", "/relay/frames", "/echo"];
/// How often each bad frame is tried at each endpoint.
const TRIES: usize = 5;

/// Sends bytes to every endpoint, which all must end the connection with this code.
async fn every_endpoint(target: Target, cases: Vec<(&str, Vec<u8>, u16)>) -> Result<Answers> {
    let mut answers = Answers::default();
    for (what, bytes, code) in cases {
        let bytes = &bytes;
        let tries = many(PATHS.len() * TRIES, TRIES, |number| async move {
            let mut raw = Raw::upgraded(target.address, PATHS[number % PATHS.len()]).await?;
            raw.throw(bytes).await;
            anyhow::Ok(raw.ending().await)
        });
        for seen in tries.await {
            answers.expect(what, &[Seen::Close(code)], seen?);
        }
    }
    Ok(answers)
}

/// Unmasked frames of all kinds.
pub(super) async fn unmasked(target: Target) -> Result<Answers> {
    let cases: [(_, &[u8]); 5] = [
        ("an unmasked text", b"\x81\x02hi"),
        ("an unmasked binary", b"\x82\x02\x02\x02"),
        ("an unmasked ping", b"\x89\x00"),
        ("an unmasked close", b"\x88\x02\x03\xe8"),
        ("an unmasked long frame", b"\x82\x7e\x01\x00"),
    ];
    every_endpoint(target, cases.map(|(what, bytes)| (what, bytes.to_vec(), 1002)).into()).await
}

/// Reserved bits and opcodes, and what else RFC 6455 forbids in a frame's head.
pub(super) async fn reserved(target: Target) -> Result<Answers> {
    let bits = [0xc1, 0xa1, 0x91, 0xf1, 0xc2, 0xc9].map(|first| ("a reserved bit", first));
    let opcodes = [0x83, 0x84, 0x85, 0x86, 0x87, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f]
        .map(|first| ("a reserved opcode", first));
    let control = [0x08, 0x09, 0x0a].map(|first| ("a fragmented control frame", first));
    let heads = bits
        .into_iter()
        .chain(opcodes)
        .chain(control)
        .map(|(what, first)| (what, raw::frame(first, b"ab"), 1002));
    let rest = [
        ("a continuation of nothing", raw::frame(0x80, b"x")),
        ("a message inside of another", [raw::frame(0x01, b"x"), raw::frame(TEXT, b"y")].concat()),
        ("a long ping", raw::frame(PING, &[0; 126])),
        ("a length that is not the shortest", b"\x82\xfe\x00\x05\0\0\0\0hello".to_vec()),
        ("a long length that is not the shortest", b"\x82\xff\0\0\0\0\0\0\0\x05\0\0\0\0hello".to_vec()),
        ("half a close code", raw::frame(0x88, b"\x03")),
        ("a close code that must not be sent", raw::frame(0x88, &1005_u16.to_be_bytes())),
    ];
    every_endpoint(target, heads.chain(rest.map(|(what, bytes)| (what, bytes, 1002))).collect()).await
}

/// Texts that are no UTF-8, whole and cut into fragments.
pub(super) async fn invalid_utf8(target: Target) -> Result<Answers> {
    let texts: [(_, &[u8]); 6] = [
        ("a lone continuation byte", b"a\x80"),
        ("an overlong encoding", b"\xc0\xaf"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("a code point above the last", b"\xf4\x90\x80\x80"),
        ("bytes that never stand in UTF-8", b"\xff\xfe"),
        ("a character that is cut off", b"ab\xe2\x82"),
    ];
    let whole = texts.map(|(what, text)| (what, raw::frame(TEXT, text), 1007));
    let cut = texts.map(|(what, text)| {
        let (first, rest) = text.split_at(1);
        (what, [raw::frame(0x01, first), raw::frame(0x80, rest)].concat(), 1007)
    });
    let reason = ("a close reason that is no UTF-8", raw::frame(0x88, b"\x03\xe8\xff"), 1007);
    every_endpoint(target, whole.into_iter().chain(cut).chain([reason]).collect()).await
}

/// Frames that claim a length. Where it is forbidden the claim alone ends the connection; where it is allowed it must cost
/// nothing until the bytes come.
pub(super) async fn claims(target: Target) -> Result<Answers> {
    const CLAIMANTS: usize = 300;
    let claim = |length: u64| [&[BINARY, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let (allowed, too_long) = (claim(16 << 20), claim((16 << 20) + 1));
    let mut answers = Answers::default();
    for path in PATHS {
        for (bytes, code) in
            [(&too_long, 1009), (&claim(1 << 62), 1009), (&claim(1 << 63), 1002), (&claim(u64::MAX), 1002)]
        {
            let mut raw = Raw::upgraded(target.address, path).await?;
            raw.throw(bytes).await;
            answers.expect("a frame that claims too much", &[Seen::Close(code)], raw.ending().await);
        }
    }
    let allowed = &allowed;
    let claimants = many(CLAIMANTS, CLAIMANTS, |_| async move {
        let mut raw = Raw::upgraded(target.address, "/echo").await?;
        raw.send(allowed).await?;
        raw.send(b"not sixteen mebibytes").await?;
        sleep(target.length).await;
        raw.reset();
        anyhow::Ok(())
    });
    for done in claimants.await {
        answers.hold("a claim of 16 MiB is listened to", done.is_ok());
    }
    Ok(answers)
}

/// Messages cut into fragments of one byte, and of none.
pub(super) async fn fragments(target: Target) -> Result<Answers> {
    /// More than any message may have, and more bytes than a message of the protocol.
    const MANY: usize = 66_000;
    let mut answers = Answers::default();
    for (what, payload) in [("fragments of one byte", &b"a"[..]), ("empty fragments", b"")] {
        let flood = &[raw::frame(0x01, payload), raw::frame(0x00, payload).repeat(MANY)].concat();
        let tries = many(PATHS.len() * 2, 4, |number| async move {
            let mut raw = Raw::upgraded(target.address, PATHS[number % PATHS.len()]).await?;
            raw.throw(flood).await;
            anyhow::Ok(raw.ending().await)
        });
        for seen in tries.await {
            // A client that does not send its connect command in time goes for that.
            answers.expect(what, &[Seen::Close(1009), Seen::Close(3502)], seen?);
        }
    }
    Ok(answers)
}

/// Pings without end from clients that never read the answers: too much waits for them, and they must go.
pub(super) async fn pings(target: Target) -> Result<Answers> {
    let flood = &raw::frame(PING, &[b'x'; 125]).repeat(200);
    let flooders = many(8, 8, |number| async move {
        let mut raw =
            Raw::connect_small(target.address).await?.upgrade(PATHS[number % PATHS.len()], "").await?;
        let end = Instant::now() + target.length + Duration::from_secs(4);
        while Instant::now() < end && raw.send(flood).await.is_ok() {}
        anyhow::Ok(raw.ending().await)
    });
    let mut answers = Answers::default();
    for seen in flooders.await {
        // The farewell comes if the socket still takes it.
        let expected = [
            Seen::Close(3008),
            Seen::Close(1008),
            Seen::Close(1013),
            Seen::Close(3502),
            Seen::Reset,
            Seen::End,
        ];
        answers.expect("a ping flood", &expected, seen?);
    }
    Ok(answers)
}

/// Pongs that nobody asked for. As frames they mean nothing (RFC 6455 section 5.5.3); as empty commands they are a bad request.
pub(super) async fn pongs(target: Target) -> Result<Answers> {
    let flood = &raw::frame(PONG, &[b'x'; 125]).repeat(200);
    let flooders = many(4, 4, |_| async move {
        let mut raw = Raw::member(target.address, Format::Json, "").await?;
        let end = Instant::now() + target.length.min(Duration::from_secs(2));
        while Instant::now() < end && raw.send(flood).await.is_ok() {}
        // Whoever is still there is still served.
        raw.throw(&raw::command(Format::Json, 2, throng_protocol::RpcRequest::default().into())).await;
        anyhow::Ok(raw.reply(Format::Json).await)
    });
    let mut answers = Answers::default();
    for seen in flooders.await {
        let expected = [Seen::Error(108), Seen::Close(3012), Seen::Close(3013), Seen::Close(3509)];
        answers.expect("a flood of pong frames", &expected, seen?);
    }
    for (format, pong) in [(Format::Json, &b"{}"[..]), (Format::Protobuf, &[0])] {
        let tries = many(20, 20, |_| async move {
            let mut raw = Raw::member(target.address, format, "").await?;
            raw.throw(&raw::frame(raw::first(format), pong).repeat(1_000)).await;
            anyhow::Ok(raw.ending().await)
        });
        for seen in tries.await {
            answers.expect("a flood of pong commands", &[Seen::Close(3501)], seen?);
        }
    }
    Ok(answers)
}
