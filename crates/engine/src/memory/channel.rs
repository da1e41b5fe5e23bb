use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use throng_protocol::ChannelName;

use crate::memory::ledger::{Account, Ledger};
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
    /// Boxed, since most channels have none.
    stream: Option<Box<(Stream, Account)>>,
}

/// A locked channel. What happened to its stream is settled with the ledger when the lock is released.
#[derive(Debug)]
pub(super) struct Held<'c> {
    name: &'c ChannelName,
    channel: &'c Arc<Channel>,
    ledger: &'c Ledger,
    state: MutexGuard<'c, State>,
}

impl Channel {
    pub(super) const fn new(top: Sequence) -> Self {
        Self { state: Mutex::new(State { top, removed: false, subscribers: 0, stream: None }) }
    }

    pub(super) fn hold<'c>(self: &'c Arc<Self>, name: &'c ChannelName, ledger: &'c Ledger) -> Held<'c> {
        Held { name, channel: self, ledger, state: self.state.lock() }
    }
}

impl State {
    /// Whether the channel need not be kept.
    pub(super) const fn is_unused(&self) -> bool {
        self.subscribers == 0 && self.stream.is_none()
    }
}

impl Held<'_> {
    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        self.state.stream.as_mut().map(|kept| &mut kept.0)
    }

    /// The stream, made if it is not there.
    pub(super) fn stream_or_new(&mut self, options: &HistoryOptions, now: Instant) -> &mut Stream {
        let watched = self.state.subscribers > 0;
        let kept = self.state.stream.get_or_insert_with(|| {
            let account = self.ledger.open((self.name.clone(), Arc::clone(self.channel)), watched, now);
            Box::new((Stream::new(options, now), account))
        });
        &mut kept.0
    }

    /// Forgets what has expired. A stream keeps its epoch as long as the channel has subscribers: to those who recover, and
    /// to those who watch for gaps, a new epoch means that something may be lost.
    pub(super) fn expire(&mut self, now: Instant) {
        let watched = self.state.subscribers > 0;
        let ledger = self.ledger;
        let Some(stream) = self.stream() else { return };
        let expired = stream.expire(now);
        if expired > 0 {
            ledger.expired_publications.fetch_add(expired as u64, Ordering::Relaxed);
        }
        if !watched && stream.is_over(now) {
            ledger.expired_streams.fetch_add(1, Ordering::Relaxed);
            self.end_stream();
        }
    }

    /// Forgets the stream, with its offset and epoch.
    pub(super) fn end_stream(&mut self) {
        if let Some(kept) = self.state.stream.take() {
            self.ledger.close(&kept.1);
        }
    }
}

impl Deref for Held<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let watched = self.state.subscribers > 0;
        if let Some((stream, account)) = self.state.stream.as_deref_mut() {
            self.ledger.settle(account, stream.usage(), watched, stream.used());
        }
    }
}
