//! Several commands in one request. Reference sections 6.1 and 6.4.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use throng_protocol::ErrorCode;
use throng_protocol::api::{ApiDecodeError, ApiReply, ApiRequest, ApiResponse, BatchRequest, BatchResult};
use tokio::time::Instant;

use super::{Api, SIDE_BY_SIDE};

/// Names of the methods that a pipeline may also call by number.
const NUMBERED: [&str; 13] = [
    "publish",
    "broadcast",
    "unsubscribe",
    "disconnect",
    "presence",
    "presence_stats",
    "history",
    "history_remove",
    "channels",
    "info",
    "rpc",
    "subscribe",
    "refresh",
];

/// A line of a pipeline.
#[derive(Deserialize)]
struct Line<'b> {
    #[serde(default)]
    id: u64,
    #[serde(default)]
    method: MethodName,
    #[serde(borrow)]
    params: Option<&'b RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum MethodName {
    Number(usize),
    Name(String),
    #[default]
    Absent,
}

impl Api {
    /// Carries out commands, in their order or side by side. Those that are left at the deadline are not carried out.
    pub(super) async fn batch(&self, batch: BatchRequest, deadline: Instant) -> BatchResult {
        let BatchRequest { commands, parallel } = batch;
        let at_once = if parallel { SIDE_BY_SIDE } else { 1 };
        let replies = stream::iter(commands)
            .map(async |command| match command {
                Ok(command) => self.run(command, deadline).await,
                Err(code) => code.into(),
            })
            .buffered(at_once);
        BatchResult { replies: replies.collect().await }
    }

    /// Carries out commands line by line; `None` if one of the lines is no command, and then none of them is carried out.
    pub(super) async fn pipeline(&self, body: &Bytes, deadline: Instant) -> Option<Bytes> {
        let lines = serde_json::Deserializer::from_slice(body).into_iter::<Line<'_>>();
        let lines: Vec<_> =
            lines.collect::<Result<_, _>>().ok().filter(|lines: &Vec<_>| !lines.is_empty())?;
        let mut answers = BytesMut::new();
        for line in lines {
            let reply = self.line(body, &line, deadline).await;
            let mut answer = BytesMut::new();
            ApiResponse::from(reply).encode_json(&mut answer);
            match line.id {
                0 => answers.extend_from_slice(&answer),
                id => {
                    // The id goes first: behind the brace that every answer begins with.
                    answers.extend_from_slice(format!("{{\"id\":{id},").as_bytes());
                    answers.extend_from_slice(&answer[1..]);
                }
            }
            answers.extend_from_slice(b"\n");
        }
        Some(answers.freeze())
    }

    async fn line(&self, body: &Bytes, line: &Line<'_>, deadline: Instant) -> ApiReply {
        let method = match &line.method {
            MethodName::Number(number) => NUMBERED.get(*number).copied().unwrap_or_default().to_owned(),
            MethodName::Name(name) => name.to_ascii_lowercase(),
            MethodName::Absent => String::new(),
        };
        let params =
            line.params.map_or(Bytes::from_static(b"{}"), |json| body.slice_ref(json.get().as_bytes()));
        match ApiRequest::decode(&method, &params) {
            Ok(ApiRequest::Command(command)) => self.run(command, deadline).await,
            Ok(ApiRequest::Batch(_)) | Err(ApiDecodeError::UnknownMethod) => ErrorCode::MethodNotFound.into(),
            Err(ApiDecodeError::Malformed(_)) => ErrorCode::BadRequest.into(),
        }
    }
}
