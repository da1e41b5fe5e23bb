//! How a client is let in. Reference sections 3.2 and 3.7.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use throng_protocol::{ConnectRequest, ConnectResult, Payload, SubscribeRequest, SubscribeResult};

use super::expiry::Expiry;
use super::plan::{Plan, Terms};
use super::{Decision, Extras, Identity, PingStyle, Refusal, Session};
use crate::auth::{Capabilities, ConnectionToken, Credential, TokenSubscription};
use crate::node::{USER_BOUNDARY, is_past};
use throng_protocol::{DisconnectCode, ErrorCode};

/// Who a client is, and what it gets with its connection.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    pub(crate) user: String,
    pub(crate) info: Payload,
    pub(crate) data: Payload,
    /// For the application; never sent to clients.
    pub(crate) meta: Payload,
    /// Channels to which it is subscribed without asking.
    pub(crate) channels: Vec<TokenSubscription>,
    /// When the connection is over, in Unix seconds; `None` for never.
    pub(crate) expires: Option<i64>,
    pub(crate) capabilities: Option<Arc<Capabilities>>,
    /// By what it can be revoked, if not by the user alone.
    pub(crate) credential: Option<Credential>,
}

impl From<ConnectionToken> for Grant {
    fn from(token: ConnectionToken) -> Self {
        let ConnectionToken { user, expires, info, meta, subs, capabilities, credential } = token;
        let data = Payload::default();
        Self { user, info, data, meta, channels: subs, expires, capabilities, credential: Some(credential) }
    }
}

impl From<Grant> for Identity {
    fn from(grant: Grant) -> Self {
        let user: Arc<str> = Arc::from(grant.user);
        // Whoever comes without a token is vouched for at this very moment.
        let issued = Some(unix_millis() / 1_000);
        let of_user = || Credential { user: Arc::clone(&user), issued, ..Credential::default() };
        let credential = grant.credential.unwrap_or_else(of_user);
        let extras = Extras::some(grant.meta, grant.capabilities, channels_of(&grant.channels));
        Self { user, info: grant.info.detached(), credential, extras }
    }
}

/// A client that is let in: enter it, subscribe it to what it was granted, and answer.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) id: u32,
    pub(crate) identity: Arc<Identity>,
    pub(crate) plans: Vec<Plan>,
    /// When the connection is over; `None` for never.
    pub(crate) expiry: Option<Expiry>,
    result: ConnectResult,
}

impl Welcome {
    /// The reply, with the subscriptions that were made.
    pub(crate) fn result(self, subs: BTreeMap<String, SubscribeResult>) -> ConnectResult {
        let ttl = self.expiry.and_then(Expiry::ttl);
        ConnectResult { subs, expires: ttl.is_some(), ttl: ttl.unwrap_or_default(), ..self.result }
    }
}

impl Session {
    pub(super) fn connect(&mut self, id: u32, request: ConnectRequest) -> Decision {
        if self.rules.asks.connect {
            return Decision::Authenticate { id, request: Box::new(request) };
        }
        if !request.token.is_empty() {
            if self.rules.tokens {
                return Decision::Verify { id, request: Box::new(request) };
            }
            if !self.rules.ignore_tokens {
                return Decision::Close(DisconnectCode::InvalidToken);
            }
            self.rules.warn_of_ignored_token();
        }
        if !self.rules.anonymous && self.named.is_none() {
            return Decision::Close(DisconnectCode::BadRequest);
        }
        let user = self.named.clone().map(String::from).unwrap_or_default();
        self.admit(id, &request, Grant { user, ..Grant::default() })
            .map_or_else(|refusal| refusal.decision(id), Decision::Open)
    }

    /// Lets the client in as its verified token says.
    ///
    /// # Errors
    ///
    /// The token names no user where each must have one, or says that its time is over; and as [`admit`](Self::admit).
    pub(crate) fn admit_with(
        &mut self,
        id: u32,
        request: &ConnectRequest,
        token: ConnectionToken,
    ) -> Result<Box<Welcome>, Refusal> {
        if token.user.is_empty() && !self.rules.anonymous_tokens {
            tracing::info!(connection = %self.client, operation = "connect", "token refused: it names no user");
            return Err(Refusal::Close(DisconnectCode::PermissionDenied));
        }
        // What the token itself lasts has been checked, with some leeway; its connection may end before.
        if token.expires != token.credential.expires && token.expires.is_some_and(is_past) {
            return Err(ErrorCode::TokenExpired.into());
        }
        self.admit(id, request, Grant::from(token))
    }

    /// Lets the client in as the grant says.
    ///
    /// # Errors
    ///
    /// It was granted channels that do not exist, or too many.
    pub(crate) fn admit(
        &mut self,
        id: u32,
        request: &ConnectRequest,
        grant: Grant,
    ) -> Result<Box<Welcome>, Refusal> {
        let plans = self.server_side(request, &grant)?;
        let (data, expires) = (grant.data.clone(), grant.expires);
        let identity = Arc::new(Identity::from(grant));
        self.identity = Some(Arc::clone(&identity));
        let application_ping = self.ping_style == PingStyle::Application;
        let result = ConnectResult {
            client: self.client.to_string(),
            version: concat!("throng ", env!("CARGO_PKG_VERSION")).to_owned(),
            data,
            ping: if application_ping { self.rules.ping_seconds } else { 0 },
            pong: application_ping && self.rules.pong,
            time: if self.rules.tells_time { unix_millis() } else { 0 },
            ..ConnectResult::default()
        };
        let expiry = expires.map(|at| Expiry { at, told: self.is_told_of_expiry() });
        Ok(Box::new(Welcome { id, identity, plans, expiry, result }))
    }

    /// The subscriptions that come with the connection.
    fn server_side(&self, request: &ConnectRequest, grant: &Grant) -> Result<Vec<Plan>, Refusal> {
        let mut channels = grant.channels.clone();
        if let Some(namespace) = &self.rules.personal
            && !grant.user.is_empty()
        {
            let boundary = if namespace.is_empty() { "" } else { ":" };
            let channel = format!("{namespace}{boundary}{USER_BOUNDARY}{}", grant.user);
            channels.push(TokenSubscription { channel, ..TokenSubscription::default() });
        }
        // What was said of a channel first holds.
        channels.sort_by(|one, other| one.channel.cmp(&other.channel));
        channels.dedup_by(|one, other| one.channel == other.channel);
        if channels.len() > self.rules.channel_limit {
            return Err(Refusal::Close(DisconnectCode::ChannelLimit));
        }
        let known = SubscribeRequest::default();
        let plan = |granted: TokenSubscription| {
            let TokenSubscription { channel, info, data, overrides } = granted;
            let name = channel.parse().map_err(|_| ErrorCode::BadRequest)?;
            let namespace = self.rules.namespaces.of(&channel)?;
            let asked = request.subs.get(&channel).unwrap_or(&known);
            let terms = Terms { info, data, overrides, ..Terms::default() };
            Ok(Plan::granted(name, namespace, asked, terms, self.rules.recovery_limit))
        };
        channels.into_iter().map(plan).collect()
    }
}

/// The channels of some subscriptions, in order, each once.
pub(super) fn channels_of(granted: &[TokenSubscription]) -> Vec<String> {
    let mut channels: Vec<_> = granted.iter().map(|granted| granted.channel.clone()).collect();
    channels.sort_unstable();
    channels.dedup();
    channels
}

fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
