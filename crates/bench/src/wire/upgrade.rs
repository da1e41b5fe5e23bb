//! The client's side of the opening handshake (RFC 6455 section 4.1).

use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// Longest response head that is read, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// What the connections of one run ask for and what they must be answered.
///
/// All of them use the same random key: no server can tell, and its answer is computed once.
#[derive(Debug)]
pub(crate) struct Upgrade {
    host: String,
    key: String,
    accept: String,
    subprotocol: Option<&'static str>,
}

/// Why a server's answer is no WebSocket.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UpgradeFault {
    /// The server answered with another status than 101.
    #[error("the server answered {status:?} instead of 101")]
    Status {
        /// The status line.
        status: String,
    },
    /// A header that the handshake needs is absent or wrong.
    #[error("the answer's {name} header is {value:?}, not {expected:?}")]
    Header {
        /// Name of the header in lower case.
        name: &'static str,
        /// What the server sent; empty when the header is absent.
        value: String,
        /// What it had to be.
        expected: String,
    },
    /// The head is longer than 16 KiB.
    #[error("the answer's head is longer than {MAX_HEAD} bytes")]
    TooLong,
}

impl Upgrade {
    pub(crate) fn new(host: String, subprotocol: Option<&'static str>) -> Self {
        let key = generate_key();
        let accept = derive_accept_key(key.as_bytes());
        Self { host, key, accept, subprotocol }
    }

    /// Appends the request for `path`.
    pub(crate) fn write_request(&self, path: &str, out: &mut Vec<u8>) {
        let (host, key) = (&self.host, &self.key);
        let subprotocol =
            self.subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
        out.extend_from_slice(
            format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{subprotocol}\r\n"
            )
            .as_bytes(),
        );
    }

    /// Checks the answer at the front of `bytes` and gives its length; `None` when its end has not arrived.
    pub(crate) fn check_response(&self, bytes: &[u8]) -> Result<Option<usize>, UpgradeFault> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > MAX_HEAD { Err(UpgradeFault::TooLong) } else { Ok(None) };
        };
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("101") {
            return Err(UpgradeFault::Status { status: status.to_owned() });
        }
        let headers: Vec<(&str, &str)> =
            lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
        let mut expected = vec![
            ("upgrade", "websocket", true),
            ("connection", "upgrade", true),
            ("sec-websocket-accept", self.accept.as_str(), false),
        ];
        expected.extend(self.subprotocol.map(|name| ("sec-websocket-protocol", name, false)));
        for (name, wanted, any_case) in expected {
            let sent =
                headers.iter().find(|(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
            let matches =
                sent.is_some_and(|sent| sent == wanted || (any_case && sent.eq_ignore_ascii_case(wanted)));
            if !matches {
                let value = sent.unwrap_or_default().to_owned();
                return Err(UpgradeFault::Header { name, value, expected: wanted.to_owned() });
            }
        }
        Ok(Some(end + 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(upgrade: &Upgrade, extra: &str) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{extra}\r\n",
            upgrade.accept
        )
    }

    #[test]
    fn a_correct_answer_is_accepted_once_it_is_whole() {
        let upgrade = Upgrade::new("localhost".to_owned(), None);
        let text = answer(&upgrade, "");
        for cut in 0..text.len() {
            assert_eq!(upgrade.check_response(&text.as_bytes()[..cut]), Ok(None));
        }
        assert_eq!(upgrade.check_response(format!("{text}frame").as_bytes()), Ok(Some(text.len())));
    }

    #[test]
    fn a_refusal_names_its_status_line() {
        let upgrade = Upgrade::new("localhost".to_owned(), None);
        let fault = upgrade.check_response(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "the server answered \"HTTP/1.1 503 Service Unavailable\" instead of 101"
        );
    }

    #[test]
    fn a_wrong_accept_key_or_a_missing_subprotocol_is_refused() {
        let upgrade = Upgrade::new("localhost".to_owned(), Some("centrifuge-protobuf"));
        let other = Upgrade { accept: "x".to_owned(), ..Upgrade::new(String::new(), None) };
        assert!(upgrade.check_response(answer(&other, "").as_bytes()).is_err());
        assert!(upgrade.check_response(answer(&upgrade, "").as_bytes()).is_err());
        let right = answer(&upgrade, "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n");
        assert_eq!(upgrade.check_response(right.as_bytes()), Ok(Some(right.len())));
    }

    #[test]
    fn an_endless_head_is_refused() {
        let upgrade = Upgrade::new("localhost".to_owned(), None);
        assert_eq!(upgrade.check_response(&[b'a'; MAX_HEAD + 1]), Err(UpgradeFault::TooLong));
    }
}
