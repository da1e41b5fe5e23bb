//! How a client comes in: the application says who it is, it is entered, and gets what it was granted.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use throng_protocol::{ConnectRequest, DisconnectCode, ErrorCode, Outcome, Reply};
use throng_registry::{Client, ClientId, ClientKey};

use super::commands::{No, is_json_or_none};
use super::protocol::{Protocol, Replies};
use super::{Dialogue, Farewell, Socket};
use crate::auth::TokenSubscription;
use crate::handlers::ConnectEvent;
use crate::node::{Order, Selector, is_past};
use crate::session::{self, Grant, Heartbeat, Refusal, Welcome};
use crate::shard::{Member, now};

impl Protocol {
    /// Has the application say who the client is.
    pub(super) async fn authenticate(
        &mut self,
        socket: &Socket,
        id: u32,
        request: ConnectRequest,
        replies: &mut Replies,
    ) -> Option<Farewell> {
        let handlers = &socket.shard.node.handlers;
        let handler = handlers.set.connect.as_ref()?;
        let event = ConnectEvent {
            client: self.client.to_string(),
            token: request.token.clone(),
            data: request.data.clone(),
            name: request.name.clone(),
            version: request.version.clone(),
        };
        let reply = match handlers.ask(handler, event).await.map_err(No::from) {
            Ok(reply) => reply,
            Err(No::Farewell(farewell)) => return Some(farewell),
            Err(No::Error(error)) => {
                replies.add(self.format, &Reply::Answer { id, outcome: Err(error) });
                return None;
            }
        };
        if ![&reply.info, &reply.data].into_iter().all(is_json_or_none) {
            return self.distrust(id, replies);
        }
        let expires = (reply.expire_at != 0).then_some(reply.expire_at);
        if expires.is_some_and(is_past) {
            replies.add(self.format, &session::error(id, ErrorCode::Expired));
            return None;
        }
        let channel = |channel| TokenSubscription { channel, ..TokenSubscription::default() };
        let grant = Grant {
            user: reply.user,
            info: reply.info,
            data: reply.data,
            meta: reply.meta,
            channels: reply.channels.into_iter().map(channel).collect(),
            expires,
            ..Grant::default()
        };
        let admitted = self.session.admit(id, &request, grant);
        self.welcome(socket, id, admitted, replies).await
    }

    /// Lets a client in, or tells it why not.
    pub(super) async fn welcome(
        &mut self,
        socket: &Socket,
        id: u32,
        admitted: Result<Box<Welcome>, Refusal>,
        replies: &mut Replies,
    ) -> Option<Farewell> {
        match admitted {
            Ok(welcome) => self.open(socket, *welcome, replies).await,
            Err(Refusal::Close(code)) => Some(code.into()),
            Err(Refusal::Error(code)) => {
                replies.add(self.format, &session::error(id, code));
                None
            }
        }
    }

    /// Refuses to pass on what a connect handler gave: it is embedded in what others get.
    fn distrust(&self, id: u32, replies: &mut Replies) -> Option<Farewell> {
        tracing::error!(connection = %self.client, "a connect handler gave data that is not JSON");
        replies.add(self.format, &session::error(id, ErrorCode::Internal));
        None
    }

    /// Enters a client that is let in, with the subscriptions that it was granted.
    pub(super) async fn open(
        &mut self,
        socket: &Socket,
        welcome: Welcome,
        replies: &mut Replies,
    ) -> Option<Farewell> {
        let Socket { shard, slot, .. } = socket;
        if let Err(code) = shard.node.admits(&welcome.identity.credential) {
            return Some(code.into());
        }
        let user = Arc::clone(&welcome.identity.user);
        // Taken before this one is entered, so that two that come at once never end each other.
        let older = self.older_connections(socket, &user);
        let key = ClientKey { shard: shard.id, slot: *slot };
        let entry = Client { key, user: Arc::clone(&user), format: self.format() };
        let limit = shard.node.settings.client.user_connection_limit.and_then(NonZeroUsize::new);
        if !shard.node.directory().connect_within(self.client, entry, limit.unwrap_or(NonZeroUsize::MAX)) {
            return Some(DisconnectCode::ConnectionLimit.into());
        }
        let mut member = Member::new(self.client, Arc::clone(&welcome.identity));
        let grace = shard.node.settings.client.expired_close_delay;
        member.expire(welcome.expiry.and_then(|expiry| expiry.deadline(now(), grace)));
        shard.introduce(*slot, member);
        // Whoever is revoked from here on is found among the members.
        if let Err(code) = shard.node.admits(&welcome.identity.credential) {
            return Some(code.into());
        }
        let mut welcome = welcome;
        welcome.plans.retain(|plan| shard.node.may_subscribe_at_all(&user, &plan.channel));
        let mut prepared = Vec::with_capacity(welcome.plans.len());
        for plan in std::mem::take(&mut welcome.plans) {
            match shard.prepare(*slot, plan, self.format).await {
                Ok(subscription) => prepared.push(subscription),
                Err(Refusal::Close(code)) => return Some(code.into()),
                // The client is not where it should be, and will be told so when it comes again.
                Err(Refusal::Error(_)) => return Some(DisconnectCode::InsufficientState.into()),
            }
        }
        let name = |one: &crate::shard::Prepared| one.plan.channel.as_str().to_owned();
        let subs: BTreeMap<_, _> = prepared.iter().map(|one| (name(one), one.result.clone())).collect();
        let id = welcome.id;
        let reply = session::answer(id, Outcome::Connect(welcome.result(subs)));
        replies.add(self.format, &reply);
        self.heartbeat = Some(Heartbeat::new(&shard.node.settings, self.client, now()));
        if !prepared.is_empty() {
            self.send(socket, replies);
        }
        for subscription in prepared {
            shard.complete(*slot, subscription, |_, _| ()).await;
        }
        self.replace(socket, &user, older);
        None
    }

    /// The user's connections that must go, where a user may have one only.
    fn older_connections(&self, socket: &Socket, user: &str) -> Vec<ClientId> {
        let node = &socket.shard.node;
        let personal = &node.settings.client.subscribe_to_user_personal_channel;
        if user.is_empty() || !personal.enabled || !personal.single_connection {
            return Vec::new();
        }
        node.directory().clients_of(user)
    }

    /// Ends older connections of the user.
    fn replace(&self, socket: &Socket, user: &str, older: Vec<ClientId>) {
        for client in older {
            let (node, user) = (Arc::clone(&socket.shard.node), user.to_owned());
            tokio::task::spawn_local(async move {
                let code = DisconnectCode::ConnectionLimit;
                let order = Order::Disconnect { code: code.code(), reason: code.reason().into() };
                let to = Selector { user, client: Some(client), except: Vec::new() };
                // Those that do not obey in time do so later; nobody waits for it.
                let _ = node.order(&to, order).await;
            });
        }
    }
}
