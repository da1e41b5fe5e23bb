use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use slab::Slab;
use throng_protocol::ChannelName;

use crate::outbox::Backlog;
use crate::turn::{NOT_DIRTY, Turn};
use crate::{Broadcast, Frames, OutboxLimits, Slot, WireFormat};

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
    by_name: HashMap<ChannelName, u32>,
    pub(crate) turn: Turn,
    pub(crate) limits: OutboxLimits,
    pub(crate) backlog_bytes: usize,
    pub(crate) changed: Vec<Slot>,
    pub(crate) counters: TableCounters,
    next_generation: u32,
    subscriptions: usize,
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
    subscriptions: Vec<Membership>,
    pub(crate) attachment: A,
}

/// A client's subscription: the channel, and the client's place among its members.
#[derive(Clone, Copy, Debug)]
struct Membership {
    channel: u32,
    member: u32,
}

/// A channel that has, or is about to have, subscribers on this shard.
#[derive(Debug)]
pub(crate) struct LocalChannel {
    name: ChannelName,
    pub(crate) members: Vec<Member>,
    /// Subscriptions that have been entered and wait for their position.
    entering: usize,
    /// Out of use, and here only until the turn is flushed.
    pub(crate) retired: bool,
    /// What was delivered to the channel in this turn.
    pub(crate) run: Vec<Arc<Frames>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) client: u32,
    /// The channel's position when the client subscribed; what is not above it was published before.
    pub(crate) start: u64,
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
}

