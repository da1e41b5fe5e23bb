//! What a client of the protocol may do and what it is told: decisions without sockets, clocks or tables.

mod channels;
mod heartbeat;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use throng_protocol::{
    ChannelName, ChannelNameError, ClientInfo, Command, ConnectRequest, ConnectResult, DisconnectCode,
    ErrorCode, Format, Limits, Outcome, Payload, Publication, PublishRequest, Reply, Request,
    SubRefreshRequest, SubscribeRequest,
};
use throng_registry::ClientId;

pub(crate) use heartbeat::{Beat, Heartbeat, PingStyle};

use crate::config::Settings;

/// What applies to every session of a server.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Whether a client without a token may connect.
    anonymous: bool,
    /// Whether a token is ignored: without any key to check it, but only where nobody from outside can connect.
    ignore_tokens: bool,
    /// Whether the log says already that tokens are ignored.
    told_of_tokens: AtomicBool,
    channel_limit: usize,
    channel_bytes: usize,
    ping_seconds: u32,
    pong: bool,
}

impl Rules {
    pub(crate) fn new(settings: &Settings) -> Self {
        let ping = settings.client.ping_interval;
        Self {
            anonymous: settings.anonymous_allowed(),
            ignore_tokens: settings.listens_on_loopback(),
            told_of_tokens: AtomicBool::new(false),
            channel_limit: settings.client.channel_limit,
            channel_bytes: settings.channel.max_length,
            ping_seconds: ping.map_or(0, |interval| u32::try_from(interval.as_secs()).unwrap_or(u32::MAX)),
            pong: ping.is_some() && settings.client.pong_timeout.is_some(),
        }
    }
}

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
    /// The user once connected; empty for an anonymous client.
    user: Option<Arc<str>>,
}

/// What a command comes to.
#[derive(Debug, PartialEq)]
pub(crate) enum Decision {
    /// Answer, and that is all.
    Reply(Reply),
    /// The client is connected; enter it and answer.
    Open { user: Arc<str>, reply: Reply },
    /// Subscribe it, then answer.
    Subscribe { id: u32, channel: ChannelName },
    /// Unsubscribe it if it is subscribed, then answer.
    Unsubscribe { id: u32, channel: Option<ChannelName> },
    /// Publish, then answer.
    Publish { id: u32, channel: ChannelName, publication: Publication },
    /// The client answered a ping.
    Pong,
    /// End the connection.
    Close(DisconnectCode),
}

impl Session {
    pub(crate) const fn new(
        client: ClientId,
        format: Format,
        ping_style: PingStyle,
        rules: Arc<Rules>,
    ) -> Self {
        Self { client, format, ping_style, rules, user: None }
    }

    /// Decides on one command. Reference sections 3.1, 3.2, 3.5, 3.8 and 3.12.
    pub(crate) fn handle(&mut self, command: Command, subscriptions: &impl Subscriptions) -> Decision {
        let (id, request) = match command {
            Command::Pong => return if self.user.is_some() { Decision::Pong } else { BAD_REQUEST },
            Command::Send(_) if self.user.is_some() => return Decision::Close(DisconnectCode::NotAvailable),
            Command::Send(_) => return BAD_REQUEST,
            Command::Request { id, request } => (id, request),
        };
        let Some(user) = &self.user else {
            return match request {
                Request::Connect(connect) => self.connect(id, &connect),
                _ => BAD_REQUEST,
            };
        };
        match request {
            Request::Connect(_) => BAD_REQUEST,
            Request::Subscribe(subscribe) => self.subscribe(id, &subscribe, subscriptions),
            Request::Unsubscribe(unsubscribe) => Self::unsubscribe(id, &unsubscribe.channel),
            Request::Publish(publish) => self.publish(id, user, publish),
            Request::Presence(presence) => self.unavailable(id, &presence.channel),
            Request::PresenceStats(stats) => self.unavailable(id, &stats.channel),
            Request::History(history) => self.unavailable(id, &history.channel),
            Request::Rpc(_) => refuse(id, ErrorCode::NotAvailable),
            Request::Refresh(refresh) if refresh.token.is_empty() => BAD_REQUEST,
            Request::Refresh(_) => refuse(id, ErrorCode::NotAvailable),
            Request::SubRefresh(refresh) => self.sub_refresh(id, &refresh, subscriptions),
        }
    }

