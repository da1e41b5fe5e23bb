//! What the server answers to plain HTTP requests: the chat page, health, and metrics.

mod api;
mod query;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, request};
use http_body_util::Full;

#[cfg(any(test, fuzzing))]
pub(crate) use api::Pattern as ChannelPattern;
pub(crate) use api::{Admitted, Api, ApiCounts, Call};
pub(crate) use query::{parameter, percent_decode};

use crate::metrics;
use crate::node::Node;

pub(crate) type Body = Full<Bytes>;

/// Where the page learns the room of a bare upgrade on `/`.
const ROOM_META: &str = r#"<meta name="throng-default-room""#;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is served at an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Serves {
    Everything,
    /// All but health, metrics, and the API unless it is external.
    Public,
    /// Only health, metrics and the API.
    Internals,
}

impl Serves {
    /// Whether what is for everybody is served: WebSockets, and the page.
    pub(crate) const fn public(self) -> bool {
        matches!(self, Self::Everything | Self::Public)
    }

    /// Whether what is for those who run the server is served.
    pub(crate) const fn internals(self) -> bool {
        matches!(self, Self::Everything | Self::Internals)
    }
}

/// Answers a request that asks for no WebSocket.
pub(crate) fn answer(request: &request::Parts, node: &Node, serves: Serves) -> Response<Body> {
    if lacks_host(request) {
        return host_is_needed();
    }
    let settings = &node.settings;
    let path = request.uri.path();
    let websocket =
        path == settings.websocket.handler_prefix || path == "/echo" || path.starts_with("/relay/");
    let is_internal = matches!(path, "/health" | "/metrics");
    let (kind, content): (_, Bytes) = match path {
        _ if is_internal && !serves.internals() || !is_internal && !serves.public() => return not_found(),
        _ if websocket => return upgrade_required(),
        "/" if settings.relay_enabled() => return page(request, &settings.relay.default_room),
        "/" => (PLAIN, "throng is running; its WebSocket endpoint is elsewhere\n".into()),
        "/style.css" if settings.relay_enabled() => (CSS, include_str!("page/style.css").into()),
        "/chat.js" if settings.relay_enabled() => (JAVASCRIPT, include_str!("page/chat.js").into()),
        "/icon.svg" if settings.relay_enabled() => (SVG, include_str!("page/icon.svg").into()),
        "/health" if settings.health.enabled && !node.is_healthy() => {
            return text(StatusCode::SERVICE_UNAVAILABLE, "a shard has ended by itself\n");
        }
        "/health" if settings.health.enabled => (JSON, "{}".into()),
        "/metrics" if settings.prometheus_enabled() => (PROMETHEUS, metrics::render(node).into()),
        _ => return not_found(),
    };
    reading(request, || content_of(kind, content))
}

/// A short answer for people.
pub(crate) fn text(status: StatusCode, message: impl Into<Bytes>) -> Response<Body> {
    let mut response = content_of(PLAIN, message.into());
    *response.status_mut() = status;
    response
}

/// Whether it is unclear which host a request is for.
fn lacks_host(request: &request::Parts) -> bool {
    let hosts = request.headers.get_all(HOST).iter().count();
    hosts > 1 || (hosts == 0 && request.version >= Version::HTTP_11)
}

fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "there is nothing at this path\n")
}

fn host_is_needed() -> Response<Body> {
    text(StatusCode::BAD_REQUEST, "one Host header is needed\n")
}

fn content_of(kind: &'static str, content: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Lets only those through that want to read.
fn reading(request: &request::Parts, answer: impl FnOnce() -> Response<Body>) -> Response<Body> {
    if matches!(request.method, Method::GET | Method::HEAD) {
        return answer();
    }
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn upgrade_required() -> Response<Body> {
    let mut response =
        text(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket endpoint; connect with ws:// instead\n");
    response.headers_mut().insert(http::header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// The chat page. Its policy lets it load its own three files and talk to its own server, nothing else.
fn page(request: &request::Parts, default_room: &str) -> Response<Body> {
    reading(request, || {
        let escaped = default_room.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let room = format!(r#"{ROOM_META} content="{escaped}">"#);
        let html =
            include_str!("page/index.html").replace(&format!(r#"{ROOM_META} content="lobby">"#), &room);
        let mut response = content_of(HTML, html.into());
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, policy(&request.headers));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    })
}

fn policy(headers: &HeaderMap) -> HeaderValue {
    // Not every browser takes 'self' to include the same host's WebSockets, so the host is named, if it is a plain one.
    let plain =
        |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(plain);
    let sockets = host.map_or_else(String::new, |host| format!(" ws://{host} wss://{host}"));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{sockets}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("a plain host is a valid header value")
}
