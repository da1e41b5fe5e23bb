use std::collections::HashMap;
use std::hash::RandomState;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use slab::Slab;
use throng_protocol::ChannelName;

use crate::members::Pending;
use crate::outbox::{Backlog, Tag};
use crate::subscription::Member;
use crate::turn::{NOT_DIRTY, Turn};
use crate::{ChannelRules, Ended, Frames, OutboxLimits, Slot, SlowPolicy, WireFormat};

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
    pub(crate) pending: Vec<Pending>,
    pub(crate) turn: Turn,
    pub(crate) limits: OutboxLimits,
    pub(crate) backlog_bytes: usize,
    pub(crate) changed: Vec<Slot>,
    pub(crate) counters: TableCounters,
    /// Publications that slow clients did not get, by the rules' group and policy.
    pub(crate) dropped: Vec<[u64; SlowPolicy::COUNT]>,
    /// Scratch of a flush.
    pub(crate) dropped_now: Vec<Tag>,
    pub(crate) hasher: RandomState,
    next_generation: u32,
    pub(crate) next_serial: u32,
    pub(crate) subscriptions: usize,
    /// Subscriptions that have lost their place and have not been ended yet.
    pub(crate) lost: usize,
}

#[derive(Debug)]
pub(crate) struct Client<A> {
    pub(crate) generation: u32,
    pub(crate) format: WireFormat,
    pub(crate) ending: Option<Ending>,
    /// The client's place among those with something to write in this turn, or `NOT_DIRTY`.
    pub(crate) dirty: u32,
    pub(crate) backlog: Option<Box<Backlog>>,
    /// Bytes of backlog the client may have beyond the limit for all.
    pub(crate) allowance: usize,
    /// Whether the shard waits for everything to be written.
    pub(crate) watched: bool,
    pub(crate) subscriptions: Vec<Membership>,
    pub(crate) attachment: A,
}

/// A client's subscription: the channel, and the client's place among its members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) channel: u32,
    pub(crate) member: u32,
}

/// A channel that has, or is about to have, subscribers on this shard.
#[derive(Debug)]
pub(crate) struct LocalChannel {
    pub(crate) name: ChannelName,
    /// Its number, which no other channel of the shard ever has.
    pub(crate) serial: u32,
    pub(crate) rules: ChannelRules,
    pub(crate) members: Vec<Member>,
    /// Members that want to hear who joins and leaves.
    pub(crate) listeners: usize,
    /// Subscriptions that have been entered and wait for their position.
    pub(crate) entering: usize,
    /// The stream that its positioned members follow, as far as it is known; 0 for none.
    pub(crate) epoch: u64,
    /// Offset of the last publication that was delivered; 0 for none.
    pub(crate) last: u64,
    /// Out of use, and here only until the turn is flushed.
    pub(crate) retired: bool,
    /// What was delivered to the channel in this turn.
    pub(crate) run: Vec<Arc<Frames>>,
}

/// What waits for one client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OutboxDepth {
    /// Bytes, as they are charged to the client.
    pub bytes: usize,
    /// Frames.
    pub messages: usize,
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
    /// Handling it panicked.
    Panicked,
    /// A publication cannot be sent in its format (3506).
    WrongFormat,
}

impl Ending {
    /// Whether the client must go because it does not read.
    pub const fn is_slowness(self) -> bool {
        match self {
            Self::Slow | Self::Evicted => true,
            Self::WriteError(_) | Self::Panicked | Self::WrongFormat => false,
        }
    }
}

/// What a table has done since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TableCounters {
    /// Publications given to a subscriber's outbox.
    pub deliveries: u64,
    /// Calls that wrote something to a socket.
    pub writes: u64,
    /// Bytes that sockets took.
    pub bytes_written: u64,
    /// Clients ended because too much waited for them.
    pub slow: u64,
}

impl<A> ShardTable<A> {
    /// An empty table.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Self {
        Self {
            clients: Slab::new(),
            channels: Slab::new(),
            by_name: HashMap::new(),
            pending: Vec::new(),
            turn: Turn::default(),
            limits,
            backlog_bytes: 0,
            changed: Vec::new(),
            counters: TableCounters::default(),
            dropped: Vec::new(),
            dropped_now: Vec::new(),
            hasher: RandomState::new(),
            next_generation: 0,
            next_serial: 0,
            subscriptions: 0,
            lost: 0,
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
            allowance: 0,
            watched: false,
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

    /// Removes a client with all its subscriptions, those included that were still being made. Returns its attachment and what
    /// ended.
    pub fn remove(&mut self, slot: Slot) -> Option<(A, Vec<(ChannelName, Ended)>)> {
        self.client(slot)?;
        let mut ended = self.unsubscribe_all(slot);
        ended.extend(self.abandon_all(slot));
        let client = self.clients.remove(slot.index as usize);
        self.backlog_bytes -= client.backlog.map_or(0, |backlog| backlog.charged());
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

    /// Clients that were ended, or whose [`watch`](Self::watch) came to its end, since the last call.
    pub fn take_changed(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.changed)
    }

    /// Why the client must go, if it must.
    pub fn ending(&self, slot: Slot) -> Option<Ending> {
        self.client(slot)?.ending
    }

    /// Bytes that wait because the client's socket is full, as they are charged to it.
    pub fn backlog_of(&self, slot: Slot) -> usize {
        self.client(slot).and_then(|client| client.backlog.as_ref()).map_or(0, |backlog| backlog.charged())
    }

    /// The clients for whom most waits, deepest first, at most `count` of them. Looks at all clients.
    pub fn deepest(&self, count: usize) -> Vec<(Slot, OutboxDepth)> {
        let depth = |(key, client): (usize, &Client<A>)| {
            let backlog = client.backlog.as_ref()?;
            let slot = Slot { index: index(key), generation: client.generation };
            Some((slot, OutboxDepth { bytes: backlog.charged(), messages: backlog.messages() }))
        };
        let mut deepest: Vec<_> = self.clients.iter().filter_map(depth).collect();
        deepest.sort_unstable_by_key(|(_, depth)| std::cmp::Reverse(depth.bytes));
        deepest.truncate(count);
        deepest
    }

    /// Publications that slow clients did not get, by [`ChannelRules::group`] and [`SlowPolicy`].
    pub fn dropped(&self) -> &[[u64; SlowPolicy::COUNT]] {
        &self.dropped
    }

    /// Whether everything for the client has been written.
    pub fn is_flushed(&self, slot: Slot) -> bool {
        self.client(slot).is_none_or(|client| client.dirty == NOT_DIRTY && client.backlog.is_none())
    }

    /// Whether some client has something to write in this turn.
    pub fn needs_flush(&self) -> bool {
        !self.turn.is_empty()
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

    /// How many clients, channels and subscriptions the shard has.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.clients.len(), self.channels.len(), self.subscriptions)
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

/// Slabs of one shard never hold more than `u32::MAX` entries: each would need more memory than a machine has.
pub(crate) fn index(key: usize) -> u32 {
    u32::try_from(key).expect("a shard holds fewer than 2^32 clients, channels and frames")
}
