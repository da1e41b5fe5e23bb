//! What do a client's frames cost to read and the server's to make, for each payload size, beside tungstenite? And is
//! the work linear when a message comes in the smallest pieces? Unit: frames.

use std::hint::black_box;
use std::io::{self, Read, Write};

use bytes::{BufMut, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throng_protocol::frame::{Decoder, Event, FrameLimits, Opcode, encode, encode_into, encode_with};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

/// Payload sizes, in bytes. The last does not fit into one read, so it is put together from two.
const SIZES: [usize; 4] = [64, 1_024, 16_384, 65_536];
/// What one read brings at most, in bytes.
const READ_BYTES: usize = 65_536;
const LIMITS: FrameLimits = FrameLimits { message_bytes: 1 << 20, fragments: 1 << 20 };

/// A connection of which one side has been written and the other reads; writing goes to where nothing is kept.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    read: usize,
    written: usize,
    keep: bool,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.read..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = rest.len().min(buffer.len()).min(READ_BYTES);
        buffer[..len].copy_from_slice(&rest[..len]);
        self.read += len;
        Ok(len)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.written += buffer.len();
        if self.keep {
            self.bytes.extend_from_slice(buffer);
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// ASCII, as most JSON is.
fn text(size: usize) -> String {
    r#"{"id":12345,"text":"hello"},"#.chars().cycle().take(size).collect()
}

/// As many masked text frames as fit into one read, but one at least, as tungstenite's client sends them.
fn client_frames(size: usize) -> (Vec<u8>, usize) {
    let count = (READ_BYTES / (size + 14)).max(1);
    let wire = Wire { keep: true, ..Wire::default() };
    let mut client = WebSocket::from_raw_socket(wire, Role::Client, None);
    for _ in 0..count {
        client.send(Message::text(text(size))).expect("the wire takes everything");
    }
    (std::mem::take(&mut client.get_mut().bytes), count)
}

/// Reads all that the wire holds, from its beginning; returns the number of messages.
fn read_with_throng(decoder: &mut Decoder, wire: &mut Wire, buffer: &mut [u8]) -> usize {
    wire.read = 0;
    let mut messages = 0;
    while let Ok(len) = wire.read(buffer) {
        let mut input = &mut buffer[..len];
        loop {
            let (used, event) = decoder.decode(input, &LIMITS).expect("correct frames");
            match event {
                Some(Event::Message { data, .. }) => {
                    black_box(&data);
                    messages += 1;
                }
                Some(Event::Ping(_) | Event::Pong(_) | Event::Close(_)) => {
                    unreachable!("only messages were sent")
                }
                None => break,
            }
            input = &mut input[used..];
        }
    }
    messages
}

fn read_with_tungstenite(server: &mut WebSocket<Wire>) -> usize {
    server.get_mut().read = 0;
    let mut messages = 0;
    loop {
        match server.read() {
            Ok(message) => {
                black_box(message);
                messages += 1;
            }
            Err(Error::Io(_)) => return messages,
            Err(error) => panic!("correct frames: {error}"),
        }
    }
}

/// The copy out of the wire is timed for both: it stands for what the kernel does when a socket is read.
fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read text frames");
    for size in SIZES {
        let (bytes, count) = client_frames(size);
        group.throughput(Throughput::Elements(count as u64));

        let mut wire = Wire { bytes: bytes.clone(), ..Wire::default() };
        let mut decoder = Decoder::new();
        let mut buffer = vec![0; READ_BYTES];
        group.bench_function(BenchmarkId::new("throng", size), |bencher| {
            bencher.iter(|| assert_eq!(read_with_throng(&mut decoder, &mut wire, &mut buffer), count));
        });

        for (name, read_buffer) in [("tungstenite", 128 << 10), ("tungstenite, 4 KiB read buffer", 4 << 10)] {
            let config = WebSocketConfig::default().read_buffer_size(read_buffer);
            let wire = Wire { bytes: bytes.clone(), ..Wire::default() };
            let mut server = WebSocket::from_raw_socket(wire, Role::Server, Some(config));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| assert_eq!(read_with_tungstenite(&mut server), count));
            });
        }
    }
}

/// tungstenite has no function that makes a frame, so its figure is that of a write to a stream that takes everything.
fn make(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("make text frames");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let payload = text(size);
        group.bench_function(BenchmarkId::new("encode", size), |bencher| {
            bencher.iter(|| encode(Opcode::Text, black_box(payload.as_bytes())));
        });
        group.bench_function(BenchmarkId::new("encode_with", size), |bencher| {
            bencher
                .iter(|| encode_with(Opcode::Text, size, |out| out.put_slice(black_box(payload.as_bytes()))));
        });
        let mut out = BytesMut::new();
        group.bench_function(BenchmarkId::new("encode_into", size), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode_into(Opcode::Text, black_box(payload.as_bytes()), &mut out);
                black_box(&out);
            });
        });
        let mut server = WebSocket::from_raw_socket(Wire::default(), Role::Server, None);
        let message = Message::text(payload.clone());
        group.bench_function(BenchmarkId::new("tungstenite", size), |bencher| {
            bencher.iter(|| server.send(black_box(&message).clone()).expect("the wire takes everything"));
        });
    }
}

/// A message cut into fragments of one byte each. The time per fragment must not depend on their number.
fn fragments(criterion: &mut Criterion) {
    const KEY: [u8; 4] = [7; 4];
    let mut group = criterion.benchmark_group("read one-byte fragments");
    for count in [1_024_usize, 8_192, 65_536] {
        let mut bytes = Vec::new();
        for nth in 0..count {
            let opcode = if nth == 0 { Opcode::Text } else { Opcode::Continuation };
            let fin = if nth + 1 == count { 0x80 } else { 0 };
            bytes.extend_from_slice(&[fin | opcode.bits(), 0x81]);
            bytes.extend_from_slice(&KEY);
            bytes.push(b'x' ^ KEY[0]);
        }
        let mut wire = Wire { bytes, ..Wire::default() };
        let mut decoder = Decoder::new();
        group.throughput(Throughput::Elements(count as u64));
        for (name, read_bytes) in [("in large reads", READ_BYTES), ("byte by byte", 1)] {
            let mut buffer = vec![0; read_bytes];
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| assert_eq!(read_with_throng(&mut decoder, &mut wire, &mut buffer), 1));
            });
        }
    }
}

criterion_group!(frame, decode, make, fragments);
criterion_main!(frame);
