//! Whoever is at the other end of a connection, while it speaks HTTP: who it is, and what it gets.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::Either;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, request};
use hyper::body::{Body as _, Incoming as RequestBody};
use parking_lot::Mutex;
use throng_protocol::ChannelName;
use throng_registry::ClientId;
use tokio::time::Instant;

use super::accept::Front;
use super::admission::{Refusal, Seat};
use super::handshake::{Refused, Upgrade, is_upgrade, upgrade};
use super::pass::pass;
use super::scan::{Finding, Verdict};
use super::visit::Visit;
use crate::http::{self as pages, Admitted, Body, Call, text};
use crate::metrics::Handshake;
use crate::shard::Route;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of an `Origin` that a log line shows.
const SHOWN_ORIGIN: usize = 200;

/// Whoever is at the other end of a connection, while it speaks HTTP.
pub(super) struct Guest<'f> {
    front: &'f Front,
    client: ClientId,
    /// Who speaks to us.
    peer: SocketAddr,
    /// Time for an answer, once its request is there.
    patience: Duration,
    place: Mutex<Place>,
    pub(super) granted: Arc<OnceLock<Route>>,
    pub(super) finding: Arc<Finding>,
    pub(super) visit: Visit,
}

/// A connection's seat, and whom it was last for.
struct Place {
    admitted: Result<Seat, Refusal>,
    /// Who is behind the peer, as far as is known.
    address: SocketAddr,
    /// Requests so far.
    requests: usize,
}

type Answered = Result<Response<Body>, Infallible>;
type Answering<'g> = Either<Ready<Answered>, Pin<Box<dyn Future<Output = Answered> + Send + 'g>>>;

/// What becomes of a request at once.
enum Judged {
    Answered(Response<Body>),
    /// It may call the API.
    Called(Call),
    /// It may enter a room of the relay with this answer, once it is known who is behind it.
    Enters(ChannelName, Response<Body>),
}

impl<'f> Guest<'f> {
    /// A guest whose first request must be there by then.
    pub(super) fn new(
        front: &'f Front,
        client: ClientId,
        [peer, address]: [SocketAddr; 2],
        admitted: Result<Seat, Refusal>,
        deadline: Instant,
    ) -> Self {
        let patience = front.patience(&admitted);
        Self {
            front,
            client,
            peer,
            patience,
            place: Mutex::new(Place { admitted, address, requests: 0 }),
            granted: Arc::default(),
            finding: Arc::default(),
            visit: Visit::until(deadline),
        }
    }

    /// The guest's seat, if it has one, and who the guest is.
    pub(super) fn into_seat(self) -> (Option<Seat>, SocketAddr) {
        let Place { admitted, address, .. } = self.place.into_inner();
        (admitted.ok(), address)
    }

    /// Notes that the guest did not manage to ask for anything.
    pub(super) fn failed(&self) {
        self.front.admission.failed(self.address().ip());
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.place.lock().address
    }

