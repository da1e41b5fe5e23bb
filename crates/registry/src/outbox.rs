use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;

use bytes::Bytes;

use crate::{ChannelRules, SlowPolicy};

/// How much may wait for clients that do not read.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Bytes that may wait for one client, the frames' full lengths and an overhead for each. Default 1 MiB.
    pub client_bytes: usize,
    /// Frames that may wait for one client. Default 8,192.
    pub client_messages: usize,
    /// Bytes that may wait for all clients of a shard; beyond it the deepest are ended first. Default 256 MiB.
    pub shard_bytes: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { client_bytes: 1 << 20, client_messages: 8_192, shard_bytes: 256 << 20 }
    }
}

/// What a frame is charged beside its length: its place in the list and its share of the allocation.
const FRAME_OVERHEAD: usize = 64;

/// What a client's socket has not taken yet, in order. Only a client whose socket is full has one.
///
/// A frame is charged in full until its last byte is written, also where clients share it: the bound must hold if all the
/// others let go of it. What is dropped leaves an empty frame behind, so that nothing has to be moved.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    frames: VecDeque<Queued>,
    /// Number of the first frame, counted from the backlog's beginning.
    first: u64,
    /// Frames that are not empty.
    messages: usize,
    /// Bytes of the first frame that are written already.
    written: usize,
    charged: usize,
    /// No frame before this one can be dropped in favour of what comes later.
    settled: u64,
    /// Frames that may be dropped in favour of what came before.
    late: usize,
    /// For each channel and key of which only the newest waits: the number of the frame.
    latest: HashMap<(u32, u64), u64>,
}

#[derive(Debug)]
struct Queued {
    frame: Bytes,
    tag: Option<Tag>,
}

/// What a publication in a backlog is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Tag {
    /// Number of the shard's channel, never used twice.
    pub(crate) channel: u32,
    pub(crate) rules: ChannelRules,
    /// Tells apart what does not replace each other.
    pub(crate) key: u64,
}

/// How much may wait for one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) messages: usize,
}

impl Backlog {
    /// Adds a frame; `dropped` lists what had to go for it.
    pub(crate) fn push(&mut self, frame: Bytes, tag: Option<Tag>, bounds: Bounds, dropped: &mut Vec<Tag>) {
        if frame.is_empty() {
            return;
        }
        if let Some(tag) = tag.filter(|tag| tag.rules.slow == SlowPolicy::KeepLatest) {
            let number = self.first + self.frames.len() as u64;
            if let Some(older) = self.latest.insert((tag.channel, tag.key), number) {
                dropped.extend(self.drop_at(older));
            }
        }
        self.charged += frame.len() + FRAME_OVERHEAD;
        self.messages += 1;
        self.late += usize::from(is_late(tag));
        self.frames.push_back(Queued { frame, tag });
        while self.exceeds(bounds) {
            let Some(victim) = self.oldest_victim().or_else(|| self.newest_victim()) else { break };
            dropped.extend(self.drop_at(victim));
        }
        self.compact();
    }

    /// Bytes charged to the client.
    pub(crate) const fn charged(&self) -> usize {
        self.charged
    }

    /// Frames that wait.
    pub(crate) const fn messages(&self) -> usize {
        self.messages
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.messages == 0
    }

    pub(crate) const fn exceeds(&self, bounds: Bounds) -> bool {
        self.charged > bounds.bytes || self.messages > bounds.messages
    }

    /// Drops what waits of a channel and is not on the wire yet. Returns how many publications that were.
    pub(crate) fn purge(&mut self, channel: u32) -> u64 {
        let mut count = 0;
        for number in self.first..self.first + self.frames.len() as u64 {
            let is_of_it = |tag: Tag| tag.channel == channel;
            if self.tag_of(number).is_some_and(is_of_it) && self.drop_at(number).is_some() {
                count += 1;
            }
        }
        self.compact();
        count
    }

