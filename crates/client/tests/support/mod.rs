//! A server that a test plays by hand, over any stream.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "every test file uses its own part of this")]

mod listener;
mod proxy;

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use throng_protocol::{
    Command, ConnectResult, ErrorReply, Format, Limits, Outcome, Publication, PublishResult, Push, PushEvent,
    Reply, Request, SubscribeResult, UnsubscribeResult,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request as HttpRequest, Response},
        protocol::CloseFrame,
    },
};

pub use self::{
    listener::{Call, Listener, read_call},
    proxy::Proxy,
};

/// The server's end of one connection.
pub struct Peer<S> {
    pub socket: WebSocketStream<S>,
    pub path: String,
    format: Format,
    /// Commands of the frame that was read last.
    commands: VecDeque<Command>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Takes the opening handshake, with the subprotocol that the client offers.
    pub async fn accept(stream: S) -> Self {
        let mut path = String::new();
        let mut format = Format::Json;
        #[expect(clippy::result_large_err, reason = "the library's callback wants it so")]
        let callback = |request: &HttpRequest, mut response: Response| -> Result<Response, ErrorResponse> {
            path = request.uri().to_string();
            if let Some(offered) = request.headers().get("sec-websocket-protocol") {
                assert_eq!(offered, "centrifuge-protobuf");
                format = Format::Protobuf;
                response.headers_mut().insert("sec-websocket-protocol", offered.clone());
            }
            Ok(response)
        };
        let socket = accept_hdr_async(stream, callback).await.expect("a handshake");
        Self { socket, path, format, commands: VecDeque::new() }
    }

    /// The next message, without pings and pongs.
    pub async fn message(&mut self) -> Option<Message> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(message) => return Some(message),
                Err(_) => return None,
            }
        }
    }

    /// All commands of the next frame.
    pub async fn frame(&mut self) -> Vec<Command> {
        let frame = match (self.message().await, self.format) {
            (Some(Message::Text(text)), Format::Json) => Bytes::from(text),
            (Some(Message::Binary(bytes)), Format::Protobuf) => bytes,
            (other, format) => panic!("no {format} frame: {other:?}"),
        };
        self.format
            .decode_commands(frame, &Limits::default())
            .collect::<Result<_, _>>()
            .expect("valid commands")
    }

    pub async fn command(&mut self) -> Command {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return command;
            }
            self.commands = self.frame().await.into();
        }
    }

    pub async fn request(&mut self) -> (u32, Request) {
        match self.command().await {
            Command::Request { id, request } => (id, request),
            other => panic!("no request: {other:?}"),
        }
    }

    /// Waits for the connect command and answers it.
    pub async fn welcome(&mut self) {
        self.welcome_with(ConnectResult { client: "c1".to_owned(), ..ConnectResult::default() }).await;
    }

    pub async fn welcome_with(&mut self, result: ConnectResult) {
        match self.request().await {
            (id, Request::Connect(_)) => self.answer(id, Ok(Outcome::Connect(result))).await,
            other => panic!("no connect command: {other:?}"),
        }
    }

    /// Waits for the subscribe command of a channel and confirms it.
    pub async fn confirm(&mut self, channel: &str) {
        match self.request().await {
            (id, Request::Subscribe(request)) if request.channel == channel => {
                self.answer(id, Ok(Outcome::Subscribe(SubscribeResult::default()))).await;
            }
            other => panic!("no subscribe command for {channel}: {other:?}"),
        }
    }

    /// Waits for the unsubscribe command of a channel and confirms it.
    pub async fn release(&mut self, channel: &str) {
        match self.request().await {
            (id, Request::Unsubscribe(request)) if request.channel == channel => {
                self.answer(id, Ok(Outcome::Unsubscribe(UnsubscribeResult::default()))).await;
            }
            other => panic!("no unsubscribe command for {channel}: {other:?}"),
        }
    }

    /// Waits for a publish command and answers it. Returns its payload.
    pub async fn acknowledge(&mut self, outcome: Result<(), ErrorReply>) -> String {
        match self.request().await {
            (id, Request::Publish(request)) => {
                self.answer(id, outcome.map(|()| Outcome::Publish(PublishResult::default()))).await;
                String::from_utf8_lossy(request.data.as_bytes()).into_owned()
            }
            other => panic!("no publish command: {other:?}"),
        }
    }

    pub async fn answer(&mut self, id: u32, outcome: Result<Outcome, ErrorReply>) {
        self.reply(&[Reply::Answer { id, outcome }]).await;
    }

    /// Publishes to the client.
    pub async fn publish(&mut self, channel: &str, payload: &str) {
        let publication = Publication { data: payload.to_owned().into(), ..Publication::default() };
        let event = PushEvent::Publication(publication);
        self.reply(&[Reply::Push(Push { channel: channel.to_owned(), event })]).await;
    }

    /// Sends replies in one frame.
    pub async fn reply(&mut self, replies: &[Reply]) {
        let mut frame = BytesMut::new();
        for reply in replies {
            self.format.encode_reply(reply, &mut frame);
        }
        let frame = frame.freeze();
        let message = match self.format {
            Format::Json => Message::Text(frame.try_into().expect("JSON is UTF-8")),
            Format::Protobuf => Message::Binary(frame),
        };
        self.socket.send(message).await.expect("the client reads");
    }

    /// Sends a close frame and reads until the client has answered it.
    pub async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.socket.close(Some(frame)).await.expect("the client reads");
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Reads until the client's close frame and answers it. Returns its code.
    pub async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = self.socket.next().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    }
}

/// Fails a test that hangs.
pub async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test makes progress")
}
