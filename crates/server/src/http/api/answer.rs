//! The answers of the API. Reference sections 6.1 and 6.2.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use throng_protocol::api::ApiError;

use super::body::BodyError;
use crate::http::{Body, JSON, content_of, text};

/// The answer without a key: empty, so that it tells nothing.
pub(super) fn unauthorized() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

pub(super) fn unknown_method() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "there is no such method; the API describes itself at openapi.json\n")
}

pub(super) fn wrong_http_method(allowed: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this takes another HTTP method; see Allow\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

pub(super) fn overloaded() -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once; try again\n");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The body is not JSON, or not an object that the method takes.
pub(super) fn malformed() -> Response<Body> {
    text(StatusCode::BAD_REQUEST, "Bad Request\n")
}

/// The body was not read to its end, so that nothing can be read behind it either.
pub(super) fn unread(error: BodyError, max: usize) -> Response<Body> {
    let mut response = match error {
        BodyError::TooLong => {
            let message =
                format!("the body is longer than {max} bytes, which http_api.body_size_limit allows\n");
            text(StatusCode::PAYLOAD_TOO_LARGE, message)
        }
        BodyError::Late => text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n"),
        BodyError::Broken => text(StatusCode::BAD_REQUEST, "the body broke off\n"),
    };
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pub(super) fn json(json: impl Into<Bytes>) -> Response<Body> {
    content_of(JSON, json.into())
}

/// Answers with an error's own status.
pub(super) fn failed(error: &ApiError) -> Response<Body> {
    let shape = serde_json::json!({ "code": error.code, "message": error.message });
    let mut response = json(shape.to_string());
    *response.status_mut() = status_of(error.code);
    response
}

const fn status_of(code: u32) -> StatusCode {
    match code {
        102 | 104 => StatusCode::NOT_FOUND,
        107 | 108 => StatusCode::BAD_REQUEST,
        111 => StatusCode::TOO_MANY_REQUESTS,
        112 => StatusCode::RANGE_NOT_SATISFIABLE,
        113 => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
