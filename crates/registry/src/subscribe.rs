use bytes::BytesMut;
use throng_protocol::ChannelName;

use crate::local::{Held, LocalChannel};
use crate::member::{Ended, Member, Subscription, Verdict, step_apart};
use crate::table::index;
use crate::track::Track;
use crate::{ChannelRules, Ending, ShardTable, Slot};

/// A client's subscription: the channel, and the client's place among its members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) channel: u32,
    /// `PENDING` while the subscription is being made.
    pub(crate) member: u32,
}

const PENDING: u32 = u32::MAX;

/// There is no subscription to complete: the client is gone, or the subscription was taken back meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the client has not entered the channel")]
pub struct NotEntered;

/// ```text
///           enter ──► what is delivered is held ──► subscribe: the reply, what was held and is new, then all that follows
///                                │
///                                └──► abandon
/// ```
impl<A> ShardTable<A> {
    /// Begins a subscription: from now on what is delivered to the channel is held for the client, at most 1,024 events, and
    /// no more bytes than may wait for a client. True if the shard did not use the channel before and must join it.
    ///
    /// Must be followed by [`subscribe`](Self::subscribe) or [`abandon`](Self::abandon), unless the client is removed. For a
    /// client that is gone, is subscribed, or has entered already nothing changes.
    pub fn enter(&mut self, slot: Slot, name: &ChannelName, rules: ChannelRules) -> bool {
        if self.client(slot).is_none() || self.membership(slot, name).is_some() {
            return false;
        }
        let known = self.by_name.get(name).copied();
        let channel = known.unwrap_or_else(|| {
            self.next_serial = self.next_serial.wrapping_add(1);
            let local = LocalChannel::new(name.clone(), rules, self.next_serial);
            let key = index(self.channels.insert(local));
            self.by_name.insert(name.clone(), key);
            key
        });
        self.channels[channel as usize].enter(slot.index);
        let subscriptions = &mut self.clients[slot.index as usize].subscriptions;
        if subscriptions.is_empty() {
            subscriptions.reserve_exact(1);
        }
        subscriptions.push(Membership { channel, member: PENDING });
        known.is_none()
    }

    /// Takes back an [`enter`](Self::enter). True if the shard does not use the channel any more and must leave it; false also
    /// if there is nothing to take back, because the client is gone.
    pub fn abandon(&mut self, slot: Slot, name: &ChannelName) -> bool {
        let Some((at, membership)) = self.membership(slot, name) else { return false };
        if membership.member != PENDING {
            return false;
        }
        self.clients[slot.index as usize].subscriptions.swap_remove(at);
        self.end_membership(slot, membership).leave
    }

    /// Completes an [`enter`](Self::enter): `reply` appends whole frames to the client's outbox, and behind them comes what was
    /// held and is above the start, then all that is published from now on.
    ///
    /// If too much came to be held, the subscription is lost from the beginning; see [`take_lost`](Self::take_lost).
    ///
    /// # Errors
    ///
    /// [`NotEntered`] if there is nothing to complete; then `reply` is not called, and nothing is left to be undone here.
    pub fn subscribe(
        &mut self,
        slot: Slot,
        name: &ChannelName,
        subscription: Subscription,
        reply: impl FnOnce(&mut BytesMut),
    ) -> Result<(), NotEntered> {
        let pending = self.membership(slot, name).filter(|(_, membership)| membership.member == PENDING);
        let (at, Membership { channel, .. }) = pending.ok_or(NotEntered)?;
        self.send(slot, reply);
        let member = Member::new(slot.index, &subscription);
        let start = Track { sequence: subscription.sequence, stream: subscription.stream };
        let held = self.channels[channel as usize].take_held(slot.index);
        let overflowed = held.overflowed;
        let (member, track, missed) = self.release(slot, channel, member, start, held, &subscription);
        let local = &mut self.channels[channel as usize];
        let place = index(local.members.len());
        local.add(member, track, subscription.filter);
        self.clients[slot.index as usize].subscriptions[at].member = place;
        self.subscriptions += 1;
        if overflowed || missed {
            self.lose(channel, place);
        }
        Ok(())
    }

    /// Ends a subscription at once: nothing of the channel is put into the client's outbox any more. `None` if there was no
    /// such subscription; one that is being made is none yet.
    pub fn unsubscribe(&mut self, slot: Slot, name: &ChannelName) -> Option<Ended> {
        let (at, membership) = self.membership(slot, name)?;
        if membership.member == PENDING {
            return None;
        }
        self.clients[slot.index as usize].subscriptions.swap_remove(at);
        Some(self.end_membership(slot, membership))
    }

    /// Ends all of a client's subscriptions except those that are being made.
    pub fn unsubscribe_all(&mut self, slot: Slot) -> Vec<(ChannelName, Ended)> {
        let Some(client) = self.client_mut(slot) else { return Vec::new() };
        let (pending, ended) =
            std::mem::take(&mut client.subscriptions).into_iter().partition(|own| own.member == PENDING);
        client.subscriptions = pending;
        self.end_memberships(slot, ended)
    }

