use std::{io, sync::Arc};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::HttpProxy;
use crate::{
    Disconnect, Endpoint,
    dial::{Io, first_line},
};

/// Longest answer that a proxy may give, in bytes.
const MAX_ANSWER_BYTES: usize = 16 << 10;

/// Asks a proxy for a tunnel to a server. The caller bounds the time.
///
/// # Errors
///
/// [`Disconnect::Proxy`] when it refuses, [`Disconnect::Unreachable`] when it does not keep to HTTP.
pub(crate) async fn open_tunnel(
    stream: &mut Box<dyn Io>,
    proxy: &HttpProxy,
    endpoint: &Endpoint,
) -> Result<(), Disconnect> {
    let broken = |source| Disconnect::Unreachable { endpoint: proxy.to_string(), source: Arc::new(source) };
    let answer = ask(stream, &request(proxy, endpoint)).await.map_err(broken)?;
    let (head, body) = answer;
    match status_of(&head) {
        None => Err(broken(io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))),
        Some(200..=299) if body.is_empty() => Ok(()),
        // A server waits for the client to speak, so these are from the proxy, and not what was asked for.
        Some(200..=299) => {
            let source =
                io::Error::new(io::ErrorKind::InvalidData, "there is data before the tunnel is used");
            Err(broken(source))
        }
        Some(status) => {
            let detail = first_line(&body);
            Err(Disconnect::Proxy { proxy: proxy.to_string(), status, detail })
        }
    }
}

fn request(proxy: &HttpProxy, endpoint: &Endpoint) -> String {
    let (host, port) = (endpoint.bracketed_host(), endpoint.port());
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request
}

/// The answer's head, and what came with it.
async fn ask(stream: &mut Box<dyn Io>, request: &str) -> io::Result<(Vec<u8>, Vec<u8>)> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(512);
    loop {
        let seen = answer.len().saturating_sub(3);
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = answer[seen..].windows(4).position(|window| window == b"\r\n\r\n") {
            let body = answer.split_off(seen + end + 4);
            return Ok((answer, body));
        }
        if answer.len() >= MAX_ANSWER_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
        }
    }
}

fn status_of(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let status = rest.split(' ').next().filter(|status| status.len() == 3)?;
    status.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked, and what becomes of the answer.
    async fn tunnel(proxy: &str, to: &str, answers: &[&str]) -> (String, Result<(), Disconnect>) {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let (proxy, endpoint) = (HttpProxy::parse(proxy).unwrap(), to.parse().unwrap());
        let mut stream: Box<dyn Io> = Box::new(ours);
        let server = async {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                theirs.read_buf(&mut asked).await.unwrap();
            }
            for answer in answers {
                theirs.write_all(answer.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(theirs);
            String::from_utf8(asked).unwrap()
        };
        let (outcome, asked) = tokio::join!(open_tunnel(&mut stream, &proxy, &endpoint), server);
        (asked, outcome)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_by_name_and_with_the_users_password() {
        let granted = ["HTTP/1.1 200 Connection established\r\n\r\n"];
        let (asked, outcome) = tunnel("http://ann:secret@p:1", "wss://example.org", &granted).await;
        outcome.unwrap();
        let expected = "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\
            Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n\r\n";
        assert_eq!(asked, expected);
        let (asked, _) = tunnel("http://p:1", "ws://[fd12::1]:8080/path?query", &granted).await;
        assert_eq!(asked, "CONNECT [fd12::1]:8080 HTTP/1.1\r\nHost: [fd12::1]:8080\r\n\r\n");
    }

    #[tokio::test]
    async fn an_answer_may_come_in_pieces_and_with_headers() {
        let pieces = ["HTTP/1.0 200 OK\r", "\nVia: x\r\n", "\r", "\n"];
        tunnel("http://p:1", "ws://example.org", &pieces).await.1.unwrap();
    }

    #[tokio::test]
    async fn a_refusal_names_the_proxy_and_what_it_says() {
        for (status, reconnects) in [(403, false), (407, false), (429, true), (502, true), (504, true)] {
            let answer = format!("HTTP/1.1 {status} No\r\n\r\nthis is why\nmore");
            let (_, outcome) = tunnel("http://ann:secret@p:1", "ws://example.org", &[&answer]).await;
            let error = outcome.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the proxy http://p:1 answers with HTTP status {status}: this is why")
            );
            assert_eq!(error.reconnects(), reconnects, "{status}");
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_a_proxy_that_cannot_be_reached() {
        let long = "x".repeat(MAX_ANSWER_BYTES);
        for (answer, why) in [
            ("", "unexpected end of file"),
            ("SSH-2.0-x\r\n\r\n", "the answer is not HTTP"),
            ("HTTP/1.1 2000 OK\r\n\r\n", "the answer is not HTTP"),
            ("HTTP/1.1 200 OK\r\n\r\nhello", "there is data before the tunnel is used"),
            (&long, "the answer is too long"),
        ] {
            let (_, outcome) = tunnel("http://p:1", "ws://example.org", &[answer]).await;
            match outcome {
                Err(Disconnect::Unreachable { endpoint, source }) => {
                    assert_eq!((endpoint.as_str(), source.to_string().as_str()), ("http://p:1", why));
                }
                other => panic!("{answer:.20}: {other:?}"),
            }
        }
    }
}
