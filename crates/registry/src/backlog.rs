use std::collections::HashMap;
use std::io::IoSlice;

use bytes::Bytes;
use slab::Slab;

use crate::chain::{Chain, Link, Linked};
use crate::member::Style;
use crate::policy::Dropped;
use crate::table::index;
use crate::{ChannelRules, OutboxDepth, SlowPolicy, Variant};

/// What a frame is charged beside its length: its place in the lists and its share of the allocation.
const FRAME_OVERHEAD: usize = 96;

/// What a client's socket has not taken yet, in order. Only a client whose socket is full has one.
///
/// A frame is charged in full until its last byte is written, also where clients share it: the bound must hold if all the
/// others let go of it. Whatever is dropped, a frame that is half written stays, or the stream would break. Each frame costs
/// the same to add, to write and to drop, however many wait.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    entries: Slab<Entry>,
    /// All frames, in the order in which they are written.
    all: Chain,
    /// Those that may be dropped, by policy.
    by_policy: [Chain; SlowPolicy::COUNT],
    /// The same by channel.
    by_channel: HashMap<u32, Chain>,
    /// The same by channel and key, where only the newest waits.
    latest: HashMap<(u32, u64), u32>,
    /// Bytes of the first frame that are written already.
    written: usize,
    charged: usize,
}

#[derive(Debug)]
struct Entry {
    frame: Bytes,
    links: [Link; 3],
    tag: Option<Tag>,
}

/// The lists that a frame can be in.
#[derive(Clone, Copy, Debug)]
enum Kind {
    All,
    Policy,
    Channel,
}

/// What a publication in a backlog is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Tag {
    /// The channel's serial.
    pub(crate) channel: u32,
    pub(crate) rules: ChannelRules,
    /// Publications of one channel with the same key replace each other where only the newest waits.
    pub(crate) key: u64,
    pub(crate) style: Style,
}

/// How much may wait for one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) messages: usize,
}

impl Backlog {
    /// Adds a frame; what it replaces is listed in `dropped`.
    pub(crate) fn push(&mut self, frame: Bytes, tag: Option<Tag>, dropped: &mut Vec<Tag>) {
        if frame.is_empty() {
            return;
        }
        let latest = tag.filter(|tag| tag.rules.slow == SlowPolicy::KeepLatest);
        if let Some(tag) = latest
            && let Some(older) = self.latest.get(&(tag.channel, tag.key)).copied()
        {
            self.drop(older, dropped);
        }
        self.charged += frame.len() + FRAME_OVERHEAD;
        let entry = index(self.entries.insert(Entry { frame, links: Default::default(), tag }));
        self.all.append(&mut self.entries, Kind::All, entry);
        if let Some(tag) = tag.filter(|tag| tag.is_droppable()) {
            self.by_policy[tag.rules.slow.index()].append(&mut self.entries, Kind::Policy, entry);
            let channel = self.by_channel.entry(tag.channel).or_default();
            channel.append(&mut self.entries, Kind::Channel, entry);
        }
        if let Some(tag) = latest {
            self.latest.insert((tag.channel, tag.key), entry);
        }
    }

    /// Drops what may be dropped until the rest is within the bounds: the oldest, then the newest, then the oldest of those
    /// that are the latest of their key, each where the channel's policy says so.
    pub(crate) fn shed(&mut self, bounds: Bounds, dropped: &mut Vec<Tag>) {
        for policy in [SlowPolicy::DropOldest, SlowPolicy::DropNewest, SlowPolicy::KeepLatest] {
            while self.exceeds(bounds) {
                let chain = self.by_policy[policy.index()];
                let victim = if policy == SlowPolicy::DropNewest { chain.last() } else { chain.first() };
                let Some(victim) = victim else { break };
                self.drop(victim, dropped);
            }
        }
    }

    /// Drops what waits of a channel.
    pub(crate) fn purge(&mut self, channel: u32, dropped: &mut Vec<Tag>) {
        while let Some(entry) = self.by_channel.get(&channel).and_then(|chain| chain.first()) {
            dropped.extend(self.take(entry).tag);
        }
    }

