//! Which web pages may read the API's answers (CORS): those that may connect, too. Nothing here depends on cookies, so pages are not
//! allowed to send any.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};

use super::counts::Outcome;
use crate::config::AllowedOrigins;
use crate::http::{Body, text};

/// Headers that a page may send: where a key may stand, and what the API asks for.
const HEADERS: &str = "authorization, content-type, x-api-key, x-centrifugo-error-mode";

/// Seconds for which a browser may remember an answer to a preflight.
const MAX_AGE: &str = "300";

#[derive(Debug)]
pub(super) struct Cors(AllowedOrigins);

impl Cors {
    pub(super) fn new(origins: Option<&[String]>) -> Self {
        Self(AllowedOrigins::new(origins))
    }

    /// The origin of a request, if it may read the answer.
    pub(super) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else { return None };
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let host = headers.get(HOST).and_then(text);
        self.0.allows(Some(&text(origin)?), host.as_deref()).then(|| origin.clone())
    }

    /// Answers a page's question whether it may send a request.
    pub(super) fn preflight(&self, headers: &HeaderMap) -> (Outcome, Response<Body>) {
        if self.allowed(headers).is_none() {
            let message = "this origin is not allowed; see client.allowed_origins\n";
            return (Outcome::Unauthorized, text(StatusCode::FORBIDDEN, message));
        }
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        (Outcome::Done, response)
    }
}

/// Whether a page asks if it may send a request.
pub(super) fn is_preflight(head: &request::Parts) -> bool {
    let asks = |name| head.headers.contains_key(name);
    head.method == Method::OPTIONS && asks(ORIGIN) && asks(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets the page read the answer, if there is one that may.
pub(super) fn share(response: &mut Response<Body>, origin: Option<HeaderValue>) {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: Option<&[&str]>, origins: &[&'static str]) -> Option<HeaderValue> {
        let patterns =
            patterns.map(|patterns| patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("api.example"));
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_static(origin));
        }
        Cors::new(patterns.as_deref()).allowed(&headers)
    }

    #[test]
    fn an_origin_that_may_connect_is_named_and_never_a_star() {
        let app = "https://app.example";
        assert_eq!(allowed(Some(&["*"]), &[app]).unwrap(), app);
        assert_eq!(allowed(None, &["https://api.example"]).unwrap(), "https://api.example");
    }

    #[test]
    fn without_an_origin_or_with_a_wrong_one_or_two_nobody_is_named() {
        assert_eq!(allowed(Some(&["*"]), &[]), None);
        assert_eq!(allowed(Some(&["*"]), &["https://a.example", "https://b.example"]), None);
        assert_eq!(allowed(None, &["https://evil.example"]), None);
        assert_eq!(allowed(Some(&[]), &["https://api.example"]), None);
    }
}
