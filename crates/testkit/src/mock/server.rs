use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{Call, MockConnection};
use crate::bounded::patiently;

/// A server that the test plays: a free port of 127.0.0.1 on which it takes connections one by one and says how each goes.
///
/// A client that waits for its connection needs somebody who answers at the same time: `tokio::join!` runs both.
///
/// ```
/// use futures_util::{SinkExt as _, StreamExt as _};
/// use throng_testkit::MockServer;
/// use tokio::net::TcpStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = MockServer::start().await;
/// let client = async {
///     let stream = TcpStream::connect(server.address()).await?;
///     let (mut socket, _) = tokio_tungstenite::client_async(server.url(), stream).await?;
///     socket.send(r#"{"id":1,"connect":{}}"#.into()).await?;
///     let welcome = socket.next().await.expect("an answer")?;
///     assert_eq!(welcome.into_text()?, r#"{"id":1,"connect":{"client":"c1"}}"#);
///     socket.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#.into()).await?;
///     while let Some(Ok(_)) = socket.next().await {}
///     Ok::<_, Box<dyn std::error::Error>>(())
/// };
/// let script = async {
///     let mut connection = server.accept().await;
///     connection.welcome().await;
///     connection.confirm("news").await;
///     connection.publish("news", r#"{"n":1}"#).await;
///     connection.close(3001, "shutdown").await;
/// };
/// let (client, ()) = tokio::join!(client, script);
/// # client
/// # }
/// ```
#[derive(Debug)]
pub struct MockServer {
    listener: TcpListener,
}

impl MockServer {
    /// Listens. Connections wait, unanswered, until the test takes them.
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("127.0.0.1 has no free port") }
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound port has an address")
    }

    /// The URL for clients, `ws://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address())
    }

    /// Takes the next connection, as a stream of bytes. Dropping it closes the connection without a word.
    pub async fn stream(&self) -> TcpStream {
        let accepted = patiently("a connection", self.listener.accept()).await;
        accepted.expect("the connection cannot be taken").0
    }

    /// Takes the next connection and its opening handshake.
    pub async fn accept(&self) -> MockConnection<TcpStream> {
        let stream = self.stream().await;
        patiently("the client's opening handshake", Box::pin(MockConnection::accept(stream))).await
    }

    /// Takes the next connection and answers its handshake with an HTTP status.
    pub async fn refuse(&self, status: u16, body: &str) {
        let mut stream = self.stream().await;
        patiently("a request that is to be refused", async {
            Call::head(&mut stream).await;
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.expect("the client does not wait for the answer");
            // The client closes first, so that nothing of the answer is cut off by a reset.
            let _ = stream.read(&mut [0; 64]).await;
        })
        .await;
    }

    /// Takes the next connection and one HTTP request with its body, and answers with these bytes.
    pub async fn call(&self, answer: &str) -> Call {
        Call::answered(&mut self.stream().await, answer).await
    }

    /// An address on which nobody listens.
    pub async fn nobody() -> SocketAddr {
        Self::start().await.address()
    }
}
