use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use super::counts::Outcome;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BodyError {
    /// It is longer than allowed, or says so.
    TooLong,
    /// It did not come in time.
    Late,
    /// It broke off, or breaks HTTP.
    Broken,
}

/// Reads a body to its end, never more than `max` bytes of it. Whoever announces more is not listened to at all.
pub(super) async fn read(mut body: Incoming, max: usize, deadline: Instant) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > max as u64 {
        return Err(BodyError::TooLong);
    }
    let mut all = Bytes::new();
    let mut several = BytesMut::new();
    while let Some(frame) = timeout_at(deadline, body.frame()).await.map_err(|_| BodyError::Late)? {
        // Trailers say nothing here.
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if data.len() > max - all.len() - several.len() {
            return Err(BodyError::TooLong);
        }
        // Most bodies come in one piece, and need no copy.
        if all.is_empty() && several.is_empty() {
            all = data;
        } else {
            several.extend_from_slice(&std::mem::take(&mut all));
            several.extend_from_slice(&data);
        }
    }
    Ok(if several.is_empty() { all } else { several.freeze() })
}

impl BodyError {
    pub(super) const fn outcome(self) -> Outcome {
        match self {
            Self::TooLong => Outcome::TooLong,
            Self::Late => Outcome::Late,
            Self::Broken => Outcome::Malformed,
        }
    }
}
