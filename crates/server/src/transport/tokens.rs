//! What tokens say: at the connect command, of subscriptions, and to prolong both. Reference sections 3.2, 3.4, 3.5 and 5.

use std::pin::pin;
use std::sync::Arc;

use throng_protocol::{
    ChannelName, ConnectRequest, DisconnectCode, ErrorCode, Outcome, RefreshResult, SubRefreshResult,
    SubscribeRequest,
};

use super::commands::{No, is_json_or_none};
use super::protocol::{Protocol, Replies};
use super::{Farewell, Socket};
use crate::auth::{ConnectionToken, TokenError};
use crate::handlers::{RefreshEvent, RefreshReply, SubRefreshEvent, SubscribeEvent};
use crate::node::is_past;
use crate::session::{Expiry, Judge, Plan, Refusal, Terms};
use crate::shard::now;

impl Protocol {
    /// Has a client's token say who it is.
    pub(super) async fn verify(
        &mut self,
        socket: &Socket,
        id: u32,
        request: ConnectRequest,
        replies: &mut Replies,
    ) -> Option<Farewell> {
        let verified = socket.shard.node.tokens.connection(&request.token).await;
        let admitted = match verified {
            Ok(token) => self.session.admit_with(id, &request, token),
            Err(error) => {
                Err(self.refuse_token("connect", &error, Refusal::Close(DisconnectCode::InvalidToken)))
            }
        };
        self.welcome(socket, id, admitted, replies).await
    }

    /// Asks whether the client may subscribe.
    pub(super) async fn consent(
        &self,
        socket: &Socket,
        request: &SubscribeRequest,
        judge: Judge,
        replies: &mut Replies,
    ) -> Result<Plan, No> {
        let terms = match judge {
            Judge::Application => {
                self.send(socket, replies);
                self.ask_application(socket, request).await?
            }
            Judge::Token => {
                let verified = {
                    let mut verifying = pin!(socket.shard.node.tokens.subscription(&request.token));
                    tokio::select! {
                        biased;
                        verified = &mut verifying => verified,
                        // Whoever has to wait for keys should have had the answers to what came before.
                        () = std::future::ready(()) => {
                            self.send(socket, replies);
                            verifying.await
                        }
                    }
                };
                let denied = Refusal::Error(ErrorCode::PermissionDenied);
                let token = verified.map_err(|error| self.refuse_token("subscribe", &error, denied))?;
                if !socket.shard.node.honours(&token.credential) {
                    return Err(ErrorCode::PermissionDenied.into());
                }
                self.session.terms(&request.channel, token)?
            }
        };
        Ok(self.session.plan(request, terms)?)
    }

    async fn ask_application(&self, socket: &Socket, request: &SubscribeRequest) -> Result<Terms, No> {
        let handlers = &socket.shard.node.handlers;
        let handler = handlers.set.subscribe.as_ref().ok_or(ErrorCode::NotAvailable)?;
        let event = SubscribeEvent {
            client: self.client.to_string(),
            user: self.user(),
            channel: request.channel.clone(),
            token: request.token.clone(),
            data: request.data.clone(),
            meta: self.meta(),
        };
        let reply = handlers.ask(handler, event).await.inspect_err(|error| {
            let channel = request.channel.as_str();
            tracing::debug!(connection = %self.client, operation = "subscribe", ?channel, %error, "the handler refused");
        })?;
        if ![&reply.info, &reply.data].into_iter().all(is_json_or_none) {
            tracing::error!("a subscribe handler gave data that is not JSON");
            return Err(ErrorCode::Internal.into());
        }
        let told = self.session.is_told_of_subscription_expiry();
        let expiry = (reply.expire_at != 0).then_some(Expiry { at: reply.expire_at, told });
        Ok(Terms { info: reply.info, data: reply.data, expiry, ..Terms::default() })
    }

    /// Prolongs the connection.
    pub(super) async fn refresh(
        &mut self,
        socket: &Socket,
        token: String,
        judge: Judge,
        replies: &mut Replies,
    ) -> Result<Outcome, No> {
        // The answer may take its time.
        self.send(socket, replies);
        let expiry = match judge {
            Judge::Application => self.ask_to_refresh(socket, token).await?,
            Judge::Token => {
                let verified = socket.shard.node.tokens.connection(&token).await;
                let token = verified.map_err(|error| match error {
                    TokenError::Expired => Refusal::Close(DisconnectCode::Expired),
                    error @ (TokenError::Invalid(_) | TokenError::Unavailable(_)) => {
                        self.refuse_token("refresh", &error, Refusal::Close(DisconnectCode::InvalidToken))
                    }
                })?;
                self.renew(socket, token)?
            }
        };
        let grace = socket.shard.node.settings.client.expired_close_delay;
        let deadline = expiry.and_then(|expiry| expiry.deadline(now(), grace));
        socket.shard.with_member(socket.slot, |member| member.expire(deadline));
        let ttl = expiry.and_then(Expiry::ttl);
        let (expires, ttl) = (ttl.is_some(), ttl.unwrap_or_default());
        Ok(Outcome::Refresh(RefreshResult { expires, ttl, ..RefreshResult::default() }))
    }

