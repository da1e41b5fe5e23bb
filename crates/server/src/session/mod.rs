//! What a client of the protocol may do and what it is told: decisions without sockets, clocks or tables.

mod access;
mod connect;
mod counts;
mod expiry;
mod heartbeat;
mod plan;
mod recovery;
mod refresh;
mod rules;

use std::sync::Arc;

use throng_engine::{HistoryQuery, PublishOptions};
use throng_protocol::{
    ChannelName, Command, ConnectRequest, DisconnectCode, ErrorCode, Format, HistoryRequest, Outcome,
    Payload, Publication, PublishRequest, Reply, Request, RpcRequest, RpcResult, SubscribeRequest,
};
use throng_registry::ClientId;

pub(crate) use connect::{Grant, Welcome};
pub(crate) use counts::{Counts, Expired};
pub(crate) use expiry::{Expiry, ttl};
pub(crate) use heartbeat::{Beat, Heartbeat, PingStyle};
pub(crate) use plan::{Plan, Terms};
pub(crate) use recovery::{Recovered, patched};
pub(crate) use rules::Rules;

use crate::auth::{Capabilities, Credential, Operation};
use crate::node::Namespace;
use access::{Feature, Person, Who};

/// What a session has to know of its client's subscriptions.
pub(crate) trait Subscriptions {
    /// Whether the client is subscribed to the channel.
    fn contains(&self, channel: &ChannelName) -> bool;
    /// How many channels the client is subscribed to.
    fn count(&self) -> usize;
}

/// One client's side of the protocol: `Fresh` until its connect command is accepted, then `Open`.
#[derive(Debug)]
pub(crate) struct Session {
    client: ClientId,
    format: Format,
    ping_style: PingStyle,
    rules: Arc<Rules>,
    /// The user that a trusted proxy named in the handshake.
    named: Option<Box<str>>,
    /// Who the client is, once it is connected.
    identity: Option<Arc<Identity>>,
}

/// Who a connected client is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// Empty for an anonymous client.
    pub(crate) user: Arc<str>,
    /// What other clients see beside the user.
    pub(crate) info: Payload,
    /// By what it can be revoked.
    pub(crate) credential: Credential,
    /// What only some clients have.
    pub(crate) extras: Option<Arc<Extras>>,
}

/// What comes with some clients beside who they are.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// For the application; never sent to clients.
    meta: Payload,
    capabilities: Option<Arc<Capabilities>>,
    /// The channels that the client was granted with its connection, in order, each once.
    channels: Box<[String]>,
}

impl Identity {
    /// For the application; never sent to clients.
    pub(crate) fn meta(&self) -> Payload {
        self.extras.as_ref().map(|extras| extras.meta.clone()).unwrap_or_default()
    }

    /// What the client is able to do beside what the namespaces allow.
    pub(crate) fn capabilities(&self) -> Option<&Capabilities> {
        self.extras.as_ref()?.capabilities.as_deref()
    }

    fn channels(&self) -> &[String] {
        self.extras.as_ref().map(|extras| &*extras.channels).unwrap_or_default()
    }

    fn who(&self) -> Who<'_> {
        Who { user: &self.user, capabilities: self.capabilities() }
    }
}

impl Extras {
    /// The extras, if there are any.
    fn some(
        meta: Payload,
        capabilities: Option<Arc<Capabilities>>,
        channels: Vec<String>,
    ) -> Option<Arc<Self>> {
        let is_needed = !meta.is_empty() || capabilities.is_some() || !channels.is_empty();
        let extras = || Self { meta: meta.detached(), capabilities, channels: channels.into() };
        is_needed.then(|| Arc::new(extras()))
    }
}

