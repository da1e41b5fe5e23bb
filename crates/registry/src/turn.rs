use std::hash::RandomState;
use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use slab::Slab;
use smallvec::SmallVec;

use crate::backlog::{Backlog, Bounds, Tag};
use crate::local::LocalChannel;
use crate::member::Style;
use crate::table::{Client, index};
use crate::{Ending, Frames, ShardTable, Slot, SlowPolicy, Variant, WireFormat};

pub(crate) const NOT_DIRTY: u32 = u32::MAX;

/// Slices handed to one write; the kernel takes up to 1,024.
const SLICES: usize = 64;

/// A scratch buffer that grew beyond this gives its memory back after the turn.
const SCRATCH_BYTES: usize = 1 << 20;

/// Entries of a list that is used anew for each client; beyond it memory is given back.
const MOST_SCRATCH: usize = 1 << 12;

/// A run longer than this is written from its frames, not from a merged copy.
const MERGE_BYTES: usize = 256 << 10;

/// What has been put into outboxes since the last flush. All of it is scratch that every turn uses anew.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    dirty: Vec<Dirty>,
    /// Frames of single clients: replies, pongs, close frames.
    own: BytesMut,
    /// Channels with a run.
    pub(crate) touched: Vec<u32>,
    /// By format and variant.
    merged: [[Merged; 3]; 3],
}

