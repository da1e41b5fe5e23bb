use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming as RequestBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
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
    let front = Arc::new(Front {
        node,
        admission,
        origins,
        refusals: Arc::new(Semaphore::new(REFUSALS)),
        crowd: Crowd::default(),
    });
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

    /// Answers the one request of a connection, which may become a WebSocket by it.
    async fn serve_http(&self, socket: TcpStream, peer: SocketAddr, admitted: Result<Seat, Refusal>) {
        let client = ClientId::random();
        let id = HeaderValue::from_str(&client.to_string()).expect("a UUID is a valid header value");
        let granted = Arc::new(OnceLock::new());
        let refusal = admitted.as_ref().err().copied();
        let service = service_fn(|request: Request<RequestBody>| {
            let mut response = match refusal {
                Some(refusal) => refused(refusal),
                None => self.answer(request, client, &granted),
            };
            let headers = response.headers_mut();
            headers.insert(X_REQUEST_ID, id.clone());
            // One answer a connection: one that is not read must not hold the seat behind further requests.
            headers.entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
            ready(Ok::<_, Infallible>(response))
        });
        let patience = match refusal {
            Some(_) => REFUSAL_PATIENCE,
            None => self.node.settings.websocket.handshake_timeout,
        };
        // Buffers are made for those who speak, not for those who merely hold a connection open.
        if tokio::time::timeout(patience, socket.peek(&mut [0])).await.is_err() {
            return tracing::debug!(connection = %client, %peer, "no request came");
        }
        // Nagle's algorithm would hold back single messages; that it cannot be turned off is no reason to refuse.
        let _ = socket.set_nodelay(true);
        let held = Held::new(socket, Arc::clone(&granted));
        let serving = self.http(patience).serve_connection(held, service).without_shutdown();
        let Ok(served) = tokio::time::timeout(2 * patience, serving).await else {
            return tracing::debug!(connection = %client, %peer, "the answer was not read in time");
        };
        match (served, granted.get(), admitted) {
            (Ok(parts), Some(route), Ok(seat)) => {
                let (socket, answer) = parts.io.into_parts();
                let leftover = Bytes::copy_from_slice(&parts.read_buf);
                let opening = Opening { answer, leftover, route: route.clone(), client, peer, seat };
                self.hand_down(socket, opening);
            }
            (Err(error), _, _) => tracing::debug!(connection = %client, %peer, %error, "HTTP ended"),
            (Ok(_), _, _) => {}
        }
    }

    fn http(&self, patience: Duration) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_buf_size(self.node.settings.websocket.header_max_size.max(8_192));
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
                tracing::debug!(connection = %client, path = parts.uri.path(), status = refused.status.as_u16(),
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
