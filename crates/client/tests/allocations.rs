//! What a received publication costs: no allocation but the buffer that its payload arrived in.
#![expect(
    unsafe_code,
    reason = "an allocator that counts is one that the standard library wants to be unsafe"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::TcpListener,
    sync::mpsc,
    thread,
};

use bytes::BytesMut;
use futures_util::StreamExt as _;
use throng_client::{Client, Event, Format, Publication, QueueBounds, SubscribeOptions, Subscription};
use throng_protocol::{
    Command, ConnectResult, Limits, Outcome, Push, PushEvent, Reply, Request, SubscribeResult,
};
use tokio_tungstenite::tungstenite::{
    Message, Utf8Bytes, WebSocket, accept_hdr,
    handshake::server::{ErrorResponse, Request as HttpRequest, Response},
};

/// Publications before it is measured, for what grows once, and while it is.
const PUBLICATIONS: u64 = 5_000;
/// Publications that one allocation has to last for. The payloads of these tests are small, and many share a buffer.
const SHARED: u64 = 8;

/// Room for all: nothing is to be missed, however late the reader runs.
const QUEUE: QueueBounds = QueueBounds { events: 10_000, bytes: 10_000_000 };

/// The system's allocator, which counts what each thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: everything is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Socket = WebSocket<std::net::TcpStream>;

#[test]
fn a_received_publication_allocates_nothing_but_its_share_of_a_buffer() {
    for format in [Format::Json, Format::Protobuf] {
        for per_frame in [1, 50] {
            let allocations = received(format, per_frame);
            assert!(
                allocations <= PUBLICATIONS / SHARED,
                "{format}, {per_frame} in a frame: {allocations} allocations for {PUBLICATIONS} publications"
            );
        }
    }
}

/// How often the client's thread allocates while it receives and reads.
fn received(format: Format, per_frame: u64) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("it listens"));
    // Each word lets the server publish as many as are measured.
    let (go, gone) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        let mut socket = welcome(&listener, format);
        for round in 0..2 {
            gone.recv().expect("the test runs");
            publish(&mut socket, format, round * PUBLICATIONS, per_frame);
        }
        let _ = gone.recv(); // until the client is done
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let allocations = runtime.block_on(async {
        let client = Client::builder(url).format(format).queue(QUEUE).connect().await.expect("welcome");
        let options = SubscribeOptions { recoverable: true, ..SubscribeOptions::default() };
        let mut news = client.subscribe_with("news", options).await.expect("confirmed");
        go.send(()).expect("the server waits");
        read(&mut news).await;
        go.send(()).expect("the server waits");
        let before = ALLOCATIONS.get();
        read(&mut news).await;
        ALLOCATIONS.get() - before
    });
    drop(go);
    server.join().expect("the server has seen what it expected");
    allocations
}

async fn read(news: &mut Subscription) {
    for _ in 0..PUBLICATIONS {
        match news.next().await {
            Some(Event::Publication(publication)) => assert!(!publication.data.is_empty()),
            other => panic!("no publication: {other:?}"),
        }
    }
}

/// Takes a connection and one subscription.
fn welcome(listener: &TcpListener, format: Format) -> Socket {
    let (stream, _) = listener.accept().expect("a client");
    stream.set_nodelay(true).expect("the socket is open");
    #[expect(clippy::result_large_err, reason = "the library's callback wants it so")]
    let subprotocol = |request: &HttpRequest, mut response: Response| -> Result<Response, ErrorResponse> {
        if let Some(offered) = request.headers().get("sec-websocket-protocol") {
            response.headers_mut().insert("sec-websocket-protocol", offered.clone());
        }
        Ok(response)
    };
    let mut socket = accept_hdr(stream, subprotocol).expect("a handshake");
    for outcome in [
        Outcome::Connect(ConnectResult { client: "c1".to_owned(), ..ConnectResult::default() }),
        Outcome::Subscribe(SubscribeResult {
            recoverable: true,
            positioned: true,
            epoch: "e1".to_owned(),
            ..SubscribeResult::default()
        }),
    ] {
        let frame = socket.read().expect("a command").into_data();
        let command = format.decode_commands(frame, &Limits::default()).next();
        let Some(Ok(Command::Request { id, request: Request::Connect(_) | Request::Subscribe(_) })) = command
        else {
            panic!("another command: {command:?}")
        };
        send(&mut socket, format, &[Reply::Answer { id, outcome: Ok(outcome) }]);
    }
    socket
}

fn publish(socket: &mut Socket, format: Format, before: u64, per_frame: u64) {
    let publications: Vec<Reply> =
        (before + 1..=before + PUBLICATIONS).map(|offset| Reply::Push(publication(offset))).collect();
    for frame in publications.chunks(usize::try_from(per_frame).expect("small")) {
        send(socket, format, frame);
    }
}

fn publication(offset: u64) -> Push {
    let data = format!("{{\"n\":{offset}}}").into();
    let event = PushEvent::Publication(Publication { data, offset, ..Publication::default() });
    Push { channel: "news".to_owned(), event }
}

fn send(socket: &mut Socket, format: Format, replies: &[Reply]) {
    let mut frame = BytesMut::new();
    for reply in replies {
        format.encode_reply(reply, &mut frame);
    }
    let message = match format {
        Format::Json => Message::Text(Utf8Bytes::try_from(frame.freeze()).expect("JSON is text")),
        Format::Protobuf => Message::Binary(frame.freeze()),
    };
    socket.send(message).expect("the client reads");
}
