//! The server API: how an application's backend publishes and manages. Reference section 6.
//!
//! A request is judged by its head alone first (`admit`): who has no key is not listened to. Only then its body is read
//! (`answer`), bounded in length, time and number.

mod answer;
mod batch;
mod body;
mod channels;
mod clients;
mod cors;
mod counts;
mod gate;
mod method;
mod pattern;
mod payload;
mod process;
mod revocations;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method as HttpMethod, Response, StatusCode, request};
use hyper::body::Incoming;
use throng_protocol::ErrorCode;
use throng_protocol::api::{
    ApiCommand, ApiDecodeError, ApiReply, ApiRequest, ApiResponse, HistoryRemoveResult, openapi,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

pub(crate) use counts::ApiCounts;
#[cfg(any(test, fuzzing))]
pub(crate) use pattern::Pattern;

use self::cors::Cors;
use self::counts::Outcome;
use self::gate::Gate;
use self::method::{Method, Target};
use self::server::Identity;
use super::{Body, lacks_host, text};
use crate::config::HttpApi;
use crate::node::Node;

/// Asks for errors with a status of their own.
const ERROR_MODE: HeaderName = HeaderName::from_static("x-centrifugo-error-mode");

const ABOUT: &str = "this is the server API of throng; it describes itself at openapi.json\n";

/// Time that an answer has to be made, beyond the time in which it should have been.
const MARGIN: Duration = Duration::from_secs(1);

/// How many parts of one request are in hand at once.
const SIDE_BY_SIDE: usize = 64;

/// The server API of a node.
#[derive(Debug)]
pub(crate) struct Api {
    node: Arc<Node>,
    gate: Gate,
    cors: Cors,
    room: Arc<Semaphore>,
    identity: Identity,
    description: Bytes,
}

/// A request that may be answered: its key was checked, and there is room for it.
#[derive(Debug)]
pub(crate) struct Call {
    target: Target,
    /// Errors get statuses of their own.
    errors_as_status: bool,
    /// The page that may read the answer.
    origin: Option<HeaderValue>,
    since: Instant,
    _room: OwnedSemaphorePermit,
}

/// What becomes of a request by its head alone.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// It may be answered.
    Call(Box<Call>),
    /// It has no key, or a wrong one; the answer ends the connection.
    Stranger(Response<Body>),
    /// It has its answer already, which ends the connection.
    Answered(Response<Body>),
}

impl Api {
    /// The API of a node that listens at this address.
    pub(crate) fn new(node: Arc<Node>, address: SocketAddr) -> Self {
        let settings = &node.settings.http_api;
        let origins = node.settings.client.allowed_origins.as_deref();
        let (gate, cors) = (Gate::new(settings, origins), Cors::new(origins));
        let room = Arc::new(Semaphore::new(settings.max_concurrent_requests.min(Semaphore::MAX_PERMITS)));
        let description = openapi(&settings.handler_prefix).into();
        Self { gate, cors, room, identity: Identity::new(address), description, node }
    }

    /// Whether a path is the API's.
    pub(crate) fn owns(&self, path: &str) -> bool {
        self.below(path).is_some()
    }

    /// Longest time between a request's head and its answer.
    pub(crate) fn patience(&self) -> Duration {
        self.settings().request_timeout + MARGIN
    }

    /// Longest time between an answer and the next request's head.
    pub(crate) fn idle(&self) -> Duration {
        self.settings().idle_timeout
    }

    /// Judges a request by its head.
    pub(crate) fn admit(&self, head: &request::Parts) -> Admitted {
        let since = Instant::now();
        let path = self.below(head.uri.path()).unwrap_or_default();
        let target = match path.strip_prefix('/') {
            None => Target::Pipeline,
            Some(name) => Method::named(name).map_or(Target::Nothing, Target::Method),
        };
        let origin = self.cors.allowed(&head.headers);
        match self.judge(target, path, head) {
            Ok(room) => {
                let asked = head.headers.get(ERROR_MODE).is_some_and(|mode| mode == "transport");
                let errors_as_status = asked || self.settings().error_mode_transport;
                Admitted::Call(Box::new(Call { target, errors_as_status, origin, since, _room: room }))
            }
            Err((outcome, mut response)) => {
                self.node.metrics.api.request(target, outcome, since.elapsed());
                cors::share(&mut response, origin);
                if outcome == Outcome::Unauthorized {
                    Admitted::Stranger(*response)
                } else {
                    Admitted::Answered(*response)
                }
            }
        }
    }

    /// Room for a request, if it may be answered.
    fn judge(
        &self,
        target: Target,
        path: &str,
        head: &request::Parts,
    ) -> Result<OwnedSemaphorePermit, (Outcome, Box<Response<Body>>)> {
        let refused = |outcome, response| Err((outcome, Box::new(response)));
        if lacks_host(head) {
            return refused(Outcome::Malformed, super::host_is_needed());
        }
        let reads = matches!(head.method, HttpMethod::GET | HttpMethod::HEAD);
        if !self.gate.is_closed() && cors::is_preflight(head) {
            let (outcome, response) = self.cors.preflight(&head.headers);
            return refused(outcome, response);
        }
        let page = self.page(path);
        if let (false, true, Some(page)) = (self.gate.is_closed(), reads, &page) {
            return refused(Outcome::Done, page.clone());
        }
        if !self.gate.lets_in(&head.headers, &head.uri) {
            return refused(Outcome::Unauthorized, answer::unauthorized());
        }
        if target == Target::Nothing {
            let response =
                page.map_or_else(answer::unknown_method, |_| answer::wrong_http_method("GET, HEAD"));
            return refused(Outcome::Unknown, response);
        }
        if head.method != HttpMethod::POST {
            return refused(Outcome::Unknown, answer::wrong_http_method("POST"));
        }
        let room = Arc::clone(&self.room).try_acquire_owned();
        room.or_else(|_| refused(Outcome::Overload, answer::overloaded()))
    }

