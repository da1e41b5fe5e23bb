use std::sync::Arc;

use throng_protocol::ChannelName;

use crate::local::LocalChannel;
use crate::member::{Member, Plain, Verdict};
use crate::table::index;
use crate::track::Step;
use crate::{Broadcast, Ending, ShardTable, Slot, StreamMark};

impl<A> ShardTable<A> {
    /// Puts an event in front of the channel's subscribers. It costs each an index, not a copy. For those who are about to
    /// subscribe it is held.
    pub fn deliver(&mut self, broadcast: &Broadcast) -> usize {
        let Some(&channel) = self.by_name.get(&broadcast.channel) else { return 0 };
        let local = &mut self.channels[channel as usize];
        self.counters.overflowed += local.hold(broadcast, self.limits.client_bytes);
        let step = local.track.advance(broadcast.sequence, broadcast.stream);
        // A join in a channel of thousands must not cost a look at each of them when none of them wants to hear of it.
        let all_together = local.aside.as_ref().is_none_or(|aside| !aside.has_tracks());
        let unheard = local.hearers == 0 && !broadcast.frames.is_publication();
        if step != Step::Gap && unheard {
            self.pass_by(channel, broadcast);
            return 0;
        }
        if step == Step::Old && all_together {
            return 0;
        }
        let position = index(local.run.len());
        let plain = Plain::of(step, broadcast);
        let (mut delivered, mut lost, mut unable) = (0, Vec::new(), Vec::new());
        let LocalChannel { members, aside, track, .. } = local;
        for (at, member) in members.iter_mut().enumerate() {
            let client = &mut self.clients[member.client as usize];
            let slot = Slot { index: member.client, generation: client.generation };
            if client.ending.is_some() {
                continue;
            }
            let verdict = match plain.style(*member) {
                Some(style) if broadcast.except != Some(slot) => Verdict::Append(style),
                Some(_) | None => {
                    let step = match aside {
                        Some(aside) if member.is_apart() => aside.step(member, track, broadcast),
                        Some(_) | None => step,
                    };
                    let filter = aside.as_ref().filter(|_| member.is_filtered());
                    let filter = filter.and_then(|aside| aside.filter_of(*member));
                    member.judge(step, broadcast, slot, filter, client.format)
                }
            };
            match verdict {
                Verdict::Append(style) => {
                    self.turn.append_run(slot, &mut client.dirty, channel, position, style);
                    delivered += 1;
                }
                Verdict::Skip => {}
                Verdict::Lose => lost.push(index(at)),
                Verdict::WrongFormat => unable.push(slot),
            }
        }
        if delivered > 0 {
            self.add_to_run(channel, broadcast);
        }
        lost.into_iter().for_each(|at| self.lose(channel, at));
        unable.into_iter().for_each(|slot| self.end(slot, Ending::WrongFormat));
        self.channels[channel as usize].tidy();
        self.counters.deliveries += delivered as u64;
        delivered
    }

    /// Moves the members who are apart past an event that nobody is to hear of.
    fn pass_by(&mut self, channel: u32, broadcast: &Broadcast) {
        let apart = self.channels[channel as usize].aside.as_ref().map(|aside| aside.clients_apart());
        for client in apart.into_iter().flatten() {
            let Some(at) = self.place_of(client, channel) else { continue };
            let LocalChannel { members, aside, track, .. } = &mut self.channels[channel as usize];
            let (Some(aside), Some(member)) = (aside, members.get_mut(at as usize)) else { continue };
            if aside.step(member, track, broadcast) != Step::Gap {
                continue;
            }
            member.forget_base();
            if member.is_positioned() {
                self.lose(channel, at);
            }
        }
        self.channels[channel as usize].tidy();
    }

    /// Where a client is among the members of a channel.
    fn place_of(&self, client: u32, channel: u32) -> Option<u32> {
        let subscriptions = &self.clients.get(client as usize)?.subscriptions;
        subscriptions
            .iter()
            .find(|membership| membership.channel == channel)
            .map(|membership| membership.member)
    }

    /// Subscriptions of the client that have lost a publication since the last call, with their marks. Nothing of their
    /// channels is delivered any more; they are there until they are ended.
    pub fn take_lost(&mut self, slot: Slot) -> Vec<(ChannelName, u8)> {
        let mut lost = Vec::new();
        let Some(client) = self.client_mut(slot).filter(|client| client.lost) else { return lost };
        client.lost = false;
        for membership in &self.clients[slot.index as usize].subscriptions {
            let local = &mut self.channels[membership.channel as usize];
            if let Some(member) = local.members.get_mut(membership.member as usize)
                && member.tell_loss()
            {
                lost.push((local.name.clone(), member.marks));
            }
        }
        lost
    }

    /// Channels with positioned subscribers who, as far as is known, have lost nothing.
    pub fn positioned_channels(&self) -> Vec<ChannelName> {
        let positioned = self.channels.iter().filter(|(_, local)| local.positioned > 0);
        positioned.map(|(_, local)| local.name.clone()).collect()
    }

    /// The newest place in the channel's stream that has been delivered here, or where its first subscriber started.
    pub fn last_of(&self, name: &ChannelName) -> Option<StreamMark> {
        let &channel = self.by_name.get(name)?;
        self.channels[channel as usize].track.stream
    }

    /// Marks as lost the channel's positioned subscriptions that have not come to `mark`, or that stand in another epoch.
    /// Returns how many there were.
    ///
    /// Publications up to `mark` that are still in this shard's queue would be taken for lost: the caller reads the mark and
    /// calls only when what was in the queue by then has been delivered.
    pub fn lose_behind(&mut self, name: &ChannelName, mark: StreamMark) -> usize {
        let Some(&channel) = self.by_name.get(name) else { return 0 };
        let local = &self.channels[channel as usize];
        if local.positioned == 0 {
            return 0;
        }
        let is_behind = |(at, member): (usize, &Member)| {
            let waits = member.is_positioned() && !member.is_lost();
            (waits && local.track_of(*member).is_behind(mark)).then(|| index(at))
        };
        let behind: Vec<_> = local.members.iter().enumerate().filter_map(is_behind).collect();
        behind.iter().for_each(|at| self.lose(channel, *at));
        self.channels[channel as usize].tidy();
        behind.len()
    }

    /// Adds the event to what the channel delivers in this turn.
    pub(crate) fn add_to_run(&mut self, channel: u32, broadcast: &Broadcast) {
        let local = &mut self.channels[channel as usize];
        if local.run.is_empty() {
            self.turn.touched.push(channel);
        }
        local.run.push(Arc::clone(&broadcast.frames));
    }

    /// Marks a subscription as lost and has its client listed by [`take_changed`](Self::take_changed).
    pub(crate) fn lose(&mut self, channel: u32, at: u32) {
        let local = &mut self.channels[channel as usize];
        if !local.lose(at) {
            return;
        }
        self.counters.lost += 1;
        let client_index = local.members[at as usize].client;
        let client = &mut self.clients[client_index as usize];
        if !std::mem::replace(&mut client.lost, true) {
            self.changed.push(Slot { index: client_index, generation: client.generation });
        }
    }
}
