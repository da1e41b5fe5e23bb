//! How long does one message take through a whole server, kernel included: echo, relay to another client, and publish to
//! one's own subscription in JSON? One message at a time over loopback. Unit: messages.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{SinkExt, StreamExt};
use throng_server::{Running, Server, config::Settings};
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Bytes, Message, Utf8Bytes},
};

/// Payload sizes, in bytes.
const SIZES: [usize; 3] = [64, 1_024, 16_384];
/// Nothing takes longer, or the server has lost a message.
const LIMIT: Duration = Duration::from_secs(10);

/// A server on a free port, and a client of it.
struct Bench {
    runtime: Runtime,
    server: Running,
}

type Socket = WebSocketStream<TcpStream>;

impl Bench {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let mut settings = Settings::default();
        settings.http_server.port = 0;
        let server =
            runtime.block_on(Server::builder().settings(settings).start()).expect("the server starts");
        Self { runtime, server }
    }

    fn connect(&self, path: &str) -> Socket {
        let (url, address) = (self.server.url(path), self.server.local_addr());
        self.runtime.block_on(async {
            let stream = TcpStream::connect(address).await.expect("the server listens");
            stream.set_nodelay(true).expect("the socket is open");
            client_async(url, stream).await.expect("the server upgrades").0
        })
    }

    fn stop(self) {
        self.runtime.block_on(self.server.shutdown());
    }
}

async fn send(socket: &mut Socket, message: Message) {
    socket.send(message).await.expect("the connection stands");
}

async fn receive(socket: &mut Socket) -> Message {
    let message = timeout(LIMIT, socket.next()).await.expect("an answer in time");
    message.expect("the connection stands").expect("correct frames")
}

fn text(size: usize) -> Utf8Bytes {
    "x".repeat(size).into()
}

fn echo(criterion: &mut Criterion) {
    let bench = Bench::start();
    let mut group = criterion.benchmark_group("echo");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let mut socket = bench.connect("/echo");
        let payload = Bytes::from(vec![7; size]);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                bench.runtime.block_on(async {
                    send(&mut socket, Message::Binary(payload.clone())).await;
                    assert_eq!(receive(&mut socket).await.len(), size);
                });
            });
        });
    }
    drop(group);
    bench.stop();
}

fn relay(criterion: &mut Criterion) {
    let bench = Bench::start();
    let mut group = criterion.benchmark_group("relay to another client");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let path = format!("/relay/{size}");
        let [mut from, mut to] = [bench.connect(&path), bench.connect(&path)];
        let payload = text(size);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                bench.runtime.block_on(async {
                    send(&mut from, Message::Text(payload.clone())).await;
                    assert_eq!(receive(&mut to).await.len(), size);
                });
            });
        });
    }
    drop(group);
    bench.stop();
}

/// The answer and the publication are both waited for.
fn publish(criterion: &mut Criterion) {
    let bench = Bench::start();
    let mut group = criterion.benchmark_group("publish to the own subscription, JSON");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let mut socket = bench.connect("/connection/websocket");
        bench.runtime.block_on(async {
            send(&mut socket, "{\"id\":1,\"connect\":{}}".into()).await;
            receive(&mut socket).await;
            let subscribe = format!("{{\"id\":2,\"subscribe\":{{\"channel\":\"bench-{size}\"}}}}");
            send(&mut socket, subscribe.into()).await;
            receive(&mut socket).await;
        });
        let publish =
            format!("{{\"id\":3,\"publish\":{{\"channel\":\"bench-{size}\",\"data\":\"{}\"}}}}", text(size));
        let publish = Utf8Bytes::from(publish);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                bench.runtime.block_on(async {
                    send(&mut socket, Message::Text(publish.clone())).await;
                    let mut awaited = 2;
                    while awaited > 0 {
                        let message = receive(&mut socket).await.into_text().expect("JSON is text");
                        assert!(!message.contains("\"error\""), "{message}");
                        awaited -= message.split('\n').filter(|line| *line != "{}").count();
                    }
                });
            });
        });
    }
    drop(group);
    bench.stop();
}

criterion_group!(roundtrip, echo, relay, publish);
criterion_main!(roundtrip);
