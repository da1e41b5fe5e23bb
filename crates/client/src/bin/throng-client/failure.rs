use std::{error::Error, fmt::Write as _, io, process::ExitCode};

use throng_client::{
    BuildError, CloseError, ConnectError, Disconnect, Endpoint, RequestError, SendError, SubscribeError,
    UnsubscribeReason,
};
use throng_protocol::ErrorCode;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// It has done what was asked.
    Done,
    /// It was interrupted before that.
    Interrupted,
}

impl End {
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

/// Why a command failed: what to print, and the exit status. `--help` documents the statuses.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Whoever read stdout has gone, which is no failure: `| head` does it.
    ReaderGone,
    Other,
    Usage,
    Unreachable,
    Refused,
}

impl Failure {
    /// A failure without a kind of its own.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self { kind: Kind::Other, message: message.into() }
    }

    /// What was asked for makes no sense, here or in a settings file.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, message: message.into() }
    }

    /// The server refused.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, message: message.into() }
    }

    /// The server cannot be reached, or is not what it should be.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unreachable, message: message.into() }
    }

    /// The first connection did not come about. Names the remedy.
    pub(crate) fn connect(error: &ConnectError, url: &Endpoint) -> Self {
        match error {
            ConnectError::Failed(reason) => Self::first_connection(reason, url),
            ConnectError::Build(error) => Self::build(error),
            error => Self::other(chain(error)),
        }
    }

    /// The settings cannot be used.
    pub(crate) fn build(error: &BuildError) -> Self {
        match error {
            BuildError::NoRoots(_) => {
                Self::other(format!("{}; set SSL_CERT_FILE to a file of them", chain(error)))
            }
            error => Self::other(chain(error)),
        }
    }

    /// There never was a connection. Names the remedy.
    pub(crate) fn first_connection(reason: &Disconnect, url: &Endpoint) -> Self {
        let failure = Self::disconnect(reason);
        let remedy = match failure.kind {
            Kind::Unreachable if reason.is_unreachable() => where_is_it(url),
            Kind::Unreachable if matches!(reason, Disconnect::Tls { .. }) => UNTRUSTED.to_owned(),
            Kind::Unreachable => "is this the URL of a WebSocket server?".to_owned(),
            Kind::Refused if matches!(reason, Disconnect::Http { status: 404, .. }) => {
                "give the server's URL without a path, or the path of the endpoint".to_owned()
            }
            Kind::ReaderGone | Kind::Other | Kind::Usage | Kind::Refused => return failure,
        };
        Self { message: format!("{}; {remedy}", failure.message), ..failure }
    }

    /// The client has stopped for this reason.
    pub(crate) fn disconnect(reason: &Disconnect) -> Self {
        let root = match reason {
            Disconnect::GaveUp { last, .. } => last,
            reason => reason,
        };
        let kind = match root {
            Disconnect::Unreachable { .. }
            | Disconnect::ConnectTimedOut { .. }
            | Disconnect::Tls { .. }
            | Disconnect::Handshake { .. } => Kind::Unreachable,
            Disconnect::Http { .. }
            | Disconnect::Refused(_)
            | Disconnect::Closed { .. }
            | Disconnect::Unauthorized => Kind::Refused,
            _ => Kind::Other,
        };
        Self { kind, message: chain(reason) }
    }

    /// A request about `what` failed.
    pub(crate) fn request(error: &RequestError, what: &str) -> Self {
        let kind = match error {
            RequestError::Refused(_) => Kind::Refused,
            RequestError::Stopped(reason) => Self::disconnect(reason).kind,
            _ => Kind::Other,
        };
        let remedy = match error {
            RequestError::Refused(reply) => remedy(reply.code),
            _ => None,
        };
        Self { kind, message: with_remedy(format!("{what}: {}", chain(error)), remedy) }
    }

    /// A subscription did not come about.
    pub(crate) fn subscribe(error: &SubscribeError, channel: &str) -> Self {
        let kind = match error {
            SubscribeError::Refused(_) => Kind::Refused,
            SubscribeError::Stopped(reason) => Self::disconnect(reason).kind,
            _ => Kind::Other,
        };
        Self { kind, message: format!("cannot subscribe to {channel}: {}", chain(error)) }
    }

    /// A subscription ended.
    pub(crate) fn unsubscribed(reason: &UnsubscribeReason, channel: &str) -> Self {
        match reason {
            UnsubscribeReason::Stopped(reason) => Self::disconnect(reason),
            reason => Self { kind: Kind::Refused, message: format!("{channel}: {}", chain(reason)) },
        }
    }

    pub(crate) fn send(error: &SendError) -> Self {
        Self::other(chain(error))
    }

    /// Not everything is known to have reached the server.
    pub(crate) fn close(error: &CloseError) -> Self {
        let kind = match error {
            CloseError::Closed(reason) => Self::disconnect(reason).kind,
            _ => Kind::Other,
        };
        Self { kind, message: chain(error) }
    }

    /// Reading stdin failed.
    pub(crate) fn input(error: &io::Error) -> Self {
        Self::other(format!("cannot read stdin: {}", plain(error)))
    }

    /// Writing to stdout failed.
    pub(crate) fn output(error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::ReaderGone } else { Kind::Other };
        Self { kind, message: format!("cannot write to stdout: {}", plain(error)) }
    }

    /// What to print, if anything.
    pub(crate) fn message(&self) -> Option<&str> {
        match self.kind {
            Kind::ReaderGone => None,
            Kind::Other | Kind::Usage | Kind::Unreachable | Kind::Refused => Some(&self.message),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::ReaderGone => 0,
            Kind::Other => 1,
            Kind::Usage => 2,
            Kind::Unreachable => 3,
            Kind::Refused => 4,
        })
    }
}

