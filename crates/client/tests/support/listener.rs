use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::Peer;

/// A port that a test accepts connections on, one by one.
pub struct Listener {
    listener: TcpListener,
}

/// An HTTP request that a test has answered.
pub struct Call {
    /// The request line and the headers, in lower case where HTTP does not mind.
    pub head: String,
    pub body: String,
}

/// Reads one HTTP request with a body, answers, and closes.
pub async fn read_call(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &str) -> Call {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    let head = String::from_utf8(head).expect("text");
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
    stream.read_exact(&mut body).await.expect("the whole body");
    stream.write_all(answer.as_bytes()).await.expect("the client reads");
    stream.shutdown().await.expect("the client reads");
    Call { head, body: String::from_utf8(body).expect("text") }
}

impl Listener {
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound port")
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address())
    }

    pub async fn stream(&self) -> TcpStream {
        self.listener.accept().await.expect("a connection").0
    }

    /// Takes the next connection and its opening handshake.
    pub async fn accept(&self) -> Peer<TcpStream> {
        Peer::accept(self.stream().await).await
    }

    /// Takes the next connection and answers its handshake with an HTTP status.
    pub async fn refuse(&self, status: u16, body: &str) {
        let mut stream = self.stream().await;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("a request"));
        }
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.expect("the client reads");
        // The client closes first, so that nothing of the answer is cut off by a reset.
        let _ = stream.read(&mut [0; 64]).await;
    }

    /// Takes the next connection and one HTTP request with a body, and answers with these bytes.
    pub async fn call(&self, answer: &str) -> Call {
        read_call(&mut self.stream().await, answer).await
    }

    /// A port on which nobody listens.
    pub async fn nobody() -> SocketAddr {
        Self::start().await.address()
    }
}
