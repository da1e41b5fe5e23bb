//! A client of the API that speaks raw HTTP and keeps its connection.

use std::time::Duration;

use serde_json::Value;
use throng_server::config::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, TestServer};

pub(crate) const KEY: &str = "s3cret";

/// A server whose API has a key.
pub(crate) async fn server() -> TestServer {
    server_with(|_| ()).await
}

pub(crate) async fn server_with(change: impl FnOnce(&mut Settings)) -> TestServer {
    TestServer::with(|settings| {
        settings.http_api.key = KEY.into();
        change(settings);
    })
    .await
}

/// One connection to the API.
pub(crate) struct Caller {
    pub(crate) socket: TcpStream,
    /// What was read and not yet used.
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert!(self.head.contains("content-type: application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn closes(&self) -> bool {
        self.head.contains("connection: close")
    }
}

impl Caller {
    pub(crate) async fn of(server: &TestServer) -> Self {
        Self { socket: server.tcp().await, read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.socket.write_all(bytes.as_ref())).await.unwrap().unwrap();
    }

    /// The next answer on the connection.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head_end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.more().await, "the connection ended before an answer");
        };
        let head = String::from_utf8(self.read.drain(..head_end).collect()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            assert!(self.more().await, "the connection ended within an answer");
        }
        let body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body }
    }

    /// Calls a method with a body, and returns the answer of status 200.
    pub(crate) async fn call(&mut self, method: &str, body: &Value) -> Value {
        let answer = self.ask(method, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Calls a method, and returns its result.
    pub(crate) async fn result(&mut self, method: &str, body: &Value) -> Value {
        let mut answer = self.call(method, body).await;
        assert!(answer.as_object().unwrap().len() == 1, "{answer}");
        answer["result"].take()
    }

    /// Calls a method that fails, and returns code and message.
    pub(crate) async fn error(&mut self, method: &str, body: &Value) -> (u64, String) {
        let answer = self.call(method, body).await;
        assert!(answer.as_object().unwrap().len() == 1, "{answer}");
        let message = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {answer}"));
        (answer["error"]["code"].as_u64().unwrap(), message.to_owned())
    }

    pub(crate) async fn ask(&mut self, method: &str, body: &str) -> Answer {
        self.ask_with(method, &format!("X-API-Key: {KEY}\r\n"), body).await
    }

    pub(crate) async fn ask_with(&mut self, method: &str, headers: &str, body: &str) -> Answer {
        self.send(request(&format!("/api/{method}"), headers, body)).await;
        self.answer().await
    }

    /// Waits until the server ends the connection; returns what it still sent.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Fails if the connection ends or something comes within this time.
    pub(crate) async fn assert_open(&mut self, time: Duration) {
        assert!(timeout(time, self.more()).await.is_err(), "the connection ended, or something came");
    }

    async fn more(&mut self) -> bool {
        match timeout(PATIENCE, self.socket.read_buf(&mut self.read)).await.expect("nothing came") {
            Ok(bytes) => bytes > 0,
            Err(error) => panic!("the connection broke: {error}"),
        }
    }
}

pub(crate) fn request(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: throng.test\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}