/// What helps against a certificate that is not trusted.
pub(crate) const UNTRUSTED: &str =
    "--cacert FILE names certificates to trust, as the variable SSL_CERT_FILE does";

/// What helps against a server that cannot be reached.
pub(crate) fn where_is_it(url: &Endpoint) -> String {
    if !url.has_port() && !url.is_secure() {
        let host = url.host();
        return format!(
            "is the URL right? {host:?} was taken as a host, and port 80 as none is named; \
             write ws://HOST:PORT, with --url or THRONG_URL"
        );
    }
    if !url.is_loopback() {
        return "is the URL right? give it with --url or THRONG_URL".to_owned();
    }
    // Whoever runs this through cargo has the sources and perhaps nothing else.
    let under_cargo = std::env::var_os("CARGO").is_some();
    let program = if under_cargo { "cargo run --release --bin throng-server" } else { "throng-server" };
    let options = match (url.port(), under_cargo) {
        (8080, _) => String::new(),
        (port, false) => format!(" --listen 127.0.0.1:{port}"),
        (port, true) => format!(" -- --listen 127.0.0.1:{port}"),
    };
    format!("is the server running? start it with `{program}{options}`")
}

/// What helps against an error code of the server, where that can be said in general.
pub(crate) fn remedy(code: u32) -> Option<&'static str> {
    match ErrorCode::from_code(code)? {
        ErrorCode::UnknownChannel => {
            Some("the part before the colon names a namespace that is not configured")
        }
        ErrorCode::NotAvailable => Some("this is not turned on for the channel's namespace"),
        ErrorCode::UnrecoverablePosition => Some("the place is in another stream: leave --since out"),
        _ => None,
    }
}

pub(crate) fn with_remedy(message: String, remedy: Option<&str>) -> String {
    match remedy {
        Some(remedy) => format!("{message}; {remedy}"),
        None => message,
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.downcast_ref::<io::Error>().map_or_else(|| strip_number(&error.to_string()), plain);
        if !line.ends_with(&text) {
            let _ = write!(line, ": {text}"); // writing to a String cannot fail
        }
        cause = error.source();
    }
    line
}

/// An operating system's error in plain words.
pub(crate) fn plain(error: &io::Error) -> String {
    strip_number(&error.to_string())
}

/// "Connection refused (os error 111)" becomes "connection refused".
fn strip_number(text: &str) -> String {
    let text = text.split(" (os error ").next().unwrap_or(text);
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn unreachable(kind: io::ErrorKind) -> ConnectError {
        let source = Arc::new(io::Error::from(kind));
        ConnectError::Failed(Disconnect::Unreachable { endpoint: "ws://h/echo".to_owned(), source })
    }

    #[test]
    fn an_unreachable_server_is_one_line_with_a_remedy() {
        for (url, remedy) in [
            ("ws://127.0.0.1:8080", "is the server running? start it with `"),
            ("ws://example.org:80", "is the URL right? give it with --url or THRONG_URL"),
            ("wss://example.org", "is the URL right? give it with --url or THRONG_URL"),
            (
                "foo",
                "is the URL right? \"foo\" was taken as a host, and port 80 as none is named; \
                 write ws://HOST:PORT, with --url or THRONG_URL",
            ),
        ] {
            let url = url.parse().unwrap();
            let failure = Failure::connect(&unreachable(io::ErrorKind::ConnectionRefused), &url);
            let message = failure.message().unwrap();
            let told = format!("cannot reach ws://h/echo: connection refused; {remedy}");
            assert!(message.starts_with(&told), "{message}");
            assert_eq!(failure.kind, Kind::Unreachable);
        }
    }

    #[test]
    fn what_the_server_refuses_is_told_from_what_fails() {
        let closed = |code| Disconnect::Closed { code, reason: "bad request".to_owned() };
        let gave_up = Disconnect::GaveUp { attempts: 2, last: Arc::new(closed(1006)) };
        for (reason, kind, message) in [
            (closed(3501), Kind::Refused, "connection closed by the server: bad request (3501)"),
            (gave_up, Kind::Refused, "gave up after 2 attempts: connection cut without a close frame (1006)"),
            (
                Disconnect::MessageTooLong { max: 5 },
                Kind::Other,
                "the server sent a message of more than 5 bytes",
            ),
        ] {
            let failure = Failure::disconnect(&reason);
            assert_eq!((failure.kind, failure.message()), (kind, Some(message)));
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let gone = Failure::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!((gone.message(), gone.exit_code()), (None, ExitCode::SUCCESS));
        assert!(Failure::output(&io::ErrorKind::StorageFull.into()).message().is_some());
    }
}
