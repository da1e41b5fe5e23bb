//! Which web pages may connect.

use std::net::IpAddr;

/// Decides by the `Origin` header which web pages may connect.
///
/// Browsers send the header and pages cannot change it, so that a page of another site cannot use a visitor's browser
/// to reach the server. A client that is no browser sends none, and is not held back.
///
/// ```
/// use throng_server::config::AllowedOrigins;
///
/// let origins = AllowedOrigins::new(Some(&["https://*.example".to_owned()]));
/// assert!(origins.allows(Some("https://app.example"), Some("api.example")));
/// assert!(!origins.allows(Some("https://evil.test"), Some("api.example")));
/// assert!(origins.allows(None, Some("api.example")));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedOrigins {
    /// In lower case; `None` when no list was given.
    patterns: Option<Vec<String>>,
}

impl AllowedOrigins {
    /// Takes the setting [`Client::allowed_origins`](super::Client::allowed_origins): patterns in which `*` stands for
    /// any characters. An empty list refuses every `Origin`; without a list the server's own host and loopback hosts
    /// are allowed.
    pub fn new(patterns: Option<&[String]>) -> Self {
        let lower =
            |patterns: &[String]| patterns.iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
        Self { patterns: patterns.map(lower) }
    }

    /// Whether a request with these `Origin` and `Host` headers may connect. One without `Origin` may.
    pub fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let origin = origin.to_ascii_lowercase();
        if !is_origin(&origin) {
            return false;
        }
        match &self.patterns {
            Some(patterns) => patterns.iter().any(|pattern| matches(pattern, &origin)),
            None => is_own_or_loopback(&origin, host),
        }
    }
}

/// Whether the text is `null` or `scheme://host[:port]` (RFC 6454 section 7): a path behind it could end in what a pattern or
/// the name of this machine ends in.
fn is_origin(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
    text == "null" || text.split_once("://").is_some_and(|(_, authority)| authority.bytes().all(plain))
}

fn is_own_or_loopback(origin: &str, host: Option<&str>) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    // Browsers leave the default port out of the header, a proxy may put it into `Host`, so both go without.
    let bare =
        |authority: &str| authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase();
    let authority = bare(authority);
    is_loopback(&authority) || (!authority.is_empty() && host.is_some_and(|host| bare(host) == authority))
}

/// Whether `host` or `host:port` names this machine itself.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
    let authority = authority.to_ascii_lowercase();
    if !authority.bytes().all(plain) {
        return false;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority.as_str(),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost"
        || host.ends_with(".localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Whether the whole text matches a pattern with `*`, in time of at most their lengths' product.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where the last star stands, and the text from which what follows it is tried.
    let mut star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(byte) if *byte == text[at_text] => {
                at_pattern += 1;
                at_text += 1;
            }
            Some(_) | None => {
                let Some((stars, tried)) = star else { return false };
                star = Some((stars, tried + 1));
                at_pattern = stars + 1;
                at_text = tried + 1;
            }
        }
    }
    pattern[at_pattern..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], origin: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        AllowedOrigins::new(Some(&patterns)).allows(Some(origin), Some("api.example"))
    }

    #[test]
    fn text_that_is_no_origin_is_refused() {
        assert!(!allows_by_default("http://evil.example/.localhost", "localhost"));
        assert!(!allows(&["https://*.example"], "https://evil.test/.example"));
        assert!(!allows(&["*"], "anything"));
        assert!(allows(&["*"], "null"));
    }

    fn allows_by_default(origin: &str, host: &str) -> bool {
        AllowedOrigins::new(None).allows(Some(origin), Some(host))
    }

    #[test]
    fn a_request_without_origin_may_always_connect() {
        assert!(AllowedOrigins::new(None).allows(None, None));
        assert!(AllowedOrigins::new(Some(&[])).allows(None, Some("api.example")));
    }

    #[test]
    fn an_empty_list_refuses_every_origin() {
        assert!(!allows(&[], "https://api.example"));
        assert!(!allows(&[], "http://localhost"));
    }

    #[test]
    fn a_star_stands_for_any_characters_and_case_does_not_count() {
        assert!(allows(&["*"], "null"));
        assert!(allows(&["https://*.example"], "https://App.Example"));
        assert!(allows(&["HTTPS://*.example:8*3"], "https://a.b.example:8443"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(!allows(&["https://*.example"], "https://app.example.evil.test"));
        assert!(!allows(&["https://*.example"], "http://app.example"));
        assert!(!allows(&["https://app.example"], "https://app.example:8443"));
        assert!(!matches("a*b", "a"));
    }

    #[test]
    fn any_pattern_of_the_list_is_enough() {
        assert!(allows(&["https://a.example", "https://b.example"], "https://b.example"));
    }

    #[test]
    fn matching_a_hostile_origin_takes_bounded_time() {
        // Backtracking over each of these stars would take longer than anybody would wait.
        let pattern = "a*".repeat(40) + "b";
        assert!(!allows(&[&pattern], &"a".repeat(4_000)));
    }

    #[test]
    fn without_a_list_the_own_host_may_connect() {
        assert!(allows_by_default("https://api.example", "api.example"));
        assert!(allows_by_default("https://API.example", "api.EXAMPLE:443"));
        assert!(allows_by_default("http://api.example:8080", "api.example:8080"));
        assert!(!allows_by_default("http://api.example:8080", "api.example"));
        assert!(!allows_by_default("https://evil.test", "api.example"));
        assert!(!allows_by_default("https://api.example.evil.test", "api.example"));
        assert!(!AllowedOrigins::new(None).allows(Some("https://api.example"), None));
    }

    #[test]
    fn without_a_list_loopback_pages_may_connect() {
        for origin in [
            "http://localhost",
            "http://localhost:3000",
            "https://app.localhost:3000",
            "http://127.0.0.1:8080",
            "http://127.8.9.1",
            "http://[::1]:3000",
            "http://[::1]",
        ] {
            assert!(allows_by_default(origin, "api.example"), "{origin}");
        }
        for origin in ["http://notlocalhost", "http://127.0.0.1.evil.test", "http://localhost.evil.test:80"] {
            assert!(!allows_by_default(origin, "api.example"), "{origin}");
        }
    }

    #[test]
    fn without_a_list_what_is_no_web_origin_is_refused() {
        for origin in ["null", "", "file://", "chrome-extension://abc", "https://", "localhost"] {
            assert!(!allows_by_default(origin, ""), "{origin}");
        }
    }
}
