//! Who is subscribed to what on one shard: how a subscription begins and ends.

use bytes::BytesMut;
use throng_protocol::ChannelName;

use crate::subscription::Member;
use crate::table::{LocalChannel, Membership, index};
use crate::{Broadcast, ChannelRules, Ended, ShardTable, Slot, StreamMark, Subscription};

/// A subscription that has been entered and waits for its position.
#[derive(Debug)]
pub(crate) struct Pending {
    slot: Slot,
    pub(crate) channel: u32,
    /// What was delivered to the channel meanwhile.
    held: Vec<Broadcast>,
    /// More was delivered than is held.
    overflowed: bool,
}

impl Pending {
    /// Most events that are held for one subscription.
    const MOST: usize = 1_024;

    pub(crate) fn hold(&mut self, broadcast: &Broadcast) {
        if self.held.len() < Self::MOST {
            self.held.push(broadcast.clone());
        } else {
            self.overflowed = true;
        }
    }
}

impl<A> ShardTable<A> {
    /// Announces a subscription whose position is still to be read: the channel stays in use, and what is delivered to it is held
    /// for the client. True if the shard did not use the channel before and must join it.
    ///
    /// Must be followed by [`subscribe`](Self::subscribe) or [`abandon`](Self::abandon).
    pub fn enter(&mut self, slot: Slot, name: &ChannelName, rules: ChannelRules) -> bool {
        let known = self.by_name.get(name).copied();
        let channel = known.unwrap_or_else(|| {
            self.next_serial = self.next_serial.wrapping_add(1);
            let local = LocalChannel {
                name: name.clone(),
                serial: self.next_serial,
                rules,
                members: Vec::new(),
                listeners: 0,
                entering: 0,
                epoch: 0,
                last: 0,
                retired: false,
                run: Vec::new(),
            };
            let key = index(self.channels.insert(local));
            self.by_name.insert(name.clone(), key);
            key
        });
        self.channels[channel as usize].entering += 1;
        self.pending.push(Pending { slot, channel, held: Vec::new(), overflowed: false });
        known.is_none()
    }

    /// Takes back an [`enter`](Self::enter). True if the shard does not use the channel any more and must leave it.
    pub fn abandon(&mut self, slot: Slot, name: &ChannelName) -> bool {
        let Some(&channel) = self.by_name.get(name) else { return false };
        self.take_pending(slot, channel).is_some() && self.forget_if_unused(channel)
    }

    /// Takes back all that a client has entered.
    pub(crate) fn abandon_all(&mut self, slot: Slot) -> Vec<(ChannelName, Ended)> {
        let mut ended = Vec::new();
        while let Some(pending) = self.pending.iter().find(|pending| pending.slot == slot) {
            let channel = pending.channel;
            let name = self.channels[channel as usize].name.clone();
            self.take_pending(slot, channel);
            let leave = self.forget_if_unused(channel);
            ended.push((name, Ended { marks: 0, leave }));
        }
        ended
    }

    /// Completes an [`enter`](Self::enter): `reply` appends whole frames to the client's outbox, and behind them comes what was held
    /// for it and what is published from now on, as far as it is above the start.
    ///
    /// A client that is gone or subscribed already changes nothing, but takes the `enter` back; then true if the shard must
    /// leave the channel.
    pub fn subscribe(
        &mut self,
        slot: Slot,
        name: &ChannelName,
        subscription: Subscription,
        reply: impl FnOnce(&mut BytesMut),
    ) -> bool {
        let Some(&channel) = self.by_name.get(name) else { return false };
        if self.client(slot).is_none() || self.is_subscribed(slot, name) {
            return self.abandon(slot, name);
        }
        let Some(pending) = self.take_pending(slot, channel) else { return false };
        self.send(slot, reply);
        if let Some(mark) = subscription.stream {
            self.follow(channel, mark.epoch);
        }
        let local = &mut self.channels[channel as usize];
        let member = Member::new(slot.index, subscription);
        local.listeners += usize::from(member.hears_of_others());
        let at = index(local.members.len());
        local.members.push(member);
        self.clients[slot.index as usize].subscriptions.push(Membership { channel, member: at });
        self.subscriptions += 1;
        self.release(slot, channel, at, &pending.held);
        if pending.overflowed {
            self.lose(channel, at);
        }
        false
    }

