use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use throng_engine::{Event, Message};
use throng_protocol::frame::{MessageKind, Opcode};
use throng_protocol::{
    ChannelName, DecodeError, DisconnectCode, ErrorCode, Format, Limits, Outcome, Publication, PublishResult,
    Reply, SubscribeResult, UnsubscribeResult,
};
use throng_registry::{Client, ClientId, ClientKey, ShardTable, Slot, WireFormat};

use super::{Dialogue, Farewell, Socket};
use crate::config::Settings;
use crate::metrics::Transport;
use crate::session::{self, Beat, Decision, Heartbeat, PingStyle, Session, Subscriptions};
use crate::shard::{Conn, Shard, now};

/// A client of the Centrifuge protocol: commands in, replies and pushes out.
#[derive(Debug)]
pub(super) struct Protocol {
    client: ClientId,
    format: Format,
    session: Session,
    ping_style: PingStyle,
    /// The ping clock, from the connect command on.
    heartbeat: Option<Heartbeat>,
    /// Until when the connect command must be there.
    stale: Instant,
    /// When a publication was last refused because there was no room for it.
    refused: Option<Instant>,
}

/// Replies of one message to be sent as one frame.
#[derive(Default)]
struct Replies(BytesMut);

impl Protocol {
    pub(super) fn new(shard: &Shard, client: ClientId, format: Format, ping_style: PingStyle) -> Self {
        Self {
            client,
            format,
            session: Session::new(client, format, ping_style, Arc::clone(&shard.node.rules)),
            ping_style,
            heartbeat: None,
            stale: now() + shard.node.settings.client.stale_close_delay,
            refused: None,
        }
    }

    /// Carries out what the session decided.
    async fn perform(
        &mut self,
        socket: &Socket,
        decision: Decision,
        replies: &mut Replies,
    ) -> Option<Farewell> {
        match decision {
            Decision::Reply(reply) => replies.add(self.format, &reply),
            Decision::Open { user, reply } => {
                let Socket { shard, slot, .. } = socket;
                let key = ClientKey { shard: shard.id, slot: *slot };
                shard.node.directory().connect(self.client, Client { key, user, format: self.format() });
                self.heartbeat = Some(Heartbeat::new(&shard.node.settings, self.client, now()));
                replies.add(self.format, &reply);
            }
            Decision::Subscribe { id, channel } => {
                let reply = match socket.shard.subscribe(socket.slot, &channel).await {
                    Ok(()) => session::answer(id, Outcome::Subscribe(SubscribeResult::default())),
                    Err(_) => session::error(id, ErrorCode::Internal),
                };
                replies.add(self.format, &reply);
                // Before the turn can deliver a publication of the channel.
                self.send(socket, replies);
            }
            Decision::Unsubscribe { id, channel } => {
                if let Some(channel) = channel {
                    socket.shard.unsubscribe(socket.slot, &channel);
                }
                replies.add(
                    self.format,
                    &session::answer(id, Outcome::Unsubscribe(UnsubscribeResult::default())),
                );
            }
            Decision::Publish { id, channel, publication } => {
                let outcome = self.publish(socket, &channel, publication, replies).await;
                replies.add(
                    self.format,
                    &outcome
                        .map_or_else(|code| session::error(id, code), |result| session::answer(id, result)),
                );
            }
            Decision::Pong => {
                let answers_ping = self.heartbeat.as_mut().is_some_and(Heartbeat::pong);
                if !answers_ping || self.ping_style == PingStyle::Frame {
                    return Some(DisconnectCode::BadRequest.into());
                }
            }
            Decision::Close(code) => return Some(code.into()),
        }
        None
    }

    async fn publish(
        &mut self,
        socket: &Socket,
        channel: &ChannelName,
        publication: Publication,
        replies: &mut Replies,
    ) -> Result<Outcome, ErrorCode> {
        // Whoever has to wait for room should have had the answers to what came before.
        self.send(socket, replies);
        let event = Event::new(Message::Publication(Arc::new(publication)));
        // Whoever was refused just now is refused at once, or a frame full of publications would take many waits.
        let wait = socket.shard.node.settings.shards.publish_wait;
        let wait = if self.refused.is_some_and(|at| now() < at + wait) { Duration::ZERO } else { wait };
        match socket.publish(channel, event, wait).await {
            Ok(()) => Ok(Outcome::Publish(PublishResult::default())),
            Err(_) => {
                self.refused = Some(now());
                Err(ErrorCode::TooManyRequests)
            }
        }
    }

