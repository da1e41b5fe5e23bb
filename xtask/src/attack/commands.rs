//! Attacks with messages: what no decoder should trip over, and more commands than anybody needs.

use anyhow::Result;
use bytes::BytesMut;
use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use throng_protocol::{
    Command, Format, HistoryRequest, Payload, PublishRequest, Request, RpcRequest, SubscribeRequest,
};

use super::{
    Target,
    answers::{Answers, Seen},
    arena,
    crowd::many,
    raw::{self, Next, Raw},
};

const BAD_REQUEST: &[Seen] = &[Seen::Close(3501)];

/// Sends one message to a client's end of the protocol, and then a command that is answered with error 108: either the message
/// or the command is answered, or the connection ends.
async fn message(target: Target, format: Format, payload: &[u8]) -> Result<Seen> {
    let mut raw = Raw::member(target.address, format, "").await?;
    raw.throw(&raw::frame(raw::first(format), payload)).await;
    raw.throw(&raw::command(format, 99, RpcRequest::default().into())).await;
    Ok(raw.reply(format).await)
}

/// Giant JSON, deeply nested JSON, and what is not JSON.
pub(super) async fn json(target: Target) -> Result<Answers> {
    let deep = "[".repeat(60_000);
    let cases: [(&str, Vec<u8>, &[Seen]); 15] = [
        ("a message above the limit", vec![b' '; 70_000], &[Seen::Close(1009)]),
        ("nothing but brackets", deep.clone().into_bytes(), BAD_REQUEST),
        ("a payload of brackets", format!(r#"{{"id":2,"rpc":{{"data":{deep}"#).into_bytes(), BAD_REQUEST),
        (
            "a payload that is nested and whole",
            format!(r#"{{"id":2,"rpc":{{"data":{}1{}}}}}"#, "[".repeat(20_000), "]".repeat(20_000))
                .into_bytes(),
            BAD_REQUEST,
        ),
        ("nested commands", r#"{"id":2,"rpc":"#.repeat(4_000).into_bytes(), BAD_REQUEST),
        ("a key without end", format!(r#"{{"{}"#, "k".repeat(60_000)).into_bytes(), BAD_REQUEST),
        ("many empty commands", "{}\n".repeat(20_000).into_bytes(), BAD_REQUEST),
        (
            "many commands",
            "{\"id\":2,\"rpc\":{}}\n".repeat(3_000).into_bytes(),
            &[Seen::Error(108), Seen::Close(3501)],
        ),
        ("an id that is too large", br#"{"id":4294967296,"rpc":{}}"#.to_vec(), BAD_REQUEST),
        ("an id below zero", br#"{"id":-1,"rpc":{}}"#.to_vec(), BAD_REQUEST),
        ("two commands in one", br#"{"id":2,"rpc":{},"history":{"channel":"a"}}"#.to_vec(), BAD_REQUEST),
        ("no object", b"[1,2,3]".to_vec(), BAD_REQUEST),
        ("half a string", br#"{"id":2,"rpc":{"method":"\ud800"#.to_vec(), BAD_REQUEST),
        (
            "a control character in a string",
            b"{\"id\":2,\"rpc\":{\"method\":\"a\x01\"}}".to_vec(),
            BAD_REQUEST,
        ),
        ("nothing", Vec::new(), BAD_REQUEST),
    ];
    let mut answers = Answers::default();
    for (what, bytes, expected) in &cases {
        for seen in many(4, 4, |_| message(target, Format::Json, bytes)).await {
            answers.expect(what, expected, seen?);
        }
    }
    Ok(answers)
}

/// Protobuf with wild lengths, field numbers and wire types, and messages that were changed at random.
pub(super) async fn protobuf(target: Target) -> Result<Answers> {
    const MUTANTS: usize = 400;
    let cases: [(&str, &[u8]); 13] = [
        ("a length beyond the frame", b"\x7f\x08\x02"),
        ("a length of 2^63", b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x08"),
        ("a length that never ends", &[0xff; 40]),
        ("a length beyond the command", b"\x06\x08\x02\x6a\x7f\x12\x00"),
        ("field number 0", b"\x04\x00\x01\x08\x02"),
        ("wire type 3", b"\x04\x08\x02\x6b\x00"),
        ("wire type 4", b"\x04\x08\x02\x6c\x00"),
        ("wire type 6", b"\x04\x08\x02\x6e\x00"),
        ("wire type 7", b"\x04\x08\x02\x6f\x00"),
        ("a field number above the largest", b"\x0c\x08\x02\xfa\xff\xff\xff\xff\xff\xff\xff\x7f\x00"),
        ("a number of the wrong wire type", b"\x05\x0d\x01\x00\x00\x00"),
        ("a number in a message's place", b"\x04\x08\x02\x68\x01"),
        ("a command of nothing", b"\x02\x08\x02"),
    ];
    let mut answers = Answers::default();
    for (what, bytes) in cases {
        for seen in many(4, 4, |_| message(target, Format::Protobuf, bytes)).await {
            answers.expect(what, BAD_REQUEST, seen?);
        }
    }
    let mutants = &mutants(target.seed, MUTANTS);
    let fates = many(MUTANTS, 16, |number| message(target, Format::Protobuf, &mutants[number]));
    for seen in fates.await {
        let seen = seen?;
        let proper =
            matches!(seen, Seen::Granted | Seen::Error(101..) | Seen::Close(3501 | 3507 | 3508 | 1009));
        answers.expect(
            "a message changed at random",
            if proper { std::slice::from_ref(&seen) } else { &[] },
            seen,
        );
    }
    Ok(answers)
}

/// Messages of the protocol with some bytes changed, dropped, or repeated.
fn mutants(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let channel = || "news".to_owned();
    let data = || Payload::from("{\"a\":[1,2,3]}");
    let requests: [Request; 4] = [
        SubscribeRequest { channel: channel(), recover: true, epoch: "xyz".into(), ..Default::default() }
            .into(),
        PublishRequest { channel: channel(), data: data(), ..Default::default() }.into(),
        HistoryRequest { channel: channel(), limit: -1, ..Default::default() }.into(),
        RpcRequest { method: "m".into(), data: data() }.into(),
    ];
    let messages = requests.map(|request| {
        let mut bytes = BytesMut::new();
        Format::Protobuf.encode_command(&Command::Request { id: 2, request }, &mut bytes);
        bytes.to_vec()
    });
    let mut random = SmallRng::seed_from_u64(seed);
    let mutant = |_| {
        let mut bytes = messages.choose(&mut random).cloned().unwrap_or_default();
        for _ in 0..random.random_range(1..=4) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..3) {
                0 => bytes[at] = random.random(),
                1 => bytes[at] ^= 1 << random.random_range(0..8),
                _ => bytes.insert(at, random.random()),
            }
        }
        bytes
    };
    (0..count).map(mutant).collect()
}

/// Thousands of subscriptions by each client.
pub(super) async fn subscribes(target: Target) -> Result<Answers> {
    const CLIENTS: usize = 20;
    const EACH: u32 = 2_000;
    const BATCH: u32 = 50;
    /// `client.channel_limit`, the default.
    const LIMIT: usize = 128;
    let clients = many(CLIENTS, CLIENTS, |client| async move {
        let mut raw = Raw::member(target.address, Format::Json, "").await?;
        let mut seen = Vec::new();
        for batch in 0..EACH / BATCH {
            let ids = (2 + batch * BATCH)..(2 + (batch + 1) * BATCH);
            raw.throw(&ids.flat_map(|id| subscribe(&format!("c{client}.{id}"), id)).collect::<Vec<_>>())
                .await;
            let until = seen.len() + BATCH as usize;
            while seen.len() < until {
                match raw.next().await {
                    Next::Message(message) => seen.extend(raw::replies(Format::Json, message)),
                    Next::Other(end) => {
                        seen.push(end);
                        return anyhow::Ok((seen, raw));
                    }
                }
            }
        }
        anyhow::Ok((seen, raw))
    });
    let mut answers = Answers::default();
    let mut open = Vec::new();
    for client in clients.await {
        let (seen, raw) = client?;
        open.push(raw);
        for seen in seen {
            // 3012: they answer no pings either, and a busy machine may take longer than that is suffered.
            let closes = [3509, 3012, 3013].map(Seen::Close);
            let errors = [Seen::Granted, Seen::Error(106), Seen::Error(111)];
            let expected = [errors, closes].concat();
            answers.expect("one more subscription", &expected, seen);
        }
    }
    // The pair has one, too.
    let most = (CLIENTS * LIMIT + 1) as u64;
    answers.hold("no client has more than it may", arena::metric(target, "throng_subscriptions")? <= most);
    Ok(answers)
}

fn subscribe(channel: &str, id: u32) -> Vec<u8> {
    raw::command(Format::Json, id, SubscribeRequest { channel: channel.into(), ..Default::default() }.into())
}

/// Channel names of every kind of byte.
pub(super) async fn channel_names(target: Target) -> Result<Answers> {
    let mut answers = Answers::default();
    let granted_or_refused = [Seen::Granted, Seen::Error(102), Seen::Error(103), Seen::Error(107)];
    let every_byte = many(256, 32, |byte| async move {
        let byte = u8::try_from(byte).unwrap_or_default();
        // The length of the command, its id, the length of the request, the channel.
        let command = [8, 8, 2, 0x2a, 4, 0x0a, 2, b'c', byte];
        anyhow::Ok((byte, message(target, Format::Protobuf, &command).await?))
    });
    for seen in every_byte.await {
        let (byte, seen) = seen?;
        let expected = if byte.is_ascii() { &granted_or_refused[..] } else { BAD_REQUEST };
        answers.expect(&format!("a channel with the byte {byte:#04x}"), expected, seen);
    }
    let names = [
        "\u{80}",
        "ä",
        "\u{2028}",
        "\u{202e}txt.exe",
        "🦀",
        "\0",
        "\n",
        "\u{1b}[2J",
        "$",
        "$secret",
        "#",
        "a#b#c",
        ":",
        "::",
        "x:y",
        "closed:a",
        "relay:lobby",
        "pair\0",
        "../../etc/passwd",
        "{{template}}",
        "%s%n",
        " ",
        "'; drop table",
    ];
    let long = ["x".repeat(256), "x".repeat(60_000), "ä".repeat(20_000)];
    for name in names.into_iter().map(str::to_owned).chain(long) {
        for format in [Format::Json, Format::Protobuf] {
            let mut raw = Raw::member(target.address, format, "").await?;
            let request = SubscribeRequest { channel: name.clone(), ..Default::default() };
            raw.throw(&raw::command(format, 2, request.into())).await;
            let shown: String = name.escape_default().take(20).collect();
            answers.expect(&format!("a channel {shown}"), &granted_or_refused, raw.reply(format).await);
        }
    }
    Ok(answers)
}
