use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, request};
use throng_protocol::{ChannelName, Format};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::config::{AllowedOrigins, Settings};
use crate::http::{Body, percent_decode, text};
use crate::metrics::Handshake;
use crate::session::PingStyle;
use crate::shard::Route;

/// An upgrade that was granted: what the connection is for, and the answer that says so.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub(crate) route: Route,
    pub(crate) response: Response<Body>,
}

/// An upgrade that was refused: how it counts, and what the answer says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) result: Handshake,
    pub(crate) status: StatusCode,
    message: &'static str,
}

impl Refused {
    pub(super) const fn new(result: Handshake, status: StatusCode, message: &'static str) -> Self {
        Self { result, status, message }
    }

    /// The answer to the client.
    pub(crate) fn response(self) -> Response<Body> {
        let mut response = text(self.status, self.message);
        if self.status == StatusCode::UPGRADE_REQUIRED {
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Namespace of the channels that are relay rooms.
pub(crate) const RELAY_NAMESPACE: &str = "relay:";

const JSON: &str = "centrifuge-json";
const PROTOBUF: &str = "centrifuge-protobuf";

/// Whether a request asks for a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    tokens(headers, UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
}

/// Judges an upgrade request (RFC 6455 section 4.2, reference section 1.1).
pub(crate) fn upgrade(
    request: &request::Parts,
    settings: &Settings,
    origins: &AllowedOrigins,
    may_name_users: bool,
) -> Result<Upgrade, Refused> {
    let accept = check(request)?;
    let header = |name| request.headers.get(name).and_then(|value| value.to_str().ok());
    let origin = request.headers.contains_key(ORIGIN).then(|| header(ORIGIN).unwrap_or("(not text)"));
    if !origins.allows(origin, header(HOST)) {
        let message = "this origin is not allowed; see client.allowed_origins\n";
        return Err(Refused { result: Handshake::Origin, status: StatusCode::FORBIDDEN, message });
    }
    let (route, protocol) = route(request, settings, may_name_users)?;
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok(Upgrade { route, response })
}

/// Checks what every opening handshake must have. Returns the value of `Sec-WebSocket-Accept`.
fn check(request: &request::Parts) -> Result<HeaderValue, Refused> {
    if request.method != Method::GET || request.version < http::Version::HTTP_11 {
        return Err(bad(StatusCode::BAD_REQUEST, "a WebSocket handshake is a GET of HTTP/1.1\n"));
    }
    let count = |name: http::HeaderName| request.headers.get_all(name).iter().count();
    let repeated = [SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, ORIGIN].into_iter().any(|name| count(name) > 1);
    if count(HOST) != 1 || repeated {
        let message = "one Host and no header of the handshake twice: that is the rule\n";
        return Err(bad(StatusCode::BAD_REQUEST, message));
    }
    // Its body would be read as frames here and as something else by a proxy in between.
    if request.headers.contains_key(CONTENT_LENGTH) || request.headers.contains_key(TRANSFER_ENCODING) {
        return Err(bad(StatusCode::BAD_REQUEST, "a WebSocket handshake has no body\n"));
    }
    if !tokens(&request.headers, CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Err(bad(StatusCode::BAD_REQUEST, "the Connection header does not say Upgrade\n"));
    }
    if request.headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(bad(StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is spoken here\n"));
    }
    match request.headers.get(SEC_WEBSOCKET_KEY) {
        Some(key) if is_key(key.as_bytes()) => Ok(HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
            .expect("base64 is a valid header value")),
        _ => Err(bad(StatusCode::BAD_REQUEST, "the Sec-WebSocket-Key is not 16 bytes in base64\n")),
    }
}

/// 16 bytes in base64 are 22 characters and two of padding.
fn is_key(key: &[u8]) -> bool {
    let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(in_alphabet)
}

/// What the path leads to, and the subprotocol that was chosen.
fn route(
    request: &request::Parts,
    settings: &Settings,
    may_name_users: bool,
) -> Result<(Route, Option<&'static str>), Refused> {
    let path = request.uri.path();
    if path == settings.websocket.handler_prefix {
        let (format, protocol) = format(request);
        let ping_style = match query(&request.uri, "cf_ws_frame_ping_pong") {
            Some("true") => PingStyle::Frame,
            _ => PingStyle::Application,
        };
        let user = named_user(&request.headers, &settings.client.user_id_http_header);
        let user = user.filter(|_| may_name_users);
        return Ok((Route::Protocol { format, ping_style, user }, protocol));
    }
    let room = match path.strip_prefix("/relay/") {
        Some(segment) => Some(decoded(segment).ok_or(BAD_ROOM)?),
        None => (path == "/").then(|| settings.relay.default_room.clone()),
    };
    match room {
        Some(_) if !settings.relay_enabled() => Err(disabled("the relay is off here; see relay.enabled\n")),
        Some(room) => Ok((Route::Relay { room: relay_room(&room)?, pass: None }, None)),
        None if path == "/echo" && settings.echo_enabled() => Ok((Route::Echo, None)),
        None if path == "/echo" => Err(disabled("the echo is off here; see echo.enabled\n")),
        None => Err(disabled("there is no WebSocket endpoint at this path\n")),
    }
}

/// The user that a trusted proxy names in this header, which no client must be able to set by itself. No header has an empty
/// name.
fn named_user(headers: &HeaderMap, header: &str) -> Option<Box<str>> {
    let user = headers.get(header).filter(|_| !header.is_empty())?.to_str().ok()?;
    (!user.is_empty()).then(|| user.into())
}

/// The wire format that a client of the protocol asked for.
fn format(request: &request::Parts) -> (Format, Option<&'static str>) {
    let mut offered = tokens(&request.headers, SEC_WEBSOCKET_PROTOCOL);
    let chosen = offered.find_map(|token| [JSON, PROTOBUF].into_iter().find(|known| token == *known));
    let asked = |key| query(&request.uri, key) == Some("protobuf");
    match chosen {
        Some(PROTOBUF) => (Format::Protobuf, chosen),
        _ if asked("format") || asked("cf_protocol") => (Format::Protobuf, chosen),
        _ => (Format::Json, chosen),
    }
}

const BAD_ROOM: Refused =
    bad(StatusCode::BAD_REQUEST, "a room's name is 1 to 249 ASCII characters without / : $ and #\n");

/// The channel of a relay room: its name by the rules for channel names, without the characters that mean something in them.
fn relay_room(room: &str) -> Result<ChannelName, Refused> {
    let reserved = |c: char| c.is_ascii_control() || matches!(c, '/' | ':' | '$' | '#');
    if room.is_empty() || room.contains(reserved) {
        return Err(BAD_ROOM);
    }
    format!("{RELAY_NAMESPACE}{room}").parse().map_err(|_| BAD_ROOM)
}

fn decoded(segment: &str) -> Option<String> {
    String::from_utf8(percent_decode(segment)?).ok()
}

/// The value of a query parameter whose value needs no decoding.
fn query<'a>(uri: &'a Uri, key: &str) -> Option<&'a str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

/// The comma-separated tokens of all headers of this name. An empty header has none.
fn tokens(headers: &HeaderMap, name: http::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// An upgrade for which there is no room now.
pub(super) const fn crowded(result: Handshake, message: &'static str) -> Refused {
    Refused { result, status: StatusCode::SERVICE_UNAVAILABLE, message }
}

const fn bad(status: StatusCode, message: &'static str) -> Refused {
    Refused { result: Handshake::BadRequest, status, message }
}

const fn disabled(message: &'static str) -> Refused {
    Refused { result: Handshake::Disabled, status: StatusCode::NOT_FOUND, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut builder = http::Request::get(uri)
            .header("host", "127.0.0.1:8080")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            builder.headers_mut().unwrap().insert(name, HeaderValue::from_str(value).unwrap());
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn judge(uri: &str, headers: &[(&str, &str)]) -> Result<Upgrade, Refused> {
        let settings = Settings::default();
        upgrade(
            &request(uri, headers),
            &settings,
            &AllowedOrigins::new(settings.client.allowed_origins.as_deref()),
            true,
        )
    }

    fn status(uri: &str, headers: &[(&str, &str)]) -> u16 {
        match judge(uri, headers) {
            Ok(upgrade) => upgrade.response.status().as_u16(),
            Err(refused) => refused.response().status().as_u16(),
        }
    }

    fn protocol(uri: &str, headers: &[(&str, &str)]) -> (Format, Option<String>) {
        let Upgrade { route, response } = judge(uri, headers).unwrap();
        let Route::Protocol { format, .. } = route else { panic!("not the protocol's route: {route:?}") };
        let chosen = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
        (format, chosen.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        let upgrade = judge("/echo", &[]).unwrap();
        assert_eq!(upgrade.response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_handshake_that_lacks_something_is_refused() {
        assert_eq!(status("/echo", &[("sec-websocket-version", "8")]), 426);
        assert_eq!(status("/echo", &[("sec-websocket-key", "short")]), 400);
        assert_eq!(status("/echo", &[("connection", "close")]), 400);
        assert_eq!(status("/echo", &[("content-length", "5")]), 400);
        assert_eq!(status("/echo", &[("transfer-encoding", "chunked")]), 400);
        assert_eq!(status("/nowhere", &[]), 404);
    }

    #[test]
    fn what_must_stand_once_must_not_stand_twice_or_lack() {
        let settings = Settings::default();
        let origins = AllowedOrigins::new(None);
        for (name, again) in [
            ("host", "other"),
            ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ("origin", "http://127.0.0.1"),
        ] {
            let mut twice = request("/echo", &[("origin", "http://127.0.0.1:8080")]);
            twice.headers.append(name, HeaderValue::from_static(again));
            assert_eq!(upgrade(&twice, &settings, &origins, true).unwrap_err().status, 400, "{name}");
        }
        let mut without = request("/echo", &[]);
        without.headers.remove(HOST);
        assert_eq!(upgrade(&without, &settings, &origins, true).unwrap_err().status, 400);
    }

    #[test]
    fn the_format_follows_subprotocol_and_query() {
        let path = "/connection/websocket";
        let named = |name: &'static str| [("sec-websocket-protocol", name)];
        assert_eq!(protocol(path, &[]), (Format::Json, None));
        assert_eq!(protocol(path, &named("")), (Format::Json, None));
        assert_eq!(protocol(path, &named(JSON)), (Format::Json, Some(JSON.into())));
        assert_eq!(
            protocol(path, &named("x, centrifuge-protobuf")),
            (Format::Protobuf, Some(PROTOBUF.into()))
        );
        assert_eq!(protocol("/connection/websocket?format=protobuf", &[]), (Format::Protobuf, None));
        assert_eq!(protocol("/connection/websocket?a=b&cf_protocol=protobuf", &[]), (Format::Protobuf, None));
    }

    #[test]
    fn an_upgrade_of_the_root_is_the_default_room() {
        let Route::Relay { room, .. } = judge("/", &[]).unwrap().route else { panic!("no room") };
        assert_eq!(room.as_str(), "relay:lobby");
    }

    #[test]
    fn a_room_is_a_decoded_path_segment_without_reserved_characters() {
        let Route::Relay { room, .. } = judge("/relay/a%20b", &[]).unwrap().route else { panic!("no room") };
        assert_eq!(room.as_str(), "relay:a b");
        for bad in [
            "/relay/",
            "/relay/a/b",
            "/relay/a%2fb",
            "/relay/a:b",
            "/relay/%24x",
            "/relay/%c3%a4",
            "/relay/%zz",
            "/relay/%0a",
        ] {
            assert_eq!(status(bad, &[]), 400, "{bad}");
        }
        let longest = format!("/relay/{}", "x".repeat(249));
        assert_eq!(status(&longest, &[]), 101);
        assert_eq!(status(&format!("{longest}x"), &[]), 400);
    }

    #[test]
    fn a_foreign_origin_is_forbidden() {
        assert_eq!(status("/relay/lobby", &[("origin", "https://evil.example")]), 403);
        assert_eq!(status("/relay/lobby", &[("origin", "http://127.0.0.1:8080")]), 101);
    }
}
