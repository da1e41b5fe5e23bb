//! How an event comes before a shard's subscribers, and which of them it is for.

use std::sync::Arc;

use crate::frames::Variant;
use crate::subscription::Member;
use crate::table::index;
use crate::{Broadcast, Ending, Frames, ShardTable, Slot, StreamMark, WireFormat};

/// How a publication continues the stream of its channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Continuity {
    /// It is the next one, or has no place in a stream.
    Next,
    /// Whoever is not right behind it has missed something.
    Unclear,
}

impl<A> ShardTable<A> {
    /// Puts an event in front of the channel's subscribers. It costs each an index, not a copy. Returns how many there were.
    pub fn deliver(&mut self, broadcast: &Broadcast) -> usize {
        let Some(&channel) = self.by_name.get(&broadcast.channel) else { return 0 };
        if self.channels[channel as usize].entering > 0 {
            let of_it = self.pending.iter_mut().filter(|pending| pending.channel == channel);
            of_it.for_each(|pending| pending.hold(broadcast));
        }
        let Some((continuity, expected)) = self.continue_stream(channel, broadcast.stream) else { return 0 };
        let local = &mut self.channels[channel as usize];
        if broadcast.frames.is_of_presence() && local.listeners == 0 {
            return 0;
        }
        let position = index(local.run.len());
        let foreign = broadcast.frames.is_foreign_to_json();
        let mut delivered = 0;
        let mut lost = Vec::new();
        for (at, member) in local.members.iter_mut().enumerate() {
            if member.is_before(broadcast.sequence, broadcast.stream) || member.is_lost() {
                continue;
            }
            if continuity == Continuity::Unclear
                && member.is_positioned()
                && broadcast.stream.is_some_and(|mark| mark.offset != expected.max(member.offset + 1))
            {
                lost.push(at);
                continue;
            }
            if !wants(member, &broadcast.frames) {
                continue;
            }
            let client = &mut self.clients[member.client as usize];
            let slot = Slot { index: member.client, generation: client.generation };
            if broadcast.except == Some(slot) || client.ending.is_some() {
                continue;
            }
            if foreign && client.format == WireFormat::Json {
                client.ending = Some(Ending::WrongFormat);
                self.changed.push(slot);
                continue;
            }
            let variant = variant(member, &broadcast.frames);
            self.turn.append_run(slot, &mut client.dirty, channel, position, variant);
            delivered += 1;
        }
        if delivered > 0 {
            if local.run.is_empty() {
                self.turn.touched.push(channel);
            }
            local.run.push(Arc::clone(&broadcast.frames));
        }
        self.counters.deliveries += delivered as u64;
        lost.into_iter().for_each(|at| self.lose(channel, index(at)));
        delivered
    }

    /// Notes a publication's place in the channel's stream. `None` for one that was there already.
    fn continue_stream(&mut self, channel: u32, stream: Option<StreamMark>) -> Option<(Continuity, u64)> {
        let Some(mark) = stream else { return Some((Continuity::Next, 0)) };
        self.follow(channel, mark.epoch);
        let local = &mut self.channels[channel as usize];
        let expected = local.last + 1;
        if local.last > 0 && mark.offset < expected {
            return None;
        }
        let is_next = local.last > 0 && mark.offset == expected;
        local.last = mark.offset;
        Some((if is_next { Continuity::Next } else { Continuity::Unclear }, expected))
    }

    /// Notes which stream a channel has. Whoever followed another one has lost it.
    pub(crate) fn follow(&mut self, channel: u32, epoch: u64) {
        let local = &mut self.channels[channel as usize];
        if local.epoch == epoch {
            return;
        }
        let followed = std::mem::replace(&mut local.epoch, epoch);
        local.last = 0;
        if followed != 0 {
            for at in 0..local.members.len() {
                if self.channels[channel as usize].members[at].is_positioned() {
                    self.lose(channel, index(at));
                }
            }
        }
    }

    /// Gives a new subscriber what was held for it.
    pub(crate) fn release(&mut self, slot: Slot, channel: u32, at: u32, held: &[Broadcast]) {
        let mut expected = None;
        for broadcast in held {
            let client = &mut self.clients[slot.index as usize];
            let member = &mut self.channels[channel as usize].members[at as usize];
            if member.is_before(broadcast.sequence, broadcast.stream) || broadcast.except == Some(slot) {
                continue;
            }
            if let Some(mark) = broadcast.stream.filter(|_| member.is_positioned()) {
                if mark.offset != expected.unwrap_or(member.offset) + 1 {
                    return self.lose(channel, at);
                }
                expected = Some(mark.offset);
            }
            if !wants(member, &broadcast.frames) || client.ending.is_some() {
                continue;
            }
            let variant = variant(member, &broadcast.frames);
            match broadcast.frames.get(client.format, variant) {
                Some(frame) => {
                    self.turn.append_own(slot, &mut client.dirty, |out| out.extend_from_slice(frame));
                    self.counters.deliveries += 1;
                }
                None if broadcast.frames.is_foreign_to_json() => {
                    client.ending = Some(Ending::WrongFormat);
                    self.changed.push(slot);
                }
                None => {}
            }
        }
    }

    /// Ends a positioned subscription's place in its stream: nothing more goes out, and the caller will learn of it.
    pub(crate) fn lose(&mut self, channel: u32, at: u32) {
        let member = &mut self.channels[channel as usize].members[at as usize];
        if member.lose() {
            self.lost += 1;
            let client = member.client;
            let generation = self.clients[client as usize].generation;
            self.changed.push(Slot { index: client, generation });
        }
    }
}

/// Whether the subscription is for such events.
fn wants(member: &Member, frames: &Frames) -> bool {
    match (&member.filter, frames.as_publication()) {
        (None, Some(_)) => true,
        (Some(filter), Some(publication)) => filter.matches(&publication.tags),
        (_, None) => !frames.is_of_presence() || member.hears_of_others(),
    }
}

/// How the subscription gets a publication.
const fn variant(member: &mut Member, frames: &Frames) -> Variant {
    if !member.is_delta() {
        return Variant::Plain;
    }
    if member.take_base() && frames.has_previous() { Variant::Patch } else { Variant::Full }
}
