//! How a client's commands are carried out, once the session has decided.

use std::sync::Arc;
use std::time::Duration;

use throng_engine::{Event, HistoryQuery, Message, PublishOptions};
use throng_protocol::{
    ChannelName, DisconnectCode, ErrorCode, ErrorReply, HistoryResult, Limits, Outcome, Payload,
    PresenceResult, PresenceStatsResult, Publication, PublishResult, Reply, RpcRequest, RpcResult,
    SubscribeRequest, UnsubscribeResult,
};

use super::protocol::{Protocol, Replies};
use super::{Farewell, Socket};
use crate::config::DataFormat;
use crate::handlers::{HandlerError, MessageEvent, PublishEvent, RpcEvent};
use crate::node::Namespace;
use crate::session::{self, Decision, Heartbeat, Judge, PingStyle, Plan, Refusal};
use crate::shard::now;

/// What a command comes to that is neither answered nor refused by the protocol's own codes.
pub(super) enum No {
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
            Decision::Verify { id, request } => return self.verify(socket, id, *request, replies).await,
            Decision::Open(welcome) => return self.open(socket, *welcome, replies).await,
            Decision::Message(data) => (0, self.take_message(socket, data, replies).await),
            Decision::Subscribe { id, plan } => match self.subscribe(socket, id, *plan, replies).await {
                Ok(()) => return None,
                Err(no) => (id, Err(no)),
            },
            Decision::Consent { id, request, judge } => {
                match self.subscribe_with_consent(socket, id, &request, judge, replies).await {
                    Ok(()) => return None,
                    Err(no) => (id, Err(no)),
                }
            }
            Decision::Refresh { id, token, judge } => (id, self.refresh(socket, token, judge, replies).await),
            Decision::SubRefresh { id, channel, token, judge } => {
                (id, self.sub_refresh(socket, &channel, token, judge, replies).await)
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
        self.reply(id, outcome, replies)
    }

    /// Answers a command, or ends the connection.
    fn reply(&self, id: u32, outcome: Result<Outcome, No>, replies: &mut Replies) -> Option<Farewell> {
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

    async fn subscribe_with_consent(
        &self,
        socket: &Socket,
        id: u32,
        request: &SubscribeRequest,
        judge: Judge,
        replies: &mut Replies,
    ) -> Result<(), No> {
        let plan = self.consent(socket, request, judge, replies).await?;
        self.subscribe(socket, id, plan, replies).await
    }

    async fn subscribe(&self, socket: &Socket, id: u32, plan: Plan, replies: &mut Replies) -> Result<(), No> {
        let user = self.session.identity().map_or("", |identity| &identity.user);
        if !socket.shard.node.may_subscribe_at_all(user, &plan.channel) {
            return Err(ErrorCode::PermissionDenied.into());
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
                meta: self.meta(),
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
            meta: self.meta(),
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
            let (client, user, meta) = (self.client.to_string(), self.user(), self.meta());
            let event = MessageEvent { client, user, data, meta };
            handlers.ask(handler, event).await?;
        }
        Ok(Outcome::Rpc(RpcResult::default()))
    }

    pub(super) fn user(&self) -> String {
        self.session.identity().map_or_else(String::new, |identity| identity.user.to_string())
    }

    /// What the connection was granted for the application.
    pub(super) fn meta(&self) -> Payload {
        self.session.identity().map(|identity| identity.meta()).unwrap_or_default()
    }
}

pub(super) fn is_json_or_none(data: &Payload) -> bool {
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
