use std::{fmt, fmt::Debug, io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{
    Connector, client_async_tls_with_config,
    tungstenite::{self, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

use crate::{
    BuildError, Disconnect, Endpoint,
    proxy::{HttpProxy, open_tunnel},
    socket::Socket,
    tls::system_tls_config,
};

/// Allocated for every connection at once, so small; a larger message grows its own buffer.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// What is gathered before a write; a flush writes less.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// A byte stream that a WebSocket can run over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static> Io for T {}

/// Opens the byte stream to an endpoint; TLS comes on top of it.
pub(crate) type Opener = Arc<dyn Fn(&Endpoint) -> BoxFuture<'static, io::Result<Box<dyn Io>>> + Send + Sync>;

/// One server, and the way to it.
pub(crate) struct Target {
    endpoint: Endpoint,
    proxy: Option<HttpProxy>,
    tls: Connector,
}

/// All that it takes to open a WebSocket to one of several servers, any number of times.
pub(crate) struct Dialer {
    /// At least one.
    targets: Vec<Target>,
    headers: HeaderMap,
    subprotocol: Option<&'static str>,
    config: WebSocketConfig,
    max_message_bytes: usize,
    timeout: Duration,
    opener: Opener,
}

impl Target {
    /// Reads the system's certificate store for the first `wss` endpoint, unless `tls` is given.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoRoots`] and [`BuildError::Tls`].
    pub(crate) fn new(
        endpoint: Endpoint,
        proxy: Option<HttpProxy>,
        tls: &mut Option<Arc<ClientConfig>>,
    ) -> Result<Self, BuildError> {
        let connector = match tls {
            _ if !endpoint.is_secure() => Connector::Plain,
            Some(config) => Connector::Rustls(Arc::clone(config)),
            None => Connector::Rustls(Arc::clone(tls.insert(system_tls_config()?))),
        };
        Ok(Self { endpoint, proxy, tls: connector })
    }
}

impl Dialer {
    pub(crate) fn new(
        targets: Vec<Target>,
        headers: HeaderMap,
        subprotocol: Option<&'static str>,
        max_message_bytes: usize,
        timeout: Duration,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            // The socket holds back what follows a blocked write, so one message at most is added to a full buffer.
            .max_write_buffer_size(2 * WRITE_BUFFER_BYTES + max_message_bytes)
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let opener: Opener = Arc::new(open_tcp);
        Self { targets, headers, subprotocol, config, max_message_bytes, timeout, opener }
    }

    /// Runs over something else than TCP.
    #[cfg(test)]
    pub(crate) fn with_opener(self, opener: Opener) -> Self {
        Self { opener, ..self }
    }

    /// Opens a WebSocket, within the connect timeout. Which server it is to is a matter of `turn`: they are counted
    /// through again and again.
    ///
    /// # Errors
    ///
    /// What was in the way.
    pub(crate) async fn dial(&self, turn: usize) -> Result<Socket, Disconnect> {
        let target = &self.targets[turn % self.targets.len()];
        tokio::time::timeout(self.timeout, self.open(target)).await.unwrap_or_else(|_| {
            Err(Disconnect::ConnectTimedOut { endpoint: target.endpoint.to_string(), waited: self.timeout })
        })
    }

    async fn open(&self, target: &Target) -> Result<Socket, Disconnect> {
        let stream = self.stream(target).await?;
        let request = self.request(&target.endpoint).map_err(|error| refused(&target.endpoint, error))?;
        let handshake =
            client_async_tls_with_config(request, stream, Some(self.config), Some(target.tls.clone()));
        let (stream, _) = Box::pin(handshake).await.map_err(|error| refused(&target.endpoint, error))?;
        Ok(Socket::new(stream, self.max_message_bytes))
    }

    /// A stream of bytes to the server, through its proxy if it has one.
    async fn stream(&self, target: &Target) -> Result<Box<dyn Io>, Disconnect> {
        let unreachable = |endpoint, source| Disconnect::Unreachable { endpoint, source: Arc::new(source) };
        let Some(proxy) = &target.proxy else {
            let opened = (self.opener)(&target.endpoint).await;
            return opened.map_err(|source| unreachable(target.endpoint.to_string(), source));
        };
        let opened = (self.opener)(&proxy.endpoint).await;
        let mut stream = opened.map_err(|source| unreachable(proxy.to_string(), source))?;
        open_tunnel(&mut stream, proxy, &target.endpoint).await?;
        Ok(stream)
    }

    fn request(
        &self,
        endpoint: &Endpoint,
    ) -> Result<tungstenite::handshake::client::Request, tungstenite::Error> {
        let mut request = endpoint.uri().into_client_request()?;
        request.headers_mut().extend(self.headers.clone());
        if let Some(subprotocol) = self.subprotocol {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        Ok(request)
    }
}

impl Debug for Dialer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints: Vec<_> = self.targets.iter().map(|target| &target.endpoint).collect();
        formatter.debug_struct("Dialer").field("endpoints", &endpoints).finish_non_exhaustive()
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

/// Tells TLS, HTTP and WebSocket failures apart.
fn refused(endpoint: &Endpoint, error: tungstenite::Error) -> Disconnect {
    let endpoint = endpoint.to_string();
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

/// What a server said in plain text beside its status. Pages in HTML are for browsers.
pub(crate) fn first_line(body: &[u8]) -> String {
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
