use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use throng_protocol::{Payload, Publication};

use crate::memory::is_due;
use crate::memory::ledger::Usage;
use crate::{Epoch, EpochMismatch, HistoryOptions, HistoryQuery, Position, PublishOptions};

/// The newest publications of a channel, whose offsets follow each other without a hole, and what outlives them.
#[derive(Debug)]
pub(super) struct Stream {
    top: Position,
    publications: VecDeque<Arc<Publication>>,
    /// What they cost.
    bytes: usize,
    /// When it was last published to or read, or lost its last subscriber.
    used: Instant,
    /// The newest kept publication is what subscribers got last, so that a patch against it makes sense to them.
    chained: bool,
    version: u64,
    version_epoch: String,
    /// When the publications go; `None`: never.
    history_expires: Option<Instant>,
    /// How long the stream itself is kept after it was last used.
    meta_ttl: Duration,
}

/// A publication that was just stored.
pub(super) struct Stored {
    pub(super) publication: Arc<Publication>,
    pub(super) position: Position,
    pub(super) previous: Option<Payload>,
}

impl Stream {
    /// A new stream, with an epoch of its own.
    pub(super) fn new(options: &HistoryOptions, now: Instant) -> Self {
        Self {
            top: Position { offset: 0, epoch: Epoch::random() },
            publications: VecDeque::new(),
            bytes: 0,
            used: now,
            chained: false,
            version: 0,
            version_epoch: String::new(),
            history_expires: None,
            meta_ttl: kept_for(options),
        }
    }

    pub(super) const fn position(&self) -> Position {
        self.top
    }

    /// Whether a publication with these options comes too late.
    pub(super) fn is_stale(&self, options: &PublishOptions) -> bool {
        let comparable = options.version_epoch.is_empty() || options.version_epoch == self.version_epoch;
        options.version > 0 && options.version <= self.version && comparable
    }

    /// Stores a publication, which must keep no read buffer alive, and forgets the oldest ones that no longer fit.
    pub(super) fn push(
        &mut self,
        mut publication: Arc<Publication>,
        history: &HistoryOptions,
        options: &PublishOptions,
        now: Instant,
    ) -> Stored {
        self.top.offset += 1;
        let entry = Arc::make_mut(&mut publication);
        entry.offset = self.top.offset;
        entry.epoch = if self.top.offset == 1 { self.top.epoch.to_string() } else { String::new() };
        let base = self.publications.back().filter(|_| self.chained && options.delta);
        let previous = base.map(|newest| newest.data.clone());
        while self.publications.len() >= history.size.max(1) {
            self.forget_oldest();
        }
        self.bytes += weight(&publication);
        self.publications.push_back(Arc::clone(&publication));
        self.chained = true;
        if options.version > 0 {
            self.version = options.version;
            self.version_epoch.clone_from(&options.version_epoch);
        }
        self.history_expires = now.checked_add(history.ttl);
        self.renew(history, now);
        Stored { publication, position: self.top, previous }
    }

    /// Notes that subscribers got a publication that is not in the stream.
    pub(super) const fn unchain(&mut self) {
        self.chained = false;
    }

    /// Notes that the stream was published to or read.
    pub(super) fn renew(&mut self, options: &HistoryOptions, now: Instant) {
        self.used = now;
        self.meta_ttl = kept_for(options);
    }

    /// Notes that the stream has lost its last subscriber, who may come back for what it misses.
    pub(super) const fn abandon(&mut self, now: Instant) {
        self.used = now;
    }

    pub(super) const fn used(&self) -> Instant {
        self.used
    }

    pub(super) fn usage(&self) -> Usage {
        Usage { publications: self.publications.len(), bytes: self.bytes }
    }

    /// Forgets the publications, if it is time; returns how many went.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        if is_due(self.history_expires, now) { self.clear() } else { 0 }
    }

    /// Whether offset and epoch may be forgotten, too.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        is_due(self.used.checked_add(self.meta_ttl), now)
    }

    /// Forgets the publications; returns how many went.
    pub(super) fn clear(&mut self) -> usize {
        self.bytes = 0;
        std::mem::take(&mut self.publications).len()
    }

    /// Forgets publications, oldest first, until they have freed `bytes` or none is left; returns how many went.
    pub(super) fn shed(&mut self, bytes: usize) -> usize {
        let (before, rest) = (self.publications.len(), self.bytes.saturating_sub(bytes));
        while self.bytes > rest {
            self.forget_oldest();
        }
        let evicted = before - self.publications.len();
        if self.publications.is_empty() {
            // An idle stream need not keep the room that its publications took.
            self.clear();
        }
        evicted
    }

    pub(super) fn read(&self, query: &HistoryQuery) -> Result<Vec<Arc<Publication>>, EpochMismatch> {
        let since = query.since.as_ref();
        if since.is_some_and(|since| !since.epoch.is_empty() && since.epoch != self.top.epoch.as_str()) {
            return Err(EpochMismatch);
        }
        let limit = query.limit.unwrap_or(usize::MAX);
        let count = self.publications.len();
        // How many of the kept ones have an offset of at most `offset`.
        let up_to = |offset: u64| {
            let newer = usize::try_from(self.top.offset.saturating_sub(offset)).unwrap_or(usize::MAX);
            count.saturating_sub(newer)
        };
        Ok(if query.reverse {
            let older = since.map_or(count, |since| up_to(since.offset.saturating_sub(1)));
            self.publications.range(..older).rev().take(limit).cloned().collect()
        } else {
            let seen = since.map_or(0, |since| up_to(since.offset));
            self.publications.range(seen..).take(limit).cloned().collect()
        })
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.publications.pop_front() {
            self.bytes -= weight(&oldest);
        }
    }
}

/// The shorter time of the two would forget the stream under its publications.
fn kept_for(options: &HistoryOptions) -> Duration {
    options.meta_ttl.max(options.ttl)
}

/// About what keeping a publication costs, in bytes: its texts, itself, and what the allocator adds.
fn weight(publication: &Publication) -> usize {
    const ALLOCATIONS: usize = 64;
    const TAG: usize = 64;

    let info = publication.info.as_ref().map_or(0, |info| {
        info.user.len() + info.client.len() + info.conn_info.len() + info.chan_info.len() + ALLOCATIONS
    });
    let tags: usize = publication.tags.iter().map(|(name, value)| name.len() + value.len() + TAG).sum();
    let texts = publication.channel.len() + publication.key.len() + publication.epoch.len();
    size_of::<Publication>() + ALLOCATIONS + publication.data.len() + texts + info + tags
}
