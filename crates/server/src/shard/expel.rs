//! What a revocation does to those who are connected.

use throng_engine::{Revocation, Subject};
use throng_protocol::{ChannelName, DisconnectCode, UnsubscribeCode};
use throng_registry::{ShardTable, Slot};

use super::{Conn, Shard};
use crate::node::{Addressed, Obeyed, Order};

/// Clients that are looked at in one go. Thousands more wait until others have had their turn.
pub(super) const SLICE: usize = if cfg!(test) { 2 } else { 4_096 };

/// Among whom those are that a revocation means.
#[derive(Debug)]
pub(crate) enum Whom {
    These(Vec<Slot>),
    /// Among all, from this place of the table on. Who comes later, to whatever place, is looked at when it comes.
    From(usize),
}

impl Whom {
    pub(crate) const ALL: Self = Self::From(0);

    /// Takes the next slice; what is left, if anything is.
    fn slice<A>(self, table: &ShardTable<A>) -> (Vec<Slot>, Option<Self>) {
        match self {
            Self::These(mut slots) => {
                let rest = slots.split_off(SLICE.min(slots.len()));
                (slots, (!rest.is_empty()).then_some(Self::These(rest)))
            }
            Self::From(place) => {
                let (slots, next) = table.slots_from(place, SLICE);
                (slots, next.map(Self::From))
            }
        }
    }
}

impl Shard {
    /// Ends what the revocation means, connections or subscriptions to a channel, among the next [`SLICE`]. Returns who is left to be
    /// looked at, if anybody is.
    pub(super) fn expel(&self, whom: Whom, revocation: &Revocation) -> Option<Whom> {
        let subject = &revocation.subject;
        let counts = &self.node.metrics.revocations;
        let mut table = self.table.borrow_mut();
        let (slots, rest) = whom.slice(&table);
        let channel = match subject {
            // No subscription has a name that is none.
            Subject::Channel { channel, .. } => match channel.parse::<ChannelName>() {
                Ok(channel) => Some(channel),
                Err(_) => return None,
            },
            Subject::Token(_) | Subject::User(_) | Subject::Issued { .. } | Subject::Blocked(_) => None,
        };
        let code = match subject {
            Subject::Blocked(_) => DisconnectCode::ForceDisconnect,
            Subject::Token(_) | Subject::User(_) | Subject::Issued { .. } | Subject::Channel { .. } => {
                DisconnectCode::InvalidToken
            }
        };
        for slot in slots {
            if let Some(conn) = table.attachment_mut(slot).filter(|conn| !is_meant(conn, subject)) {
                let meant = conn.member.as_ref().map(|member| member.meant(subject)).unwrap_or_default();
                for channel in &meant {
                    counts.ended_subscriptions.add(1);
                    unsubscribe(conn, channel);
                    conn.waker.wake_by_ref();
                }
                continue;
            }
            let subscribed = channel.as_ref().is_none_or(|channel| table.is_subscribed(slot, channel));
            let Some(conn) = table.attachment_mut(slot).filter(|_| subscribed) else { continue };
            match &channel {
                Some(channel) => {
                    counts.ended_subscriptions.add(1);
                    unsubscribe(conn, channel);
                }
                None => {
                    counts.ended_connections.add(1);
                    conn.stop.get_or_insert(code);
                }
            }
            conn.waker.wake_by_ref();
        }
        rest
    }

    /// Ends a subscription that was being made while it was revoked. From here on it is found among the subscriptions.
    pub(super) fn keep_out(&self, slot: Slot, channel: &ChannelName) {
        let mut table = self.table.borrow_mut();
        let Some(conn) = table.attachment_mut(slot) else { return };
        let Some(member) = &conn.member else { return };
        let honoured = member.credential_of(channel).is_none_or(|credential| self.node.honours(credential));
        if !honoured || !self.node.may_subscribe_at_all(&member.identity.user, channel) {
            unsubscribe(conn, channel);
            conn.waker.wake_by_ref();
        }
    }
}

fn is_meant(conn: &Conn, subject: &Subject) -> bool {
    conn.member.as_ref().is_some_and(|member| member.identity.credential.is_meant(subject))
}

/// Has the client's task end a subscription, or the connection if the task is hopelessly behind: the client then comes again
/// without.
fn unsubscribe(conn: &mut Conn, channel: &ChannelName) {
    /// Orders that the task may be behind.
    const MOST: usize = 1_024;

    let code = UnsubscribeCode::Server;
    let order = Order::Unsubscribe {
        channel: Some(channel.clone()),
        code: code.code(),
        reason: code.reason().to_owned(),
    };
    let orders = conn.orders.get_or_insert_default();
    if orders.len() < MOST {
        orders.push_back(Addressed { order, obeyed: Obeyed::by_nobody() });
    } else {
        conn.stop.get_or_insert(DisconnectCode::InsufficientState);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use throng_registry::{OutboxLimits, WireFormat};

    use super::*;

    #[test]
    fn everybody_is_looked_at_once_and_few_at_a_time() {
        let mut table = ShardTable::new(OutboxLimits::default());
        let slots: Vec<_> = (0..10 * SLICE).map(|_| table.insert(WireFormat::Json, ())).collect();
        slots.iter().skip(1).step_by(3).for_each(|slot| drop(table.remove(*slot)));
        let here: Vec<_> = table.slots().collect();
        for whom in [Whom::ALL, Whom::These(here.clone())] {
            let mut seen = Vec::new();
            let mut left = Some(whom);
            while let Some(whom) = left {
                let (slice, rest) = whom.slice(&table);
                assert!(slice.len() <= SLICE, "{}", slice.len());
                seen.extend(slice);
                left = rest;
            }
            assert_eq!(seen.len(), here.len());
            let places =
                |slots: &[Slot]| slots.iter().map(|slot| format!("{slot:?}")).collect::<BTreeSet<_>>();
            assert_eq!(places(&seen), places(&here));
        }
    }
}