/// What a command comes to.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Answer, and that is all.
    Reply(Reply),
    /// Ask the application who this is, then let it in with [`Session::admit`].
    Authenticate { id: u32, request: Box<ConnectRequest> },
    /// Verify the token that says who this is, then let it in with [`Session::admit_with`].
    Verify { id: u32, request: Box<ConnectRequest> },
    /// Let the client in.
    Open(Box<Welcome>),
    /// Subscribe it, then answer.
    Subscribe { id: u32, plan: Box<Plan> },
    /// Ask whether it may subscribe, plan it with [`Session::plan`], subscribe it, and answer.
    Consent { id: u32, request: Box<SubscribeRequest>, judge: Judge },
    /// Prolong the connection if the token, or the application, says so; then answer.
    Refresh { id: u32, token: String, judge: Judge },
    /// Prolong the subscription if the token, or the application, says so; then answer.
    SubRefresh { id: u32, channel: ChannelName, token: String, judge: Judge },
    /// Unsubscribe it if it is subscribed, then answer.
    Unsubscribe { id: u32, channel: Option<ChannelName> },
    /// Publish, then answer; with `ask`, only if the application agrees.
    Publish { id: u32, channel: ChannelName, namespace: Arc<Namespace>, publication: Publication, ask: bool },
    /// Answer who is in the channel.
    Presence { id: u32, channel: ChannelName },
    /// Answer how many are in the channel.
    PresenceStats { id: u32, channel: ChannelName },
    /// Answer what was published to the channel.
    History { id: u32, channel: ChannelName, query: HistoryQuery },
    /// Have the application answer.
    Rpc { id: u32, request: RpcRequest },
    /// Give the application a message.
    Message(Payload),
    /// The client answered a ping.
    Pong,
    /// End the connection.
    Close(DisconnectCode),
}

/// Who says whether a client may have what it asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Judge {
    /// The application's handler.
    Application,
    /// The token that came along.
    Token,
}

impl Session {
    pub(crate) const fn new(
        client: ClientId,
        format: Format,
        ping_style: PingStyle,
        rules: Arc<Rules>,
        named: Option<Box<str>>,
    ) -> Self {
        Self { client, format, ping_style, rules, named, identity: None }
    }

    /// Who the client is, if it is connected.
    pub(crate) const fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Decides on one command. Reference sections 3.1, 3.2, 3.5, 3.8, 3.9, 3.12 and 3.13.
    pub(crate) fn handle(&mut self, command: Command, subscriptions: &impl Subscriptions) -> Decision {
        let Some(identity) = &self.identity else {
            return match command {
                Command::Request { id, request: Request::Connect(request) } => self.connect(id, request),
                Command::Request { .. } | Command::Pong | Command::Send(_) => BAD_REQUEST,
            };
        };
        let (id, request) = match command {
            Command::Pong => return Decision::Pong,
            Command::Send(send) if self.rules.asks.message => return Decision::Message(send.data),
            Command::Send(_) => return Decision::Close(DisconnectCode::NotAvailable),
            Command::Request { id, request } => (id, request),
        };
        let person = Person { who: identity.who(), subscriptions };
        let decided = match request {
            Request::Connect(_) => return BAD_REQUEST,
            Request::Subscribe(subscribe) => self.subscribe(id, subscribe, &person),
            Request::Unsubscribe(unsubscribe) => return Self::unsubscribe(id, &unsubscribe.channel),
            Request::Publish(publish) => self.publish(id, publish, &person),
            Request::Presence(presence) => self
                .reading(&presence.channel, Feature::Presence, &person)
                .map(|channel| Decision::Presence { id, channel }),
            Request::PresenceStats(stats) => self
                .reading(&stats.channel, Feature::Presence, &person)
                .map(|channel| Decision::PresenceStats { id, channel }),
            Request::History(history) => self.history(id, history, &person),
            Request::Rpc(rpc) => self.rpc(id, rpc),
            Request::Refresh(refresh) => self.refresh(id, refresh),
            Request::SubRefresh(refresh) => self.sub_refresh(id, refresh, &person),
        };
        decided.unwrap_or_else(|refusal| refusal.decision(id))
    }

    /// Refuses an operation that the client may not do. The client is told no more than that, the log is.
    pub(crate) fn deny(&self, operation: Operation, channel: &ChannelName) -> Refusal {
        self.rules.counts.denied(operation);
        let user = self.identity.as_ref().map_or("", |identity| &identity.user);
        let (operation, channel) = (operation.name(), channel.as_str());
        tracing::debug!(connection = %self.client, ?user, operation, ?channel, "permission denied");
        ErrorCode::PermissionDenied.into()
    }

