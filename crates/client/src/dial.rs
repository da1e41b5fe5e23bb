use std::{fmt, fmt::Debug, io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{
    Connector, client_async_tls_with_config,
    tungstenite::{self, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

use crate::{BuildError, Disconnect, Endpoint, socket::Socket, tls::system_tls_config};

/// Allocated for every connection at once, so small; a larger message grows its own buffer.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// What is gathered before a write; a flush writes less.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// A byte stream that a WebSocket can run over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static> Io for T {}

/// Opens the byte stream to an endpoint; TLS comes on top of it.
pub(crate) type Opener = Arc<dyn Fn(&Endpoint) -> BoxFuture<'static, io::Result<Box<dyn Io>>> + Send + Sync>;

/// All that it takes to open a WebSocket to one endpoint, any number of times.
pub(crate) struct Dialer {
    endpoint: Endpoint,
    subprotocol: Option<&'static str>,
    config: WebSocketConfig,
    max_message_bytes: usize,
    timeout: Duration,
    tls: Connector,
    opener: Opener,
}

impl Dialer {
    /// Reads the system's certificate store for a `wss` endpoint, unless `tls` is given.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoRoots`] and [`BuildError::Tls`].
    pub(crate) fn new(
        endpoint: Endpoint,
        subprotocol: Option<&'static str>,
        max_message_bytes: usize,
        timeout: Duration,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, BuildError> {
        let tls = match tls {
            _ if !endpoint.is_secure() => Connector::Plain,
            Some(config) => Connector::Rustls(config),
            None => Connector::Rustls(system_tls_config()?),
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            // The socket holds back what follows a blocked write, so one message at most is added to a full buffer.
            .max_write_buffer_size(2 * WRITE_BUFFER_BYTES + max_message_bytes)
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let opener: Opener = Arc::new(open_tcp);
        Ok(Self { endpoint, subprotocol, config, max_message_bytes, timeout, tls, opener })
    }

    /// Runs over something else than TCP.
    #[cfg(test)]
    pub(crate) fn with_opener(self, opener: Opener) -> Self {
        Self { opener, ..self }
    }

    /// Opens a WebSocket, within the connect timeout.
    ///
    /// # Errors
    ///
    /// What was in the way.
    pub(crate) async fn dial(&self) -> Result<Socket, Disconnect> {
        tokio::time::timeout(self.timeout, self.open()).await.unwrap_or_else(|_| {
            Err(Disconnect::ConnectTimedOut { endpoint: self.endpoint.to_string(), waited: self.timeout })
        })
    }

    async fn open(&self) -> Result<Socket, Disconnect> {
        let stream = (self.opener)(&self.endpoint).await.map_err(|source| Disconnect::Unreachable {
            endpoint: self.endpoint.to_string(),
            source: Arc::new(source),
        })?;
        let request = self.request().map_err(|error| self.refused(error))?;
        let handshake =
            client_async_tls_with_config(request, stream, Some(self.config), Some(self.tls.clone()));
        let (stream, _) = Box::pin(handshake).await.map_err(|error| self.refused(error))?;
        Ok(Socket::new(stream, self.max_message_bytes))
    }

    fn request(&self) -> Result<tungstenite::handshake::client::Request, tungstenite::Error> {
        let mut request = self.endpoint.uri().into_client_request()?;
        if let Some(subprotocol) = self.subprotocol {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        Ok(request)
    }

    /// Tells TLS, HTTP and WebSocket failures apart.
    fn refused(&self, error: tungstenite::Error) -> Disconnect {
        let endpoint = self.endpoint.to_string();
        match error {
            tungstenite::Error::Http(response) => {
                let detail = first_line(response.body().as_deref().unwrap_or_default());
                Disconnect::Http { endpoint, status: response.status().as_u16(), detail }
            }
            tungstenite::Error::Io(source)
                if source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) =>
            {
                Disconnect::Tls { endpoint, source: Arc::new(source) }
            }
            tungstenite::Error::Tls(error) => {
                Disconnect::Tls { endpoint, source: Arc::new(io::Error::other(error)) }
            }
            error => Disconnect::Handshake { endpoint, source: Arc::new(error) },
        }
    }
}

impl Debug for Dialer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dialer").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

fn open_tcp(endpoint: &Endpoint) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
    let address = (endpoint.host().to_owned(), endpoint.port());
    Box::pin(async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream) as Box<dyn Io>)
    })
}

/// What a server said in plain text beside its status. Pages in HTML are for browsers.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.trim().lines().next().unwrap_or_default();
    if line.starts_with('<') {
        return String::new();
    }
    line.chars().filter(|character| !character.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_of_a_refusal_is_one_short_line_of_text() {
        for (body, detail) in [
            ("", ""),
            ("the room's name is too long\n", "the room's name is too long"),
            ("\r\nfirst\r\nsecond", "first"),
            ("<html><body>Not found</body></html>", ""),
            ("red \x1b[31malert", "red [31malert"),
        ] {
            assert_eq!(first_line(body.as_bytes()), detail);
        }
        assert_eq!(first_line(&[b'x'; 500]).len(), 200);
    }
}