/// A client with something to write, and what: in the order in which it happened.
#[derive(Debug)]
struct Dirty {
    slot: Slot,
    segments: SmallVec<[Segment; 2]>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Segment {
    /// This part of the turn's own bytes.
    Own { from: u32, to: u32 },
    /// These events of a channel's run.
    Run { channel: u32, from: u32, to: u32, style: Style },
}

/// A run of one channel as the bytes of one format, made for the first of its clients and written for all.
#[derive(Debug, Default)]
struct Merged {
    of: Option<(u32, u32, u32)>,
    bytes: Vec<u8>,
}

impl Turn {
    pub(crate) fn is_empty(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Adds event `position` of the channel's run to the client's segments.
    pub(crate) fn append_run(
        &mut self,
        slot: Slot,
        dirty: &mut u32,
        channel: u32,
        position: u32,
        style: Style,
    ) {
        let segments = self.segments(slot, dirty);
        match segments.last_mut() {
            Some(Segment::Run { channel: last, to, style: as_last, .. })
                if *last == channel && *to == position && *as_last == style =>
            {
                *to += 1;
            }
            Some(_) | None => {
                segments.push(Segment::Run { channel, from: position, to: position + 1, style });
            }
        }
    }

    /// Has `write` append frames of the client's own, and adds them to its segments.
    pub(crate) fn append_own(&mut self, slot: Slot, dirty: &mut u32, write: impl FnOnce(&mut BytesMut)) {
        let start = index(self.own.len());
        write(&mut self.own);
        let end = index(self.own.len());
        let segments = self.segments(slot, dirty);
        match segments.last_mut() {
            Some(Segment::Own { to, .. }) if *to == start => *to = end,
            Some(_) | None if start == end => {}
            Some(_) | None => segments.push(Segment::Own { from: start, to: end }),
        }
    }

    fn segments(&mut self, slot: Slot, dirty: &mut u32) -> &mut SmallVec<[Segment; 2]> {
        if *dirty == NOT_DIRTY {
            *dirty = index(self.dirty.len());
            self.dirty.push(Dirty { slot, segments: SmallVec::new() });
        }
        &mut self.dirty[*dirty as usize].segments
    }
}

impl<A> ShardTable<A> {
    /// Ends the turn: writes every client that has something to write, as far as its socket takes it, in one call where that
    /// is possible.
    ///
    /// `write` is a socket's vectored write: it returns how many bytes were taken, or `Pending` if the socket is full and
    /// [`retry`](Self::retry) will be called when it is writable.
    pub fn flush(&mut self, write: impl FnMut(&mut A, &[IoSlice<'_>]) -> Poll<io::Result<usize>>) {
        self.flush_held(write, |_| 0);
    }

    /// As [`flush`](Self::flush), for streams that may take bytes and not pass all of them on to their sockets at once: `held`
    /// tells how many a stream holds, which are charged to its client until they are out.
    ///
    /// `write` is also called without anything to write, for a stream that holds something to pass that on.
    pub fn flush_held(
        &mut self,
        mut write: impl FnMut(&mut A, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
        held: impl Fn(&A) -> usize,
    ) {
        let mut dirty = std::mem::take(&mut self.turn.dirty);
        for Dirty { slot, segments } in dirty.drain(..) {
            let before = self.backlog_of(slot);
            let step =
                catch_unwind(AssertUnwindSafe(|| self.flush_client(slot, &segments, &mut write, &held)));
            self.backlog_bytes = self.backlog_bytes + self.backlog_of(slot) - before;
            match step {
                Ok(None) => {}
                Ok(Some(ending)) => self.end(slot, ending),
                Err(_) => self.end(slot, Ending::Panicked),
            }
        }
        self.turn.dirty = dirty;
        self.finish_turn();
        self.relieve();
    }

    /// Writes one client; returns why it must go, if it must.
    fn flush_client(
        &mut self,
        slot: Slot,
        segments: &[Segment],
        write: &mut impl FnMut(&mut A, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
        held: &impl Fn(&A) -> usize,
    ) -> Option<Ending> {
        let client = self
            .clients
            .get_mut(slot.index as usize)
            .filter(|client| client.generation == slot.generation)?;
        client.dirty = NOT_DIRTY;
        if client.ending == Some(Ending::Evicted) {
            return None;
        }
        let bounds = Bounds {
            bytes: self.limits.client_bytes.max(client.allowance),
            messages: self.limits.client_messages,
        };
        let (channels, own, hasher) = (&self.channels, &self.turn.own, &self.hasher);
        let pieces = Pieces { channels, own, format: client.format, hasher };
        let mut out = Output { write, writes: 0, bytes: 0, dropped: std::mem::take(&mut self.dropped_now) };
        let outcome = match &mut client.backlog {
            Some(backlog) => {
                pieces.keep(segments, 0, backlog, &mut out.dropped);
                out.backlog(&mut client.attachment, backlog)
            }
            None if segments.is_empty() && client.held > 0 => out.pass_on(&mut client.attachment),
            None => out.direct(client, segments, &pieces, &mut self.turn.merged),
        };
        client.held = held(&client.attachment);
        let mut over = false;
        // What a client that must go is told at its end may exceed the bounds: it is one close frame.
        if client.ending.is_none()
            && outcome.is_ok()
            && let Some(backlog) = &mut client.backlog
        {
            backlog.shed(bounds, &mut out.dropped);
            over = backlog.exceeds(bounds);
        }
        client.backlog.take_if(|backlog| backlog.is_empty());
        if client.waiting() == 0 && std::mem::take(&mut client.watched) {
            self.changed.push(slot);
        }
        self.counters.writes += out.writes;
        self.counters.bytes_written += out.bytes;
        self.account(slot, out.dropped);
        match outcome {
            Err(kind) => Some(Ending::WriteError(kind)),
            Ok(()) => over.then_some(Ending::Slow),
        }
    }

    /// Counts what was dropped for a client, and has its subscriptions know that need to.
    fn account(&mut self, slot: Slot, mut dropped: Vec<Tag>) {
        dropped.iter().for_each(|tag| self.dropped.count(tag.rules));
        dropped.sort_unstable_by_key(|tag| tag.channel);
        dropped.dedup_by_key(|tag| tag.channel);
        for tag in dropped.drain(..) {
            let Some((channel, at)) = self.member_of(slot, tag.channel) else { continue };
            let member = &mut self.channels[channel as usize].members[at as usize];
            member.forget_base();
            if member.is_positioned() {
                self.lose(channel, at);
            }
        }
        dropped.shrink_to(MOST_SCRATCH);
        self.dropped_now = dropped;
    }

    /// Marks a client as one that must go, once, and lets go of what waits for it.
    pub(crate) fn end(&mut self, slot: Slot, ending: Ending) {
        let Some(client) = self.clients.get_mut(slot.index as usize) else { return };
        if ending == Ending::Evicted {
            // Nothing is written to it any more; what its stream holds goes with the stream.
            self.backlog_bytes -= std::mem::take(&mut client.held);
        }
        if let Some(backlog) = &mut client.backlog {
            let before = backlog.charged();
            backlog.abandon(&mut self.dropped);
            if ending == Ending::Evicted {
                **backlog = Backlog::default();
            }
            self.backlog_bytes -= before - backlog.charged();
            client.backlog.take_if(|backlog| backlog.is_empty());
        }
        if client.ending.is_none() || ending == Ending::Evicted {
            self.counters.slow += u64::from(client.ending.is_none() && ending.is_slowness());
            client.ending = Some(ending);
            self.changed.push(slot);
        }
    }

    /// Evicts the deepest clients until what waits for all is within the shard's bound.
    fn relieve(&mut self) {
        while self.backlog_bytes > self.limits.shard_bytes {
            let deepest = self.clients.iter().max_by_key(|(_, client)| client.waiting());
            let Some((key, client)) = deepest.filter(|(_, client)| client.waiting() > 0) else { return };
            let slot = Slot { index: index(key), generation: client.generation };
            self.end(slot, Ending::Evicted);
        }
    }

    fn finish_turn(&mut self) {
        let turn = &mut self.turn;
        for channel in turn.touched.drain(..) {
            let Some(local) = self.channels.get_mut(channel as usize) else { continue };
            local.run.clear();
            if local.retired {
                self.channels.remove(channel as usize);
            }
        }
        for merged in turn.merged.iter_mut().flatten() {
            merged.of = None;
            merged.bytes.clear();
            merged.bytes.shrink_to(SCRATCH_BYTES);
        }
        if turn.own.capacity() > SCRATCH_BYTES {
            turn.own = BytesMut::new();
        }
        turn.own.clear();
        turn.dirty.shrink_to(1 << 16);
    }
}

/// Where the bytes of segments lie, for a client of one format.
struct Pieces<'a> {
    channels: &'a Slab<LocalChannel>,
    own: &'a BytesMut,
    format: WireFormat,
    hasher: &'a RandomState,
}

impl<'a> Pieces<'a> {
    fn events(&self, channel: u32, from: u32, to: u32) -> &'a [Arc<Frames>] {
        let run: &'a [Arc<Frames>] = self.channels.get(channel as usize).map_or(&[], |local| &local.run);
        &run[from as usize..to as usize]
    }

    fn run(&self, channel: u32, from: u32, to: u32, variant: Variant) -> impl Iterator<Item = &'a Bytes> {
        let format = self.format;
        self.events(channel, from, to).iter().filter_map(move |frames| frames.get(format, variant))
    }

    /// The segment's bytes, piece by piece.
    fn slices(&self, segment: Segment) -> impl Iterator<Item = &'a [u8]> {
        let (own, run) = match segment {
            Segment::Own { from, to } => (Some(&self.own[from as usize..to as usize]), None),
            Segment::Run { channel, from, to, style } => {
                (None, Some(self.run(channel, from, to, style.variant)))
            }
        };
        own.into_iter().chain(run.into_iter().flatten().map(|frame| &frame[..]))
    }

