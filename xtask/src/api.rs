//! The HTTP API of a server, as the checks need it.

use std::{fmt, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// Longest wait for an answer: longer than a server stands still in any check.
const LIMIT: Duration = Duration::from_secs(10);

/// One connection to the API, opened when it is needed and again after it broke.
#[derive(Debug)]
pub(crate) struct Api {
    server: SocketAddr,
    key: String,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// The task behind the connection; ends with this.
    driver: JoinSet<()>,
}

/// Why a call gave no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said no.
    Refused { code: u32, message: String },
    /// No answer, or none that can be read: whether the call was done is not known.
    Unknown(anyhow::Error),
}

#[derive(Deserialize)]
struct Answer<T> {
    result: Option<T>,
    error: Option<Refusal>,
}

/// What the API answers instead of a result.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: u32,
    #[serde(default)]
    pub(crate) message: String,
}

impl Api {
    pub(crate) fn new(server: SocketAddr, key: &str) -> Self {
        Self { server, key: key.to_owned(), sender: None, driver: JoinSet::new() }
    }

    /// Calls a method; `body` is JSON.
    ///
    /// # Errors
    ///
    /// When the server refuses it, or nothing can be learned.
    pub(crate) async fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        body: String,
    ) -> Result<T, Failure> {
        let bytes = self.post(method, body).await.map_err(Failure::Unknown)?;
        let answer: Answer<T> = serde_json::from_slice(&bytes)
            .with_context(|| format!("{method} answered {:?}", String::from_utf8_lossy(&bytes)))
            .map_err(Failure::Unknown)?;
        match answer {
            Answer { error: Some(Refusal { code, message }), .. } => Err(Failure::Refused { code, message }),
            Answer { result: Some(result), .. } => Ok(result),
            Answer { .. } => Err(Failure::Unknown(anyhow!("{method} answered neither result nor error"))),
        }
    }

    /// Posts to a method, and gives the body of the answer.
    ///
    /// # Errors
    ///
    /// When there is none within 10 seconds, or its status is not 200.
    pub(crate) async fn post(&mut self, method: &str, body: String) -> Result<Bytes> {
        let answer = timeout(LIMIT, self.exchange(method, body)).await;
        let answer = answer.map_err(|_| anyhow!("{method} was not answered within {} s", LIMIT.as_secs()));
        let answer = answer.and_then(|answer| answer);
        if answer.is_err() {
            self.cut();
        }
        answer
    }

    /// Ends the connection; the next call opens another one.
    pub(crate) fn cut(&mut self) {
        self.sender = None;
        self.driver.abort_all();
    }

    async fn exchange(&mut self, method: &str, body: String) -> Result<Bytes> {
        let request = Request::post(format!("/api/{method}"))
            .header(HOST, self.server.to_string())
            .header(CONTENT_TYPE, "application/json")
            .header("X-API-Key", &self.key)
            .body(Full::from(body))?;
        let response = self.sender().await?.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status == StatusCode::OK, "{method} was answered with status {status}");
        Ok(body)
    }

    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>> {
        while self.driver.try_join_next().is_some() {}
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(self.server).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // How it ended shows in the answers.
            self.driver.spawn(async { drop(connection.await) });
            self.sender = Some(sender);
        }
        let sender = self.sender.as_mut().context("just made")?;
        sender.ready().await?;
        Ok(sender)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, message } => write!(f, "refused with {code} {message}"),
            Self::Unknown(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<Failure> for anyhow::Error {
    fn from(failure: Failure) -> Self {
        anyhow!("{failure}")
    }
}