    /// Puts the replies so far into the outbox as one frame.
    fn send(&self, socket: &Socket, replies: &mut Replies) {
        if !replies.0.is_empty() {
            let opcode = match self.format {
                Format::Json => Opcode::Text,
                Format::Protobuf => Opcode::Binary,
            };
            socket.send(opcode, &replies.0);
            replies.0.clear();
        }
    }

    fn limits(&self, shard: &Shard) -> Limits {
        let settings = &shard.node.settings;
        Limits {
            command_bytes: settings.websocket.message_size_limit,
            commands_per_frame: settings.client.frame_command_limit,
            ..Limits::default()
        }
    }
}

impl Dialogue for Protocol {
    fn format(&self) -> WireFormat {
        match self.format {
            Format::Json => WireFormat::Json,
            Format::Protobuf => WireFormat::Protobuf,
        }
    }

    fn transport(&self) -> Transport {
        match self.format {
            Format::Json => Transport::Json,
            Format::Protobuf => Transport::Protobuf,
        }
    }

    async fn begin(&mut self, _: &Socket) -> Option<Farewell> {
        None
    }

    async fn message(&mut self, socket: &Socket, _: MessageKind, data: Bytes) -> Option<Farewell> {
        let mut replies = Replies::default();
        let mut farewell = None;
        for command in self.format.decode_commands(data, &self.limits(&socket.shard)) {
            if socket.is_called_away() {
                break;
            }
            let decision = match command {
                Ok(command) => {
                    let table = socket.shard.table.borrow();
                    self.session.handle(command, &Own { table: &table, slot: socket.slot })
                }
                Err(error) => self.refuse(&error),
            };
            farewell = self.perform(socket, decision, &mut replies).await;
            if farewell.is_some() {
                break;
            }
        }
        self.send(socket, &mut replies);
        farewell
    }

    fn pong(&mut self, payload: &[u8]) {
        if self.ping_style == PingStyle::Frame
            && let Some(heartbeat) = &mut self.heartbeat
        {
            heartbeat.pong_frame(payload);
        }
    }

    fn deadline(&self, settings: &Settings) -> Option<Instant> {
        self.heartbeat.as_ref().map_or(Some(self.stale), |heartbeat| heartbeat.deadline(settings))
    }

    fn timer(&mut self, socket: &Socket, now: Instant) -> Option<Farewell> {
        let Some(heartbeat) = &mut self.heartbeat else {
            return (self.stale <= now).then_some(DisconnectCode::Stale.into());
        };
        match heartbeat.poll(&socket.shard.node.settings, now) {
            Beat::Nothing => None,
            Beat::NoPong => Some(DisconnectCode::NoPong.into()),
            Beat::Ping(payload) => {
                match self.ping_style {
                    PingStyle::Frame => socket.send_control(Opcode::Ping, &payload),
                    PingStyle::Application => {
                        let mut ping = Replies::default();
                        ping.add(self.format, &Reply::Ping);
                        self.send(socket, &mut ping);
                    }
                }
                None
            }
        }
    }
}

impl Protocol {
    fn refuse(&self, error: &DecodeError) -> Decision {
        tracing::debug!(connection = %self.client, %error, "a command could not be read");
        Decision::Close(error.disconnect_code())
    }
}

impl Replies {
    fn add(&mut self, format: Format, reply: &Reply) {
        format.encode_reply(reply, &mut self.0);
    }
}

/// A client's own subscriptions in the shard's table.
struct Own<'a> {
    table: &'a ShardTable<Conn>,
    slot: Slot,
}

impl Subscriptions for Own<'_> {
    fn contains(&self, channel: &ChannelName) -> bool {
        self.table.is_subscribed(self.slot, channel)
    }

    fn count(&self) -> usize {
        self.table.subscription_count_of(self.slot)
    }
}
