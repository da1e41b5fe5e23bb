//! How a client's commands are carried out, once the session has decided.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use throng_engine::{Event, HistoryQuery, Message, PublishOptions};
use throng_protocol::{
    ChannelName, ConnectRequest, DisconnectCode, ErrorCode, ErrorReply, HistoryResult, Limits, Outcome,
    Payload, PresenceResult, PresenceStatsResult, Publication, PublishResult, Reply, RpcRequest, RpcResult,
    SubscribeRequest, UnsubscribeResult,
};
use throng_registry::{Client, ClientId, ClientKey};

use super::protocol::{Protocol, Replies};
use super::{Dialogue, Farewell, Socket};
use crate::config::DataFormat;
use crate::handlers::{ConnectEvent, HandlerError, MessageEvent, PublishEvent, RpcEvent, SubscribeEvent};
use crate::node::{Namespace, Order, Selector};
use crate::session::{self, Decision, Grant, Heartbeat, PingStyle, Plan, Refusal, Welcome};
use crate::shard::{Member, now};

/// What a command comes to that is neither answered nor refused by the protocol's own codes.
enum No {
    Error(ErrorReply),
    Farewell(Farewell),
}

impl From<ErrorCode> for No {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code.into())
    }
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Error(code) => code.into(),
            Refusal::Close(code) => Self::Farewell(code.into()),
        }
    }
}

impl From<HandlerError> for No {
    fn from(error: HandlerError) -> Self {
        match error {
            HandlerError::Error(reply) => Self::Error(reply),
            HandlerError::Disconnect { code, reason } => {
                Self::Farewell(Farewell { code, reason: reason.into() })
            }
        }
    }
}

impl Protocol {
    /// Carries out what the session decided.
    pub(super) async fn perform(
        &mut self,
        socket: &Socket,
        decision: Decision,
        replies: &mut Replies,
    ) -> Option<Farewell> {
        let (id, outcome) = match decision {
            Decision::Reply(reply) => {
                replies.add(self.format, &reply);
                return None;
            }
            Decision::Close(code) => return Some(code.into()),
            Decision::Pong => return self.answered_ping(),
            Decision::Authenticate { id, request } => {
                return self.authenticate(socket, id, *request, replies).await;
            }
            Decision::Open(welcome) => return self.open(socket, *welcome, replies).await,
            Decision::Message(data) => (0, self.take_message(socket, data, replies).await),
            Decision::Subscribe { id, plan, ask } => {
                match self.subscribe(socket, id, *plan, ask, replies).await {
                    Ok(()) => return None,
                    Err(no) => (id, Err(no)),
                }
            }
            Decision::Unsubscribe { id, channel } => {
                // What the others must hear may take its time.
                self.send(socket, replies);
                if let Some(channel) = channel {
                    socket.shard.unsubscribe(socket.slot, &channel).await;
                }
                (id, Ok(Outcome::Unsubscribe(UnsubscribeResult::default())))
            }
            Decision::Publish { id, channel, namespace, publication, ask } => {
                // Whoever has to wait for room should have had the answers to what came before.
                self.send(socket, replies);
                (id, self.publish(socket, &channel, &namespace, publication, ask).await)
            }
            Decision::Presence { id, channel } => (id, presence(socket, &channel).await),
            Decision::PresenceStats { id, channel } => (id, presence_stats(socket, &channel).await),
            Decision::History { id, channel, query } => (id, self.history(socket, &channel, &query).await),
            Decision::Rpc { id, request } => {
                self.send(socket, replies);
                (id, self.rpc(socket, request).await)
            }
        };
        match outcome {
            // A message has no answer.
            _ if id == 0 => outcome.err().and_then(|no| match no {
                No::Error(_) => None,
                No::Farewell(farewell) => Some(farewell),
            }),
            Ok(outcome) => {
                replies.add(self.format, &session::answer(id, outcome));
                None
            }
            Err(No::Error(error)) => {
                replies.add(self.format, &Reply::Answer { id, outcome: Err(error) });
                None
            }
            Err(No::Farewell(farewell)) => Some(farewell),
        }
    }