    pub(super) fn respond(&self, request: Request<RequestBody>) -> Answering<'_> {
        let (parts, body) = request.into_parts();
        self.visit.request(!body.is_end_stream(), Instant::now() + self.patience);
        let mut response = match self.judge(&parts) {
            Judged::Called(call) => return Either::Right(Box::pin(self.call(call, body))),
            Judged::Enters(room, response) => {
                return Either::Right(Box::pin(self.enter_room(parts, room, response)));
            }
            Judged::Answered(response) => response,
        };
        self.finish(&mut response);
        Either::Left(ready(Ok(response)))
    }

    /// Answers a request for a room of the relay, once it is known who is behind it.
    async fn enter_room(
        &self,
        request: request::Parts,
        room: ChannelName,
        response: Response<Body>,
    ) -> Answered {
        let mut response = match pass(&self.front.node, self.client, &room, &request.uri).await {
            Ok(pass) => self.grant(Upgrade { route: Route::Relay { room, pass }, response }),
            Err(refused) => self.refuse(refused, &request),
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

    /// Judges a request by its head.
    fn judge(&self, request: &request::Parts) -> Judged {
        let verdict = match self.enter(request) {
            Ok(verdict) => verdict,
            Err(response) => return Judged::Answered(*response),
        };
        let (front, path) = (self.front, request.uri.path());
        // What follows a request that asks for a WebSocket is looked at no longer, so the API does not go on with it.
        let upgrades = is_upgrade(&request.headers) || verdict == Verdict::Upgrade;
        Judged::Answered(if !upgrades && front.serves_api() && front.api.owns(path) {
            match front.api.admit(request) {
                Admitted::Call(call) => return Judged::Called(*call),
                Admitted::Stranger(response) => {
                    self.failed();
                    response
                }
                Admitted::Answered(response) => response,
            }
        } else if is_upgrade(&request.headers) {
            return self.upgrade(request);
        } else {
            pages::answer(request, &front.node, front.serves)
        })
    }

    /// Lets a request in: finds out who it is from, and whether that one may come. Returns what was found in its bytes, which is
    /// nothing bad.
    fn enter(&self, request: &request::Parts) -> Result<Verdict, Box<Response<Body>>> {
        let mut place = self.place.lock();
        place.requests += 1;
        let verdict = self.finding.on(place.requests);
        let refuse = |response| Err(Box::new(response));
        if let Err(refusal) = &place.admitted {
            return refuse(refused(*refusal));
        }
        let front = self.front;
        let misunderstood = |result, message| {
            front.node.metrics.handshake(result);
            refuse(text(StatusCode::BAD_REQUEST, message))
        };
        match front.proxies.origin_of(self.peer, &request.headers) {
            Ok(address) if front.proxies.forwards(self.peer.ip()) => place.address = address,
            // Then it is known since the connection began.
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(connection = %self.client, peer = %self.peer, %error, "request refused");
                return misunderstood(Handshake::Proxy, "the header of forwarded addresses is malformed\n");
            }
        }
        let address = place.address.ip();
        if let Ok(seat) = place.admitted.as_mut()
            && let Err(refusal) = seat.claim(address)
        {
            front.node.metrics.handshake(refusal.result());
            return refuse(refused(refusal));
        }
        if verdict == Verdict::Bad {
            front.admission.failed(address);
            return misunderstood(Handshake::BadRequest, "others could read this request in another way\n");
        }
        if !front.hosts.allow(request) {
            front.node.metrics.handshake(Handshake::Host);
            let message = "this host is none of the server's names; see client.allowed_origins\n";
            return refuse(text(StatusCode::FORBIDDEN, message));
        }
        Ok(verdict)
    }

    /// Judges an upgrade request.
    fn upgrade(&self, request: &request::Parts) -> Judged {
        let front = self.front;
        if !front.serves.public() {
            front.node.metrics.handshake(Handshake::Disabled);
            let message = "there is no WebSocket endpoint at this address\n";
            return Judged::Answered(text(StatusCode::NOT_FOUND, message));
        }
        let may_name_users = front.proxies.may_name_users(self.peer.ip());
        let granted = upgrade(request, &front.node.settings, &front.origins, may_name_users);
        match granted.and_then(|upgrade| front.has_room().map(|()| upgrade)) {
            Ok(Upgrade { route: Route::Relay { room, .. }, response }) => Judged::Enters(room, response),
            Ok(upgrade) => Judged::Answered(self.grant(upgrade)),
            Err(refused) => Judged::Answered(self.refuse(refused, request)),
        }
    }

    /// The answer to an upgrade that is refused, which is counted and logged. The query stays out of the log: it may hold a token.
    fn refuse(&self, refused: Refused, request: &request::Parts) -> Response<Body> {
        let front = self.front;
        front.node.metrics.handshake(refused.result);
        let fails =
            matches!(refused.result, Handshake::BadRequest | Handshake::Origin | Handshake::Unauthorized);
        // That a token cannot be checked now is no fault of the client's.
        if fails && refused.status.is_client_error() {
            self.failed();
        }
        let (connection, address) = (self.client, self.address());
        if refused.result == Handshake::Origin && front.may_tell() {
            let origin = request.headers.get(http::header::ORIGIN).map_or(&b""[..], HeaderValue::as_bytes);
            let origin = origin[..origin.len().min(SHOWN_ORIGIN)].escape_ascii();
            tracing::info!(%connection, %address, %origin, "origin refused; see client.allowed_origins");
        } else {
            tracing::debug!(%connection, %address, path = request.uri.path(), status = refused.status.as_u16(),
                result = ?refused.result, "upgrade refused");
        }
        refused.response()
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

impl Refusal {
    /// How it counts.
    pub(super) const fn result(self) -> Handshake {
        match self {
            Self::Full => Handshake::Full,
            Self::Address => Handshake::AddressFull,
            Self::AddressRate => Handshake::AddressRate,
            Self::AddressFailures(_) => Handshake::AddressFailures,
        }
    }
}

fn set_request_id(response: &mut Response<Body>, id: ClientId) {
    let id = HeaderValue::from_str(&id.to_string()).expect("a UUID is a valid header value");
    response.headers_mut().insert(X_REQUEST_ID, id);
}

/// Tells a client that there is no room for it.
fn refused(refusal: Refusal) -> Response<Body> {
    let (status, message, after) = match refusal {
        Refusal::Full => (StatusCode::SERVICE_UNAVAILABLE, "the server is full; try again later\n", 1),
        Refusal::Address => (StatusCode::TOO_MANY_REQUESTS, "too many connections from this address\n", 1),
        Refusal::AddressRate => {
            (StatusCode::TOO_MANY_REQUESTS, "this address opens connections too fast\n", 1)
        }
        Refusal::AddressFailures(time) => {
            let message = "too many handshakes of this address failed; try again later\n";
            (StatusCode::TOO_MANY_REQUESTS, message, time.as_secs() + 1)
        }
    };
    let mut response = text(status, message);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after));
    response
}
