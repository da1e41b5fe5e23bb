use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::memory::stream::Stream;
use crate::{HistoryOptions, Sequence};

/// One channel's order and stream. Locked from the assignment of a sequence until the sink has taken the event, which is what
/// makes the order of sequences the order of deliveries.
#[derive(Debug)]
pub(super) struct Channel {
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) top: Sequence,
    /// Set when the channel leaves the map; a publisher that still holds it looks the channel up again.
    pub(super) removed: bool,
    /// How many `subscribe` calls are outstanding; changed only under the map's entry, so that a removal cannot race.
    pub(super) subscribers: usize,
    pub(super) stream: Option<Box<Stream>>,
}

impl Channel {
    pub(super) const fn new(top: Sequence) -> Self {
        Self { state: Mutex::new(State { top, removed: false, subscribers: 0, stream: None }) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Forgets what has expired. A stream keeps its epoch as long as the channel has subscribers: for those who recover from
    /// a lost connection, and those who notice a gap, a new epoch means that something may be lost.
    pub(super) fn expire(&mut self, now: Instant) {
        let Some(stream) = &mut self.stream else { return };
        stream.expire(now);
        if self.subscribers == 0 && stream.is_over(now) {
            self.stream = None;
        }
    }

    /// The stream for reading, made if it is not there.
    pub(super) fn stream(&mut self, options: &HistoryOptions, now: Instant) -> &mut Stream {
        self.expire(now);
        let stream = self.stream.get_or_insert_with(|| Box::new(Stream::new(options, now)));
        stream.renew(options, now);
        stream
    }
}
