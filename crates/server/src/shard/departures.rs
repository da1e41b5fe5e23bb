//! How a client leaves a channel: out of its presence, and the others hear of it.

use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use throng_engine::{Engine, Message, Origin, Subject};
use throng_protocol::{ChannelName, ClientInfo, Payload};
use throng_registry::{ClientId, Ended, Slot};

use super::expiries::Expiries;
use super::{Marks, Shard};
use crate::auth::Credential;
use crate::memory::{Crowd, trim};
use crate::session::Identity;

/// Departures of clients that are gone which may wait to be announced; with more, only presence is kept right.
const MOST_ANNOUNCED: usize = 65_536;

/// A client as others see it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) client: ClientId,
    pub(crate) identity: Arc<Identity>,
    /// What was attached to single subscriptions. Hardly any client has some.
    infos: Vec<(ChannelName, Payload)>,
    /// The tokens that single subscriptions were made with. Most clients need none.
    credentials: Vec<(ChannelName, Credential)>,
    /// What does not last for ever, if anything.
    expiries: Option<Box<Expiries>>,
}

impl Member {
    pub(crate) const fn new(client: ClientId, identity: Arc<Identity>) -> Self {
        Self { client, identity, infos: Vec::new(), credentials: Vec::new(), expiries: None }
    }

    /// Changes what other clients see beside the user from now on.
    pub(crate) fn attach(&mut self, info: Payload) {
        self.identity = Arc::new(Identity { info: info.detached(), ..Identity::clone(&self.identity) });
    }

    /// Sets when the connection is over; `None` for never.
    pub(crate) fn expire(&mut self, at: Option<Instant>) {
        self.expiring(at.is_some(), |expiries| expiries.set_connection(at));
    }

    /// Sets when a subscription is over; `None` for never.
    pub(crate) fn expire_subscription(&mut self, channel: &ChannelName, at: Option<Instant>) {
        self.expiring(at.is_some(), |expiries| expiries.set(channel, at));
    }

    /// When something may be over next.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.as_ref()?.next()
    }

    /// Whether the connection is over.
    pub(crate) fn has_expired(&self, now: Instant) -> bool {
        self.expiries.as_ref().is_some_and(|expiries| expiries.has_connection_ended(now))
    }

    /// Takes the subscriptions that are over.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<ChannelName> {
        let mut over = Vec::new();
        self.expiring(false, |expiries| over = expiries.take(now));
        over
    }

    /// Changes what does not last, which is made if it is needed and goes when nothing is left.
    fn expiring(&mut self, is_needed: bool, change: impl FnOnce(&mut Expiries)) {
        if is_needed {
            self.expiries.get_or_insert_default();
        }
        if let Some(expiries) = &mut self.expiries {
            change(expiries);
            self.expiries.take_if(|expiries| expiries.is_empty());
        }
    }

    /// Keeps what was attached to a subscription.
    pub(crate) fn note(&mut self, channel: &ChannelName, info: &Payload) {
        self.infos.retain(|(name, _)| name != channel);
        if !info.is_empty() {
            self.infos.push((channel.clone(), info.detached()));
        }
    }

    /// Keeps by what a subscription can be revoked.
    pub(crate) fn hold(&mut self, channel: &ChannelName, credential: Option<Credential>) {
        self.credentials.retain(|(name, _)| name != channel);
        self.credentials.extend(credential.map(|credential| (channel.clone(), credential)));
    }

    /// The subscriptions, made with tokens of their own, that a revocation of this subject means.
    pub(super) fn meant(&self, subject: &Subject) -> Vec<ChannelName> {
        let meant = self.credentials.iter().filter(|(_, credential)| credential.is_meant(subject));
        meant.map(|(channel, _)| channel.clone()).collect()
    }

    /// By what a subscription can be revoked, if it was made with a token.
    pub(super) fn credential_of(&self, channel: &ChannelName) -> Option<&Credential> {
        self.credentials.iter().find(|(name, _)| name == channel).map(|(_, credential)| credential)
    }

    /// Lets go of what was attached to a subscription.
    fn forget(&mut self, channel: &ChannelName) {
        self.infos.retain(|(name, _)| name != channel);
        self.hold(channel, None);
        self.expire_subscription(channel, None);
    }

    /// The client as subscribers of this channel see it.
    pub(crate) fn info(&self, channel: &ChannelName) -> ClientInfo {
        let own = self.infos.iter().find(|(name, _)| name == channel);
        ClientInfo {
            user: self.identity.user.to_string(),
            client: self.client.to_string(),
            conn_info: self.identity.info.clone(),
            chan_info: own.map(|(_, info)| info.clone()).unwrap_or_default(),
        }
    }
}

