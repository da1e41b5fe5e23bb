//! The client of the guide that many people learn WebSockets from, brought to today's tokio-tungstenite, against the bare address
//! of a server: `docs/tutorial.md` tells the story.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use throng_server::config::Settings;
use throng_server::{Running, Server};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(10);

const HELLO: &str = "Hello, WebSocket!";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The guide's client: one half writes, the other reads.
struct GuideClient {
    write: SplitSink<Socket, Message>,
    read: SplitStream<Socket>,
}

impl GuideClient {
    /// Connects to `ws://127.0.0.1:PORT`, without any path.
    async fn connect(server: &Running) -> Self {
        Self::connect_to(server.url("")).await
    }

    async fn connect_to(url: String) -> Self {
        let (socket, _) = timeout(PATIENCE, connect_async(url)).await.unwrap().unwrap();
        let (write, read) = socket.split();
        Self { write, read }
    }

    /// What the guide's client has to say.
    async fn greet(&mut self) {
        self.write.send(Message::Text(HELLO.into())).await.unwrap();
        let greeting = serde_json::json!({ "type": "greeting", "content": "Hello from Rust client" });
        self.write.send(Message::Text(greeting.to_string().into())).await.unwrap();
    }

    /// The next message; `None` once the connection has ended.
    async fn next(&mut self) -> Option<Message> {
        let next = timeout(PATIENCE, self.read.next()).await;
        let next = next.expect("a message arrives, or the server ends the connection, in time");
        next.map(|message| message.unwrap())
    }

    async fn next_text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("a text message was expected, not {other:?}"),
        }
    }

    /// Ends the connection as the guide does. Returns what still arrived before the server's close frame.
    async fn close(mut self) -> Vec<Message> {
        self.write.send(Message::Close(None)).await.unwrap();
        let mut late = Vec::new();
        let mut closed = false;
        while let Some(message) = self.next().await {
            match message {
                Message::Close(_) => closed = true,
                other => late.push(other),
            }
        }
        assert!(closed, "the server answers the close frame before it ends the connection");
        late
    }
}

async fn server() -> Running {
    let mut settings = Settings::default();
    settings.http_server.port = 0;
    // Far beyond our patience: a closing handshake must end by itself, not by this deadline.
    settings.shutdown.close_timeout = PATIENCE * 60;
    Server::builder().settings(settings).start().await.unwrap()
}

#[tokio::test]
async fn what_the_guides_client_sends_reaches_another_one_and_not_itself() {
    let server = server().await;
    let mut other = GuideClient::connect(&server).await;
    let mut client = GuideClient::connect(&server).await;

    client.greet().await;
    assert_eq!(other.next_text().await, HELLO);
    let greeting: serde_json::Value = serde_json::from_str(&other.next_text().await).unwrap();
    assert_eq!(greeting["type"], "greeting");
    assert_eq!(greeting["content"], "Hello from Rust client");

    assert_eq!(client.close().await, [], "a client does not hear itself");
    assert_eq!(other.close().await, [], "everything arrives once");
    assert_eq!(timeout(PATIENCE, server.shutdown()).await.unwrap().cut, 0);
}

#[tokio::test]
async fn the_bare_address_is_the_room_lobby_of_the_relay() {
    let server = server().await;
    let mut lobby = GuideClient::connect_to(server.url("/relay/lobby")).await;
    let mut client = GuideClient::connect(&server).await;

    client.greet().await;
    assert_eq!(lobby.next_text().await, HELLO);

    let bytes = Message::Binary(vec![0, 1, 255].into());
    lobby.write.send(bytes.clone()).await.unwrap();
    assert_eq!(client.next().await, Some(bytes));

    client.close().await;
    lobby.close().await;
    assert_eq!(timeout(PATIENCE, server.shutdown()).await.unwrap().cut, 0);
}
