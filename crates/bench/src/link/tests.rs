use proptest::prelude::*;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::*;
use crate::wire::stamp::MIN_SIZE;

const SIZE: usize = 100;

fn wire(protocol: Protocol) -> Wire {
    Wire {
        protocol,
        upgrade: Upgrade::new("localhost".to_owned(), protocol.subprotocol()),
        rooms: vec![Room::new("bench-0".to_owned())],
        path_template: "/relay/{room}".to_owned(),
        size: SIZE,
    }
}

fn stamp(sequence: u32) -> Stamp {
    Stamp { room: 0, publisher: 0, sequence, due_ns: 7 }
}

fn payload(sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    stamp(sequence).write(SIZE.max(MIN_SIZE), &mut out);
    out
}

/// The server's answer to the request that stands in the link's outbox, which is then empty.
fn accept(link: &mut Link) -> Vec<u8> {
    let request = String::from_utf8(link.outbox.unwritten().to_vec()).unwrap();
    assert!(request.starts_with("GET /relay/bench-0 HTTP/1.1\r\n"));
    let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let accept = derive_accept_key(key.as_bytes());
    link.outbox.wrote(request.len());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// Feeds `bytes` in pieces of these lengths, as the sockets do it, and collects the events.
fn feed(link: &mut Link, wire: &Wire, bytes: &[u8], cuts: &[usize]) -> Result<Vec<Event>, LinkError> {
    let mut events = Vec::new();
    let mut rest = bytes;
    let mut cuts = cuts.iter().copied().chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(cuts.next().unwrap_or(1).clamp(1, rest.len()));
        let mut buffer = link.take_pending();
        buffer.extend_from_slice(chunk);
        link.feed(wire, &buffer, &mut |event, _| events.push(event))?;
        rest = behind;
    }
    Ok(events)
}

/// What the link has queued, as unmasked frames.
fn sent(link: &mut Link) -> Vec<(u8, Vec<u8>)> {
    let mut bytes = link.outbox.unwritten().to_vec();
    link.outbox.wrote(bytes.len());
    let mut frames = Vec::new();
    let mut rest = bytes.as_mut_slice();
    while let Some(header) = Header::parse(rest) {
        let (frame, behind) = rest.split_at_mut(header.size + usize::try_from(header.payload).unwrap());
        let payload = &mut frame[header.size..];
        frame::apply_mask(payload, header.mask.unwrap());
        frames.push((header.opcode, payload.to_vec()));
        rest = behind;
    }
    frames
}

fn opened(wire: &Wire) -> Link {
    let mut link = Link::new(wire, 0, true, 1);
    let answer = accept(&mut link);
    assert_eq!(feed(&mut link, wire, &answer, &[]), Ok(vec![Event::Opened]));
    link
}

proptest! {
    /// However the kernel cuts and joins the bytes, the events are the same.
    #[test]
    fn events_do_not_depend_on_how_the_bytes_are_cut(cuts in proptest::collection::vec(1usize..200, 0..40)) {
        let wire = wire(Protocol::Relay);
        let mut link = Link::new(&wire, 0, true, 1);
        let mut bytes = accept(&mut link);
        frame::write_plain(&mut bytes, frame::TEXT, &payload(0));
        frame::write_plain(&mut bytes, frame::PING, b"are you there");
        // One message in three frames with a ping between them.
        let whole = payload(1);
        let (one, rest) = whole.split_at(30);
        let (two, three) = rest.split_at(40);
        bytes.extend_from_slice(&[frame::TEXT, 30]);
        bytes.extend_from_slice(one);
        bytes.extend_from_slice(&[frame::CONTINUATION, 40]);
        bytes.extend_from_slice(two);
        frame::write_plain(&mut bytes, frame::PING, b"");
        frame::write_plain(&mut bytes, frame::CONTINUATION, three);
        frame::write_plain(&mut bytes, frame::BINARY, &payload(2));
        frame::write_plain(&mut bytes, frame::TEXT, &vec![b'x'; 70_000]);
        frame::write_plain(&mut bytes, frame::TEXT, &payload(3));
        let events = feed(&mut link, &wire, &bytes, &cuts).unwrap();
        let expected = [
            Event::Opened,
            Event::Message(stamp(0)),
            Event::Message(stamp(1)),
            Event::Message(stamp(2)),
            Event::Foreign,
            Event::Message(stamp(3)),
        ];
        prop_assert_eq!(events, expected);
        let pongs = [(frame::PONG, b"are you there".to_vec()), (frame::PONG, Vec::new())];
        prop_assert_eq!(sent(&mut link), pongs);
    }

    /// Whatever a server sends, the link neither panics nor asks for unbounded memory.
    #[test]
    fn hostile_bytes_end_in_events_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for protocol in [Protocol::Relay, Protocol::Json, Protocol::Protobuf] {
            let wire = wire(protocol);
            let mut link = Link::new(&wire, 0, true, 1);
            link.phase = Phase::Open;
            let _ = feed(&mut link, &wire, &bytes, &[7, 50, 1]);
            prop_assert!(link.pending.len() <= bytes.len());
        }
    }
}

