//! Fetches key sets: in a bounded time, of a bounded size, without following anybody elsewhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::time::{sleep, timeout};

use super::TokensError;

/// Bytes that a key set may have.
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// Attempts to get a key set, and the pause between two.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);

/// A client that fetches over http and https.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// Time that one attempt may take.
    patience: Duration,
}

/// Why a key set could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer in time")]
    Slow,
    #[error("cannot be reached")]
    Client(#[from] hyper_util::client::legacy::Error),
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("the answer broke off")]
    Broken,
    #[error("the answer has more than {MAX_BYTES} bytes")]
    Large,
    #[error("the answer is no set of keys")]
    NoSet,
    #[error("the answer has more than {0} keys")]
    Many(usize),
    #[error("the answer has no key with a kid that can be used")]
    Empty,
    #[error("too many keys are being fetched")]
    Busy,
}

impl Fetcher {
    /// A client that trusts the certificates that the system trusts.
    ///
    /// # Errors
    ///
    /// [`TokensError::Roots`] if there are none.
    pub(super) fn new(patience: Duration) -> Result<Self, TokensError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 { Err(TokensError::Roots) } else { Self::trusting(roots, patience) }
    }

    /// A client that trusts these certificates.
    pub(super) fn trusting(roots: RootCertStore, patience: Duration) -> Result<Self, TokensError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| TokensError::Provider)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        // An hour between two requests is no reason to keep a connection.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client, patience })
    }

    /// Gets what is at a URL, with another attempt or two.
    pub(super) async fn get(&self, uri: &Uri) -> Result<Bytes, FetchError> {
        let mut attempt = 1;
        loop {
            let outcome = timeout(self.patience, self.once(uri)).await.unwrap_or(Err(FetchError::Slow));
            match outcome {
                // The next answer would be no shorter.
                Ok(_) | Err(FetchError::Large) => return outcome,
                Err(_) if attempt == ATTEMPTS => return outcome,
                Err(_) => sleep(PAUSE).await,
            }
            attempt += 1;
        }
    }

    async fn once(&self, uri: &Uri) -> Result<Bytes, FetchError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.clone();
        let json = header::HeaderValue::from_static("application/json, application/jwk-set+json");
        request.headers_mut().insert(header::ACCEPT, json);
        let response = self.client.request(request).await?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        match body {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::Large),
            Err(_) => Err(FetchError::Broken),
        }
    }
}
