//! What happens to a client that it did not ask for: the application's orders, and lost positions.

use throng_protocol::{
    ChannelName, DisconnectCode, PushEvent, Refresh, Reply, Subscribe, SubscribeResult, Unsubscribe,
    UnsubscribeCode,
};

use super::protocol::{Protocol, Replies};
use super::{Farewell, Socket};
use crate::node::{Order, ServerSubscription};
use crate::session::{Expired, Expiry, Plan, Refusal, ttl};
use crate::shard::{Marks, now};

impl Protocol {
    /// Carries out an order. Reference sections 3.4, 3.7, 3.8 and 6.4.
    pub(super) async fn carry_out(&self, socket: &Socket, order: Order) -> Option<Farewell> {
        match order {
            Order::Disconnect { code, reason } => Some(Farewell { code, reason }),
            Order::Subscribe(subscription) => self.take_on(socket, &subscription).await,
            Order::Unsubscribe { channel, code, reason } => {
                let ended = match channel {
                    Some(channel) if socket.shard.unsubscribe(socket.slot, &channel).await => vec![channel],
                    Some(_) => Vec::new(),
                    None => socket.shard.unsubscribe_all(socket.slot).await,
                };
                for channel in ended {
                    let event = Unsubscribe { code, reason: reason.clone() };
                    self.push(socket, channel.as_str(), event.into());
                }
                None
            }
            Order::Refresh { expire_at, info } => {
                let expiry = (expire_at > 0).then_some(Expiry { at: expire_at, told: true });
                let grace = socket.shard.node.settings.client.expired_close_delay;
                let deadline = expiry.and_then(|expiry| expiry.deadline(now(), grace));
                socket.shard.with_member(socket.slot, |member| {
                    member.expire(deadline);
                    if let Some(info) = info {
                        member.attach(info);
                    }
                });
                self.push(socket, "", refreshed(expire_at).into());
                None
            }
        }
    }

    /// Subscribes the client to a channel that it did not ask for. One that it has already stays as it is.
    async fn take_on(&self, socket: &Socket, subscription: &ServerSubscription) -> Option<Farewell> {
        let shard = &socket.shard;
        let has = shard.table.borrow().is_subscribed(socket.slot, &subscription.channel);
        let namespace = shard.node.namespaces.of(subscription.channel.as_str()).ok()?;
        let user = &self.session.identity()?.user;
        if has || !shard.node.may_subscribe_at_all(user, &subscription.channel) {
            return None;
        }
        let limit = shard.node.settings.client.recovery_max_publication_limit;
        let plan = Plan::ordered(subscription, namespace, limit);
        let prepared = match shard.prepare(socket.slot, plan, self.format).await {
            Ok(prepared) => prepared,
            Err(Refusal::Close(code)) => return Some(code.into()),
            Err(Refusal::Error(_)) => return Some(DisconnectCode::InsufficientState.into()),
        };
        let channel = subscription.channel.as_str();
        let reply = |out: &mut bytes::BytesMut, result: SubscribeResult| {
            // Nothing that was missed fits into this push: it comes as publications behind it.
            let missed = result.publications.clone();
            let push =
                throng_protocol::Push { channel: channel.to_owned(), event: subscribed(result).into() };
            self.write(socket, &mut Replies::default(), &Reply::Push(push), out);
            for publication in missed {
                let event = PushEvent::Publication(publication);
                let push = throng_protocol::Push { channel: channel.to_owned(), event };
                self.write(socket, &mut Replies::default(), &Reply::Push(push), out);
            }
        };
        shard.complete(socket.slot, prepared, reply).await;
        None
    }

    /// Tells the client that publications were lost for it: it subscribes again and recovers. A subscription that it did not ask
    /// for cannot be asked for again, so the connection has to be.
    pub(super) async fn announce_loss(
        &self,
        socket: &Socket,
        channels: Vec<(ChannelName, Marks)>,
    ) -> Option<Farewell> {
        for (channel, marks) in channels {
            socket.shard.node.metrics.positions_lost.add(1);
            if marks.server_side() {
                return Some(DisconnectCode::InsufficientState.into());
            }
            if socket.shard.unsubscribe(socket.slot, &channel).await {
                let event = Unsubscribe::from(UnsubscribeCode::InsufficientState);
                self.push(socket, channel.as_str(), event.into());
            }
        }
        None
    }
}

impl Protocol {
    /// Ends subscriptions whose time is over. One that the client did not ask for ends the connection, which gets it again if it
    /// is still granted. Reference sections 3.7 and 3.19.
    pub(super) async fn end_expired(&self, socket: &Socket, channels: Vec<ChannelName>) -> Option<Farewell> {
        for channel in channels {
            let marks = socket.shard.table.borrow().marks_of(socket.slot, &channel);
            let counts = &socket.shard.node.rules.counts;
            if marks.is_some_and(|bits| Marks::from_bits(bits).server_side()) {
                counts.expired(Expired::Subscription);
                return Some(DisconnectCode::SubscriptionExpired.into());
            }
            if socket.shard.unsubscribe(socket.slot, &channel).await {
                counts.expired(Expired::Subscription);
                let event = Unsubscribe::from(UnsubscribeCode::Expired);
                self.push(socket, channel.as_str(), event.into());
            }
        }
        None
    }
}

fn subscribed(result: SubscribeResult) -> Subscribe {
    Subscribe {
        recoverable: result.recoverable,
        epoch: result.epoch,
        offset: result.offset,
        positioned: result.positioned,
        data: result.data,
    }
}

fn refreshed(expire_at: i64) -> Refresh {
    let expires = expire_at > 0;
    Refresh { expires, ttl: if expires { ttl(expire_at) } else { 0 } }
}