    fn connect(&mut self, id: u32, request: &ConnectRequest) -> Decision {
        if !request.token.is_empty() && !self.rules.ignore_tokens {
            return Decision::Close(DisconnectCode::InvalidToken);
        }
        if !request.token.is_empty() && !self.rules.told_of_tokens.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "tokens are ignored: no key to check them is configured, and only this machine can connect"
            );
        }
        if !self.rules.anonymous {
            return BAD_REQUEST;
        }
        let user: Arc<str> = Arc::from("");
        self.user = Some(Arc::clone(&user));
        let application_ping = self.ping_style == PingStyle::Application;
        let result = ConnectResult {
            client: self.client.to_string(),
            version: concat!("throng ", env!("CARGO_PKG_VERSION")).to_owned(),
            ping: if application_ping { self.rules.ping_seconds } else { 0 },
            pong: application_ping && self.rules.pong,
            ..ConnectResult::default()
        };
        Decision::Open { user, reply: answer(id, Outcome::Connect(result)) }
    }

    fn subscribe(&self, id: u32, request: &SubscribeRequest, subscriptions: &impl Subscriptions) -> Decision {
        if request.channel.is_empty() {
            return BAD_REQUEST;
        }
        let name = ChannelName::parse(&request.channel, self.rules.channel_bytes);
        match &name {
            Err(ChannelNameError::TooLong { .. }) => return refuse(id, ErrorCode::BadRequest),
            Ok(name) if subscriptions.contains(name) => return refuse(id, ErrorCode::AlreadySubscribed),
            Ok(_) | Err(_) => {}
        }
        if subscriptions.count() >= self.rules.channel_limit {
            return refuse(id, ErrorCode::LimitExceeded);
        }
        if !matches!(request.delta.as_str(), "" | "fossil") {
            return BAD_REQUEST;
        }
        match channels::resolve(&request.channel, name).and_then(channels::may_subscribe) {
            Ok(_) if request.kind != 0 => refuse(id, wrong_kind(request.kind)),
            // A check that cannot be made is a refusal.
            Ok(_) if !request.token.is_empty() && !self.rules.ignore_tokens => {
                refuse(id, ErrorCode::PermissionDenied)
            }
            // Tags filters need a namespace that allows them.
            Ok(_) if request.tf.is_some() => refuse(id, ErrorCode::BadRequest),
            Ok(channel) => Decision::Subscribe { id, channel },
            Err(error) => refuse(id, error),
        }
    }

    fn unsubscribe(id: u32, channel: &str) -> Decision {
        if channel.is_empty() {
            return BAD_REQUEST;
        }
        // No subscription can have a name that is none; ending one that does not exist succeeds.
        Decision::Unsubscribe { id, channel: channel.parse().ok() }
    }

    fn publish(&self, id: u32, user: &Arc<str>, request: PublishRequest) -> Decision {
        if request.channel.is_empty() {
            return BAD_REQUEST;
        }
        let name = ChannelName::parse(&request.channel, self.rules.channel_bytes);
        let channel = match channels::resolve(&request.channel, name) {
            Ok(channel) => channel,
            Err(error) => return refuse(id, error),
        };
        // Only streams can be published to; keys belong to maps.
        if request.kind != 0 || !self.is_publishable(&request.data) {
            return refuse(id, ErrorCode::BadRequest);
        }
        let info =
            ClientInfo { user: user.to_string(), client: self.client.to_string(), ..ClientInfo::default() };
        let publication = Publication { data: request.data, info: Some(info), ..Publication::default() };
        Decision::Publish { id, channel, publication }
    }

    /// Data must be JSON whatever the publisher speaks, or one Protobuf client could disconnect every JSON subscriber. A
    /// JSON command's data has been checked when the command was decoded.
    fn is_publishable(&self, data: &Payload) -> bool {
        let is_json = || data.is_json_within(Limits::default().nesting);
        !data.is_empty() && (self.format == Format::Json || is_json())
    }

    /// Answers a command for a feature that this server lacks, once the channel's name has been judged.
    fn unavailable(&self, id: u32, channel: &str) -> Decision {
        if channel.is_empty() {
            return BAD_REQUEST;
        }
        match channels::resolve(channel, ChannelName::parse(channel, self.rules.channel_bytes)) {
            Ok(_) => refuse(id, ErrorCode::NotAvailable),
            Err(error) => refuse(id, error),
        }
    }

    fn sub_refresh(
        &self,
        id: u32,
        request: &SubRefreshRequest,
        subscriptions: &impl Subscriptions,
    ) -> Decision {
        if request.channel.is_empty() {
            return BAD_REQUEST;
        }
        if request.token.is_empty() {
            return refuse(id, ErrorCode::BadRequest);
        }
        let name = ChannelName::parse(&request.channel, self.rules.channel_bytes);
        match name.is_ok_and(|name| subscriptions.contains(&name)) {
            true => refuse(id, ErrorCode::NotAvailable),
            false => refuse(id, ErrorCode::PermissionDenied),
        }
    }
}

/// Why a stream cannot be subscribed to as something else: a map (1 to 3) or a shared poll (4).
const fn wrong_kind(kind: i32) -> ErrorCode {
    match kind {
        1..=3 => ErrorCode::PermissionDenied,
        4 => ErrorCode::NotAvailable,
        _ => ErrorCode::BadRequest,
    }
}

const BAD_REQUEST: Decision = Decision::Close(DisconnectCode::BadRequest);

fn refuse(id: u32, error: ErrorCode) -> Decision {
    Decision::Reply(self::error(id, error))
}

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
