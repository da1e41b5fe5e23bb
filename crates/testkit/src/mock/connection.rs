use std::{collections::VecDeque, fmt::Debug};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use throng_protocol::{
    Command, ConnectResult, ErrorReply, Format, Limits, Outcome, Payload, Publication, PublishResult, Push,
    PushEvent, Reply, Request, SubscribeResult, UnsubscribeResult,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request as HttpRequest, Response},
        protocol::CloseFrame,
    },
};

/// What a failure tells of what came before.
const REMEMBERED: usize = 8;

/// The server's end of one connection, played by the test: it reads what the client asks and says what is answered.
///
/// It works over any stream, also one in memory. Waits have no bound of their own, because under tokio's paused time there is none
/// that fits; put [`bounded`](crate::bounded) around the test. Dropping it drops the connection without a word.
///
/// ```
/// use futures_util::SinkExt as _;
/// use throng_protocol::{ErrorCode, Request};
/// use throng_testkit::MockConnection;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ours, theirs) = tokio::io::duplex(4096);
/// let client = tokio_tungstenite::client_async("ws://test/connection/websocket", theirs);
/// let (mut connection, client) = tokio::join!(MockConnection::accept(ours), client);
/// let mut client = client?.0;
/// client.send(r#"{"id":7,"rpc":{"method":"now"}}"#.into()).await?;
/// let (id, method) = connection
///     .expect("a call", |request| match request {
///         Request::Rpc(call) => Some(call.method.clone()),
///         _ => None,
///     })
///     .await;
/// assert_eq!((id, &*method), (7, "now"));
/// connection.answer(id, Err(ErrorCode::MethodNotFound.into())).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MockConnection<S> {
    socket: WebSocketStream<S>,
    path: String,
    format: Format,
    /// Commands of the frame that was read last.
    commands: VecDeque<Command>,
    /// The newest of what came, for failures.
    before: VecDeque<String>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> MockConnection<S> {
    /// Takes the opening handshake, in the format that the client's subprotocol asks for.
    pub async fn accept(stream: S) -> Self {
        let mut path = String::new();
        let mut format = Format::Json;
        #[expect(clippy::result_large_err, reason = "the library's callback wants it so")]
        let callback = |request: &HttpRequest, mut response: Response| -> Result<Response, ErrorResponse> {
            path = request.uri().to_string();
            if let Some(offered) = request.headers().get("sec-websocket-protocol") {
                assert_eq!(offered, "centrifuge-protobuf", "the client offers another subprotocol");
                format = Format::Protobuf;
                response.headers_mut().insert("sec-websocket-protocol", offered.clone());
            }
            Ok(response)
        };
        // Boxed, so that tests do not carry a large future.
        match Box::pin(accept_hdr_async(stream, callback)).await {
            Ok(socket) => Self { socket, path, format, commands: VecDeque::new(), before: VecDeque::new() },
            Err(error) => panic!("awaited an opening handshake: {error}"),
        }
    }

    /// Path and query that the client asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The format that the client speaks.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The next WebSocket message, without pings and pongs; none when the connection is gone. For clients of the protocol there are
    /// [`request`](Self::request) and [`command`](Self::command).
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
            (other, format) => self.fail(&format!("a frame of {format}"), &other),
        };
        let commands = self.format.decode_commands(frame.clone(), &Limits::default());
        match commands.collect::<Result<Vec<_>, _>>() {
            Ok(commands) => commands,
            Err(error) => self.fail("valid commands", &format!("{frame:?}, {error}")),
        }
    }

    /// The next command, whatever it is.
    pub async fn command(&mut self) -> Command {
        loop {
            if let Some(command) = self.commands.pop_front() {
                self.remember(format!("{command:?}"));
                return command;
            }
            self.commands = self.frame().await.into();
        }
    }

    /// The next command, which is to be a request. Taking it and answering nothing is how a server ignores it.
    pub async fn request(&mut self) -> (u32, Request) {
        match self.command().await {
            Command::Request { id, request } => (id, request),
            other @ (Command::Pong | Command::Send(_)) => self.fail("a request", &other),
        }
    }

    /// The next request, which is to be one that `matches` takes: it returns what the test needs of it, or none for another one;
    /// then the test fails with what was `awaited` and what came.
    pub async fn expect<T>(
        &mut self,
        awaited: &str,
        matches: impl FnOnce(&Request) -> Option<T>,
    ) -> (u32, T) {
        let (id, request) = self.request().await;
        match matches(&request) {
            Some(found) => (id, found),
            None => self.fail(awaited, &request),
        }
    }

    /// Waits for the connect command and answers it; the client is `c1`.
    pub async fn welcome(&mut self) {
        self.welcome_with(ConnectResult { client: "c1".to_owned(), ..ConnectResult::default() }).await;
    }

    /// Waits for the connect command and answers it with this.
    pub async fn welcome_with(&mut self, result: ConnectResult) {
        let connect = |request: &Request| matches!(request, Request::Connect(_)).then_some(());
        let (id, ()) = self.expect("a connect command", connect).await;
        self.answer(id, Ok(Outcome::Connect(result))).await;
    }

    /// Waits for the subscribe command of a channel and confirms it.
    pub async fn confirm(&mut self, channel: &str) {
        self.confirm_with(channel, SubscribeResult::default()).await;
    }

    /// Waits for the subscribe command of a channel and confirms it with this, for example with what is recovered.
    pub async fn confirm_with(&mut self, channel: &str, result: SubscribeResult) {
        let subscribe = |request: &Request| {
            matches!(request, Request::Subscribe(request) if request.channel == channel).then_some(())
        };
        let (id, ()) = self.expect(&format!("a subscribe command of {channel:?}"), subscribe).await;
        self.answer(id, Ok(Outcome::Subscribe(result))).await;
    }

    /// Waits for the unsubscribe command of a channel and confirms it.
    pub async fn release(&mut self, channel: &str) {
        let unsubscribe = |request: &Request| {
            matches!(request, Request::Unsubscribe(request) if request.channel == channel).then_some(())
        };
        let (id, ()) = self.expect(&format!("an unsubscribe command of {channel:?}"), unsubscribe).await;
        self.answer(id, Ok(Outcome::Unsubscribe(UnsubscribeResult::default()))).await;
    }

    /// Waits for a publish command and answers it. Returns its payload.
    pub async fn acknowledge(&mut self, outcome: Result<(), ErrorReply>) -> String {
        let publish = |request: &Request| {
            let Request::Publish(publish) = request else { return None };
            Some(publish.data.clone())
        };
        let (id, data) = self.expect("a publish command", publish).await;
        self.answer(id, outcome.map(|()| Outcome::Publish(PublishResult::default()))).await;
        String::from_utf8_lossy(data.as_bytes()).into_owned()
    }

    /// Answers a request, or refuses it.
    pub async fn answer(&mut self, id: u32, outcome: Result<Outcome, ErrorReply>) {
        self.reply(&[Reply::Answer { id, outcome }]).await;
    }

    /// Publishes to the client: text that is JSON, on a JSON connection.
    pub async fn publish(&mut self, channel: &str, payload: &str) {
        let publication = Publication { data: Payload::from(payload.to_owned()), ..Publication::default() };
        self.push(channel, PushEvent::Publication(publication)).await;
    }

    /// Pushes any event to the client.
    pub async fn push(&mut self, channel: &str, event: PushEvent) {
        self.reply(&[Reply::Push(Push { channel: channel.to_owned(), event })]).await;
    }

    /// Asks the client whether it is still there; it answers with [`Command::Pong`].
    pub async fn ping(&mut self) {
        self.reply(&[Reply::Ping]).await;
    }

    /// Sends replies in one frame.
    pub async fn reply(&mut self, replies: &[Reply]) {
        let mut frame = BytesMut::new();
        for reply in replies {
            self.format.encode_reply(reply, &mut frame);
        }
        let frame = frame.freeze();
        self.send(match self.format {
            Format::Json => Message::Text(frame.try_into().expect("JSON is UTF-8")),
            Format::Protobuf => Message::Binary(frame),
        })
        .await;
    }

    /// Sends any WebSocket message: for relays, and for what is not of the protocol.
    pub async fn send(&mut self, message: Message) {
        if let Err(error) = self.socket.send(message).await {
            self.fail("a client that reads", &error);
        }
    }

    /// Sends a close frame and reads until the client has answered it.
    pub async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        if let Err(error) = self.socket.close(Some(frame)).await {
            self.fail("a client that is still there", &error);
        }
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Reads and answers nothing until the client is gone. Returns the code of its close frame, if there was one.
    pub async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = self.socket.next().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    }

    fn remember(&mut self, what: String) {
        if self.before.len() == REMEMBERED {
            self.before.pop_front();
        }
        self.before.push_back(what);
    }

    fn fail(&self, awaited: &str, came: &dyn Debug) -> ! {
        let before = self.before.iter().fold(String::new(), |lines, line| lines + "\n  " + line);
        panic!("awaited {awaited}, but this came: {came:?}\nthe newest commands, oldest first:{before}");
    }
}

impl MockConnection<TcpStream> {
    /// Breaks the connection with a reset, as a machine that has lost it does.
    pub fn reset(self) {
        crate::link::reset(self.socket.into_inner());
    }
}