/// What is left to do for a subscription that has ended.
#[derive(Debug)]
pub(super) struct Departure {
    channel: ChannelName,
    client: ClientId,
    /// The client is in the channel's presence.
    present: bool,
    /// Who the others hear is leaving, if they do.
    announced: Option<ClientInfo>,
}

impl Shard {
    /// Ends a subscription; false if there was none.
    pub(crate) async fn unsubscribe(&self, slot: Slot, channel: &ChannelName) -> bool {
        let ended = self.table.borrow_mut().unsubscribe(slot, channel);
        let Some(ended) = ended else { return false };
        self.settle(slot, channel, ended).await;
        true
    }

    /// Ends all subscriptions of a client that stays. Returns their channels.
    pub(crate) async fn unsubscribe_all(&self, slot: Slot) -> Vec<ChannelName> {
        let ended = self.table.borrow_mut().unsubscribe_all(slot);
        for (channel, ended) in &ended {
            self.settle(slot, channel, *ended).await;
        }
        ended.into_iter().map(|(channel, _)| channel).collect()
    }

    /// Ends all subscriptions of a client that goes, without waiting.
    pub(crate) fn forsake(&self, slot: Slot) {
        let ended = self.table.borrow_mut().unsubscribe_all(slot);
        for (channel, ended) in ended {
            if ended.leave {
                self.node.leave(&channel, self.id);
            }
            if let Some(departure) = self.departure(slot, &channel, ended) {
                self.departures.borrow_mut().push_back(departure);
                self.departed.notify_one();
            }
        }
    }

    async fn settle(&self, slot: Slot, channel: &ChannelName, ended: Ended) {
        if ended.leave {
            self.node.leave(channel, self.id);
        }
        let departure = self.departure(slot, channel, ended);
        self.with_member(slot, |member| member.forget(channel));
        if let Some(departure) = departure
            && let Some((channel, leave)) = self.see_off(departure).await
        {
            // That it failed is counted.
            let _ = self.node.announce(&channel, leave).await;
        }
    }

    fn departure(&self, slot: Slot, channel: &ChannelName, ended: Ended) -> Option<Departure> {
        let marks = Marks::from_bits(ended.marks);
        if !marks.present() && !marks.announced() {
            return None;
        }
        self.with_member(slot, |member| Departure {
            channel: channel.clone(),
            client: member.client,
            present: marks.present(),
            announced: marks.announced().then(|| member.info(channel)),
        })
    }

    /// Takes a client out of presence. Returns what the others are to hear of it.
    async fn see_off(&self, departure: Departure) -> Option<(ChannelName, Message)> {
        let Departure { channel, client, present, announced } = departure;
        if present {
            let origin = Origin(client.as_u128());
            if let Err(error) = self.node.engine().remove_presence(&channel, origin).await {
                tracing::warn!(connection = %client, %error, "the client stays listed in a channel's presence");
            }
        }
        announced.map(|info| (channel, Message::Leave(Arc::new(info))))
    }
}

/// Sees off the clients that are gone, for as long as the shard is there. Presence is kept right at once; what the others hear
/// has to wait for room in the queues.
pub(super) async fn see_off_departed(shard: Weak<Shard>) {
    let (mut leaves, mut seen_off) = (VecDeque::new(), 0);
    loop {
        let Some(strong) = shard.upgrade() else { return };
        loop {
            let next = strong.departures.borrow_mut().pop_front();
            let Some(departure) = next else { break };
            seen_off += 1;
            let Some(leave) = strong.see_off(departure).await else { continue };
            if leaves.len() < MOST_ANNOUNCED {
                leaves.push_back(leave);
            } else {
                strong.node.metrics.announcements_dropped.add(1);
            }
        }
        match leaves.pop_front() {
            // That it failed is counted.
            Some((channel, leave)) => drop(strong.node.announce(&channel, leave).await),
            None => {
                if std::mem::take(&mut seen_off) >= Crowd::LEFT {
                    leaves = VecDeque::new();
                    *strong.departures.borrow_mut() = VecDeque::new();
                    trim();
                }
                let departed = Rc::clone(&strong.departed);
                drop(strong);
                departed.notified().await;
            }
        }
    }
}