impl Ending {
    /// Whether the client must go because it does not read.
    pub const fn is_slowness(self) -> bool {
        match self {
            Self::Slow | Self::Evicted => true,
            Self::WriteError(_) | Self::Panicked => false,
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
            turn: Turn::default(),
            limits,
            backlog_bytes: 0,
            changed: Vec::new(),
            counters: TableCounters::default(),
            next_generation: 0,
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

    /// Removes a client with all its subscriptions. Returns its attachment and the channels that have no subscriber on this
    /// shard any more.
    pub fn remove(&mut self, slot: Slot) -> Option<(A, Vec<ChannelName>)> {
        self.client(slot)?;
        let emptied = self.unsubscribe_all(slot);
        let client = self.clients.remove(slot.index as usize);
        self.backlog_bytes -= client.backlog.map_or(0, |backlog| backlog.charged());
        if self.clients.is_empty() {
            self.clients.shrink_to_fit();
        }
        Some((client.attachment, emptied))
    }

    /// Announces a subscription whose position is still to be read, so that the channel stays in use meanwhile. True if the
    /// shard did not use the channel before and must join it.
    ///
    /// Must be followed by [`subscribe`](Self::subscribe) or [`abandon`](Self::abandon).
    pub fn enter(&mut self, name: &ChannelName) -> bool {
        let known = self.by_name.get(name).copied();
        let channel = known.unwrap_or_else(|| {
            let local = LocalChannel {
                name: name.clone(),
                members: Vec::new(),
                entering: 0,
                retired: false,
                run: Vec::new(),
            };
            let key = index(self.channels.insert(local));
            self.by_name.insert(name.clone(), key);
            key
        });
        self.channels[channel as usize].entering += 1;
        known.is_none()
    }

    /// Takes back an [`enter`](Self::enter). True if the shard does not use the channel any more and must leave it.
    pub fn abandon(&mut self, name: &ChannelName) -> bool {
        let Some(&channel) = self.by_name.get(name) else { return false };
        let local = &mut self.channels[channel as usize];
        local.entering = local.entering.saturating_sub(1);
        self.forget_if_unused(channel)
    }

    /// Completes an [`enter`](Self::enter): from now on the client gets what is published above `start`.
    ///
    /// A client that is gone or subscribed already changes nothing, but takes the `enter` back; then true if the shard must
    /// leave the channel.
    pub fn subscribe(&mut self, slot: Slot, name: &ChannelName, start: u64) -> bool {
        if self.client(slot).is_none() || self.is_subscribed(slot, name) {
            return self.abandon(name);
        }
        let Some(&channel) = self.by_name.get(name) else { return false };
        let local = &mut self.channels[channel as usize];
        local.entering = local.entering.saturating_sub(1);
        let member = index(local.members.len());
        local.members.push(Member { client: slot.index, start });
        self.clients[slot.index as usize].subscriptions.push(Membership { channel, member });
        self.subscriptions += 1;
        false
    }

    /// Ends a subscription at once: nothing of the channel is put into the client's outbox any more. `None` if there was no
    /// such subscription, else whether the shard does not use the channel any more and must leave it.
    pub fn unsubscribe(&mut self, slot: Slot, name: &ChannelName) -> Option<bool> {
        let &channel = self.by_name.get(name)?;
        let subscriptions = &mut self.client_mut(slot)?.subscriptions;
        let at = subscriptions.iter().position(|membership| membership.channel == channel)?;
        let membership = subscriptions.swap_remove(at);
        Some(self.end_membership(membership))
    }

    /// Ends all of a client's subscriptions. Returns the channels that the shard must leave.
    pub fn unsubscribe_all(&mut self, slot: Slot) -> Vec<ChannelName> {
        let Some(client) = self.client_mut(slot) else { return Vec::new() };
        let mut emptied = Vec::new();
        for membership in std::mem::take(&mut client.subscriptions) {
            let name = self.channels[membership.channel as usize].name.clone();
            if self.end_membership(membership) {
                emptied.push(name);
            }
        }
        emptied
    }

    /// The table's own copy of a channel's name, to be shared by those who keep it for long.
    pub fn shared_name(&self, name: &ChannelName) -> Option<ChannelName> {
        self.by_name.get_key_value(name).map(|(name, _)| name.clone())
    }

    /// Whether the client is subscribed to the channel.
    pub fn is_subscribed(&self, slot: Slot, name: &ChannelName) -> bool {
        let Some(channel) = self.by_name.get(name) else { return false };
        self.client(slot).is_some_and(|client| client.subscriptions.iter().any(|own| own.channel == *channel))
    }

    /// How many channels the client is subscribed to.
    pub fn subscription_count_of(&self, slot: Slot) -> usize {
        self.client(slot).map_or(0, |client| client.subscriptions.len())
    }

    /// Puts a publication in front of the channel's subscribers. It costs each an index, not a copy.
    pub fn deliver(&mut self, broadcast: &Broadcast) -> usize {
        let Some(&channel) = self.by_name.get(&broadcast.channel) else { return 0 };
        let local = &mut self.channels[channel as usize];
        let position = index(local.run.len());
        let mut delivered = 0;
        for member in &local.members {
            if broadcast.sequence <= member.start {
                continue;
            }
            let client = &mut self.clients[member.client as usize];
            let slot = Slot { index: member.client, generation: client.generation };
            if broadcast.except == Some(slot) || client.ending.is_some() {
                continue;
            }
            self.turn.append_run(slot, &mut client.dirty, channel, position);
            delivered += 1;
        }
        if delivered > 0 {
            if local.run.is_empty() {
                self.turn.touched.push(channel);
            }
            local.run.push(Arc::clone(&broadcast.frames));
        }
        self.counters.deliveries += delivered as u64;
        delivered
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

    fn client_mut(&mut self, slot: Slot) -> Option<&mut Client<A>> {
        self.clients.get_mut(slot.index as usize).filter(|client| client.generation == slot.generation)
    }

    /// Takes a member out of its channel; true if that leaves the channel unused.
    fn end_membership(&mut self, membership: Membership) -> bool {
        self.subscriptions -= 1;
        let local = &mut self.channels[membership.channel as usize];
        local.members.swap_remove(membership.member as usize);
        // Another member took the place that became free, and must know it.
        if let Some(moved) = local.members.get(membership.member as usize) {
            let subscriptions = &mut self.clients[moved.client as usize].subscriptions;
            if let Some(own) = subscriptions.iter_mut().find(|own| own.channel == membership.channel) {
                own.member = membership.member;
            }
        }
        self.forget_if_unused(membership.channel)
    }

    fn forget_if_unused(&mut self, channel: u32) -> bool {
        let local = &mut self.channels[channel as usize];
        let unused = local.members.is_empty() && local.entering == 0;
        if unused {
            self.by_name.remove(&local.name);
            // What it delivered in this turn is still to be written; the turn's end removes it.
            local.retired = !local.run.is_empty();
            if !local.retired {
                self.channels.remove(channel as usize);
            }
        } else if local.members.capacity() > 64 && local.members.len() < local.members.capacity() / 4 {
            local.members.shrink_to(local.members.len() * 2);
        }
        unused
    }
}

/// Slabs of one shard never hold more than `u32::MAX` entries: each would need more memory than a machine has.
pub(crate) fn index(key: usize) -> u32 {
    u32::try_from(key).expect("a shard holds fewer than 2^32 clients, channels and frames")
}
