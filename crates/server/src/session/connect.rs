//! How a client is let in. Reference sections 3.2 and 3.7.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use throng_protocol::{ConnectRequest, ConnectResult, Payload, SubscribeRequest, SubscribeResult};

use super::plan::Plan;
use super::{BAD_REQUEST, Decision, Identity, PingStyle, Refusal, Session, error};
use crate::auth::Credential;
use crate::node::USER_BOUNDARY;
use throng_protocol::{DisconnectCode, ErrorCode};

/// Who a client is, and what it gets with its connection.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Grant {
    pub(crate) user: String,
    pub(crate) info: Payload,
    pub(crate) data: Payload,
    /// Channels to which it is subscribed without asking.
    pub(crate) channels: Vec<String>,
}

/// A client that is let in: enter it, subscribe it to what it was granted, and answer.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) id: u32,
    pub(crate) identity: Arc<Identity>,
    pub(crate) plans: Vec<Plan>,
    result: ConnectResult,
}

impl Welcome {
    /// The reply, with the subscriptions that were made.
    pub(crate) fn result(self, subs: BTreeMap<String, SubscribeResult>) -> ConnectResult {
        ConnectResult { subs, ..self.result }
    }
}

impl Session {
    pub(super) fn connect(&mut self, id: u32, request: ConnectRequest) -> Decision {
        if self.rules.asks.connect {
            return Decision::Authenticate { id, request: Box::new(request) };
        }
        if !request.token.is_empty() && !self.rules.ignore_tokens {
            return Decision::Close(DisconnectCode::InvalidToken);
        }
        if !request.token.is_empty() {
            self.rules.warn_of_ignored_token();
        }
        if !self.rules.anonymous && self.named.is_none() {
            return BAD_REQUEST;
        }
        let user = self.named.clone().map(String::from).unwrap_or_default();
        self.admit(id, &request, Grant { user, ..Grant::default() })
    }

    /// Lets the client in as the grant says.
    pub(crate) fn admit(&mut self, id: u32, request: &ConnectRequest, grant: Grant) -> Decision {
        let plans = match self.server_side(request, &grant) {
            Ok(plans) => plans,
            Err(Refusal::Error(code)) => return Decision::Reply(error(id, code)),
            Err(Refusal::Close(code)) => return Decision::Close(code),
        };
        let user: Arc<str> = Arc::from(grant.user);
        let credential = Credential { user: Arc::clone(&user), ..Credential::default() };
        let identity = Arc::new(Identity { user, info: grant.info, credential });
        self.identity = Some(Arc::clone(&identity));
        let application_ping = self.ping_style == PingStyle::Application;
        let result = ConnectResult {
            client: self.client.to_string(),
            version: concat!("throng ", env!("CARGO_PKG_VERSION")).to_owned(),
            data: grant.data,
            ping: if application_ping { self.rules.ping_seconds } else { 0 },
            pong: application_ping && self.rules.pong,
            time: if self.rules.tells_time { unix_millis() } else { 0 },
            ..ConnectResult::default()
        };
        Decision::Open(Box::new(Welcome { id, identity, plans, result }))
    }

    /// The subscriptions that come with the connection.
    fn server_side(&self, request: &ConnectRequest, grant: &Grant) -> Result<Vec<Plan>, Refusal> {
        let mut channels = grant.channels.clone();
        if let Some(namespace) = &self.rules.personal
            && !grant.user.is_empty()
        {
            let boundary = if namespace.is_empty() { "" } else { ":" };
            channels.push(format!("{namespace}{boundary}{USER_BOUNDARY}{}", grant.user));
        }
        channels.sort_unstable();
        channels.dedup();
        if channels.len() > self.rules.channel_limit {
            return Err(Refusal::Close(DisconnectCode::ChannelLimit));
        }
        let known = SubscribeRequest::default();
        let plan = |channel: &String| {
            let name = channel.parse().map_err(|_| ErrorCode::BadRequest)?;
            let namespace = self.rules.namespaces.of(channel)?;
            let asked = request.subs.get(channel).unwrap_or(&known);
            Ok(Plan::granted(name, namespace, asked, self.rules.recovery_limit))
        };
        channels.iter().map(plan).collect()
    }
}

fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
