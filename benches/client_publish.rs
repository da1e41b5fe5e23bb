//! How many publishes does one client get acknowledged in a second, pipelined over one loopback connection, with the
//! server in the same process and the machine to share? Unit: acknowledged publishes. Beside it, in turn, a floor: the
//! same commands in full frames, echoed by a bare WebSocket server. No criterion: a run is a second of sustained work.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use throng_client::{Client, Format, Payload};
use throng_protocol::{Command, PublishRequest, Request};
use throng_server::{Running, Server, config::Settings};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes, WebSocket, accept, client};

/// Publishes under way at once.
const WINDOW: usize = 2_048;
/// Commands in one frame of the floor, as many as the client puts into one at most.
const COMMANDS: usize = 256;
/// Frames of the floor under way at once: as many commands as the client has.
const FRAMES: usize = WINDOW / COMMANDS;
/// Runs of each; the best counts, because the machine has other work.
const ROUNDS: usize = 5;
/// What is published.
const PAYLOAD: &str = "{\"text\":\"hello, throng\",\"n\":12345}";

/// How much work a run is.
#[derive(Clone, Copy)]
struct Work {
    rounds: usize,
    publishes: usize,
}

fn main() {
    // `--test`: once and briefly, to see that it works.
    let work = if std::env::args().any(|argument| argument == "--test") {
        Work { rounds: 1, publishes: 4 * WINDOW }
    } else {
        Work { rounds: ROUNDS, publishes: 200_000 }
    };
    for format in [Format::Json, Format::Protobuf] {
        let (mut client, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..work.rounds {
            client.push(acknowledged_per_second(format, work.publishes));
            floor.push(echoed_per_second(format, work.publishes));
        }
        let (client, floor) = (best(&client), best(&floor));
        report(&format!(
            "{format}: {client:.0} acknowledged publishes/s, best of {}; floor {floor:.0} echoed commands/s; ratio {:.3}",
            work.rounds,
            client / floor
        ));
    }
}

#[expect(clippy::print_stdout, reason = "the result of a bench")]
fn report(line: &str) {
    println!("{line}");
}

fn best(rates: &[f64]) -> f64 {
    rates.iter().copied().fold(0.0, f64::max)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn acknowledged_per_second(format: Format, publishes: usize) -> f64 {
    let (server_runtime, server) = server();
    let url = server.url("/connection/websocket");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rate = runtime.block_on(async {
        let client = Client::builder(url).format(format).connect().await.expect("the server welcomes");
        publish(&client, 4 * WINDOW).await; // warm
        let start = Instant::now();
        publish(&client, publishes).await;
        let rate = rate(publishes, start.elapsed());
        client.close().await;
        rate
    });
    server_runtime.block_on(server.shutdown());
    rate
}

async fn publish(client: &Client, count: usize) {
    let payload = Payload::from(PAYLOAD);
    let calls = stream::iter(0..count).map(|_| client.publish("bench", payload.clone()));
    let mut outcomes = calls.buffer_unordered(WINDOW);
    while let Some(outcome) = outcomes.next().await {
        outcome.expect("acknowledged");
    }
}

/// A server with one shard on threads of its own.
fn server() -> (Runtime, Running) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let mut settings = Settings::default();
    settings.http_server.port = 0;
    settings.shards.count = 1;
    let server = runtime.block_on(Server::builder().settings(settings).start()).expect("the server starts");
    (runtime, server)
}

fn echoed_per_second(format: Format, commands: usize) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let echo = thread::spawn(move || echo(&listener));
    let mut socket = connect(address);
    let frame = frame(format);
    let frames = commands / COMMANDS;
    exchange(&mut socket, &frame, 4 * FRAMES); // warm
    let start = Instant::now();
    exchange(&mut socket, &frame, frames);
    let rate = rate(frames * COMMANDS, start.elapsed());
    drop(socket);
    echo.join().expect("the echo ends");
    rate
}

/// A full frame of publish commands.
fn frame(format: Format) -> Message {
    let mut frame = bytes::BytesMut::new();
    for id in 1..=COMMANDS {
        let data = Payload::from(PAYLOAD);
        let request = PublishRequest { channel: "bench".to_owned(), data, ..PublishRequest::default() };
        let id = u32::try_from(id).expect("small");
        format.encode_command(&Command::Request { id, request: Request::Publish(request) }, &mut frame);
    }
    let frame: Bytes = frame.freeze();
    match format {
        Format::Json => Message::Text(Utf8Bytes::try_from(frame).expect("JSON is text")),
        Format::Protobuf => Message::Binary(frame),
    }
}

fn exchange(socket: &mut WebSocket<TcpStream>, frame: &Message, count: usize) {
    for sent in 0..count + FRAMES {
        if sent < count {
            socket.send(frame.clone()).expect("the echo reads");
        }
        if sent >= FRAMES {
            assert_eq!(socket.read().expect("an echo").len(), frame.len());
        }
    }
}

fn connect(address: SocketAddr) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).expect("the echo listens");
    stream.set_nodelay(true).expect("the socket is open");
    client(format!("ws://{address}/"), stream).expect("a handshake").0
}

fn echo(listener: &TcpListener) {
    let (stream, _) = listener.accept().expect("a client");
    stream.set_nodelay(true).expect("the socket is open");
    let mut socket = accept(stream).expect("a handshake");
    // An error is the end: the client hangs up without a word.
    while let Ok(message) = socket.read() {
        if socket.send(message).is_err() {
            return;
        }
    }
}
