use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;
use throng_protocol::DisconnectCode;
use throng_protocol::frame::{self, MessageKind, Opcode};
use throng_registry::{ClientId, Slot, WireFormat};

use super::{Dialogue, Farewell, Reading, Socket};
use crate::config::Settings;
use crate::metrics::Transport;
use crate::session::{Beat, Heartbeat};
use crate::shard::{Shard, now};

/// Sends every message back. The next bytes are read once the client has taken what was sent, so that it holds at most one
/// read's messages.
#[derive(Debug)]
pub(super) struct Echo {
    heartbeat: Heartbeat,
    /// A message may be larger than what usually may wait for a client.
    allowance: usize,
}

impl Echo {
    pub(super) fn new(shard: &Shard, client: ClientId) -> Self {
        let settings = &shard.node.settings;
        Self {
            heartbeat: Heartbeat::new(settings, client, now()),
            allowance: settings.echo.message_size_limit.saturating_mul(2),
        }
    }
}

impl Dialogue for Echo {
    fn format(&self) -> WireFormat {
        WireFormat::Relay
    }

    fn transport(&self) -> Transport {
        Transport::Echo
    }

    async fn begin(&mut self, socket: &Socket) -> Option<Farewell> {
        socket.shard.table.borrow_mut().allow(socket.slot, self.allowance);
        None
    }

    fn at_once(&mut self, shard: &Shard, slot: Slot, kind: MessageKind, data: &[u8]) -> bool {
        shard.send(slot, |out| frame::encode_into(kind.opcode(), data, out));
        shard.node.metrics.shards[shard.id.index()].messages_sent.add(1);
        true
    }

    async fn message(&mut self, socket: &Socket, kind: MessageKind, data: Bytes) -> Option<Farewell> {
        socket.send(kind.opcode(), &data);
        None
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

    fn reading(&self) -> Reading {
        Reading::Flushed
    }
}

/// Pings with frames, as for every endpoint that does not speak the protocol.
pub(super) fn beat(heartbeat: &mut Heartbeat, socket: &Socket, now: Instant) -> Option<Farewell> {
    match heartbeat.poll(&socket.shard.node.settings, now) {
        Beat::Nothing => None,
        Beat::Ping(payload) => {
            socket.send_control(Opcode::Ping, &payload);
            None
        }
        Beat::NoPong => Some(DisconnectCode::NoPong.into()),
    }
}

/// RFC 6455's registry: the server cannot take more now, try again later.
pub(super) const TRY_AGAIN_LATER: Farewell =
    Farewell { code: 1013, reason: Cow::Borrowed("too many messages, try again later") };

/// Bare clients know the codes of RFC 6455: a server that shuts down is "going away".
pub(super) fn plain_farewell(code: DisconnectCode) -> Farewell {
    match code {
        DisconnectCode::Shutdown => Farewell { code: 1001, reason: code.reason().into() },
        DisconnectCode::TooManyRequests => TRY_AGAIN_LATER,
        other => other.into(),
    }
}
