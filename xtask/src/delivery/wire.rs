//! One WebSocket connection to the server, written on the codec alone: nothing of throng's own client is in it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use socket2::SockRef;
use throng_protocol::{Command, Format, Limits, Reply, Request};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::HeaderValue,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::namespace::USER_HEADER;

/// Longest wait for a handshake or a write: longer than the server stands still.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for the other side's close frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// What is in flight is kept small, so that a reader that stops is felt by the server soon.
const RECEIVE_BUFFER: u32 = 4_096;
const SEGMENT: u32 = 1_024;

/// An open connection.
#[derive(Debug)]
pub(super) struct Link {
    socket: WebSocketStream<TcpStream>,
    format: Format,
    last_id: u32,
}

/// What came from the server.
#[derive(Debug)]
pub(super) enum Arrived {
    Replies(Vec<Reply>),
    /// The end, with the code of the close frame if one came.
    End(Option<u16>),
    Broken(String),
}

impl Link {
    /// Connects and upgrades, as that user.
    ///
    /// # Errors
    ///
    /// When the server is not there, or answers with something else.
    pub(super) async fn dial(address: SocketAddr, format: Format, user: Option<&str>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        SockRef::from(&socket).set_tcp_mss(SEGMENT)?;
        let mut request = format!("ws://{address}/connection/websocket").into_client_request()?;
        if format == Format::Protobuf {
            let protocol = HeaderValue::from_static("centrifuge-protobuf");
            request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        }
        if let Some(user) = user {
            request.headers_mut().insert(USER_HEADER, HeaderValue::from_str(user)?);
        }
        let dial = async {
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            anyhow::Ok(client_async(request, stream).await?.0)
        };
        let socket = timeout(LIMIT, dial).await.context("the handshake takes too long")??;
        Ok(Self { socket, format, last_id: 0 })
    }

    /// A command of the next number.
    pub(super) const fn command(&mut self, request: Request) -> (u32, Command) {
        self.last_id += 1;
        (self.last_id, Command::Request { id: self.last_id, request })
    }

    /// Sends commands in one frame.
    ///
    /// # Errors
    ///
    /// When the connection is gone, or takes nothing for 10 seconds.
    pub(super) async fn send(&mut self, commands: &[Command]) -> Result<()> {
        let mut frame = BytesMut::new();
        commands.iter().for_each(|command| self.format.encode_command(command, &mut frame));
        let message = match self.format {
            Format::Json => Message::text(std::str::from_utf8(&frame).context("a JSON frame is text")?),
            Format::Protobuf => Message::Binary(frame.freeze()),
        };
        Ok(timeout(LIMIT, self.socket.send(message)).await.context("the server takes nothing")??)
    }

    /// What comes next. Cancel safe.
    pub(super) async fn receive(&mut self) -> Arrived {
        loop {
            let frame: Bytes = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Close(frame))) => return Arrived::End(frame.map(|frame| frame.code.into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(tungstenite::Error::Io(_) | tungstenite::Error::ConnectionClosed)) | None => {
                    return Arrived::End(None);
                }
                // The server was killed, or the connection was reset, in the middle of something.
                Some(Err(tungstenite::Error::Protocol(
                    tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
                ))) => return Arrived::End(None),
                Some(Err(error)) => return Arrived::Broken(format!("{error}")),
            };
            return match self.format.decode_replies(frame, &Limits::for_replies()).collect() {
                Ok(replies) => Arrived::Replies(replies),
                Err(error) => Arrived::Broken(format!("{error}")),
            };
        }
    }

    /// Sends one command, and waits for its answer; meanwhile nothing else may come but pings.
    ///
    /// # Errors
    ///
    /// When it is refused, or the connection ends.
    pub(super) async fn ask(&mut self, request: Request) -> Result<()> {
        let (number, command) = self.command(request);
        self.send(&[command]).await?;
        let answer = async {
            loop {
                match self.receive().await {
                    Arrived::Replies(replies) => {
                        for reply in replies {
                            match reply {
                                Reply::Answer { id, outcome } if id == number => {
                                    return Ok(outcome.map(drop)?);
                                }
                                Reply::Answer { .. } | Reply::Ping | Reply::Push(_) => {}
                            }
                        }
                    }
                    Arrived::End(code) => bail!("the connection ended with {code:?}"),
                    Arrived::Broken(text) => bail!("unreadable: {text}"),
                }
            }
        };
        timeout(LIMIT, answer).await.context("no answer came")?
    }

    /// Ends the connection with a TCP reset: what is on the way is lost on both sides.
    pub(super) fn reset(self) {
        // Without the option it becomes a plain end, which is a cut as well.
        let _ = SockRef::from(self.socket.get_ref()).set_linger(Some(Duration::ZERO));
    }

    /// Ends it with a close frame, and waits a moment for the other side's.
    pub(super) async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let close = async {
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // Whether the other side took part does not matter any more.
        let _ = timeout(CLOSE_LIMIT, close).await;
    }
}