    /// Reads a request's body and answers it.
    pub(crate) async fn answer(&self, call: Call, body: Incoming) -> Response<Body> {
        let counts = &self.node.metrics.api;
        let _in_flight = counts.enter();
        let deadline = call.since + self.settings().request_timeout;
        let max = self.settings().body_size_limit;
        let (outcome, mut response) = match body::read(body, max, deadline).await {
            Ok(body) => self.carry_out(&call, &body, deadline).await,
            Err(error) => (error.outcome(), answer::unread(error, max)),
        };
        counts.request(call.target, outcome, call.since.elapsed());
        cors::share(&mut response, call.origin);
        response
    }

    async fn carry_out(&self, call: &Call, body: &Bytes, deadline: Instant) -> (Outcome, Response<Body>) {
        let request = match call.target {
            Target::Method(method) => ApiRequest::decode(method.name(), body),
            Target::Pipeline => {
                return match self.pipeline(body, deadline).await {
                    Some(answers) => (Outcome::Done, answer::json(answers)),
                    None => (Outcome::Malformed, answer::malformed()),
                };
            }
            Target::Nothing => Err(ApiDecodeError::UnknownMethod),
        };
        let response = match request {
            Ok(ApiRequest::Command(command)) => match self.run(command, deadline).await {
                ApiReply::Error(error) if call.errors_as_status => {
                    return (Outcome::Error, answer::failed(&error));
                }
                reply => ApiResponse::from(reply),
            },
            Ok(ApiRequest::Batch(batch)) => self.batch(batch, deadline).await.into(),
            Err(ApiDecodeError::Malformed(_)) => return (Outcome::Malformed, answer::malformed()),
            Err(ApiDecodeError::UnknownMethod) => return (Outcome::Unknown, answer::unknown_method()),
        };
        let outcome = match &response {
            ApiResponse::Reply(ApiReply::Error(_)) => Outcome::Error,
            ApiResponse::Reply(_) | ApiResponse::Batch(_) => Outcome::Done,
        };
        let mut json = BytesMut::new();
        response.encode_json(&mut json);
        (outcome, answer::json(json))
    }

    /// Carries out a command, if there is still time for it.
    async fn run(&self, command: ApiCommand, deadline: Instant) -> ApiReply {
        // One request must not keep a thread from all others.
        tokio::task::coop::consume_budget().await;
        if Instant::now() >= deadline {
            return ErrorCode::Internal.into();
        }
        // Whoever looks at the deadline itself must be able to say what became of it.
        let running = timeout_at(deadline + MARGIN / 2, self.run_one(command, deadline));
        running.await.unwrap_or_else(|_| ErrorCode::Internal.into())
    }

    async fn run_one(&self, command: ApiCommand, deadline: Instant) -> ApiReply {
        match command {
            ApiCommand::Publish(request) => self.publish(request).await.into(),
            ApiCommand::Broadcast(request) => self.broadcast(request, deadline).await.into(),
            ApiCommand::Subscribe(request) => self.subscribe(request).await.into(),
            ApiCommand::Unsubscribe(request) => self.unsubscribe(request).await.into(),
            ApiCommand::Disconnect(request) => self.disconnect(request).await.into(),
            ApiCommand::Presence(request) => self.presence(&request.channel).await.into(),
            ApiCommand::PresenceStats(request) => self.presence_stats(&request.channel).await.into(),
            ApiCommand::History(request) => self.history(request).await.into(),
            ApiCommand::HistoryRemove(request) => {
                self.node.remove_history_of(&request.channel).await.map(|()| HistoryRemoveResult {}).into()
            }
            ApiCommand::Info(_) => self.info().into(),
            ApiCommand::Rpc(request) => self.rpc(request).await.into(),
            ApiCommand::Refresh(request) => self.refresh(request).await.into(),
            ApiCommand::Channels(request) => self.channels(request).await.into(),
            ApiCommand::SlowClients(request) => self.slow_clients(request).await.into(),
            ApiCommand::RevokeToken(request) => self.revoke_token(request).await.into(),
            ApiCommand::InvalidateUserTokens(request) => self.invalidate_user_tokens(request).await.into(),
            ApiCommand::InvalidateTokens(request) => self.invalidate_tokens(request).await.into(),
            ApiCommand::RevokeUser(request) => self.revoke_user(request).await.into(),
            ApiCommand::RevokeChannel(request) => self.revoke_channel(request).await.into(),
            ApiCommand::BlockUser(request) => self.block_user(request).await.into(),
            ApiCommand::UnblockUser(request) => self.unblock_user(request).await.into(),
            ApiCommand::Pardon(request) => self.pardon(request).await.into(),
            ApiCommand::Revocations(request) => self.revocations(&request).into(),
        }
    }

    /// What may be read without a key.
    fn page(&self, path: &str) -> Option<Response<Body>> {
        match path {
            "" | "/" => Some(text(StatusCode::OK, ABOUT)),
            "/openapi.json" => Some(answer::json(self.description.clone())),
            _ => None,
        }
    }

    /// The part of a path behind the API's prefix; `None` for other paths.
    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.settings().handler_prefix.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    fn settings(&self) -> &HttpApi {
        &self.node.settings.http_api
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