    fn tag_of(&self, number: u64) -> Option<Tag> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.frames.get(index)?.tag
    }

    /// Empties a frame, unless it is half on the wire, where the stream would break.
    fn drop_at(&mut self, number: u64) -> Option<Tag> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        if index == 0 && self.written > 0 {
            return None;
        }
        let queued = self.frames.get_mut(index)?;
        let tag = queued.tag.take()?;
        self.late -= usize::from(is_late(Some(tag)));
        self.charged -= queued.frame.len() + FRAME_OVERHEAD;
        self.messages -= 1;
        queued.frame = Bytes::new();
        if self.latest.get(&(tag.channel, tag.key)) == Some(&number) {
            self.latest.remove(&(tag.channel, tag.key));
        }
        Some(tag)
    }

    /// The first frame that may be dropped in favour of what came later. What lies before it is never looked at again.
    fn oldest_victim(&mut self) -> Option<u64> {
        let held = u64::from(self.written > 0);
        self.settled = self.settled.max(self.first + held);
        while self.settled < self.first + self.frames.len() as u64 {
            let policy = self.tag_of(self.settled).map(|tag| tag.rules.slow);
            if matches!(policy, Some(SlowPolicy::DropOldest | SlowPolicy::KeepLatest)) {
                return Some(self.settled);
            }
            self.settled += 1;
        }
        None
    }

    /// The last frame that may be dropped in favour of what came before.
    fn newest_victim(&self) -> Option<u64> {
        if self.late == 0 {
            return None;
        }
        let droppable = |number: &u64| {
            let on_the_wire = *number == self.first && self.written > 0;
            is_late(self.tag_of(*number)) && !on_the_wire
        };
        (self.first..self.first + self.frames.len() as u64).rev().find(droppable)
    }

    /// Lets go of frames that were dropped: those in front, and all of them where they are the most.
    fn compact(&mut self) {
        while self.frames.front().is_some_and(|first| first.frame.is_empty()) {
            self.pop();
        }
        if self.frames.len() > 64 && self.frames.len() > 4 * self.messages {
            self.frames.retain(|queued| !queued.frame.is_empty());
            self.settled = 0;
            self.latest.clear();
            for (number, queued) in (self.first..).zip(&self.frames) {
                if let Some(tag) = queued.tag.filter(|tag| tag.rules.slow == SlowPolicy::KeepLatest) {
                    self.latest.insert((tag.channel, tag.key), number);
                }
            }
        }
    }

    fn pop(&mut self) {
        let tag = self.frames.pop_front().and_then(|queued| queued.tag);
        self.late -= usize::from(is_late(tag));
        if let Some(tag) = tag
            && self.latest.get(&(tag.channel, tag.key)) == Some(&self.first)
        {
            self.latest.remove(&(tag.channel, tag.key));
        }
        self.first += 1;
    }

    /// What to write next, as many slices as fit.
    pub(crate) fn slices<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let waiting = self.frames.iter().map(|queued| &queued.frame).filter(|frame| !frame.is_empty());
        for (slice, frame) in into.iter_mut().zip(waiting) {
            let start = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&frame[start..]);
            count += 1;
        }
        count
    }

    /// Notes that this many bytes more have left.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        bytes += self.written;
        while let Some(Queued { frame, .. }) = self.frames.front() {
            if frame.is_empty() {
                self.pop();
                continue;
            }
            if bytes < frame.len() {
                break;
            }
            bytes -= frame.len();
            self.charged -= frame.len() + FRAME_OVERHEAD;
            self.messages -= 1;
            self.pop();
        }
        self.written = bytes;
    }

    /// Drops all frames that are not on the wire yet; a frame that is half written stays, or the stream would break.
    pub(crate) fn abandon(&mut self) {
        let keep = usize::from(self.written > 0);
        self.late = 0;
        for queued in
            self.frames.drain(keep.min(self.frames.len())..).filter(|queued| !queued.frame.is_empty())
        {
            self.charged -= queued.frame.len() + FRAME_OVERHEAD;
            self.messages -= 1;
        }
        self.latest.clear();
    }
}

