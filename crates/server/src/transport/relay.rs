use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use throng_engine::{Event, Message, Origin, PublishOptions};
use throng_protocol::frame::MessageKind;
use throng_protocol::{ChannelName, DisconnectCode, Payload};
use throng_registry::{Client, ClientId, ClientKey, WireFormat};

use super::echo::{beat, plain_farewell};
use super::{Dialogue, Farewell, Socket};
use crate::config::Settings;
use crate::metrics::Transport;
use crate::session::Heartbeat;
use crate::shard::{Shard, now};

/// A member of a relay room: what it says is heard by the others.
#[derive(Debug)]
pub(super) struct Relay {
    client: ClientId,
    room: ChannelName,
    heartbeat: Heartbeat,
}

/// RFC 6455's registry: the server cannot take more now, try again later.
const TRY_AGAIN_LATER: Farewell =
    Farewell { code: 1013, reason: Cow::Borrowed("too many messages, try again later") };

impl Relay {
    pub(super) fn new(shard: &Shard, client: ClientId, room: ChannelName) -> Self {
        Self { client, room, heartbeat: Heartbeat::new(&shard.node.settings, client, now()) }
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
        let client = Client { key, user: Arc::from(""), format: WireFormat::Relay };
        shard.node.directory().connect(self.client, client);
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
