//! A real server on a free port, and clients that nobody here wrote.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use throng_server::config::Settings;
use throng_server::{Running, Server, ServerBuilder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

/// No wait in a test is longer. Machines that test may be slow and busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long a test listens for something that must not come.
pub const SILENCE: Duration = Duration::from_millis(50);

pub struct TestServer {
    pub running: Running,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// A server with settings that differ from the defaults.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::built_with(change, |builder| builder).await
    }

    /// A server that the application has its say in.
    pub async fn built(build: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        Self::built_with(|_| (), build).await
    }

    pub async fn built_with(
        change: impl FnOnce(&mut Settings),
        build: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let mut settings = Settings::default();
        settings.http_server.port = 0;
        settings.shards.count = 2;
        change(&mut settings);
        Self { running: build(Server::builder().settings(settings)).start().await.unwrap() }
    }

    /// Calls the server API and returns the answer.
    pub async fn api(&self, method: &str, key: &str, body: &Value) -> Value {
        let body = body.to_string();
        let answer = self
            .http(&format!(
                "POST /api/{method} HTTP/1.1\r\nHost: throng.test\r\nConnection: close\r\nX-API-Key: {key}\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    pub async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.running.local_addr()).await.unwrap()
    }

    /// A connection that has sent these bytes and got the answer 101.
    pub async fn raw(&self, request: impl AsRef<[u8]>) -> TcpStream {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = self.tcp().await;
        socket.write_all(request.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(timeout(PATIENCE, socket.read_u8()).await.unwrap().unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        socket
    }

    pub async fn client(&self, path: &str) -> Client {
        self.client_with(path, &[]).await
    }

    pub async fn client_with(&self, path: &str, headers: &[(&'static str, &'static str)]) -> Client {
        let mut request = self.running.url(path).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, response) = client_async(request, self.tcp().await).await.unwrap();
        let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        Client { socket, request_id }
    }

    pub async fn members<const N: usize>(&self, room: &str) -> [Client; N] {
        let mut members = Vec::new();
        for _ in 0..N {
            members.push(self.client(&format!("/relay/{room}")).await);
        }
        members.try_into().ok().unwrap()
    }

    /// A client of the JSON protocol that has connected.
    pub async fn connected(&self) -> Client {
        let mut client = self.client("/connection/websocket").await;
        client.send(r#"{"id":1,"connect":{}}"#).await;
        assert!(client.json().await["connect"]["client"].is_string());
        client
    }

    /// Sends an HTTP request and returns all of the answer.
    pub async fn http(&self, request: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = self.tcp().await;
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    pub async fn get(&self, path: &str) -> String {
        self.http(&format!("GET {path} HTTP/1.1\r\nHost: throng.test\r\nConnection: close\r\n\r\n")).await
    }

    /// The value of a metric without labels.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").await;
        let line = page.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a metric without labels has this value.
    pub async fn until_metric(&self, name: &str, value: u64) {
        let waiting = async {
            while self.metric(name).await != value {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(timeout(PATIENCE, waiting).await.is_ok(), "{name} is never {value}");
    }

    /// Waits until something becomes true.
    pub async fn until(&self, what: &str, condition: impl Fn(&Running) -> bool) {
        let waiting = async {
            while !condition(&self.running) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(timeout(PATIENCE, waiting).await.is_ok(), "never: {what}");
    }

    /// Stops the server once these clients have left.
    pub async fn stop_with<const N: usize>(self, clients: [Client; N]) {
        drop(clients);
        self.stop().await;
    }

    /// Stops the server; fails if a client had to be cut.
    pub async fn stop(self) {
        let report = timeout(PATIENCE, self.running.shutdown()).await.unwrap();
        assert_eq!(report.cut, 0, "{report:?}");
    }
}

pub struct Client<S = TcpStream> {
    pub socket: WebSocketStream<S>,
    pub request_id: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn send(&mut self, text: impl Into<String>) {
        self.send_message(Message::text(text.into())).await;
    }

    pub async fn send_message(&mut self, message: Message) {
        timeout(PATIENCE, self.socket.send(message)).await.unwrap().unwrap();
    }

    /// The next message, pings and pongs included.
    pub async fn message(&mut self) -> Message {
        timeout(PATIENCE, self.socket.next()).await.expect("nothing came").expect("the stream ended").unwrap()
    }

    pub async fn text(&mut self) -> String {
        match self.message().await {
            Message::Text(text) => text.to_string(),
            other => panic!("not a text message: {other:?}"),
        }
    }

    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// Sends a command and returns the reply.
    pub async fn ask(&mut self, command: &str) -> Value {
        self.send(command).await;
        self.json().await
    }

    pub async fn assert_silent(&mut self) {
        if let Ok(message) = timeout(SILENCE, self.socket.next()).await {
            panic!("something came: {message:?}");
        }
    }

    /// Waits for the close frame and the end of the stream; returns the close frame's code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        let mut frame = None;
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("the connection stays open") {
                Some(Ok(Message::Close(close))) => frame = close,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            }
        }
        let frame = frame.expect("no close frame came");
        (frame.code.into(), frame.reason.to_string())
    }
}
