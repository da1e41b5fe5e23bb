//! What does it cost to read a command and to write a publication, for each payload size? Unit: messages.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throng_protocol::{
    Command, ConnectRequest, Format, Limits, Payload, Publication, PublishRequest, SubscribeRequest,
};

const FORMATS: [Format; 2] = [Format::Json, Format::Protobuf];
/// Payload sizes, in bytes; the last still fits a command of 64 KiB.
const SIZES: [usize; 5] = [16, 128, 1_024, 8_192, 65_000];

/// Objects, numbers and short texts, as applications send them, of about `size` bytes.
fn payload(size: usize) -> Payload {
    const ITEM: &str = r#"{"id":12345,"text":"hello, world"},"#;
    let items = ITEM.repeat(size.saturating_sub(2) / ITEM.len());
    format!("[{}{}]", items, "1".repeat((size - 2 - items.len()).max(1))).into()
}

fn encoded(format: Format, commands: &[Command]) -> Bytes {
    let mut out = BytesMut::new();
    for command in commands {
        format.encode_command(command, &mut out);
    }
    // Exactly sized, as a frame from the network is.
    Bytes::copy_from_slice(&out)
}

fn decode_all(format: Format, frame: &Bytes, limits: &Limits) -> usize {
    let commands = format.decode_commands(frame.clone(), limits);
    commands.inspect(|command| assert!(black_box(command).is_ok())).count()
}

fn decode_publish(criterion: &mut Criterion) {
    let limits = Limits::default();
    for format in FORMATS {
        let mut group = criterion.benchmark_group(format!("decode publish, {format}"));
        group.throughput(Throughput::Elements(1));
        for size in SIZES {
            let publish =
                PublishRequest { channel: "news:42".into(), data: payload(size), ..Default::default() };
            let frame = encoded(format, &[Command::Request { id: 7, request: publish.into() }]);
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| assert_eq!(decode_all(format, &frame, &limits), 1));
            });
        }
    }
}

/// The first frame of a JavaScript client: a connect command and ten subscribe commands.
fn decode_greeting(criterion: &mut Criterion) {
    let limits = Limits::default();
    let connect = ConnectRequest { token: "x".repeat(200), name: "js".into(), ..Default::default() };
    let mut commands = vec![Command::Request { id: 1, request: connect.into() }];
    commands.extend((2..12).map(|id| {
        let channel = format!("room:{id}");
        let subscribe = SubscribeRequest { channel, recoverable: true, flag: 1, ..Default::default() };
        Command::Request { id, request: subscribe.into() }
    }));
    let mut group = criterion.benchmark_group("decode connect and 10 subscribes");
    group.throughput(Throughput::Elements(commands.len() as u64));
    for format in FORMATS {
        let frame = encoded(format, &commands);
        group.bench_function(format.to_string(), |bencher| {
            bencher.iter(|| assert_eq!(decode_all(format, &frame, &limits), commands.len()));
        });
    }
}

fn encode_push(criterion: &mut Criterion) {
    for format in FORMATS {
        let mut group = criterion.benchmark_group(format!("encode publication push, {format}"));
        group.throughput(Throughput::Elements(1));
        for size in SIZES {
            let publication = Publication { data: payload(size), offset: 12_345, ..Default::default() };
            let mut out = BytesMut::with_capacity(size + 256);
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    format.encode_publication_push("news:42", black_box(&publication), &mut out);
                    black_box(&out);
                });
            });
        }
    }
}

/// The check at the edge, in bytes.
fn check_json(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check that a payload is JSON");
    for size in SIZES {
        let payload = payload(size);
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| assert!(black_box(&payload).is_json()));
        });
    }
}

criterion_group!(codec, decode_publish, decode_greeting, encode_push, check_json);
criterion_main!(codec);
