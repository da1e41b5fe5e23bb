use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use throng_engine::{Event, Message, Origin, PublishOptions};
use throng_protocol::frame::MessageKind;
use throng_protocol::{ChannelName, DisconnectCode, Payload};
use throng_registry::{Client, ClientId, ClientKey, WireFormat};

use super::echo::{TRY_AGAIN_LATER, beat, plain_farewell};
use super::{Dialogue, Farewell, Socket};
use crate::auth::Operation;
use crate::config::Settings;
use crate::limits::Limit;
use crate::listener::Pass;
use crate::metrics::Transport;
use crate::session::{Expiry, Heartbeat};
use crate::shard::{Member, Shard, now};

/// A member of a relay room: what it says is heard by the others.
#[derive(Debug)]
pub(super) struct Relay {
    client: ClientId,
    room: ChannelName,
    /// What the client has shown to come in, if it had to.
    pass: Option<Arc<Pass>>,
    heartbeat: Heartbeat,
}

/// RFC 6455's code for what the server's rules forbid.
const NOT_ALLOWED: Farewell =
    Farewell { code: 1008, reason: Cow::Borrowed("the token does not allow to send to this room") };

impl Relay {
    pub(super) fn new(shard: &Shard, client: ClientId, room: ChannelName, pass: Option<Arc<Pass>>) -> Self {
        Self { client, room, pass, heartbeat: Heartbeat::new(&shard.node.settings, client, now()) }
    }

    /// Whether the client may send to its room: unless its token has capabilities that do not say so.
    fn may_publish(&self) -> bool {
        let capabilities = self.pass.as_ref().and_then(|pass| pass.identity.capabilities());
        capabilities.is_none_or(|able| able.allows(self.room.as_str(), Operation::Publish))
    }
}

impl Dialogue for Relay {
    fn format(&self) -> WireFormat {
        WireFormat::Relay
    }

    fn transport(&self) -> Transport {
        Transport::Relay
    }

    async fn begin(&mut self, socket: &Socket) -> Option<Farewell> {
        let Socket { shard, slot, .. } = socket;
        let key = ClientKey { shard: shard.id, slot: *slot };
        let user = self.pass.as_ref().map_or_else(|| Arc::from(""), |pass| Arc::clone(&pass.identity.user));
        let entry = Client { key, user, format: WireFormat::Relay };
        let limit = shard.node.settings.client.user_connection_limit.and_then(NonZeroUsize::new);
        if !shard.node.directory().connect_within(self.client, entry, limit.unwrap_or(NonZeroUsize::MAX)) {
            return Some(DisconnectCode::ConnectionLimit.into());
        }
        if let Some(pass) = &self.pass {
            let mut member = Member::new(self.client, Arc::clone(&pass.identity));
            let expiry = pass.expires.map(|at| Expiry { at, told: false });
            // Nothing can be prolonged here, so there is nothing to wait for.
            member.expire(expiry.and_then(|expiry| expiry.deadline(now(), Duration::ZERO)));
            shard.introduce(*slot, member);
            // Whoever is revoked from here on is found among the members.
            if let Err(code) = shard.node.admits(&pass.identity.credential) {
                return Some(self.farewell(code));
            }
        }
        if shard.enter_room(*slot, &self.room).await.is_err() {
            return Some(TRY_AGAIN_LATER);
        }
        // All members of a room hold the same name, not one each.
        if let Some(room) = shard.table.borrow().shared_name(&self.room) {
            self.room = room;
        }
        None
    }

    async fn message(&mut self, socket: &Socket, kind: MessageKind, data: Bytes) -> Option<Farewell> {
        if !socket.within(Limit::ConnectionCommands, 1) {
            return Some(TRY_AGAIN_LATER);
        }
        if !self.may_publish() {
            socket.shard.node.rules.counts.denied(Operation::Publish);
            tracing::debug!(connection = %self.client, operation = "publish", channel = ?self.room.as_str(),
                "permission denied");
            return Some(NOT_ALLOWED);
        }
        let message = Message::Relay { kind, data: Payload::new(data) };
        let event = Event::new(message).except(Origin(self.client.as_u128()));
        let wait = socket.shard.node.settings.shards.publish_wait;
        socket
            .publish(&self.room, event, &PublishOptions::default(), wait)
            .await
            .err()
            .map(|_| TRY_AGAIN_LATER)
    }

    fn pong(&mut self, payload: &[u8]) {
        self.heartbeat.pong_frame(payload);
    }

    fn deadline(&self, settings: &Settings) -> Option<Instant> {
        self.heartbeat.deadline(settings)
    }

    fn timer(&mut self, socket: &Socket, now: Instant) -> Option<Farewell> {
        beat(&mut self.heartbeat, socket, now)
    }

    fn farewell(&self, code: DisconnectCode) -> Farewell {
        plain_farewell(code)
    }
}
