use std::sync::Arc;
use std::time::Duration;

use throng_protocol::{Publication, StreamPosition};

use crate::{Position, Sequence};

/// How much of a channel's stream is kept, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HistoryOptions {
    /// Publications kept, the newest ones; at least 1.
    pub size: usize,
    /// How long publications are kept after the newest one: each publication renews it. Above zero.
    pub ttl: Duration,
    /// How long offset and epoch are kept after the stream was last published to or read; `ttl` if that is longer.
    pub meta_ttl: Duration,
}

/// How to publish. The default passes the event on and keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// Store the publication in the channel's stream, with these bounds. Events that are no publications are never stored.
    pub history: Option<HistoryOptions>,
    /// A repeat with the same key in the same channel does not publish: it gets the first one's result, as long as that is
    /// kept. The caller bounds the key's length; the recommended bound is [`MAX_KEY_BYTES`](Self::MAX_KEY_BYTES).
    pub idempotency_key: Option<Box<str>>,
    /// Version of what the publication tells; 0: none. With history, a publication whose version is not above the stream's
    /// highest is dropped.
    pub version: u64,
    /// Which series of versions. Versions are compared when it is empty or equals that of the stream's highest version;
    /// another one starts a new series.
    pub version_epoch: String,
    /// Subscribers may get the publication as a patch: see [`Delivery::previous`](crate::Delivery::previous).
    pub delta: bool,
}

impl PublishOptions {
    /// Longest idempotency key that a caller should let through, in bytes: what an engine keeps per key is bounded only so.
    pub const MAX_KEY_BYTES: usize = 256;
}

/// What became of an event.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Published {
    /// Where it was stored. For a suppressed one: where the first of its key was stored, or the stream's top when the
    /// version was stale.
    pub position: Option<Position>,
    /// It was neither stored nor delivered: its idempotency key was used before, or its version is stale.
    pub suppressed: bool,
}

/// A channel at one moment, from which a subscriber can start: all that follows is delivered with a higher sequence, and what is
/// stored of it has a higher offset.
///
/// An engine that delivers later than it answers may deliver publications up to `position` with a higher sequence, too; whoever
/// knows the position leaves them out. With the memory engine both say the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// Sequence of the channel's last event.
    pub sequence: Sequence,
    /// The stream's top; only if it was asked for.
    pub position: Option<Position>,
}

/// Which publications of a stream to read. The default reads all that are kept, oldest first.
#[derive(Clone, Debug, Default)]
pub struct HistoryQuery {
    /// Read what is newer than this position, or older in reverse, the position itself excluded. An empty epoch matches any.
    /// If what follows it is gone already, reading starts at the oldest kept. In reverse the offset must not be 0 (callers
    /// refuse it): nothing is older.
    pub since: Option<StreamPosition>,
    /// At most that many publications; 0 reads the stream's position alone, `None` has no limit.
    pub limit: Option<usize>,
    /// Newest first.
    pub reverse: bool,
}

/// What was read from a stream, and the channel at the moment of reading, as in a [`Snapshot`].
#[derive(Clone, Debug)]
pub struct History {
    /// Sequence of the channel's last event.
    pub sequence: Sequence,
    /// The stream's top.
    pub position: Position,
    /// What was asked for, in order, shared with the stream.
    pub publications: Result<Vec<Arc<Publication>>, EpochMismatch>,
}

/// The epoch of [`HistoryQuery::since`] is another stream's: what followed that position is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the position is of another stream")]
pub struct EpochMismatch;

/// How many are present in a channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PresenceStats {
    /// Connections.
    pub clients: usize,
    /// Distinct users among them; all without a user id count as one.
    pub users: usize,
}
