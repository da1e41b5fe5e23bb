//! What a returning client has missed: all of it, or the plain word that it cannot be told. Reference sections 3.10 and 3.14.

use std::sync::Arc;

use throng_engine::{History, HistoryQuery};
use throng_protocol::{Format, Payload, Publication, StreamPosition, fossil};

use super::plan::Recovery;
use crate::config::RecoveryMode;

/// The outcome of a recovery.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Recovered {
    /// Oldest first.
    pub(crate) publications: Vec<Arc<Publication>>,
    /// Whether they are all that the client has missed.
    pub(crate) complete: bool,
    /// What the client is told as its offset.
    pub(crate) offset: u64,
}

impl Recovery {
    /// What to ask of the stream.
    pub(crate) fn query(&self) -> HistoryQuery {
        match self.mode {
            RecoveryMode::Stream => {
                HistoryQuery { since: self.since.clone(), limit: Some(self.limit), reverse: false }
            }
            RecoveryMode::Cache => HistoryQuery { since: None, limit: Some(1), reverse: true },
        }
    }

    /// What the answer comes to.
    pub(crate) fn judge(&self, history: History) -> Recovered {
        let top = history.position.offset;
        let publications = history.publications.unwrap_or_default();
        match self.mode {
            RecoveryMode::Cache => {
                let is_top = |since: &StreamPosition| {
                    since.offset == top && since.epoch == history.position.epoch.as_str()
                };
                let complete = !publications.is_empty();
                let known = self.since.as_ref().is_some_and(is_top);
                let publications = if known { Vec::new() } else { publications };
                Recovered { publications, complete, offset: top }
            }
            RecoveryMode::Stream => {
                let since = self.since.as_ref().map_or(0, |since| since.offset);
                let complete = match (publications.first(), publications.last()) {
                    (Some(first), Some(last)) => first.offset == since + 1 && last.offset == top,
                    // An epoch that does not match gives no publications either, and a position that is not this stream's.
                    _ => history_matches(self, &history.position) && since == top,
                };
                if complete {
                    Recovered { publications, complete, offset: since }
                } else {
                    Recovered { publications: Vec::new(), complete, offset: top }
                }
            }
        }
    }
}

impl Recovered {
    /// The same, unless it would not fit into an outbox: then it cannot be recovered.
    pub(crate) fn within(self, bytes: usize) -> Self {
        let total: usize = self.publications.iter().map(|publication| publication.data.len()).sum();
        let top = self.publications.last().map_or(self.offset, |last| last.offset);
        if total <= bytes { self } else { Self { publications: Vec::new(), complete: false, offset: top } }
    }
}

/// Whether the client's epoch is the stream's; only the empty one matches every stream.
fn history_matches(recovery: &Recovery, position: &throng_engine::Position) -> bool {
    let epoch = recovery.since.as_ref().map_or("", |since| since.epoch.as_str());
    epoch.is_empty() || epoch == position.epoch.as_str()
}

/// Publications as a subscription with delta compression gets them together: the first in full, the others as patches against
/// the one before where that is shorter.
pub(crate) fn patched(publications: Vec<Publication>, format: Format) -> Vec<Publication> {
    let mut before: Option<Payload> = None;
    let patch = |publication: Publication| {
        let full = publication.data.clone();
        let patch = before.replace(full.clone()).and_then(|before| shorter(&before, &full, format));
        let delta = patch.is_some();
        let data = patch.unwrap_or_else(|| match format {
            // Data is a JSON string wherever delta compression is on, or the SDKs would not know which is which.
            Format::Json => full.quoted().unwrap_or_default(),
            Format::Protobuf => full,
        });
        Publication { data, delta, ..publication }
    };
    publications.into_iter().map(patch).collect()
}

/// The patch from one payload to another, if it is shorter than the payload and the format can carry it.
fn shorter(before: &Payload, full: &Payload, format: Format) -> Option<Payload> {
    let patch = Payload::from(fossil::diff(before.as_bytes(), full.as_bytes()));
    let patch = Some(patch).filter(|patch| patch.len() < full.len())?;
    match format {
        Format::Json => patch.quoted(),
        Format::Protobuf => Some(patch),
    }
}