#[test]
fn a_protocol_connection_is_open_when_both_commands_are_answered() {
    let wire = wire(Protocol::Json);
    let mut link = Link::new(&wire, 0, true, 1);
    let answer = accept(&mut link);
    assert_eq!(feed(&mut link, &wire, &answer, &[]), Ok(vec![]));
    let greeting = sent(&mut link);
    assert_eq!(greeting.len(), 1, "both commands travel in one message");
    let mut bytes = Vec::new();
    frame::write_plain(
        &mut bytes,
        frame::TEXT,
        b"{\"id\":1,\"connect\":{\"client\":\"c\",\"ping\":25,\"pong\":true}}",
    );
    assert_eq!(feed(&mut link, &wire, &bytes, &[]), Ok(vec![]));
    bytes.clear();
    frame::write_plain(&mut bytes, frame::TEXT, b"{\"id\":2,\"subscribe\":{}}\n{}");
    assert_eq!(feed(&mut link, &wire, &bytes, &[]), Ok(vec![Event::Opened]));
    assert_eq!(sent(&mut link), [(frame::TEXT, b"{}".to_vec())], "the ping gets its pong");
}

#[test]
fn a_server_without_pongs_gets_none() {
    let wire = wire(Protocol::Protobuf);
    let mut link = Link::new(&wire, 0, false, 1);
    accept(&mut link);
    link.phase = Phase::Open;
    let mut bytes = Vec::new();
    frame::write_plain(&mut bytes, frame::BINARY, &[0]);
    assert_eq!(feed(&mut link, &wire, &bytes, &[]), Ok(vec![]));
    assert_eq!(sent(&mut link), []);
}

#[test]
fn a_refused_command_ends_the_connection_and_a_refused_publication_does_not() {
    let wire = wire(Protocol::Json);
    let mut link = Link::new(&wire, 0, true, 1);
    let answer = accept(&mut link);
    feed(&mut link, &wire, &answer, &[]).unwrap();
    let refusal = Refusal { code: 103, message: "permission denied".to_owned() };
    let error = |id: u32| {
        let mut bytes = Vec::new();
        let text = format!("{{\"id\":{id},\"error\":{{\"code\":103,\"message\":\"permission denied\"}}}}");
        frame::write_plain(&mut bytes, frame::TEXT, text.as_bytes());
        bytes
    };
    assert_eq!(feed(&mut link, &wire, &error(9), &[]), Ok(vec![Event::Refused(refusal.clone())]));
    assert_eq!(feed(&mut link, &wire, &error(2), &[]), Err(LinkError::Refused(refusal)));
}

#[test]
fn a_close_frame_is_answered_and_reported() {
    let wire = wire(Protocol::Relay);
    let mut link = opened(&wire);
    let mut bytes = Vec::new();
    frame::write_plain(&mut bytes, frame::CLOSE, b"\x0b\xb9shutdown");
    let closed = LinkError::Closed { code: 3001, reason: "shutdown".to_owned() };
    assert_eq!(feed(&mut link, &wire, &bytes, &[]), Err(closed));
    assert_eq!(sent(&mut link), [(frame::CLOSE, vec![0x0b, 0xb9])]);
    assert!(link.was_open() && !link.is_open());
}

#[test]
fn breaches_of_the_framing_are_named() {
    let wire = wire(Protocol::Relay);
    for (bytes, part) in [
        (&[0xC1, 0][..], "reserved bit"),
        (&[0x81, 0x80, 0, 0, 0, 0], "masked"),
        (&[0x09, 0], "control frame"),
        (&[0x89, 126, 0, 126], "control frame"),
        (&[0x80, 0], "nothing to continue"),
        (&[0x01, 0, 0x81, 0], "inside another"),
        (&[0x83, 0], "unknown opcode"),
        (&[0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0], "message of 1099511627776 bytes"),
    ] {
        let error = feed(&mut opened(&wire), &wire, bytes, &[]).unwrap_err().to_string();
        assert!(error.contains(part), "{bytes:?} gives {error:?}");
    }
}

#[test]
fn published_messages_are_masked_with_changing_keys() {
    let wire = wire(Protocol::Relay);
    let mut link = opened(&wire);
    let mut scratch = Scratch::default();
    link.outbox.publish(&wire, &stamp(0), &mut scratch);
    link.outbox.publish(&wire, &stamp(1), &mut scratch);
    let raw = link.outbox.unwritten().to_vec();
    let first = Header::parse(&raw).unwrap();
    let second = Header::parse(&raw[first.size + SIZE..]).unwrap();
    assert_ne!(first.mask, second.mask);
    assert_eq!(sent(&mut link), [(frame::TEXT, payload(0)), (frame::TEXT, payload(1))]);
}