fn is_late(tag: Option<Tag>) -> bool {
    tag.is_some_and(|tag| tag.rules.slow == SlowPolicy::DropNewest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Bounds = Bounds { bytes: 1 << 20, messages: 1_000 };

    fn backlog(frames: &[&'static str]) -> Backlog {
        let mut backlog = Backlog::default();
        let push = |frame: &&'static str| {
            backlog.push(Bytes::from_static(frame.as_bytes()), None, WIDE, &mut Vec::new());
        };
        frames.iter().for_each(push);
        backlog
    }

    fn pending(backlog: &Backlog) -> String {
        let mut slices = [IoSlice::new(&[]); 8];
        let count = backlog.slices(&mut slices);
        slices[..count]
            .iter()
            .map(|slice| String::from_utf8(slice.to_vec()).unwrap())
            .collect::<Vec<_>>()
            .join("|")
    }

    #[test]
    fn what_is_written_leaves_from_the_front_and_frames_are_charged_until_their_last_byte() {
        let mut backlog = backlog(&["abc", "defg", "h"]);
        let full = backlog.charged();
        assert_eq!(full, 8 + 3 * FRAME_OVERHEAD);
        backlog.advance(2);
        assert_eq!((pending(&backlog).as_str(), backlog.charged()), ("c|defg|h", full));
        backlog.advance(3);
        assert_eq!((pending(&backlog).as_str(), backlog.charged()), ("fg|h", full - 3 - FRAME_OVERHEAD));
        backlog.advance(3);
        assert!(backlog.is_empty());
        assert_eq!(backlog.charged(), 0);
    }

    #[test]
    fn abandoning_keeps_only_a_frame_that_is_half_written() {
        let mut half = backlog(&["abc", "defg"]);
        half.advance(1);
        half.abandon();
        assert_eq!(pending(&half), "bc");
        let mut untouched = backlog(&["abc", "defg"]);
        untouched.abandon();
        assert!(untouched.is_empty());
        assert_eq!(untouched.charged(), 0);
    }

    #[test]
    fn bytes_and_messages_are_bounded_each() {
        let bounds = |bytes, messages| Bounds { bytes, messages };
        assert!(!backlog(&["a", "b"]).exceeds(bounds(200, 2)));
        assert!(backlog(&["a", "b", "c"]).exceeds(bounds(1_000, 2)));
        assert!(backlog(&["a", "b", "c"]).exceeds(bounds(194, 3)));
        assert!(!backlog(&["a", "b", "c"]).exceeds(bounds(195, 3)));
    }

    /// A backlog for three messages that gets these publications of a channel each; returns what waits and what was dropped.
    fn squeezed(slow: SlowPolicy, written: usize, frames: &[(&'static str, u32, u64)]) -> (String, usize) {
        let mut backlog = Backlog::default();
        let mut dropped = Vec::new();
        let bounds = Bounds { bytes: 1_000, messages: 3 };
        for (index, (frame, channel, key)) in frames.iter().enumerate() {
            let tag = Tag { channel: *channel, rules: ChannelRules { slow, group: 0 }, key: *key };
            backlog.push(Bytes::from_static(frame.as_bytes()), Some(tag), bounds, &mut dropped);
            if index == 0 {
                backlog.advance(written);
            }
        }
        assert_eq!(
            backlog.charged(),
            pending(&backlog).replace('|', "").len() + written + backlog.messages() * FRAME_OVERHEAD
        );
        (pending(&backlog), dropped.len())
    }

    const FIVE: [(&str, u32, u64); 5] =
        [("a1", 1, 0), ("b2", 2, 0), ("a3", 1, 0), ("a4", 1, 7), ("a5", 1, 0)];

    #[test]
    fn the_policy_says_what_is_dropped_for_what_comes() {
        assert_eq!(squeezed(SlowPolicy::DropOldest, 0, &FIVE), ("a3|a4|a5".into(), 2));
        assert_eq!(squeezed(SlowPolicy::DropNewest, 0, &FIVE), ("a1|b2|a3".into(), 2));
        assert_eq!(squeezed(SlowPolicy::KeepLatest, 0, &FIVE), ("b2|a4|a5".into(), 2));
        assert_eq!(squeezed(SlowPolicy::Disconnect, 0, &FIVE).1, 0);
    }

    #[test]
    fn what_is_half_written_is_never_dropped() {
        assert_eq!(squeezed(SlowPolicy::DropOldest, 1, &FIVE), ("1|a4|a5".into(), 2));
        assert_eq!(squeezed(SlowPolicy::KeepLatest, 1, &FIVE), ("1|a4|a5".into(), 2));
        let mut half = Backlog::default();
        let tag = Tag { channel: 1, rules: ChannelRules::default(), key: 0 };
        half.push(Bytes::from_static(b"abc"), Some(tag), WIDE, &mut Vec::new());
        half.push(Bytes::from_static(b"def"), Some(tag), WIDE, &mut Vec::new());
        half.advance(1);
        assert_eq!(half.purge(1), 1);
        assert_eq!(pending(&half), "bc");
    }

    #[test]
    fn replies_are_never_dropped_in_favour_of_publications() {
        let mut backlog = backlog(&["r1", "r2", "r3"]);
        let mut dropped = Vec::new();
        let bounds = Bounds { bytes: 1_000, messages: 3 };
        let tag = Tag { channel: 1, rules: ChannelRules { slow: SlowPolicy::DropOldest, group: 0 }, key: 0 };
        backlog.push(Bytes::from_static(b"p"), Some(tag), bounds, &mut dropped);
        assert_eq!((pending(&backlog).as_str(), dropped.len()), ("r1|r2|r3", 1));
    }

    #[test]
    fn a_ticker_that_is_never_read_takes_no_more_room_than_its_keys() {
        let mut backlog = Backlog::default();
        let rules = ChannelRules { slow: SlowPolicy::KeepLatest, group: 0 };
        let mut dropped = Vec::new();
        for number in 0..10_000_u64 {
            let tag = Tag { channel: 1, rules, key: number % 10 };
            backlog.push(Bytes::from_static(b"tick"), Some(tag), WIDE, &mut dropped);
        }
        assert_eq!((backlog.messages(), dropped.len()), (10, 9_990));
        assert!(backlog.frames.len() <= 64 && backlog.latest.len() == 10);
    }
}
