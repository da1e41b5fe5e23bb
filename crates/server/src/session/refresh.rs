//! How connections and subscriptions are prolonged. Reference sections 3.4 and 3.19.

use std::sync::Arc;

use throng_protocol::{ChannelName, DisconnectCode, ErrorCode, Payload, RefreshRequest, SubRefreshRequest};

use super::access::Person;
use super::connect::channels_of;
use super::expiry::Expiry;
use super::{Decision, Extras, Identity, Refusal, Session, Subscriptions, Terms};
use crate::auth::{ConnectionToken, Operation, SubscriptionToken};
use crate::node::is_past;

impl Session {
    pub(super) fn refresh(&self, id: u32, request: RefreshRequest) -> Result<Decision, Refusal> {
        if request.token.is_empty() {
            return Err(Refusal::BAD_REQUEST);
        }
        let judge = self.rules.refreshes().ok_or(ErrorCode::NotAvailable)?;
        Ok(Decision::Refresh { id, token: request.token, judge })
    }

    pub(super) fn sub_refresh(
        &self,
        id: u32,
        request: SubRefreshRequest,
        person: &Person<'_, impl Subscriptions>,
    ) -> Result<Decision, Refusal> {
        let SubRefreshRequest { channel, token, .. } = request;
        if channel.is_empty() {
            return Err(Refusal::BAD_REQUEST);
        }
        if token.is_empty() {
            return Err(ErrorCode::BadRequest.into());
        }
        // No subscription has a name that is none.
        let channel: ChannelName = channel.parse().map_err(|_| ErrorCode::PermissionDenied)?;
        if !person.subscriptions.contains(&channel) {
            return Err(self.deny(Operation::Subscribe, &channel));
        }
        let judge = self.rules.sub_refreshes().ok_or(ErrorCode::NotAvailable)?;
        Ok(Decision::SubRefresh { id, channel, token, judge })
    }

    /// Takes on what a new token says of the same user. `info` is what others saw until now, and see still if the token says
    /// nothing of it.
    ///
    /// # Errors
    ///
    /// The connection has to end: the token is another user's, is over already, or grants other channels than the client has.
    pub(crate) fn renew(&mut self, token: ConnectionToken, info: &Payload) -> Result<Arc<Identity>, Refusal> {
        let Some(identity) = &self.identity else { return Err(Refusal::BAD_REQUEST) };
        if token.user != *identity.user {
            tracing::info!(connection = %self.client, operation = "refresh", "token refused: it is another user's");
            return Err(Refusal::Close(DisconnectCode::InvalidToken));
        }
        if token.expires.is_some_and(is_past) {
            return Err(Refusal::Close(DisconnectCode::Expired));
        }
        let channels = channels_of(&token.subs);
        if channels != identity.channels() {
            return Err(Refusal::Close(DisconnectCode::InsufficientState));
        }
        let info = if token.info.is_empty() { info.clone() } else { token.info.detached() };
        let extras = Extras::some(token.meta, token.capabilities, channels);
        let user = Arc::clone(&identity.user);
        let identity = Arc::new(Identity { user, info, credential: token.credential, extras });
        self.identity = Some(Arc::clone(&identity));
        Ok(identity)
    }

    /// What a verified subscription token grants. Reference section 5.3.
    ///
    /// # Errors
    ///
    /// The connection has to end: the token is for another channel, user or client.
    pub(crate) fn terms(&self, channel: &str, token: SubscriptionToken) -> Result<Terms, Refusal> {
        let user = self.identity.as_ref().map_or("", |identity| &identity.user);
        let is_mine = token.client.is_empty() || token.client == self.client.to_string();
        if token.channel != channel || *token.credential.user != *user || !is_mine {
            tracing::info!(connection = %self.client, ?user, channel = ?channel,
                "a subscription token is for another channel, user or client");
            return Err(Refusal::Close(DisconnectCode::InvalidToken));
        }
        let expiry = token.expires.map(|at| Expiry { at, told: self.rules.sub_refreshes().is_some() });
        let SubscriptionToken { info, data, overrides, credential, .. } = token;
        Ok(Terms { info, data, overrides, expiry, credential: Some(credential) })
    }

    /// Whether the client is told when its connection ends, because it can do something about it.
    pub(crate) fn is_told_of_expiry(&self) -> bool {
        self.rules.refreshes().is_some()
    }

    /// Whether the client is told when its subscriptions end, because it can do something about it.
    pub(crate) fn is_told_of_subscription_expiry(&self) -> bool {
        self.rules.sub_refreshes().is_some()
    }
}