    fn answered_ping(&mut self) -> Option<Farewell> {
        let answers_ping = self.heartbeat.as_mut().is_some_and(Heartbeat::pong);
        let welcome = answers_ping && self.ping_style == PingStyle::Application;
        (!welcome).then(|| DisconnectCode::BadRequest.into())
    }

    /// Has the application say who the client is.
    async fn authenticate(
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
        let grant = Grant { user: reply.user, info: reply.info, data: reply.data, channels: reply.channels };
        match self.session.admit(id, &request, grant) {
            Decision::Open(welcome) => self.open(socket, *welcome, replies).await,
            Decision::Close(code) => Some(code.into()),
            Decision::Reply(reply) => {
                replies.add(self.format, &reply);
                None
            }
            _ => None,
        }
    }

    /// Refuses to pass on what a connect handler gave: it is embedded in what others get.
    fn distrust(&self, id: u32, replies: &mut Replies) -> Option<Farewell> {
        tracing::error!(connection = %self.client, "a connect handler gave data that is not JSON");
        replies.add(self.format, &session::error(id, ErrorCode::Internal));
        None
    }

    /// Enters a client that is let in, with the subscriptions that it was granted.
    async fn open(&mut self, socket: &Socket, welcome: Welcome, replies: &mut Replies) -> Option<Farewell> {
        let Socket { shard, slot, .. } = socket;
        let user = Arc::clone(&welcome.identity.user);
        // Taken before this one is entered, so that two that come at once never end each other.
        let older = self.older_connections(socket, &user);
        let key = ClientKey { shard: shard.id, slot: *slot };
        let entry = Client { key, user: Arc::clone(&user), format: self.format() };
        let limit = shard.node.settings.client.user_connection_limit.and_then(NonZeroUsize::new);
        if !shard.node.directory().connect_within(self.client, entry, limit.unwrap_or(NonZeroUsize::MAX)) {
            return Some(DisconnectCode::ConnectionLimit.into());
        }
        shard.introduce(*slot, Member::new(self.client, Arc::clone(&welcome.identity)));
        let mut welcome = welcome;
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

    async fn subscribe(
        &self,
        socket: &Socket,
        id: u32,
        mut plan: Plan,
        ask: Option<Box<SubscribeRequest>>,
        replies: &mut Replies,
    ) -> Result<(), No> {
        let handlers = &socket.shard.node.handlers;
        if let (Some(request), Some(handler)) = (ask, &handlers.set.subscribe) {
            self.send(socket, replies);
            let event = SubscribeEvent {
                client: self.client.to_string(),
                user: self.user(),
                channel: request.channel.clone(),
                token: request.token.clone(),
                data: request.data.clone(),
            };
            let reply = handlers.ask(handler, event).await?;
            if ![&reply.info, &reply.data].into_iter().all(is_json_or_none) {
                tracing::error!("a subscribe handler gave data that is not JSON");
                return Err(ErrorCode::Internal.into());
            }
            (plan.info, plan.data) = (reply.info, reply.data);
        }
        let prepared = socket.shard.prepare(socket.slot, plan, self.format).await?;
        let reply = |out: &mut bytes::BytesMut, result| {
            let reply = session::answer(id, Outcome::Subscribe(result));
            self.write(socket, replies, &reply, out);
        };
        socket.shard.complete(socket.slot, prepared, reply).await;
        Ok(())
    }

    async fn publish(
        &mut self,
        socket: &Socket,
        channel: &ChannelName,
        namespace: &Namespace,
        mut publication: Publication,
        ask: bool,
    ) -> Result<Outcome, No> {
        let shard = &socket.shard;
        let mut skip_history = false;
        if let (true, Some(handler)) = (ask, &shard.node.handlers.set.publish) {
            let event = PublishEvent {
                client: self.client.to_string(),
                user: self.user(),
                channel: channel.as_str().to_owned(),
                data: publication.data.clone(),
            };
            let reply = shard.node.handlers.ask(handler, event).await?;
            if let Some(data) = reply.data {
                if !namespace.takes(&data, false) {
                    return Err(ErrorCode::Internal.into());
                }
                publication.data = data;
            }
            skip_history = reply.skip_history;
        }
        if let Some(info) = shard.with_member(socket.slot, |member| member.info(channel)) {
            publication.info = Some(info);
        }
        let event = Event::new(Message::Publication(Arc::new(publication)));
        // Whoever was refused just now is refused at once, or a frame full of publications would take many waits.
        let wait = shard.node.settings.shards.publish_wait;
        let wait = if self.refused.is_some_and(|at| now() < at + wait) { Duration::ZERO } else { wait };
        let unkept;
        let options = if skip_history {
            unkept = PublishOptions { history: None, ..namespace.publish.clone() };
            &unkept
        } else {
            &namespace.publish
        };
        match socket.publish(channel, event, options, wait).await {
            Ok(_) => Ok(Outcome::Publish(PublishResult::default())),
            Err(_) => {
                self.refused = Some(now());
                Err(ErrorCode::TooManyRequests.into())
            }
        }
    }

    async fn history(
        &self,
        socket: &Socket,
        channel: &ChannelName,
        query: &HistoryQuery,
    ) -> Result<Outcome, No> {
        let node = &socket.shard.node;
        let mut result: HistoryResult = node.history_of(channel.as_str(), query).await?;
        // What does not fit is left for the next page, as if the limit had been lower.
        let mut room = node.largest_reply();
        let count = result.publications.iter().take_while(|publication| {
            let left = room.checked_sub(publication.data.len());
            room = left.unwrap_or(0);
            left.is_some()
        });
        let count = count.count().max(1);
        result.publications.truncate(count);
        let binary = node
            .namespaces
            .of(channel.as_str())
            .is_ok_and(|namespace| namespace.data_format == DataFormat::Binary);
        let unreadable = |publication: &Publication| !publication.data.is_json();
        let is_json = self.format == throng_protocol::Format::Json;
        if binary && is_json && result.publications.iter().any(unreadable) {
            return Err(No::Farewell(DisconnectCode::InappropriateProtocol.into()));
        }
        Ok(Outcome::History(result))
    }

    async fn rpc(&self, socket: &Socket, request: RpcRequest) -> Result<Outcome, No> {
        let handlers = &socket.shard.node.handlers;
        let handler = handlers.set.rpc.get(&request.method).ok_or(ErrorCode::MethodNotFound)?;
        let event = RpcEvent {
            client: self.client.to_string(),
            user: self.user(),
            method: request.method,
            data: request.data,
        };
        let data = handlers.ask(handler, event).await?;
        if self.format == throng_protocol::Format::Json && !is_json_or_none(&data) {
            tracing::error!("an rpc handler gave data that is not JSON");
            return Err(ErrorCode::Internal.into());
        }
        Ok(Outcome::Rpc(RpcResult { data }))
    }

    async fn take_message(
        &self,
        socket: &Socket,
        data: Payload,
        replies: &mut Replies,
    ) -> Result<Outcome, No> {
        self.send(socket, replies);
        let handlers = &socket.shard.node.handlers;
        if let Some(handler) = &handlers.set.message {
            let event = MessageEvent { client: self.client.to_string(), user: self.user(), data };
            handlers.ask(handler, event).await?;
        }
        Ok(Outcome::Rpc(RpcResult::default()))
    }

    fn user(&self) -> String {
        self.session.identity().map_or_else(String::new, |identity| identity.user.to_string())
    }
}

fn is_json_or_none(data: &Payload) -> bool {
    data.is_empty() || data.is_json_within(Limits::default().nesting)
}

async fn presence(socket: &Socket, channel: &ChannelName) -> Result<Outcome, No> {
    let presence = socket.shard.node.presence_of(channel.as_str()).await?;
    Ok(Outcome::Presence(PresenceResult { presence }))
}

async fn presence_stats(socket: &Socket, channel: &ChannelName) -> Result<Outcome, No> {
    let stats = socket.shard.node.presence_stats_of(channel.as_str()).await?;
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(Outcome::PresenceStats(PresenceStatsResult {
        num_clients: number(stats.clients),
        num_users: number(stats.users),
    }))
}