    /// Ends memberships that the client's own list does not hold any more.
    pub(crate) fn end_memberships(
        &mut self,
        slot: Slot,
        ended: Vec<Membership>,
    ) -> Vec<(ChannelName, Ended)> {
        let mut end = |membership: Membership| {
            let name = self.channels[membership.channel as usize].name.clone();
            (name, self.end_membership(slot, membership))
        };
        ended.into_iter().map(&mut end).collect()
    }

    /// Whether the client is subscribed to the channel; one that has only entered is not yet.
    pub fn is_subscribed(&self, slot: Slot, name: &ChannelName) -> bool {
        self.membership(slot, name).is_some_and(|(_, membership)| membership.member != PENDING)
    }

    /// The marks of a client's subscription.
    pub fn marks_of(&self, slot: Slot, name: &ChannelName) -> Option<u8> {
        let (_, membership) = self.membership(slot, name)?;
        let local = &self.channels[membership.channel as usize];
        local.members.get(membership.member as usize).map(|member| member.marks)
    }

    /// How many channels the client is subscribed to or has entered.
    pub fn subscription_count_of(&self, slot: Slot) -> usize {
        self.client(slot).map_or(0, |client| client.subscriptions.len())
    }

    /// The table's own copy of a channel's name, to be shared by those who keep it for long.
    pub fn shared_name(&self, name: &ChannelName) -> Option<ChannelName> {
        self.by_name.get_key_value(name).map(|(name, _)| name.clone())
    }

    /// The channels in use and how many subscribers each has here, in no order.
    pub fn channel_counts(&self) -> impl Iterator<Item = (&ChannelName, usize)> {
        let used = self.channels.iter().filter(|(_, local)| !local.members.is_empty());
        used.map(|(_, local)| (&local.name, local.members.len()))
    }

    /// The client's own entry for the channel, and its place in the client's list.
    fn membership(&self, slot: Slot, name: &ChannelName) -> Option<(usize, Membership)> {
        let client = self.client(slot)?;
        let &channel = self.by_name.get(name)?;
        let at = client.subscriptions.iter().position(|own| own.channel == channel)?;
        Some((at, client.subscriptions[at]))
    }

    /// The client's subscription to the channel of this serial: the channel, and the client's place among its members.
    pub(crate) fn member_of(&self, slot: Slot, serial: u32) -> Option<(u32, u32)> {
        let is_of_it = |own: &&Membership| self.channels[own.channel as usize].serial == serial;
        let own = self.client(slot)?.subscriptions.iter().find(is_of_it)?;
        (own.member != PENDING).then_some((own.channel, own.member))
    }

    /// Puts what was held for a new member into its outbox. Returns the member, where it stands then, and whether it missed
    /// something.
    fn release(
        &mut self,
        slot: Slot,
        channel: u32,
        mut member: Member,
        mut track: Track,
        held: Held,
        subscription: &Subscription,
    ) -> (Member, Track, bool) {
        for broadcast in held.events {
            let client = &mut self.clients[slot.index as usize];
            if client.ending.is_some() {
                break;
            }
            let local = &self.channels[channel as usize];
            let step = step_apart(&mut member, &mut track, &local.track, &broadcast);
            match member.judge(step, &broadcast, slot, subscription.filter.as_deref(), client.format) {
                Verdict::Append(style) => {
                    let position = index(local.run.len());
                    self.turn.append_run(slot, &mut client.dirty, channel, position, style);
                    self.add_to_run(channel, &broadcast);
                    self.counters.deliveries += 1;
                }
                Verdict::Skip => {}
                Verdict::Lose => return (member, track, true),
                Verdict::WrongFormat => self.end(slot, Ending::WrongFormat),
            }
        }
        (member, track, false)
    }

    /// Takes a client out of a channel, as a member or as one about to be.
    fn end_membership(&mut self, slot: Slot, membership: Membership) -> Ended {
        let local = &mut self.channels[membership.channel as usize];
        let marks = if membership.member == PENDING {
            local.take_held(slot.index);
            0
        } else {
            self.subscriptions -= 1;
            let member = local.take(membership.member);
            // Another member took the place that became free, and must know it.
            if let Some(moved) = local.members.get(membership.member as usize) {
                let subscriptions = &mut self.clients[moved.client as usize].subscriptions;
                if let Some(own) = subscriptions.iter_mut().find(|own| own.channel == membership.channel) {
                    own.member = membership.member;
                }
            }
            member.marks
        };
        Ended { marks, leave: self.forget_if_unused(membership.channel) }
    }

    fn forget_if_unused(&mut self, channel: u32) -> bool {
        let local = &mut self.channels[channel as usize];
        if !local.is_unused() {
            return false;
        }
        self.by_name.remove(&local.name);
        // What it delivered in this turn is still to be written; the turn's end removes it.
        local.retired = !local.run.is_empty();
        if !local.retired {
            self.channels.remove(channel as usize);
        }
        true
    }
}
