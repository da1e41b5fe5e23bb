use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming as RequestBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use throng_registry::ClientId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Refusal;
use super::held::Held;
use super::{Admission, Seat, Upgrade, is_upgrade, upgrade};
use crate::config::AllowedOrigins;
use crate::http::{self as pages, Body, text};
use crate::metrics::Handshake;
use crate::node::Node;
use crate::shard::{Incoming, Opening, Route, ShardCommand};

/// Connections that may be told at once that there is no room for them; more are closed without a word.
const REFUSALS: usize = 64;

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
}

/// Accepts connections until `stop` is cancelled. Their tasks run in `tasks`.
pub(crate) async fn run(
    listener: TcpListener,
    node: Arc<Node>,
    admission: Arc<Admission>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let origins = AllowedOrigins::new(node.settings.client.allowed_origins.as_deref());
    let front = Arc::new(Front { node, admission, origins, refusals: Arc::new(Semaphore::new(REFUSALS)) });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let serving = stop.clone().run_until_cancelled_owned(Arc::clone(&front).serve(socket, peer));
                tasks.spawn(serving);
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
        match self.admission.admit(peer.ip()) {
            Ok(seat) => self.serve_http(socket, peer, seat).await,
            Err(refusal) => {
                self.node.metrics.handshake(Handshake::Full);
                if let Ok(_permit) = self.refusals.try_acquire() {
                    self.refuse(socket, refusal).await;
                }
            }
        }
    }

    /// Answers requests on a connection until it ends or becomes a WebSocket.
    async fn serve_http(&self, socket: TcpStream, peer: SocketAddr, seat: Seat) {
        let client = ClientId::random();
        let id = HeaderValue::from_str(&client.to_string()).expect("a UUID is a valid header value");
        let granted = Arc::new(OnceLock::new());
        let service = service_fn(|request: Request<RequestBody>| {
            let mut response = self.answer(request, client, &granted);
            response.headers_mut().insert(X_REQUEST_ID, id.clone());
            ready(Ok::<_, Infallible>(response))
        });
        // Buffers are made for those who speak, not for those who merely hold a connection open.
        let patience = self.node.settings.websocket.handshake_timeout;
        if tokio::time::timeout(patience, socket.readable()).await.is_err() {
            return tracing::debug!(connection = %client, %peer, "no request came");
        }
        // Nagle's algorithm would hold back single messages; that it cannot be turned off is no reason to refuse.
        let _ = socket.set_nodelay(true);
        let served = self
            .http()
            .serve_connection(Held::new(socket, Arc::clone(&granted)), service)
            .without_shutdown()
            .await;
        match (served, granted.get()) {
            (Ok(parts), Some(route)) => {
                let (socket, answer) = parts.io.into_parts();
                let leftover = Bytes::copy_from_slice(&parts.read_buf);
                let opening = Opening { answer, leftover, route: route.clone(), client, peer, seat };
                self.hand_down(socket, opening);
            }
            (Err(error), _) => tracing::debug!(connection = %client, %peer, %error, "HTTP ended"),
            (Ok(_), None) => {}
        }
    }

    fn http(&self) -> http1::Builder {
        let settings = &self.node.settings.websocket;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(settings.handshake_timeout)
            .max_buf_size(settings.header_max_size.max(8_192));
        builder
    }

    fn answer(
        &self,
        request: Request<RequestBody>,
        client: ClientId,
        granted: &OnceLock<Route>,
    ) -> Response<Body> {
        let (parts, _) = request.into_parts();
        if !is_upgrade(&parts.headers) {
            return pages::answer(&parts, &self.node);
        }
        match upgrade(&parts, &self.node.settings, &self.origins) {
            Ok(Upgrade { route, response }) => {
                self.node.metrics.handshake(Handshake::Accepted);
                // A connection becomes a WebSocket once, so nobody else can have set it.
                let _ = granted.set(route);
                response
            }
            Err(refused) => {
                self.node.metrics.handshake(refused.result);
                tracing::info!(connection = %client, path = parts.uri.path(), status = refused.status.as_u16(),
                    result = ?refused.result, "upgrade refused");
                refused.response()
            }
        }
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

    /// Tells a client that there is no room for it.
    async fn refuse(&self, socket: TcpStream, refusal: Refusal) {
        let (status, message) = match refusal {
            Refusal::Full => (StatusCode::SERVICE_UNAVAILABLE, "the server is full; try again later\n"),
            Refusal::Address => (StatusCode::TOO_MANY_REQUESTS, "too many connections from this address\n"),
        };
        let service = service_fn(|_| {
            let mut response = text(status, message);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            ready(Ok::<_, Infallible>(response))
        });
        // Whether the client listens is its own affair.
        let _ = self.http().serve_connection(TokioIo::new(socket), service).await;
    }
}