    /// Puts the segments without their first `written` bytes into the backlog: shared frames by reference, own bytes copied.
    /// What they replace there is listed in `dropped`.
    fn keep(&self, segments: &[Segment], mut written: usize, backlog: &mut Backlog, dropped: &mut Vec<Tag>) {
        for segment in segments {
            match *segment {
                Segment::Own { from, to } => {
                    let own = &self.own[from as usize..to as usize];
                    if let Some(half) = unwritten(own, &mut written) {
                        backlog.push(Bytes::copy_from_slice(own), None, dropped);
                        backlog.advance(half);
                    }
                }
                Segment::Run { channel, from, to, style } => {
                    let Some(local) = self.channels.get(channel as usize) else { continue };
                    for frames in self.events(channel, from, to) {
                        let Some(frame) = frames.get(self.format, style.variant) else { continue };
                        let Some(half) = unwritten(frame, &mut written) else { continue };
                        let tag = self.tag(local, frames, style);
                        // What came before it may be dropped, so that it cannot be a patch.
                        let whole = half == 0
                            && style.variant == Variant::Patch
                            && local.rules.slow == SlowPolicy::KeepLatest;
                        let whole = whole.then(|| frames.get(self.format, Variant::Full)).flatten();
                        backlog.push(whole.unwrap_or(frame).clone(), tag, dropped);
                        backlog.advance(half);
                    }
                }
            }
        }
        // A subscription that lost a publication may have got more behind it.
        for at in 0..dropped.len() {
            if dropped[at].style.positioned {
                backlog.purge(dropped[at].channel, dropped);
            }
        }
    }