    fn unsubscribe(id: u32, channel: &str) -> Decision {
        if channel.is_empty() {
            return BAD_REQUEST;
        }
        // No subscription can have a name that is none; ending one that does not exist succeeds.
        Decision::Unsubscribe { id, channel: channel.parse().ok() }
    }

    fn publish(
        &self,
        id: u32,
        request: PublishRequest,
        person: &Person<'_, impl Subscriptions>,
    ) -> Result<Decision, Refusal> {
        let (channel, namespace) = self.channel(&request.channel)?;
        // Only streams can be published to; removals belong to maps.
        let stream =
            request.kind == 0 && !request.removed && request.key.len() <= PublishOptions::MAX_KEY_BYTES;
        if !stream || !namespace.takes(&request.data, self.format == Format::Json) {
            return Err(ErrorCode::BadRequest.into());
        }
        let ask = self.rules.asks.publish;
        if !ask && !access::may(Feature::Publish, namespace, &channel, person) {
            return Err(self.deny(Operation::Publish, &channel));
        }
        let publication = Publication { data: request.data, key: request.key, ..Publication::default() };
        Ok(Decision::Publish { id, channel, namespace: Arc::clone(namespace), publication, ask })
    }

    fn history(
        &self,
        id: u32,
        request: HistoryRequest,
        person: &Person<'_, impl Subscriptions>,
    ) -> Result<Decision, Refusal> {
        let channel = self.reading(&request.channel, Feature::History, person)?;
        if request.reverse && request.since.as_ref().is_some_and(|since| since.offset == 0) {
            return Err(ErrorCode::BadRequest.into());
        }
        let most = self.rules.history_limit;
        let limit = usize::try_from(request.limit).map_or(most, |limit| limit.min(most));
        let query = HistoryQuery { since: request.since, limit: Some(limit), reverse: request.reverse };
        Ok(Decision::History { id, channel, query })
    }

    /// The channel whose presence or history the client may read.
    fn reading(
        &self,
        channel: &str,
        feature: Feature,
        person: &Person<'_, impl Subscriptions>,
    ) -> Result<ChannelName, Refusal> {
        let (channel, namespace) = self.channel(channel)?;
        if !feature.is_on(namespace) {
            return Err(ErrorCode::NotAvailable.into());
        }
        if !access::may(feature, namespace, &channel, person) {
            return Err(self.deny(feature.operation(), &channel));
        }
        Ok(channel)
    }

    fn rpc(&self, id: u32, request: RpcRequest) -> Result<Decision, Refusal> {
        if self.rules.rpc_ping.as_ref().is_some_and(|ping| *ping == request.method) {
            return Ok(Decision::Reply(answer(id, Outcome::Rpc(RpcResult::default()))));
        }
        match (self.rules.asks.rpc, &self.rules.rpc_ping) {
            (true, _) => Ok(Decision::Rpc { id, request }),
            (false, Some(_)) => Err(ErrorCode::MethodNotFound.into()),
            (false, None) => Err(ErrorCode::NotAvailable.into()),
        }
    }

    /// The channel that a command names.
    fn channel(&self, channel: &str) -> Result<(ChannelName, &Arc<Namespace>), Refusal> {
        if channel.is_empty() {
            return Err(Refusal::BAD_REQUEST);
        }
        Ok(self.rules.namespaces.resolve(channel)?)
    }
}

/// How a command is refused.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// It fails with this error.
    Error(ErrorCode),
    /// The connection ends.
    Close(DisconnectCode),
}

impl Refusal {
    const BAD_REQUEST: Self = Self::Close(DisconnectCode::BadRequest);

    fn decision(self, id: u32) -> Decision {
        match self {
            Self::Error(code) => Decision::Reply(error(id, code)),
            Self::Close(code) => Decision::Close(code),
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code)
    }
}

const BAD_REQUEST: Decision = Decision::Close(DisconnectCode::BadRequest);

/// A reply that a request failed.
pub(crate) fn error(id: u32, error: ErrorCode) -> Reply {
    Reply::Answer { id, outcome: Err(error.into()) }
}

/// A reply that a request succeeded.
pub(crate) const fn answer(id: u32, outcome: Outcome) -> Reply {
    Reply::Answer { id, outcome: Ok(outcome) }
}

#[cfg(test)]
mod tests;