    async fn ask_to_refresh(&self, socket: &Socket, token: String) -> Result<Option<Expiry>, No> {
        let handlers = &socket.shard.node.handlers;
        let handler = handlers.set.refresh.as_ref().ok_or(ErrorCode::NotAvailable)?;
        let (client, user, meta) = (self.client.to_string(), self.user(), self.meta());
        let RefreshReply { expire_at, info } =
            handlers.ask(handler, RefreshEvent { client, user, token, meta }).await?;
        if !is_json_or_none(&info) {
            tracing::error!("a refresh handler gave data that is not JSON");
            return Err(ErrorCode::Internal.into());
        }
        if expire_at != 0 && is_past(expire_at) {
            return Err(No::Farewell(DisconnectCode::Expired.into()));
        }
        if !info.is_empty() {
            socket.shard.with_member(socket.slot, |member| member.attach(info));
        }
        Ok((expire_at != 0).then_some(Expiry { at: expire_at, told: true }))
    }

    /// Takes on what a new token says.
    fn renew(&mut self, socket: &Socket, token: ConnectionToken) -> Result<Option<Expiry>, No> {
        let expiry = token.expires.map(|at| Expiry { at, told: true });
        let info = socket.shard.with_member(socket.slot, |member| member.identity.info.clone());
        let identity = self.session.renew(token, &info.unwrap_or_default())?;
        let renewed = Arc::clone(&identity);
        socket.shard.with_member(socket.slot, |member| member.identity = identity);
        // Only now a revocation would find the new token among the members.
        let admitted = socket.shard.node.admits(&renewed.credential);
        admitted.map_err(|code| No::Farewell(code.into()))?;
        Ok(expiry)
    }

    /// Prolongs a subscription.
    pub(super) async fn sub_refresh(
        &self,
        socket: &Socket,
        channel: &ChannelName,
        token: String,
        judge: Judge,
        replies: &mut Replies,
    ) -> Result<Outcome, No> {
        self.send(socket, replies);
        let (info, expires, credential) = match judge {
            Judge::Application => {
                let handlers = &socket.shard.node.handlers;
                let handler = handlers.set.sub_refresh.as_ref().ok_or(ErrorCode::NotAvailable)?;
                let event = SubRefreshEvent {
                    client: self.client.to_string(),
                    user: self.user(),
                    channel: channel.as_str().to_owned(),
                    token,
                    meta: self.meta(),
                };
                let RefreshReply { expire_at, info } = handlers.ask(handler, event).await?;
                if !is_json_or_none(&info) {
                    tracing::error!("a sub_refresh handler gave data that is not JSON");
                    return Err(ErrorCode::Internal.into());
                }
                (info, (expire_at != 0).then_some(expire_at), None)
            }
            Judge::Token => {
                let verified = socket.shard.node.tokens.subscription(&token).await;
                let invalid = Refusal::Close(DisconnectCode::InvalidToken);
                let token = verified.map_err(|error| self.refuse_token("sub_refresh", &error, invalid))?;
                if !socket.shard.node.honours(&token.credential) {
                    return Err(No::Farewell(DisconnectCode::InvalidToken.into()));
                }
                let terms = self.session.terms(channel.as_str(), token)?;
                (terms.info, terms.expiry.map(|expiry| expiry.at), terms.credential)
            }
        };
        if expires.is_some_and(is_past) {
            return Err(ErrorCode::Expired.into());
        }
        let expiry = expires.map(|at| Expiry { at, told: true });
        let grace = socket.shard.node.settings.client.expired_sub_close_delay;
        let deadline = expiry.and_then(|expiry| expiry.deadline(now(), grace));
        socket.shard.with_member(socket.slot, |member| {
            member.expire_subscription(channel, deadline);
            member.hold(channel, credential);
            if !info.is_empty() {
                member.note(channel, &info);
            }
        });
        let ttl = expiry.and_then(Expiry::ttl);
        Ok(Outcome::SubRefresh(SubRefreshResult { expires: ttl.is_some(), ttl: ttl.unwrap_or_default() }))
    }

    /// How a token that is not accepted is answered: with 109 if the client should get a new one, with 100 if it should come again,
    /// otherwise as `invalid` says. The log says why.
    fn refuse_token(&self, operation: &'static str, error: &TokenError, invalid: Refusal) -> Refusal {
        match error {
            TokenError::Expired => {
                tracing::debug!(connection = %self.client, operation, %error, "token refused");
                ErrorCode::TokenExpired.into()
            }
            TokenError::Invalid(_) => {
                tracing::info!(connection = %self.client, operation, %error, "token refused");
                invalid
            }
            TokenError::Unavailable(_) => {
                tracing::warn!(connection = %self.client, operation, %error, "token refused");
                ErrorCode::Internal.into()
            }
        }
    }
}
