use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request,
    client::conn::http1::handshake,
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use throng_client::{Endpoint, system_tls_config};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::failure::{Failure, UNTRUSTED, chain, plain, where_is_it, with_remedy};

/// Time for a request: the connection and the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer. One may hold a whole stream.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Where the server API is, and the key to it.
pub(crate) struct Http {
    endpoint: Endpoint,
    key: Option<ApiKey>,
    /// TLS settings, unless they are the system's.
    tls: Option<Arc<ClientConfig>>,
}

/// Whoever knows it may do everything: never printed.
pub(crate) struct ApiKey(HeaderValue);

/// What the server said.
struct Answer {
    status: u16,
    body: Bytes,
}

impl ApiKey {
    /// # Errors
    ///
    /// The key cannot be sent; the message does not tell it.
    pub(crate) fn new(key: &str) -> Result<Self, Failure> {
        let mut value = HeaderValue::from_str(key.trim())
            .map_err(|_| Failure::other("the API key has characters that an HTTP header cannot carry"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Http {
    /// Opens nothing yet. A URL without a path is completed with `/api`.
    pub(crate) fn new(url: &Endpoint, key: Option<ApiKey>, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { endpoint: url.or_path("/api"), key, tls }
    }

    /// Asks, and waits for the answer's body. Not cancel safe: a dropped call may or may not have been carried out.
    ///
    /// # Errors
    ///
    /// There is no answer, or it is none of the API; the message names the remedy.
    pub(crate) async fn post(&self, method: &str, body: Bytes) -> Result<Bytes, Failure> {
        let url = self.url(method);
        let exchange = Box::pin(self.exchange(method, body));
        let answer = tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| {
            let unknown = "it may or may not have been carried out";
            Err(Failure::other(format!("{url}: no answer within {PATIENCE:?}: {unknown}")))
        })?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(self.refused(status, &answer.body, &url)),
        }
    }

    /// Where a method is, without the query.
    fn url(&self, method: &str) -> String {
        let scheme = if self.endpoint.is_secure() { "https" } else { "http" };
        let url = self.endpoint.to_string();
        let (_, rest) = url.split_once("://").unwrap_or(("", &url));
        format!("{scheme}://{}/{method}", rest.trim_end_matches('/'))
    }

    async fn exchange(&self, method: &str, body: Bytes) -> Result<Answer, Failure> {
        let request = self.request(method, body)?;
        let stream = self.connect().await.map_err(|error| {
            let url = self.url(method);
            Failure::unreachable(format!(
                "cannot reach {url}: {}; {}",
                plain(&error),
                where_is_it(&self.endpoint)
            ))
        })?;
        if !self.endpoint.is_secure() {
            return self.converse(stream, request).await;
        }
        let config = match &self.tls {
            Some(config) => Arc::clone(config),
            None => system_tls_config().map_err(|error| Failure::build(&error))?,
        };
        let tls = TlsConnector::from(config);
        let untrusted = |error: &dyn std::error::Error| {
            let url = self.url(method);
            Failure::unreachable(format!("no trusted TLS connection to {url}: {}; {UNTRUSTED}", chain(error)))
        };
        let name =
            ServerName::try_from(self.endpoint.host().to_owned()).map_err(|error| untrusted(&error))?;
        let stream = tls.connect(name, stream).await.map_err(|error| untrusted(&error))?;
        self.converse(stream, request).await
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.endpoint.host(), self.endpoint.port())).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn request(&self, method: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let target = self.endpoint.to_url();
        let (_, target) = target.split_once("://").unwrap_or(("", &target));
        let (target, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let (authority, prefix) = target.split_at(target.find('/').unwrap_or(target.len()));
        let prefix = prefix.trim_end_matches('/');
        let path = match query {
            Some(query) => format!("{prefix}/{method}?{query}"),
            None => format!("{prefix}/{method}"),
        };
        let mut request = Request::post(path)
            .header(HOST, authority)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(ApiKey(key)) = &self.key {
            request = request.header("x-api-key", key.clone());
        }
        let request = request.header(hyper::header::CONNECTION, HeaderValue::from_static("close"));
        request.body(Full::new(body)).map_err(|error| Failure::other(chain(&error)))
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Failure> {
        let broken = |error: &dyn std::error::Error| {
            let unknown = "it may or may not have been carried out";
            Failure::other(format!("no answer of the server API: {}: {unknown}", chain(error)))
        };
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| broken(error.as_ref()))?.to_bytes();
            Ok(Answer { status: parts.status.as_u16(), body })
        };
        let mut exchange = std::pin::pin!(exchange);
        // The connection moves the bytes. It may end before what it has brought is taken.
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        }
    }

    fn refused(&self, status: u16, body: &[u8], url: &str) -> Failure {
        let remedy = match status {
            401 if self.key.is_none() => {
                "the server wants an API key: give it with THRONG_API_KEY or --api-key"
            }
            401 => {
                "the server does not take this API key: it is `key` of [http_api] in the server's configuration, and \
                 while there is none the API is off"
            }
            404 => {
                "there is no API: is `key` of [http_api] in the server's configuration, and is it at /api? another \
                 path is given with --url"
            }
            _ => "",
        };
        let text = String::from_utf8_lossy(body);
        let line = text.trim().lines().next().filter(|line| !line.is_empty() && !line.starts_with('<'));
        let mut message = format!("{url} answers with HTTP status {status}");
        if let Some(line) = line {
            message.push_str(": ");
            message.extend(line.chars().take(200));
        }
        Failure::refused(with_remedy(message, (!remedy.is_empty()).then_some(remedy)))
    }
}
