use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Uri};
use subtle::{Choice, ConstantTimeEq};

use crate::config::{AllowedOrigins, HttpApi};
use crate::http::query;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The word before the key in an `Authorization` header, in any case.
const SCHEME: &str = "apikey";

/// Who may use the API: whoever has the key.
#[derive(Debug)]
pub(super) struct Gate(Guard);

#[derive(Debug)]
enum Guard {
    /// Nobody can pass, because no key was set or the API is disabled.
    Closed,
    Key(Key),
    /// Programs may pass without a key. Web pages of other origins may not: a browser would carry what they send past every
    /// firewall.
    Open(AllowedOrigins),
}

impl Gate {
    pub(super) fn new(settings: &HttpApi, origins: Option<&[String]>) -> Self {
        Self(match settings.key.expose().as_bytes() {
            _ if settings.disabled => Guard::Closed,
            _ if settings.insecure => Guard::Open(AllowedOrigins::new(origins)),
            [] => Guard::Closed,
            key => Guard::Key(Key(key.into())),
        })
    }

    /// Whether anybody can pass.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.0, Guard::Closed)
    }

    /// Whether a request may pass. Reference section 6.1.
    pub(super) fn lets_in(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("(not text)"));
        match &self.0 {
            Guard::Closed => false,
            Guard::Open(origins) => origins.allows(text(ORIGIN), text(HOST)),
            Guard::Key(key) => {
                let named = match headers.get(X_API_KEY) {
                    Some(named) => Some(named.as_bytes()),
                    None => headers.get(AUTHORIZATION).and_then(|value| credentials(value.as_bytes())),
                };
                named.is_some_and(|named| key.is(named))
                    || query::parameter(uri, "api_key").is_some_and(|named| key.is(&named))
            }
        }
    }
}

/// What follows the scheme in an `Authorization` header, if it is ours.
fn credentials(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(SCHEME.len())?;
    let key = rest.strip_prefix(b" ")?.trim_ascii();
    scheme.eq_ignore_ascii_case(SCHEME.as_bytes()).then_some(key)
}

/// A key that is not empty. Its debug output does not show it.
struct Key(Box<[u8]>);

impl Key {
    /// Takes as long for each candidate of one length, however much of it is right.
    fn is(&self, candidate: &[u8]) -> bool {
        let same = candidate.len().ct_eq(&self.0.len());
        // The key is repeated, so that a candidate's time tells nothing about where the key ends.
        let pairs = candidate.iter().zip(self.0.iter().cycle());
        pairs.fold(same, |same: Choice, (theirs, ours)| same & theirs.ct_eq(ours)).into()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(key: &str, insecure: bool) -> Gate {
        let settings = HttpApi { key: key.into(), insecure, ..HttpApi::default() };
        Gate::new(&settings, None)
    }

    fn passes(gate: &Gate, uri: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        gate.lets_in(&map, &uri.parse().unwrap())
    }

    #[test]
    fn a_disabled_gate_is_closed_to_the_key_and_to_those_who_need_none() {
        for insecure in [false, true] {
            let settings = HttpApi { key: "s3cret".into(), insecure, disabled: true, ..HttpApi::default() };
            let gate = Gate::new(&settings, None);
            assert!(gate.is_closed() && !passes(&gate, "/api/info", &[("x-api-key", "s3cret")]));
        }
    }

    #[test]
    fn the_key_is_found_in_its_three_places() {
        let gate = gate("s3cret", false);
        let open = |uri: &str, headers: &[(&'static str, &str)]| passes(&gate, uri, headers);
        assert!(open("/api/info", &[("x-api-key", "s3cret")]));
        for scheme in ["apikey", "ApiKey", "APIKEY"] {
            assert!(open("/api/info", &[("authorization", &format!("{scheme} s3cret"))]));
        }
        assert!(open("/api/info?api_key=s3cret", &[]));
        assert!(open("/api/info?a=b&api_key=s3%63ret&c", &[]));
    }

    #[test]
    fn what_is_not_the_key_opens_nothing() {
        let gate = gate("s3cret", false);
        for wrong in ["", "s3cre", "s3crets", "s3crets3cret", "S3cret", "s3creT", "xxxxxx"] {
            assert!(!passes(&gate, "/api/info", &[("x-api-key", wrong)]), "{wrong}");
            assert!(!passes(&gate, "/api/info", &[("authorization", &format!("apikey {wrong}"))]), "{wrong}");
            assert!(!passes(&gate, &format!("/api/info?api_key={wrong}"), &[]), "{wrong}");
        }
        for wrong in ["s3cret", "bearer s3cret", "apikeys3cret", "apikey", ""] {
            assert!(!passes(&gate, "/api/info", &[("authorization", wrong)]), "{wrong}");
        }
        assert!(!passes(&gate, "/api/info?xapi_key=s3cret", &[]));
        assert!(!passes(&gate, "/api/info", &[]));
    }

    #[test]
    fn a_wrong_x_api_key_hides_the_authorization_but_not_the_query() {
        let gate = gate("s3cret", false);
        let both = [("x-api-key", "wrong"), ("authorization", "apikey s3cret")];
        assert!(!passes(&gate, "/api/info", &both));
        assert!(passes(&gate, "/api/info?api_key=s3cret", &both));
        assert!(passes(&gate, "/api/info?api_key=s3cret", &[("authorization", "apikey wrong")]));
    }

    #[test]
    fn without_a_key_nobody_passes_not_even_with_an_empty_one() {
        let gate = gate("", false);
        assert!(gate.is_closed());
        assert!(!passes(&gate, "/api/info?api_key=", &[("x-api-key", "")]));
    }

    #[test]
    fn an_insecure_gate_lets_programs_pass_and_keeps_foreign_pages_out() {
        let gate = gate("", true);
        assert!(!gate.is_closed());
        assert!(passes(&gate, "/api/info", &[("host", "127.0.0.1:8080")]));
        let page = |origin| passes(&gate, "/api/info", &[("host", "127.0.0.1:8080"), ("origin", origin)]);
        assert!(page("http://127.0.0.1:8080"));
        assert!(!page("https://evil.example"));
    }

    #[test]
    fn the_key_is_not_in_debug_output() {
        assert!(!format!("{:?}", gate("s3cret", false)).contains("s3cret"));
    }
}
