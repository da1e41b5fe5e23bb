//! Frames that a client can read, in allocations of their own size.

use std::io::{self, Cursor, Read, Write};

use bytes::{BufMut, Bytes, BytesMut};
use throng_protocol::frame::{Opcode, encode, encode_close, encode_into, encode_with};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

/// Payload lengths around every change of the header's form.
const LENGTHS: [usize; 10] = [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 200_000];

/// Reads frames as tungstenite's client does; what it answers is thrown away.
struct FromServer(Cursor<Vec<u8>>);

impl Read for FromServer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for FromServer {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn client_reads(frames: &[u8], count: usize) -> Vec<Message> {
    let config = WebSocketConfig::default().read_buffer_size(4_096);
    let stream = FromServer(Cursor::new(frames.to_vec()));
    let mut client = WebSocket::from_raw_socket(stream, Role::Client, Some(config));
    (0..count).map(|_| client.read().unwrap()).collect()
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Bytes that a frame keeps alive.
fn allocation(frame: Bytes) -> usize {
    frame.try_into_mut().expect("the frame is not shared").capacity()
}

#[test]
fn a_client_reads_what_was_encoded_at_every_length_form() {
    for len in LENGTHS {
        let data = payload(len);
        assert_eq!(
            client_reads(&encode(Opcode::Binary, &data), 1),
            [Message::Binary(data.into())],
            "length {len}"
        );
    }
}

#[test]
fn every_kind_of_frame_arrives_as_itself() {
    let mut out = BytesMut::new();
    encode_into(Opcode::Text, "grüße".as_bytes(), &mut out);
    encode_into(Opcode::Binary, &[0, 255], &mut out);
    encode_into(Opcode::Ping, b"ping", &mut out);
    encode_into(Opcode::Pong, b"pong", &mut out);
    encode_into(Opcode::Close, b"", &mut out);
    let expected = [
        Message::text("grüße"),
        Message::binary(vec![0, 255]),
        Message::Ping("ping".into()),
        Message::Pong("pong".into()),
        Message::Close(None),
    ];
    assert_eq!(client_reads(&out, 5), expected);
}

#[test]
fn all_encoders_make_the_same_bytes() {
    for len in LENGTHS {
        let data = payload(len);
        let expected = encode(Opcode::Binary, &data);
        let mut appended = BytesMut::from(&b"before"[..]);
        encode_into(Opcode::Binary, &data, &mut appended);
        assert_eq!(appended[6..], expected, "length {len}");
        for hint in [0, len / 2, len, len + 1, 2 * len + 100] {
            let written = encode_with(Opcode::Binary, hint, |out| out.put_slice(&data));
            assert_eq!(written, expected, "length {len}, hint {hint}");
        }
    }
}

#[test]
fn headers_are_as_short_as_they_can_be() {
    for (len, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        assert_eq!(encode(Opcode::Binary, &payload(len)).len(), header + len);
    }
}

#[test]
fn encode_allocates_exactly_the_frame() {
    for len in LENGTHS {
        let frame = encode(Opcode::Text, &vec![b'.'; len]);
        let frame_len = frame.len();
        assert_eq!(allocation(frame), frame_len);
    }
}

#[test]
fn encode_with_leaves_the_payload_where_it_was_written_if_the_hint_is_exact() {
    for len in LENGTHS {
        let data = payload(len);
        let mut written_at = std::ptr::null();
        let frame = encode_with(Opcode::Binary, len, |out| {
            assert!(out.is_empty(), "`write` finds an empty buffer");
            out.put_slice(&data);
            written_at = out.as_ptr();
        });
        let header = frame.len() - len;
        assert_eq!(frame[header..].as_ptr(), written_at, "length {len}");
        let frame_len = frame.len();
        assert!(allocation(frame) <= frame_len + 8, "length {len}");
    }
}

#[test]
fn a_wrong_hint_does_not_keep_memory_alive() {
    for len in LENGTHS {
        let data = payload(len);
        for hint in [0, 10, 4_096, 1 << 20] {
            let frame = encode_with(Opcode::Binary, hint, |out| out.put_slice(&data));
            let frame_len = frame.len();
            let allocation = allocation(frame);
            assert!(allocation <= frame_len + frame_len / 4 + 32, "{allocation} for {len} with hint {hint}");
        }
    }
}

#[test]
fn a_payload_that_is_written_in_many_steps_is_put_together() {
    let frame = encode_with(Opcode::Text, 3, |out| (0..1_000).for_each(|_| out.put_slice(b"step")));
    assert_eq!(client_reads(&frame, 1), [Message::text("step".repeat(1_000))]);
}

#[test]
fn a_writer_that_writes_nothing_makes_an_empty_message() {
    assert_eq!(encode_with(Opcode::Text, 0, |_| {}), &b"\x81\x00"[..]);
    assert_eq!(encode_with(Opcode::Text, 500, |_| {}), &b"\x81\x00"[..]);
}

#[test]
fn a_writer_that_replaces_its_buffer_is_still_encoded() {
    let frame = encode_with(Opcode::Text, 100, |out| *out = BytesMut::from("mine"));
    assert_eq!(frame, &b"\x81\x04mine"[..]);
}

#[test]
fn a_close_frame_carries_code_and_reason() {
    let frame = encode_close(3001, "shutdown");
    let expected = CloseFrame { code: 3001.into(), reason: "shutdown".into() };
    assert_eq!(client_reads(&frame, 1), [Message::Close(Some(expected))]);
    assert_eq!(encode_close(1001, ""), &b"\x88\x02\x03\xe9"[..]);
}

#[test]
fn long_close_reasons_are_cut_at_123_bytes() {
    let exact = "x".repeat(123);
    assert_eq!(encode_close(1000, &exact)[4..], *exact.as_bytes());
    assert_eq!(encode_close(1000, &"x".repeat(1_000))[4..], *exact.as_bytes());
}

#[test]
fn a_close_reason_is_not_cut_inside_of_a_character() {
    for (padding, kept) in [(120, 123), (121, 121), (122, 122), (123, 123)] {
        let reason = "x".repeat(padding) + "€uro";
        let frame = encode_close(1000, &reason);
        assert_eq!(frame[4..], reason.as_bytes()[..kept], "padding {padding}");
        assert_eq!(usize::from(frame[1]), 2 + kept);
    }
}
