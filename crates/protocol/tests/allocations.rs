//! What the codecs allocate: nothing for what they pass through.
#![expect(unsafe_code, reason = "counting needs an allocator, and an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use throng_protocol::{Command, Format, Limits, Payload, Publication, PublishRequest, Request};

/// The system's allocator, which counts the bytes that this thread asks for.
struct Counting;

thread_local! {
    static REQUESTED: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTED.set(REQUESTED.get() + layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: `place` came from `alloc` above, hence from the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Bytes that `action` asks for, and what it returns.
fn requested<T>(action: impl FnOnce() -> T) -> (usize, T) {
    let before = REQUESTED.get();
    let result = action();
    (REQUESTED.get() - before, result)
}

fn large_json() -> Payload {
    format!("[{}1]", "\"\\u00e9\",{\"a\":null},-1.5e3,\n".repeat(2_000)).into()
}

#[test]
fn encoding_a_publication_asks_for_nothing_but_room() {
    let publication = Publication { data: large_json(), offset: 7, ..Default::default() };
    for format in [Format::Json, Format::Protobuf] {
        let mut out = BytesMut::with_capacity(publication.data.len() + 200);
        let (bytes, ()) = requested(|| format.encode_publication_push("news", &publication, &mut out));
        assert_eq!(bytes, 0, "{format}");
        assert!(out.len() > 50_000);
    }
}

#[test]
fn decoding_a_command_asks_for_its_texts_only() {
    let publish = PublishRequest { channel: "news".into(), data: large_json(), ..Default::default() };
    let command = Command::Request { id: 1, request: Request::Publish(publish) };
    for format in [Format::Json, Format::Protobuf] {
        let mut out = BytesMut::new();
        format.encode_command(&command, &mut out);
        let frame = out.freeze();
        let limits = Limits { nesting: 8, ..Default::default() };
        let (bytes, read) = requested(|| format.decode_commands(frame, &limits).next());
        assert!(matches!(read, Some(Ok(Command::Request { id: 1, .. }))));
        // The channel's name, and what makes the frame's buffer shareable.
        assert!(bytes <= 64, "{format}: {bytes} bytes");
    }
}

#[test]
fn checking_a_payload_asks_for_nothing() {
    let payload = large_json();
    assert_eq!(requested(|| payload.is_json()), (0, true));
}

#[test]
fn hostile_commands_ask_for_a_bounded_number_of_bytes() {
    let limits = Limits::default();
    let body = b"\x08\x01\x2a\xf8\xff\x03\x6a\xf4\xff\x03";
    let nodes = [0x32, 0].repeat(32_762);
    let mut protobuf = vec![0xfe, 0xff, 0x03];
    protobuf.extend_from_slice(body);
    protobuf.extend_from_slice(&nodes);
    let nodes = "{},".repeat(21_000);
    let json = format!(r#"{{"id":1,"subscribe":{{"tf":{{"nodes":[{nodes}{{}}]}}}}}}"#);
    for (format, frame) in [(Format::Json, json.into_bytes()), (Format::Protobuf, protobuf)] {
        let frame = Bytes::from(frame);
        let (bytes, read) = requested(|| format.decode_commands(frame, &limits).next());
        assert!(matches!(read, Some(Err(_))), "{format}");
        // 4,096 nodes of 144 bytes, in a list that grows by doubling.
        assert!(bytes < 2_000_000, "{format}: {bytes} bytes");
        assert!(bytes > 500_000, "{format}: {bytes} bytes; the elements limit was not what stopped it");
    }
}
