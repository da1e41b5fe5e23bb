//! What is done to clients. Reference section 6.4.

use throng_protocol::api::{
    DisconnectRequest, DisconnectResult, RefreshRequest, RefreshResult, SlowClient, SlowClientsRequest,
    SlowClientsResult, SubscribeRequest, SubscribeResult, UnsubscribeRequest, UnsubscribeResult,
};
use throng_protocol::{ChannelName, DisconnectCode, ErrorCode, UnsubscribeCode, api};
use throng_registry::ClientId;
use uuid::Uuid;

use super::{Api, payload};
use crate::node::{Order, Overrides, Selector, ServerSubscription, is_past};

/// How many slow clients are listed when no number is asked for, and how many at most.
const SLOW_CLIENTS: (usize, usize) = (10, 1_000);

/// Longest reason of a close frame, in bytes.
const MAX_REASON_BYTES: usize = 123;

impl Api {
    pub(super) async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeResult, ErrorCode> {
        let channel = self.channel(&request.channel)?;
        let info = payload::checked(payload::decoded(request.info, &request.b64info)?)?;
        let data = payload::checked(payload::decoded(request.data, &request.b64data)?)?;
        let expire_at = (request.expire_at != 0).then_some(request.expire_at);
        if expire_at.is_some_and(is_past) {
            return Err(ErrorCode::Expired);
        }
        let recover_since = request.recover_since;
        let overrides = request.overrides.map(overrides).unwrap_or_default();
        let subscription = ServerSubscription { channel, info, data, recover_since, overrides, expire_at };
        let to = Selector { user: request.user, ..Selector::default() };
        self.order(to, &request.client, &request.session, Order::Subscribe(Box::new(subscription))).await?;
        Ok(SubscribeResult {})
    }

    pub(super) async fn unsubscribe(
        &self,
        request: UnsubscribeRequest,
    ) -> Result<UnsubscribeResult, ErrorCode> {
        let channel = match request.channel.as_str() {
            "" => None,
            channel => Some(self.channel(channel)?),
        };
        let code = UnsubscribeCode::Server;
        let order = Order::Unsubscribe { channel, code: code.code(), reason: code.reason().to_owned() };
        let to = Selector { user: request.user, ..Selector::default() };
        self.order(to, &request.client, &request.session, order).await?;
        Ok(UnsubscribeResult {})
    }

    pub(super) async fn disconnect(&self, request: DisconnectRequest) -> Result<DisconnectResult, ErrorCode> {
        let order = match request.disconnect {
            None => end(DisconnectCode::ForceDisconnect),
            Some(api::Disconnect { code: 0, reason }) if reason.is_empty() => {
                end(DisconnectCode::ForceDisconnect)
            }
            Some(custom) => custom_end(custom)?,
        };
        let except = request.whitelist.iter().filter_map(|id| client_id(id)).collect();
        let to = Selector { user: request.user, except, ..Selector::default() };
        self.order(to, &request.client, &request.session, order).await?;
        Ok(DisconnectResult {})
    }

    pub(super) async fn refresh(&self, request: RefreshRequest) -> Result<RefreshResult, ErrorCode> {
        let RefreshRequest { expire_at, info, .. } = request;
        let order = if request.expired || (expire_at != 0 && is_past(expire_at)) {
            end(DisconnectCode::Expired)
        } else {
            let info = payload::checked(info)?;
            Order::Refresh { expire_at, info: (!info.is_empty()).then_some(info) }
        };
        let to = Selector { user: request.user, ..Selector::default() };
        self.order(to, &request.client, &request.session, order).await?;
        Ok(RefreshResult {})
    }

    pub(super) async fn slow_clients(
        &self,
        request: SlowClientsRequest,
    ) -> Result<SlowClientsResult, ErrorCode> {
        let (usual, most) = SLOW_CLIENTS;
        let limit = match usize::try_from(request.limit).map_err(|_| ErrorCode::BadRequest)? {
            0 => usual,
            limit => limit.min(most),
        };
        let told = |(id, depth): (ClientId, throng_registry::OutboxDepth)| {
            // Whoever has gone meanwhile is slow no more.
            let user = self.node.directory().client(id)?.user.to_string();
            let (bytes, messages) = (depth.bytes as u64, depth.messages as u64);
            Some(SlowClient { client: id.to_string(), user, bytes, messages })
        };
        Ok(SlowClientsResult {
            clients: self.node.deepest(limit).await?.into_iter().filter_map(told).collect(),
        })
    }

    /// Gives an order to those of the selected who have this client id and session, as far as those are not empty. That this is
    /// nobody is no error.
    async fn order(
        &self,
        mut to: Selector,
        client: &str,
        session: &str,
        order: Order,
    ) -> Result<(), ErrorCode> {
        if !client.is_empty() {
            to.client = client_id(client);
        }
        // No client of ours has a session; and what is no id of ours, is nobody's.
        if session.is_empty() && (client.is_empty() || to.client.is_some()) {
            self.node.order(&to, order).await?;
        }
        Ok(())
    }

    pub(super) fn channel(&self, channel: &str) -> Result<ChannelName, ErrorCode> {
        let name = channel.parse().map_err(|_| ErrorCode::BadRequest)?;
        self.node.namespaces.of(channel)?;
        Ok(name)
    }
}

fn client_id(text: &str) -> Option<ClientId> {
    Uuid::parse_str(text).ok().map(|id| ClientId::from_u128(id.as_u128()))
}

fn end(code: DisconnectCode) -> Order {
    Order::Disconnect { code: code.code(), reason: code.reason().into() }
}

/// SDKs act by the code only if the reason is neither empty nor JSON. Reference section 1.3.
fn custom_end(custom: api::Disconnect) -> Result<Order, ErrorCode> {
    let api::Disconnect { code, reason } = custom;
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&reason).is_ok();
    match u16::try_from(code) {
        Ok(code @ 3_000..=4_999) if (1..=MAX_REASON_BYTES).contains(&reason.len()) && !is_json => {
            Ok(Order::Disconnect { code, reason: reason.into() })
        }
        _ => Err(ErrorCode::BadRequest),
    }
}

fn overrides(wanted: api::Override) -> Overrides {
    let value = |wanted: Option<api::BoolValue>| wanted.map(|wanted| wanted.value);
    Overrides {
        presence: value(wanted.presence),
        join_leave: value(wanted.join_leave),
        force_push_join_leave: value(wanted.force_push_join_leave),
        force_positioning: value(wanted.force_positioning),
        force_recovery: value(wanted.force_recovery),
    }
}
