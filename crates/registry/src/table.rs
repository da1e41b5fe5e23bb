use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::RandomState;
use std::io;

use bytes::BytesMut;
use slab::Slab;
use throng_protocol::ChannelName;

use crate::backlog::{Backlog, Tag};
use crate::local::LocalChannel;
use crate::policy::Dropped;
use crate::subscribe::Membership;
use crate::turn::{NOT_DIRTY, Turn};
use crate::{Ended, OutboxDepth, OutboxLimits, Slot, SlowPolicy, WireFormat};

/// One shard's own half of the registry: its clients, their subscriptions and their outboxes.
///
/// Only the shard's thread touches it, so there are no locks. `A` is what the shard keeps beside each client, such as its
/// socket; the table hands it to the function that writes and knows nothing of it.
///
/// ```text
///  deliver (a broadcast) ─┐                                ┌─ all taken: nothing is kept
///                         ├─► segments of this turn ─flush─┤
///  send (a client's own) ─┘   (an index each, no copy)     └─ socket full: backlog, bounded, until it is writable
/// ```
#[derive(Debug)]
pub struct ShardTable<A> {
    pub(crate) clients: Slab<Client<A>>,
    pub(crate) channels: Slab<LocalChannel>,
    pub(crate) by_name: HashMap<ChannelName, u32>,
    pub(crate) turn: Turn,
    pub(crate) limits: OutboxLimits,
    pub(crate) backlog_bytes: usize,
    pub(crate) changed: Vec<Slot>,
    pub(crate) counters: TableCounters,
    pub(crate) dropped: Dropped,
    /// Scratch of a flush.
    pub(crate) dropped_now: Vec<Tag>,
    pub(crate) hasher: RandomState,
    next_generation: u32,
    pub(crate) next_serial: u32,
    pub(crate) subscriptions: usize,
}

#[derive(Debug)]
pub(crate) struct Client<A> {
    pub(crate) generation: u32,
    pub(crate) format: WireFormat,
    pub(crate) ending: Option<Ending>,
    /// The client's place among those with something to write in this turn, or `NOT_DIRTY`.
    pub(crate) dirty: u32,
    pub(crate) backlog: Option<Box<Backlog>>,
    /// Bytes that the client's stream took and has not passed on to its socket.
    pub(crate) held: usize,
    /// Bytes of backlog the client may have beyond the limit for all.
    pub(crate) allowance: usize,
    /// Whether the shard waits for everything to be written.
    pub(crate) watched: bool,
    /// Whether a subscription was lost of which the shard has not been told.
    pub(crate) lost: bool,
    pub(crate) subscriptions: Vec<Membership>,
    pub(crate) attachment: A,
}

/// Why the table wants a client gone. The shard closes the connection when it learns of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// More waits for it than its bounds allow (3008).
    Slow,
    /// More waits for all clients of the shard than its bound allows, and most of it for this one. Nothing can be written to
    /// it any more, because a frame that was half on the wire has been dropped.
    Evicted,
    /// Its socket failed while being written to.
    WriteError(io::ErrorKind),
    /// A publication came that a client of its format cannot read (3506).
    WrongFormat,
    /// Handling it panicked.
    Panicked,
}

impl Ending {
    /// Whether the client must go because it does not read.
    pub const fn is_slowness(self) -> bool {
        match self {
            Self::Slow | Self::Evicted => true,
            Self::WriteError(_) | Self::WrongFormat | Self::Panicked => false,
        }
    }
}

/// What a table has done since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TableCounters {
    /// Events given to a subscriber's outbox.
    pub deliveries: u64,
    /// Calls that wrote something to a socket.
    pub writes: u64,
    /// Bytes that sockets took.
    pub bytes_written: u64,
    /// Clients ended because too much waited for them.
    pub slow: u64,
    /// Subscriptions that lost a publication, all told of it.
    pub lost: u64,
    /// Subscriptions for which more came to be held, while they were made, than may be held.
    pub overflowed: u64,
}