    fn tag(&self, local: &LocalChannel, frames: &Frames, style: Style) -> Option<Tag> {
        let rules = local.rules;
        let key = if rules.slow == SlowPolicy::KeepLatest { frames.key(self.hasher) } else { 0 };
        frames.is_publication().then_some(Tag { channel: local.serial, rules, key, style })
    }
}

/// How many of the frame's bytes are written, of which `written` counts those of this one and of what follows it; `None` if
/// all of them are.
fn unwritten(frame: &[u8], written: &mut usize) -> Option<usize> {
    if *written >= frame.len() {
        *written -= frame.len();
        return None;
    }
    Some(std::mem::take(written))
}

/// A socket's write function and what went through it.
struct Output<'w, W> {
    write: &'w mut W,
    writes: u64,
    bytes: u64,
    /// Publications that were dropped on the way.
    dropped: Vec<Tag>,
}

impl<W> Output<'_, W> {
    /// One write; 0 bytes if the socket is full.
    fn write<A>(&mut self, attachment: &mut A, slices: &[IoSlice<'_>]) -> Result<usize, io::ErrorKind>
    where
        W: FnMut(&mut A, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    {
        match (self.write)(attachment, slices) {
            Poll::Pending => Ok(0),
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero),
            Poll::Ready(Ok(bytes)) => {
                self.writes += 1;
                self.bytes += bytes as u64;
                Ok(bytes)
            }
            Poll::Ready(Err(error)) => Err(error.kind()),
        }
    }

    /// Has a stream that holds something pass it on, as far as its socket takes it.
    fn pass_on<A>(&mut self, attachment: &mut A) -> Result<(), io::ErrorKind>
    where
        W: FnMut(&mut A, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    {
        match (self.write)(attachment, &[]) {
            Poll::Pending | Poll::Ready(Ok(_)) => Ok(()),
            Poll::Ready(Err(error)) => Err(error.kind()),
        }
    }

    /// Writes the segments of a client without backlog; what the socket does not take becomes its backlog.
    fn direct<A>(
        &mut self,
        client: &mut Client<A>,
        segments: &[Segment],
        pieces: &Pieces<'_>,
        merged: &mut [[Merged; 3]; 3],
    ) -> Result<(), io::ErrorKind>
    where
        W: FnMut(&mut A, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    {
        let merged = match segments {
            [] => return Ok(()),
            &[Segment::Run { channel, from, to, style }] if to - from > 1 => {
                let merged = &mut merged[client.format as usize][style.variant as usize];
                merged.fill((channel, from, to), style.variant, pieces)
            }
            [Segment::Run { .. } | Segment::Own { .. }, ..] => None,
        };
        let (written, total) = match merged {
            Some(bytes) => (self.write(&mut client.attachment, &[IoSlice::new(bytes)])?, bytes.len()),
            None => {
                let total =
                    segments.iter().flat_map(|segment| pieces.slices(*segment)).map(<[u8]>::len).sum();
                (self.vectored(&mut client.attachment, segments, pieces)?, total)
            }
        };
        if written < total {
            let mut backlog = Box::<Backlog>::default();
            pieces.keep(segments, written, &mut backlog, &mut self.dropped);
            // Tried once more at once, so that the socket is asked to say when it is writable.
            let outcome = self.backlog(&mut client.attachment, &mut backlog);
            client.backlog = Some(backlog);
            outcome?;
        }
        Ok(())
    }

    fn vectored<A>(
        &mut self,
        attachment: &mut A,
        segments: &[Segment],
        pieces: &Pieces<'_>,
    ) -> Result<usize, io::ErrorKind>
    where
        W: FnMut(&mut A, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    {
        let mut written = 0;
        let mut batch: SmallVec<[IoSlice<'_>; SLICES]> = SmallVec::new();
        let mut slices = segments.iter().flat_map(|segment| pieces.slices(*segment)).peekable();
        while slices.peek().is_some() {
            batch.clear();
            batch.extend(slices.by_ref().take(SLICES).map(IoSlice::new));
            let length: usize = batch.iter().map(|slice| slice.len()).sum();
            let taken = self.write(attachment, &batch)?;
            written += taken;
            if taken < length {
                break;
            }
        }
        Ok(written)
    }

    /// Writes from the backlog until it is empty or the socket is full.
    fn backlog<A>(&mut self, attachment: &mut A, backlog: &mut Backlog) -> Result<(), io::ErrorKind>
    where
        W: FnMut(&mut A, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    {
        while !backlog.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = backlog.slices(&mut slices);
            let taken = self.write(attachment, &slices[..count])?;
            if taken == 0 {
                break;
            }
            backlog.advance(taken);
        }
        Ok(())
    }
}

impl Merged {
    /// The run's bytes in one piece, or `None` if they are too many to be worth a copy.
    fn fill(&mut self, run: (u32, u32, u32), variant: Variant, pieces: &Pieces<'_>) -> Option<&[u8]> {
        if self.of != Some(run) {
            self.of = Some(run);
            self.bytes.clear();
            let (channel, from, to) = run;
            let frames = || pieces.run(channel, from, to, variant);
            let total: usize = frames().map(Bytes::len).sum();
            if total <= MERGE_BYTES {
                frames().for_each(|frame| self.bytes.extend_from_slice(frame));
            }
        }
        (!self.bytes.is_empty()).then_some(&self.bytes)
    }
}
