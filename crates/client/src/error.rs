use std::{io, sync::Arc, time::Duration};

use throng_protocol::{DecodeError, DisconnectCode, ErrorCode, ErrorReply, close_code_reconnects};
use tokio_tungstenite::tungstenite;

/// Why there is no connection: what ended the last one, or why there never was one.
///
/// [`reconnects`](Self::reconnects) tells which of them end a client and which are one more reason to try again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// The application closed the client.
    #[error("closed by the application")]
    ByApplication,
    /// Name resolution or TCP failed.
    #[error("cannot reach {endpoint}")]
    Unreachable {
        /// The server's URL, without its query.
        endpoint: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The TLS handshake failed, for example because the certificate is not trusted.
    #[error("no trusted TLS connection to {endpoint}")]
    Tls {
        /// The server's URL, without its query.
        endpoint: String,
        /// What the TLS library said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The proxy on the way to the server opens no tunnel to it.
    #[error("the proxy {proxy} answers with HTTP status {status}{}", suffix(detail))]
    Proxy {
        /// The proxy's URL, without user and password.
        proxy: String,
        /// The status. 407: it wants other credentials. 5xx, 408, 425 and 429 are worth another try.
        status: u16,
        /// The first line of the answer's body when it is plain text, at most 200 characters; may be empty.
        detail: String,
    },
    /// The server answered the opening handshake with an HTTP status other than 101.
    #[error("{endpoint} answers the WebSocket handshake with HTTP status {status}{}", suffix(detail))]
    Http {
        /// The server's URL, without its query.
        endpoint: String,
        /// The status. 5xx, 408, 425 and 429 are worth another try.
        status: u16,
        /// The first line of the answer's body when it is plain text, at most 200 characters; may be empty.
        detail: String,
    },
    /// What answers is no WebSocket server, or none that speaks the wanted format.
    #[error("no WebSocket handshake with {endpoint}")]
    Handshake {
        /// The server's URL, without its query.
        endpoint: String,
        /// What was wrong.
        #[source]
        source: Arc<tungstenite::Error>,
    },
    /// The connection was not there in time: name resolution, TCP, TLS and handshake together.
    #[error("{endpoint} does not answer within {waited:?}")]
    ConnectTimedOut {
        /// The server's URL, without its query.
        endpoint: String,
        /// The time that was allowed.
        waited: Duration,
    },
    /// The server refused the protocol's connect command, or the newer token of a connection.
    #[error("the server refuses the connection")]
    Refused(#[source] ErrorReply),
    /// The token getter says that there is no token for this client.
    #[error("not authorized by the token getter")]
    Unauthorized,
    /// The token getter has no token for the moment; nothing was tried.
    #[error("no token to connect with")]
    NoToken(#[source] crate::TokenError),
    /// The server closed the connection. 1006 stands for "without a close frame", as in the browser's API.
    #[error("{}", closing_words(*code, reason))]
    Closed {
        /// The close code, 1005 when the close frame has none.
        code: u16,
        /// The server's words; may be empty.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("connection broken")]
    Broken(#[source] Arc<tungstenite::Error>),
    /// The server sent a WebSocket message that is longer than this client takes.
    #[error("the server sent a message of more than {max} bytes")]
    MessageTooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// The server sent something that is not the protocol.
    #[error("the server does not keep to the protocol")]
    Malformed(#[source] DecodeError),
    /// Nothing arrived, not even the pings that were due.
    #[error("no sign of life from the server for {waited:?}")]
    Silent {
        /// How long nothing arrived.
        waited: Duration,
    },
    /// The server did not answer a command on which the connection depends.
    #[error("no answer to {command:?} within {waited:?}")]
    NoAnswer {
        /// The command: connect, subscribe or unsubscribe.
        command: &'static str,
        /// The time that was allowed.
        waited: Duration,
    },
    /// The server refused to end a subscription, so that both sides no longer agree on what is subscribed.
    #[error("the server refuses to unsubscribe")]
    Unsubscribe(#[source] ErrorReply),
    /// Writing made no progress.
    #[error("nothing could be written for {waited:?}")]
    WriteTimedOut {
        /// The time that was allowed.
        waited: Duration,
    },
    /// The maximum of attempts in a row failed.
    #[error("gave up after {attempts} attempts")]
    GaveUp {
        /// How many attempts were made.
        attempts: u32,
        /// Why the last one failed.
        #[source]
        last: Arc<Self>,
    },
}

impl Disconnect {
    /// True when the client tries again after this; false when it stops.
    ///
    /// Close codes follow [`close_code_reconnects`]. Of HTTP statuses, those that speak of the moment and not of the
    /// request (5xx, 408, 425, 429) are tried again. An error reply to the connect command is tried again when the
    /// server calls it temporary; a client with a token getter also gets a new token and tries again after error 109,
    /// which this does not know. No `_` arm: whoever adds a variant decides it here.
    pub const fn reconnects(&self) -> bool {
        match self {
            Self::Closed { code, .. } => close_code_reconnects(*code),
            Self::Http { status, .. } | Self::Proxy { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500..=599)
            }
            Self::Refused(error) => is_temporary(error),
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Handshake { .. }
            | Self::ConnectTimedOut { .. }
            | Self::NoToken(_)
            | Self::Broken(_)
            | Self::Silent { .. }
            | Self::NoAnswer { .. }
            | Self::Unsubscribe(_)
            | Self::WriteTimedOut { .. } => true,
            Self::ByApplication
            | Self::Unauthorized
            | Self::MessageTooLong { .. }
            | Self::Malformed(_)
            | Self::GaveUp { .. } => false,
        }
    }

    /// True when the server could not be reached or did not answer, as opposed to having refused something.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::ConnectTimedOut { .. } => true,
            Self::GaveUp { last, .. } => last.is_unreachable(),
            Self::ByApplication
            | Self::Tls { .. }
            | Self::Proxy { .. }
            | Self::Http { .. }
            | Self::Handshake { .. }
            | Self::Refused(_)
            | Self::Unauthorized
            | Self::NoToken(_)
            | Self::Closed { .. }
            | Self::Broken(_)
            | Self::MessageTooLong { .. }
            | Self::Malformed(_)
            | Self::Silent { .. }
            | Self::NoAnswer { .. }
            | Self::Unsubscribe(_)
            | Self::WriteTimedOut { .. } => false,
        }
    }

    /// True when the connection's token is of no use after this: it has expired, or the server has declared void what
    /// this client remembers.
    pub(crate) fn voids_token(&self) -> bool {
        let expired = |error: &ErrorReply| error.code == ErrorCode::TokenExpired.code();
        let codes = [DisconnectCode::Expired, DisconnectCode::StateInvalidated];
        matches!(self, Self::Refused(error) if expired(error))
            || matches!(self, Self::Closed { code, .. } if codes.iter().any(|voiding| voiding.code() == *code))
    }
}

/// Why a request such as a publish has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server refused it.
    #[error("refused by the server: {0}")]
    Refused(ErrorReply),
    /// The channel has no name; nothing was sent. Sending it would end the connection.
    #[error("the channel's name is empty")]
    EmptyChannel,
    /// The payload is not JSON, but the connection is; nothing was sent.
    #[error("the payload is not valid JSON")]
    NotJson,
    /// The request is longer than one frame may be; nothing was sent. Sending it would end the connection.
    #[error("the request has {bytes} bytes, at most {max} fit a frame")]
    TooLong {
        /// The request's length, in bytes as encoded.
        bytes: usize,
        /// The limit, [`ClientBuilder::max_frame_bytes`](crate::ClientBuilder::max_frame_bytes).
        max: usize,
    },
    /// The server answered something else than was asked.
    #[error("the server answered a {asked} command with a {answered} result")]
    WrongAnswer {
        /// The command's name.
        asked: &'static str,
        /// The result's name.
        answered: &'static str,
    },
    /// There was no connection within the command timeout; nothing was sent.
    #[error("not sent: no connection within {waited:?}")]
    NotSent {
        /// The time that was allowed.
        waited: Duration,
    },
    /// As many requests wait as may, and [`WhenFull::Fail`](crate::WhenFull::Fail) was chosen; nothing was sent.
    #[error("not sent: {requests} requests wait already")]
    QueueFull {
        /// The limit, [`SendQueue::requests`](crate::SendQueue::requests).
        requests: usize,
    },
    /// It made room for a newer request, as [`WhenFull::DropOldest`](crate::WhenFull::DropOldest) says; nothing was
    /// sent.
    #[error("not sent: dropped from a queue of {requests} requests for a newer one")]
    Dropped {
        /// The limit, [`SendQueue::requests`](crate::SendQueue::requests).
        requests: usize,
    },
    /// It was sent, and no answer came within the command timeout: the server may or may not have carried it out.
    #[error("no answer within {waited:?}: it may or may not have been carried out")]
    TimedOut {
        /// The time that was allowed.
        waited: Duration,
    },
    /// It was sent, and the connection was lost before the answer: the server may or may not have carried it out.
    /// The client never repeats a request by itself.
    #[error("connection lost before the answer: it may or may not have been carried out")]
    Unknown(#[source] Disconnect),
    /// The client has stopped, with this reason; nothing was sent.
    #[error("the client has stopped")]
    Stopped(#[source] Disconnect),
}

/// Why there is no subscription.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The server refused it, and not just for the moment.
    #[error("refused by the server: {0}")]
    Refused(ErrorReply),
    /// This client holds a [`Subscription`](crate::Subscription) to the channel; one is the most.
    #[error("this client is subscribed to the channel already")]
    AlreadySubscribed,
    /// The channel has no name; nothing was sent. Sending it would end the connection.
    #[error("the channel's name is empty")]
    EmptyChannel,
    /// Patches are against the publication before, which a filter may have hidden: servers refuse the two together.
    #[error("delta compression and a tags filter do not go together")]
    DeltaWithFilter,
    /// The token getter says that there is no token for this channel
    /// ([`TokenError::Unauthorized`](crate::TokenError::Unauthorized)).
    #[error("not authorized by the token getter")]
    Unauthorized,
    /// The filter makes no sense; nothing was sent.
    #[error("the tags filter cannot be used")]
    Filter(#[from] throng_protocol::FilterError),
    /// The data for the server is not JSON, but the connection is; nothing was sent.
    #[error("the data is not valid JSON")]
    NotJson,
    /// The channel's name, or what was asked for with it, is longer than one frame may be.
    #[error("the request has {bytes} bytes, at most {max} fit a frame")]
    TooLong {
        /// The request's length, in bytes as encoded.
        bytes: usize,
        /// The limit, [`ClientBuilder::max_frame_bytes`](crate::ClientBuilder::max_frame_bytes).
        max: usize,
    },
    /// The client has stopped, with this reason.
    #[error("the client has stopped")]
    Stopped(#[source] Disconnect),
}

/// What a builder refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL is none.
    #[error("the server's URL cannot be used")]
    Endpoint(#[from] crate::EndpointError),
    /// A client needs a task, and so a Tokio runtime around the call.
    #[error("no Tokio runtime to run the client on")]
    NoRuntime,
    /// The URL is `wss`, and the system's certificate store cannot be read or is empty.
    #[error("no trusted root certificates on this system: {0}")]
    NoRoots(String),
    /// The certificates that are to be trusted cannot be.
    #[error("the certificates cannot be trusted: {0}")]
    BadRoots(String),
    /// What the environment or the setting says of a proxy cannot be used. [`Proxy::Direct`](crate::Proxy::Direct) goes
    /// around it.
    #[error("{origin} names no proxy that can be used: {reason}")]
    Proxy {
        /// Where it stands: a variable's name, or the setting.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header for the handshake cannot be sent.
    #[error("the header {name:?} cannot be sent: {reason}")]
    Header {
        /// The header's name as it was given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The TLS library refused its settings.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Why a client could not be connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The settings are wrong; nothing was tried.
    #[error("the client cannot be built")]
    Build(#[from] BuildError),
    /// The first attempt failed.
    #[error("cannot connect")]
    Failed(#[source] Disconnect),
}

impl From<Disconnect> for ConnectError {
    fn from(disconnect: Disconnect) -> Self {
        Self::Failed(disconnect)
    }
}

/// True when the same command may succeed later. Codes below 100 are made by clients and intermediaries.
pub(crate) const fn is_temporary(error: &ErrorReply) -> bool {
    error.temporary || error.code < 100
}

fn suffix(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

fn closing_words(code: u16, reason: &str) -> String {
    match (code, reason) {
        (1006, _) => "connection cut without a close frame (1006)".to_owned(),
        (_, "") => format!("connection closed by the server ({code})"),
        _ => format!("connection closed by the server: {reason} ({code})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16) -> Disconnect {
        Disconnect::Closed { code, reason: String::new() }
    }

    fn http(status: u16) -> Disconnect {
        Disconnect::Http { endpoint: "ws://h".to_owned(), status, detail: String::new() }
    }

    #[test]
    fn every_close_code_reconnects_or_stops_as_the_protocol_says() {
        for code in DisconnectCode::ALL {
            assert_eq!(closed(code.code()).reconnects(), code.code() < 3500, "{code}");
        }
        for (code, reconnects) in [
            (1000, true),
            (1001, true),
            (1005, true),
            (1006, true),
            (1009, false),
            (1011, true),
            (1012, true),
            (1013, true),
            (3499, true),
            (3999, false),
            (4000, true),
            (4499, true),
            (4500, false),
            (4999, false),
            (5000, true),
        ] {
            assert_eq!(closed(code).reconnects(), reconnects, "{code}");
        }
    }

    #[test]
    fn http_statuses_of_the_moment_reconnect_and_those_about_the_request_stop() {
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(http(status).reconnects(), "{status}");
        }
        for status in [200, 301, 302, 400, 401, 403, 404, 410, 426] {
            assert!(!http(status).reconnects(), "{status}");
        }
    }

    #[test]
    fn a_refused_connect_command_reconnects_only_when_it_is_temporary() {
        for code in ErrorCode::ALL {
            let refused = Disconnect::Refused(ErrorReply::from(*code));
            assert_eq!(refused.reconnects(), code.temporary(), "{code}");
        }
    }

    #[test]
    fn messages_name_their_numbers_and_leave_the_cause_to_the_source() {
        let lost = Disconnect::Closed { code: 3001, reason: "shutdown".to_owned() };
        assert_eq!(lost.to_string(), "connection closed by the server: shutdown (3001)");
        assert_eq!(closed(1006).to_string(), "connection cut without a close frame (1006)");
        assert_eq!(closed(1001).to_string(), "connection closed by the server (1001)");
        let gave_up = Disconnect::GaveUp { attempts: 3, last: Arc::new(lost) };
        assert_eq!(gave_up.to_string(), "gave up after 3 attempts");
        assert!(std::error::Error::source(&gave_up).is_some());
    }
}