impl<A> ShardTable<A> {
    /// An empty table.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Self {
        Self {
            clients: Slab::new(),
            channels: Slab::new(),
            by_name: HashMap::new(),
            turn: Turn::default(),
            limits,
            backlog_bytes: 0,
            changed: Vec::new(),
            counters: TableCounters::default(),
            dropped: Dropped::default(),
            dropped_now: Vec::new(),
            hasher: RandomState::new(),
            next_generation: 0,
            next_serial: 0,
            subscriptions: 0,
        }
    }

    /// Adds a client.
    pub fn insert(&mut self, format: WireFormat, attachment: A) -> Slot {
        self.next_generation = self.next_generation.wrapping_add(1);
        let client = Client {
            generation: self.next_generation,
            format,
            ending: None,
            dirty: NOT_DIRTY,
            backlog: None,
            held: 0,
            allowance: 0,
            watched: false,
            lost: false,
            subscriptions: Vec::new(),
            attachment,
        };
        Slot { index: index(self.clients.insert(client)), generation: self.next_generation }
    }

    /// Lets up to this many bytes wait for the client where the limit for all is lower.
    pub fn allow(&mut self, slot: Slot, bytes: usize) {
        if let Some(client) = self.client_mut(slot) {
            client.allowance = bytes;
        }
    }

    /// Removes a client with all its subscriptions, also those that are being made. Returns its attachment and what ended.
    pub fn remove(&mut self, slot: Slot) -> Option<(A, Vec<(ChannelName, Ended)>)> {
        let subscriptions = std::mem::take(&mut self.client_mut(slot)?.subscriptions);
        let ended = self.end_memberships(slot, subscriptions);
        let client = self.clients.remove(slot.index as usize);
        self.backlog_bytes -= client.waiting();
        if self.clients.is_empty() {
            self.clients.shrink_to_fit();
        }
        Some((client.attachment, ended))
    }

    /// Puts frames of the client's own into its outbox: `write` appends whole frames to the buffer.
    pub fn send(&mut self, slot: Slot, write: impl FnOnce(&mut BytesMut)) {
        let Some(client) = self.clients.get_mut(slot.index as usize) else { return };
        if client.generation == slot.generation {
            self.turn.append_own(slot, &mut client.dirty, write);
        }
    }

    /// Has the client's backlog tried again in the next [`flush`](Self::flush).
    pub fn retry(&mut self, slot: Slot) {
        self.send(slot, |_| ());
    }

    /// Has the client listed by [`take_changed`](Self::take_changed) once everything for it has been written.
    pub fn watch(&mut self, slot: Slot) {
        if let Some(client) = self.client_mut(slot) {
            client.watched = true;
        }
    }

    /// Clients that were ended, that lost a publication (see [`take_lost`](Self::take_lost)), or whose [`watch`](Self::watch)
    /// came to its end, since the last call.
    pub fn take_changed(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.changed)
    }

    /// Why the client must go, if it must.
    pub fn ending(&self, slot: Slot) -> Option<Ending> {
        self.client(slot)?.ending
    }

    /// Bytes that wait because the client's socket is full, as they are charged to it.
    pub fn backlog_of(&self, slot: Slot) -> usize {
        self.client(slot).map_or(0, Client::waiting)
    }

    /// Whether everything for the client has been written.
    pub fn is_flushed(&self, slot: Slot) -> bool {
        self.client(slot).is_none_or(|client| client.dirty == NOT_DIRTY && client.waiting() == 0)
    }

    /// Whether a client has something to write in this turn, or [`take_changed`](Self::take_changed) has something to tell.
    pub fn needs_flush(&self) -> bool {
        !self.turn.is_empty() || !self.changed.is_empty()
    }

    /// The client's attachment.
    pub fn attachment(&self, slot: Slot) -> Option<&A> {
        self.client(slot).map(|client| &client.attachment)
    }

    /// The client's attachment.
    pub fn attachment_mut(&mut self, slot: Slot) -> Option<&mut A> {
        self.client_mut(slot).map(|client| &mut client.attachment)
    }

    /// All clients, in no order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.clients.iter().map(|(key, client)| Slot { index: index(key), generation: client.generation })
    }

    /// The clients in some places, in no order, and where to go on, if there is more: for those who look at all in several turns.
    /// Whoever comes meanwhile may be left out.
    pub fn slots_from(&self, place: usize, places: usize) -> (Vec<Slot>, Option<usize>) {
        let end = place.saturating_add(places);
        let slot = |key| {
            let client = self.clients.get(key)?;
            Some(Slot { index: index(key), generation: client.generation })
        };
        let most = self.clients.capacity();
        ((place..end.min(most)).filter_map(slot).collect(), (end < most).then_some(end))
    }

    /// How many clients, channels and subscriptions the shard has.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.clients.len(), self.channels.len(), self.subscriptions)
    }

    /// The clients with the most waiting bytes, deepest first, at most `count`; those for whom nothing waits are not listed.
    pub fn deepest(&self, count: usize) -> Vec<(Slot, OutboxDepth)> {
        let depth = |(key, client): (usize, &Client<A>)| {
            let slot = Slot { index: index(key), generation: client.generation };
            let depth = client.backlog.as_ref().map(|backlog| backlog.depth()).unwrap_or_default();
            let depth = OutboxDepth { bytes: depth.bytes + client.held, ..depth };
            (depth.bytes > 0).then_some((slot, depth))
        };
        let mut depths: Vec<_> = self.clients.iter().filter_map(depth).collect();
        depths.sort_unstable_by_key(|(_, depth)| Reverse(depth.bytes));
        depths.truncate(count);
        depths
    }

    /// Publications that were dropped because clients did not read, by [group](crate::ChannelRules::group) and by
    /// [policy](crate::SlowPolicy::index). Under [`Disconnect`](crate::SlowPolicy::Disconnect) they went with their client.
    pub fn dropped(&self) -> &[[u64; SlowPolicy::COUNT]] {
        self.dropped.by_group()
    }

    /// Bytes that wait because sockets are full, of all clients.
    pub const fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// What the table has done so far.
    pub const fn counters(&self) -> TableCounters {
        self.counters
    }

    pub(crate) fn client(&self, slot: Slot) -> Option<&Client<A>> {
        self.clients.get(slot.index as usize).filter(|client| client.generation == slot.generation)
    }

    pub(crate) fn client_mut(&mut self, slot: Slot) -> Option<&mut Client<A>> {
        self.clients.get_mut(slot.index as usize).filter(|client| client.generation == slot.generation)
    }
}

impl<A> Client<A> {
    /// Bytes that wait for the client's socket, as they are charged to it.
    pub(crate) fn waiting(&self) -> usize {
        self.held + self.backlog.as_ref().map_or(0, |backlog| backlog.charged())
    }
}

/// Slabs of one shard never hold more than `u32::MAX` entries: each would need more memory than a machine has.
pub(crate) fn index(key: usize) -> u32 {
    u32::try_from(key).expect("a shard holds fewer than 2^32 clients, channels and frames")
}