    /// Ends a subscription at once: nothing of the channel is put into the client's outbox any more. `None` if there was no
    /// such subscription.
    pub fn unsubscribe(&mut self, slot: Slot, name: &ChannelName) -> Option<Ended> {
        let &channel = self.by_name.get(name)?;
        let subscriptions = &mut self.client_mut(slot)?.subscriptions;
        let at = subscriptions.iter().position(|membership| membership.channel == channel)?;
        let membership = subscriptions.swap_remove(at);
        Some(self.end_membership(membership))
    }

    /// Ends all of a client's subscriptions.
    pub fn unsubscribe_all(&mut self, slot: Slot) -> Vec<(ChannelName, Ended)> {
        let Some(client) = self.client_mut(slot) else { return Vec::new() };
        let memberships = std::mem::take(&mut client.subscriptions);
        let end = |membership: Membership| {
            let name = self.channels[membership.channel as usize].name.clone();
            (name, self.end_membership(membership))
        };
        memberships.into_iter().map(end).collect()
    }

    /// The client's positioned subscriptions that have lost a publication and have not been ended since, with the caller's notes.
    pub fn take_lost(&mut self, slot: Slot) -> Vec<(ChannelName, u8)> {
        if self.lost == 0 {
            return Vec::new();
        }
        let Some(client) = self.client(slot) else { return Vec::new() };
        let lost = |membership: &Membership| {
            let local = &self.channels[membership.channel as usize];
            let member = &local.members[membership.member as usize];
            member.is_lost().then(|| (local.name.clone(), member.marks))
        };
        client.subscriptions.iter().filter_map(lost).collect()
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

    /// The shard's channels, and how many subscribers each has here.
    pub fn channel_counts(&self) -> impl Iterator<Item = (&ChannelName, usize)> {
        self.by_name.iter().map(|(name, key)| (name, self.channels[*key as usize].members.len()))
    }

    /// Channels with a subscriber that must hear when it loses a publication.
    pub fn positioned_channels(&self) -> Vec<ChannelName> {
        let positioned = |(_, key): &(&ChannelName, &u32)| {
            self.channels[**key as usize].members.iter().any(Member::is_positioned)
        };
        self.by_name.iter().filter(positioned).map(|(name, _)| name.clone()).collect()
    }

    /// Has those positioned subscribers of a channel lose their place that have not got everything up to this mark, although it
    /// must have arrived.
    pub fn lose_behind(&mut self, name: &ChannelName, mark: StreamMark) {
        let Some(&channel) = self.by_name.get(name) else { return };
        let local = &self.channels[channel as usize];
        let last = if local.epoch == mark.epoch { local.last } else { 0 };
        let is_behind = |member: &Member| member.is_positioned() && member.offset.max(last) < mark.offset;
        let behind: Vec<_> = local
            .members
            .iter()
            .enumerate()
            .filter(|(_, member)| is_behind(member))
            .map(|(at, _)| at)
            .collect();
        behind.into_iter().for_each(|at| self.lose(channel, index(at)));
    }

    /// The client's subscription to the channel of this number: the channel's key, and the member's place.
    pub(crate) fn member_of(&self, slot: Slot, serial: u32) -> Option<(usize, usize)> {
        let own = &self.client(slot)?.subscriptions;
        let of_it = |own: &&Membership| self.channels[own.channel as usize].serial == serial;
        own.iter().find(of_it).map(|own| (own.channel as usize, own.member as usize))
    }

    fn take_pending(&mut self, slot: Slot, channel: u32) -> Option<Pending> {
        let is_it = |pending: &Pending| pending.slot == slot && pending.channel == channel;
        let at = self.pending.iter().position(is_it)?;
        let local = &mut self.channels[channel as usize];
        local.entering = local.entering.saturating_sub(1);
        Some(self.pending.swap_remove(at))
    }

    /// Takes a member out of its channel.
    fn end_membership(&mut self, membership: Membership) -> Ended {
        self.subscriptions -= 1;
        let local = &mut self.channels[membership.channel as usize];
        let member = local.members.swap_remove(membership.member as usize);
        local.listeners -= usize::from(member.hears_of_others());
        self.lost -= usize::from(member.is_lost());
        // Another member took the place that became free, and must know it.
        if let Some(moved) = local.members.get(membership.member as usize) {
            let subscriptions = &mut self.clients[moved.client as usize].subscriptions;
            if let Some(own) = subscriptions.iter_mut().find(|own| own.channel == membership.channel) {
                own.member = membership.member;
            }
        }
        Ended { marks: member.marks, leave: self.forget_if_unused(membership.channel) }
    }

    /// Whether that leaves the channel unused.
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
