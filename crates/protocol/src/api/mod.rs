//! The HTTP server API: what backends ask a server, and what it answers, in JSON.
//!
//! `POST /api/<method>` with an [`ApiRequest`] as body is answered with an [`ApiResponse`]. Both sides use the same
//! types: a server decodes requests and encodes responses, a client does the opposite. HTTP, keys and the limit on the
//! length of a body are not dealt with here; [`openapi`] describes all of it.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use throng_protocol::ErrorCode;
//! use throng_protocol::api::{ApiCommand, ApiReply, ApiRequest, ApiResponse, PublishResult};
//!
//! // What a server does with a body that came in for `publish`.
//! let body = Bytes::from_static(br#"{"channel":"news","data":{"n":1}}"#);
//! let reply = match ApiRequest::decode("publish", &body)? {
//!     ApiRequest::Command(ApiCommand::Publish(publish)) if publish.channel == "news" => {
//!         ApiReply::from(PublishResult { offset: 4, epoch: "nmxq".into() })
//!     }
//!     ApiRequest::Command(_) => ApiReply::from(ErrorCode::UnknownChannel),
//!     ApiRequest::Batch(_) => ApiReply::from(ErrorCode::NotAvailable),
//! };
//! let mut answer = BytesMut::new();
//! ApiResponse::from(reply).encode_json(&mut answer);
//! assert_eq!(&answer[..], br#"{"result":{"offset":4,"epoch":"nmxq"}}"#);
//! # Ok::<(), throng_protocol::api::ApiDecodeError>(())
//! ```
//!
//! Left out on purpose: methods about maps and shared polls, and those of upstream's commercial build, except revocation.

mod batch;
mod double;
mod openapi;
mod request;
mod result;

use bytes::{Bytes, BytesMut};

pub use self::batch::{BatchRequest, BatchResult};
pub use self::double::Double;
pub use self::openapi::openapi;
pub use self::request::*;
pub use self::result::*;
use crate::codec::field::{Choice, Field, Value};
use crate::codec::json::{Object, Reader};
use crate::{DecodeError, Limits};

/// What a backend asks with one HTTP request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each call, and nearly all are commands")]
pub enum ApiRequest {
    /// One thing.
    Command(ApiCommand),
    /// Many things at once.
    Batch(BatchRequest),
}

/// What a backend is answered. Of an error in a batch, only the commands that it befell are told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ApiResponse {
    /// Answers a command: `{"result":{…}}` or `{"error":{…}}`.
    Reply(ApiReply),
    /// Answers a batch: `{"replies":[…]}`.
    Batch(BatchResult),
}

/// Why a body was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ApiDecodeError {
    /// There is no such method: 404, without a look at the body.
    #[error("unknown method")]
    UnknownMethod,
    /// The body is not what the method takes: 400.
    #[error("malformed body")]
    Malformed(#[from] DecodeError),
}

/// Name of the one method that is no command.
const BATCH: &str = "batch";

/// Limits of a body. Its length is limited by whoever reads it.
const LIMITS: Limits = Limits { nesting: 64, elements: 65_536, ..Limits::for_commands() };

impl ApiRequest {
    /// Names of all methods.
    pub fn methods() -> impl Iterator<Item = &'static str> {
        ApiCommand::SHAPES.iter().map(|command| command.key).chain([BATCH])
    }

    /// Name of its method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Command(command) => command.name(),
            Self::Batch(_) => BATCH,
        }
    }

    /// Reads the body of a request, as a server does. Payloads are slices of it.
    ///
    /// Unknown keys are ignored, and what is missing or `null` has its zero value, but a payload may be `null`. At most
    /// 64 levels may be nested, and lists and maps may have 65,536 elements in all; the caller limits the length.
    ///
    /// # Errors
    ///
    /// Tells methods that are not there from bodies that are not understood.
    pub fn decode(method: &str, body: &Bytes) -> Result<Self, ApiDecodeError> {
        if !is_method(method) {
            return Err(ApiDecodeError::UnknownMethod);
        }
        let mut reader = Reader::new(body, &LIMITS)?;
        let request = if method == BATCH {
            Self::Batch(Value::read_json(&mut reader)?)
        } else {
            let command = ApiCommand::read_member(method, &mut reader)?;
            Self::Command(command.ok_or(ApiDecodeError::UnknownMethod)?)
        };
        reader.finish()?;
        Ok(request)
    }

    /// Appends the body of the request.
    pub fn encode_json(&self, out: &mut BytesMut) {
        match self {
            Self::Command(command) => command.write_value(out),
            Self::Batch(batch) => batch.write_json(out),
        }
    }
}

impl From<ApiCommand> for ApiRequest {
    fn from(command: ApiCommand) -> Self {
        Self::Command(command)
    }
}

impl From<BatchRequest> for ApiRequest {
    fn from(batch: BatchRequest) -> Self {
        Self::Batch(batch)
    }
}

impl ApiResponse {
    /// Reads the body of the response to a request of this method, as a client does. Payloads are slices of it.
    ///
    /// Reads as leniently as [`ApiRequest::decode`], and deeper and more, because one response may hold a page of
    /// history. An error may answer any method, also a batch.
    ///
    /// # Errors
    ///
    /// Tells methods that are not there from bodies that are not understood, for example without any answer.
    pub fn decode(method: &str, body: &Bytes) -> Result<Self, ApiDecodeError> {
        if !is_method(method) {
            return Err(ApiDecodeError::UnknownMethod);
        }
        let mut reader = Reader::new(body, &Limits::for_replies())?;
        let mut response = None;
        reader.object(|reader, key| {
            match key {
                _ if reader.take_null() => {}
                "error" => response = Some(Self::Reply(ApiReply::Error(Value::read_json(reader)?))),
                "replies" if method == BATCH => {
                    let mut batch = BatchResult::default();
                    batch.replies.read(reader)?;
                    response = Some(Self::Batch(batch));
                }
                "result" if method != BATCH => {
                    response = ApiReply::read_member(method, reader)?.map(Self::Reply);
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.finish()?;
        Ok(response.ok_or(DecodeError::NoBody { id: 0 })?)
    }

    /// Appends the body of the response.
    ///
    /// What has to be JSON is embedded as it is: the server checks the payloads of publications that came in as
    /// Base64, for example with [`Payload::is_json`](crate::Payload::is_json).
    pub fn encode_json(&self, out: &mut BytesMut) {
        match self {
            Self::Reply(reply @ ApiReply::Error(_)) => write_member("\"error\":", reply, out),
            Self::Reply(reply) => write_member("\"result\":", reply, out),
            Self::Batch(batch) => batch.write_json(out),
        }
    }
}

impl From<ApiReply> for ApiResponse {
    fn from(reply: ApiReply) -> Self {
        Self::Reply(reply)
    }
}

impl From<BatchResult> for ApiResponse {
    fn from(batch: BatchResult) -> Self {
        Self::Batch(batch)
    }
}

fn is_method(name: &str) -> bool {
    ApiRequest::methods().any(|method| method == name)
}

fn write_member(key: &str, reply: &ApiReply, out: &mut BytesMut) {
    let mut object = Object::open(out);
    object.member(key, |out| reply.write_value(out));
    object.close();
}

#[cfg(test)]
mod tests;
