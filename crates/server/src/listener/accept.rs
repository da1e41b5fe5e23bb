use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, request};
use hyper::body::{Body as _, Incoming as RequestBody};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use throng_protocol::ChannelName;
use throng_registry::ClientId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Refusal;
use super::handshake::Refused;
use super::held::Held;
use super::pass::pass;
use super::visit::{Ended, Visit, attend, part};
use super::{Admission, Seat, Upgrade, is_upgrade, upgrade};
use crate::config::AllowedOrigins;
use crate::http::{self as pages, Api, Body, Call, text};
use crate::memory::Crowd;
use crate::metrics::Handshake;
use crate::node::Node;
use crate::shard::{Incoming, Opening, Route, ShardCommand};

/// Connections that may be told at once that there is no room for them; more are closed without a word.
const REFUSALS: usize = 16;

/// How long a client may take to ask before it is told that there is no room. Silent ones must not keep others from hearing it.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// How long accepting rests when the process or the system is out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What every connection's task needs.
#[derive(Debug)]
struct Front {
    node: Arc<Node>,
    admission: Arc<Admission>,
    origins: AllowedOrigins,
    refusals: Arc<Semaphore>,
    crowd: Crowd,
    api: Api,
    stop: CancellationToken,
}

/// Accepts connections until `stop` is cancelled. Their tasks run in `tasks`.
pub(crate) async fn run(
    listener: TcpListener,
    node: Arc<Node>,
    admission: Arc<Admission>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let address = listener.local_addr().unwrap_or(node.settings.listen_address());
    let origins = AllowedOrigins::new(node.settings.client.allowed_origins.as_deref());
    let front = Arc::new(Front {
        api: Api::new(Arc::clone(&node), address),
        node,
        admission,
        origins,
        refusals: Arc::new(Semaphore::new(REFUSALS)),
        crowd: Crowd::default(),
        stop: stop.clone(),
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                tasks.spawn(Arc::clone(&front).serve(socket, peer));
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                front.node.metrics.accept_errors.add(1);
                tracing::warn!(%error, "cannot accept connections; trying again shortly");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Errors of a connection that ended before it was accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl Front {
    async fn serve(self: Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let _one_of_many = self.crowd.enter();
        match self.admission.admit(peer.ip()) {
            Ok(seat) => self.serve_http(socket, peer, Ok(seat)).await,
            Err(refusal) => {
                self.node.metrics.handshake(match refusal {
                    Refusal::Full => Handshake::Full,
                    Refusal::Address => Handshake::AddressFull,
                });
                if let Ok(_permit) = self.refusals.try_acquire() {
                    self.serve_http(socket, peer, Err(refusal)).await;
                }
            }
        }
    }

    /// Answers the request of a connection, which may become a WebSocket by it. One that brings a key for the API may be followed
    /// by others.
    async fn serve_http(&self, socket: TcpStream, peer: SocketAddr, admitted: Result<Seat, Refusal>) {
        let client = ClientId::random();
        let refusal = admitted.as_ref().err().copied();
        let patience = match refusal {
            Some(_) => REFUSAL_PATIENCE,
            None => self.node.settings.websocket.handshake_timeout,
        };
        // Buffers are made for those who speak, not for those who merely hold a connection open.
        let asked = self.stop.run_until_cancelled(timeout(patience, socket.peek(&mut [0]))).await;
        if !matches!(asked, Some(Ok(_))) {
            return tracing::debug!(connection = %client, %peer, "no request came");
        }
        // Nagle's algorithm would hold back single messages; that it cannot be turned off is no reason to refuse.
        let _ = socket.set_nodelay(true);
        let granted = Arc::new(OnceLock::new());
        let held = Held::new(socket, Arc::clone(&granted));
        let visit = Visit::until(Instant::now() + patience);
        let guest = Guest { front: self, client, refusal, patience, granted, visit };
        let service = service_fn(|request| guest.respond(request));
        let mut connection = self.http().serve_connection(held, service);
        match attend(&mut connection, &guest.visit, &self.stop, self.node.settings.shutdown.timeout).await {
            Ended::Served(Ok(())) => {}
            Ended::Served(Err(error)) => {
                return tracing::debug!(connection = %client, %peer, %error, "HTTP ended");
            }
            Ended::Late => return tracing::debug!(connection = %client, %peer, "its time for HTTP was over"),
            Ended::Stopped => return,
        }
        let parts = connection.into_parts();
        let (socket, answer) = parts.io.into_parts();
        match (guest.granted.get(), admitted) {
            (Some(route), Ok(seat)) => {
                let leftover = Bytes::copy_from_slice(&parts.read_buf);
                let opening = Opening { answer, leftover, route: route.clone(), client, peer, seat };
                self.hand_down(socket, opening);
            }
            _ if guest.visit.has_body() => {
                self.stop.run_until_cancelled(part(socket)).await;
            }
            _ => {}
        }
    }

    fn http(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // The visit's deadline is there for the head, too.
            .header_read_timeout(None)
            .max_buf_size(self.node.settings.websocket.header_max_size.max(8_192));
        builder
    }

    /// The upgrade that a request asks for and may have, or the answer to any other request.
    fn judge(&self, request: &request::Parts, client: ClientId) -> Result<Upgrade, Box<Response<Body>>> {
        if !is_upgrade(&request.headers) {
            return Err(Box::new(pages::answer(request, &self.node)));
        }
        upgrade(request, &self.node.settings, &self.origins)
            .map_err(|refused| Box::new(self.refuse(request, client, refused)))
    }

    /// The answer to an upgrade that is refused.
    fn refuse(&self, request: &request::Parts, client: ClientId, refused: Refused) -> Response<Body> {
        self.node.metrics.handshake(refused.result);
        // The query stays out of the log: it may hold a token.
        tracing::debug!(connection = %client, path = request.uri.path(), status = refused.status.as_u16(),
            result = ?refused.result, "upgrade refused");
        refused.response()
    }

    /// Gives an upgraded socket to a shard.
    fn hand_down(&self, socket: TcpStream, mut opening: Opening) {
        match socket.into_std() {
            Ok(socket) => {
                let shard = opening.seat.assign_shard();
                let command = ShardCommand::Open(Incoming::Tcp(socket), Box::new(opening));
                self.node.fanout().queue(shard).control(command);
            }
            Err(error) => {
                tracing::warn!(connection = %opening.client, peer = %opening.peer, %error, "cannot hand the socket to a shard");
            }
        }
    }
}

/// Whoever is at the other end of a connection, while it speaks HTTP.
struct Guest<'f> {
    front: &'f Front,
    client: ClientId,
    refusal: Option<Refusal>,
    /// Time for the answer, once the request is there.
    patience: Duration,
    granted: Arc<OnceLock<Route>>,
    visit: Visit,
}

type Answered = Result<Response<Body>, Infallible>;
type Answering<'g> = Either<Ready<Answered>, Pin<Box<dyn Future<Output = Answered> + Send + 'g>>>;

impl Guest<'_> {
    fn respond(&self, request: Request<RequestBody>) -> Answering<'_> {
        let (parts, body) = request.into_parts();
        self.visit.request(!body.is_end_stream(), Instant::now() + self.patience);
        let mut response = match self.refusal {
            Some(refusal) => refused(refusal),
            None if self.front.api.owns(parts.uri.path()) => match self.front.api.admit(&parts) {
                Ok(call) => return Either::Right(Box::pin(self.call(call, body))),
                Err(response) => *response,
            },
            None => match self.front.judge(&parts, self.client) {
                Ok(Upgrade { route: Route::Relay { room, .. }, response }) => {
                    return Either::Right(Box::pin(self.enter(parts, room, response)));
                }
                Ok(upgrade) => self.grant(upgrade),
                Err(response) => *response,
            },
        };
        self.finish(&mut response);
        Either::Left(ready(Ok(response)))
    }

    /// Answers a request for a room of the relay, once it is known who is behind it.
    async fn enter(&self, request: request::Parts, room: ChannelName, response: Response<Body>) -> Answered {
        let mut response = match pass(&self.front.node, self.client, &room, &request.uri).await {
            Ok(pass) => self.grant(Upgrade { route: Route::Relay { room, pass }, response }),
            Err(refused) => self.front.refuse(&request, self.client, refused),
        };
        self.finish(&mut response);
        Ok(response)
    }

    /// Lets the connection become a WebSocket.
    fn grant(&self, Upgrade { route, response }: Upgrade) -> Response<Body> {
        self.front.node.metrics.handshake(Handshake::Accepted);
        // A connection becomes a WebSocket once, so nobody else can have set it.
        let _ = self.granted.set(route);
        response
    }

    /// Names the request, and makes this the connection's one answer: one that is not read must not hold the seat behind further
    /// requests.
    fn finish(&self, response: &mut Response<Body>) {
        set_request_id(response, self.client);
        response.headers_mut().entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
    }

    /// Answers a request that brought a key, and lets others follow.
    async fn call(&self, call: Call, body: RequestBody) -> Answered {
        let api = &self.front.api;
        self.visit.welcome(Instant::now() + api.patience());
        let mut response = api.answer(call, body).await;
        self.visit.answered(Instant::now() + api.idle());
        set_request_id(&mut response, ClientId::random());
        Ok(response)
    }
}

fn set_request_id(response: &mut Response<Body>, id: ClientId) {
    let id = HeaderValue::from_str(&id.to_string()).expect("a UUID is a valid header value");
    response.headers_mut().insert(X_REQUEST_ID, id);
}

/// Tells a client that there is no room for it.
fn refused(refusal: Refusal) -> Response<Body> {
    let mut response = match refusal {
        Refusal::Full => text(StatusCode::SERVICE_UNAVAILABLE, "the server is full; try again later\n"),
        Refusal::Address => text(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address\n"),
    };
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