    /// Bytes charged to the client.
    pub(crate) const fn charged(&self) -> usize {
        self.charged
    }

    pub(crate) fn depth(&self) -> OutboxDepth {
        OutboxDepth { bytes: self.charged, messages: self.entries.len() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn exceeds(&self, bounds: Bounds) -> bool {
        self.charged > bounds.bytes || self.entries.len() > bounds.messages
    }

    /// What to write next, as many slices as fit.
    pub(crate) fn slices<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let mut next = self.all.first();
        while let Some(entry) = next.filter(|_| count < into.len()) {
            let entry = &self.entries[entry as usize];
            let start = if count == 0 { self.written } else { 0 };
            into[count] = IoSlice::new(&entry.frame[start..]);
            count += 1;
            next = entry.links[Kind::All as usize].after();
        }
        count
    }

    /// Notes that this many bytes more have left.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        bytes += self.written;
        while let Some(first) = self.all.first() {
            let length = self.entries[first as usize].frame.len();
            if bytes < length {
                break;
            }
            bytes -= length;
            self.take(first);
        }
        self.written = bytes;
        if self.written > 0
            && let Some(first) = self.all.first()
        {
            // From now on nothing may drop it.
            self.unlink_droppable(first);
            self.entries[first as usize].tag = None;
        }
    }

    /// Lets go of all frames that are not on the wire yet, and counts the publications among them.
    pub(crate) fn abandon(&mut self, dropped: &mut Dropped) {
        let half = self.all.first().filter(|_| self.written > 0);
        while let Some(last) = self.all.last().filter(|last| Some(*last) != half) {
            if let Some(tag) = self.take(last).tag {
                dropped.count(tag.rules);
            }
        }
    }

    /// Drops a publication, and with it those that are worth nothing without it: a client that must be told of the loss is to
    /// get nothing behind it, and patches need what they are made against.
    fn drop(&mut self, entry: u32, dropped: &mut Vec<Tag>) {
        let Some(tag) = self.take(entry).tag else { return };
        dropped.push(tag);
        if tag.breaks_channel() {
            self.purge(tag.channel, dropped);
        }
    }

    /// Takes a frame out of all lists.
    fn take(&mut self, entry: u32) -> Entry {
        self.unlink_droppable(entry);
        self.all.unlink(&mut self.entries, Kind::All, entry);
        let taken = self.entries.remove(entry as usize);
        self.charged -= taken.frame.len() + FRAME_OVERHEAD;
        taken
    }

    /// Takes a frame out of the lists of those that may be dropped.
    fn unlink_droppable(&mut self, entry: u32) {
        let Some(tag) = self.entries[entry as usize].tag.filter(Tag::is_droppable) else { return };
        self.by_policy[tag.rules.slow.index()].unlink(&mut self.entries, Kind::Policy, entry);
        if let Some(channel) = self.by_channel.get_mut(&tag.channel) {
            channel.unlink(&mut self.entries, Kind::Channel, entry);
            if channel.first().is_none() {
                self.by_channel.remove(&tag.channel);
            }
        }
        if self.latest.get(&(tag.channel, tag.key)) == Some(&entry) {
            self.latest.remove(&(tag.channel, tag.key));
        }
    }
}

impl Linked<Kind> for Entry {
    fn link(&mut self, kind: Kind) -> &mut Link {
        &mut self.links[kind as usize]
    }
}

impl Tag {
    /// Whether it may be dropped so that the client can stay.
    fn is_droppable(&self) -> bool {
        self.rules.slow != SlowPolicy::Disconnect
    }

    /// Whether the channel's other publications are worth nothing to the client without this one. Where only the newest waits,
    /// none of them is a patch.
    fn breaks_channel(&self) -> bool {
        let patched = self.style.variant != Variant::Plain && self.rules.slow != SlowPolicy::KeepLatest;
        self.style.positioned || patched
    }
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
