use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use throng_protocol::frame::{self, MessageKind, Opcode};
use throng_protocol::{
    ChannelName, Commands, DecodeError, DisconnectCode, Format, Limits, Push, PushEvent, Reply,
};
use throng_registry::{ClientId, ShardTable, Slot, WireFormat};

use super::{Dialogue, Farewell, Reading, Socket};
use crate::config::Settings;
use crate::limits::Limit;
use crate::metrics::Transport;
use crate::node::Addressed;
use crate::session::{Beat, Decision, Expired, Heartbeat, PingStyle, Session, Subscriptions};
use crate::shard::{Conn, Marks, Shard, now};

/// A client of the Centrifuge protocol: commands in, replies and pushes out.
#[derive(Debug)]
pub(super) struct Protocol {
    pub(super) client: ClientId,
    pub(super) format: Format,
    pub(super) session: Session,
    pub(super) ping_style: PingStyle,
    /// The ping clock, from the connect command on.
    pub(super) heartbeat: Option<Heartbeat>,
    /// Until when the connect command must be there.
    stale: Instant,
    /// When a publication was last refused because there was no room for it.
    pub(super) refused: Option<Instant>,
    /// What was held back, frame by frame. Boxed, because hardly any connection has it.
    #[expect(clippy::box_collection, reason = "every idle connection would pay for an empty queue")]
    held: Option<Box<VecDeque<Commands>>>,
}

/// Bytes of replies after which they are written, and taken by the client, before more commands of the message are carried out:
/// one small command may have a large answer, and a message holds many.
const MANY_REPLIES: usize = 64 * 1024;

/// Frames that may be held back before nothing more is read.
const HELD_FRAMES: usize = 16;

/// Replies of one message to be sent as one frame.
#[derive(Default)]
pub(super) struct Replies {
    bytes: BytesMut,
    /// How many of them are errors.
    errors: u32,
}

impl Protocol {
    pub(super) fn new(
        shard: &Shard,
        client: ClientId,
        format: Format,
        ping_style: PingStyle,
        user: Option<Box<str>>,
    ) -> Self {
        Self {
            client,
            format,
            session: Session::new(client, format, ping_style, Arc::clone(&shard.node.rules), user),
            ping_style,
            heartbeat: None,
            stale: now() + shard.node.settings.client.stale_close_delay,
            refused: None,
            held: None,
        }
    }

    /// Puts the replies so far into the outbox as one frame.
    pub(super) fn send(&self, socket: &Socket, replies: &mut Replies) {
        if !replies.bytes.is_empty() {
            socket.send(self.opcode(), &replies.bytes);
            replies.bytes.clear();
        }
    }

    /// Puts the replies so far and one more into `out`, as one frame.
    pub(super) fn write(&self, socket: &Socket, replies: &mut Replies, last: &Reply, out: &mut BytesMut) {
        replies.add(self.format, last);
        frame::encode_into(self.opcode(), &replies.bytes, out);
        replies.bytes.clear();
        socket.count_sent();
    }

    /// Puts a push into the outbox.
    pub(super) fn push(&self, socket: &Socket, channel: &str, event: PushEvent) {
        let mut push = Replies::default();
        push.add(self.format, &Reply::Push(Push { channel: channel.to_owned(), event }));
        self.send(socket, &mut push);
    }

    const fn opcode(&self) -> Opcode {
        match self.format {
            Format::Json => Opcode::Text,
            Format::Protobuf => Opcode::Binary,
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

    fn refuse(&self, error: &DecodeError) -> Decision {
        tracing::debug!(connection = %self.client, %error, "a command could not be read");
        Decision::Close(error.disconnect_code())
    }

    /// Carries out the commands of a frame. Those for whose answers the client is not ready yet are held back.
    async fn carry_on(&mut self, socket: &Socket, mut commands: Commands) -> Option<Farewell> {
        let mut replies = Replies::default();
        let mut farewell = None;
        while let Some(command) = commands.next() {
            if socket.is_called_away() {
                break;
            }
            if !socket.within(Limit::ConnectionCommands, 1) {
                farewell = Some(DisconnectCode::TooManyRequests.into());
                break;
            }
            let decision = match command {
                Ok(command) => {
                    let table = socket.shard.table.borrow();
                    self.session.handle(command, &Own { table: &table, slot: socket.slot })
                }
                Err(error) => self.refuse(&error),
            };
            let decision = self.throttled(socket, decision);
            farewell = self.perform(socket, decision, &mut replies).await;
            let errors = std::mem::take(&mut replies.errors);
            if errors > 0 && !socket.within(Limit::ConnectionErrors, errors) {
                farewell = farewell.or_else(|| Some(DisconnectCode::TooManyErrors.into()));
            }
            if farewell.is_some() {
                break;
            }
            if replies.bytes.len() > MANY_REPLIES {
                self.send(socket, &mut replies);
                socket.give_way().await;
                if !socket.is_flushed() {
                    self.held.get_or_insert_default().push_front(commands);
                    return None;
                }
            }
        }
        self.send(socket, &mut replies);
        farewell
    }

    /// The frame that was held back longest.
    fn next_held(&mut self) -> Option<Commands> {
        let next = self.held.as_mut()?.pop_front();
        self.held.take_if(|held| held.is_empty());
        next
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
        let commands = self.format.decode_commands(data, &self.limits(&socket.shard));
        match &mut self.held {
            Some(held) => {
                held.push_back(commands);
                None
            }
            None => self.carry_on(socket, commands).await,
        }
    }

    fn reading(&self) -> Reading {
        match &self.held {
            None => Reading::Always,
            // Pongs come among the commands.
            Some(held) if held.len() < HELD_FRAMES => Reading::Beside,
            Some(_) => Reading::Never,
        }
    }

    async fn resume(&mut self, socket: &Socket) -> Option<Farewell> {
        while socket.is_flushed()
            && let Some(commands) = self.next_held()
        {
            let farewell = self.carry_on(socket, commands).await;
            if farewell.is_some() {
                return farewell;
            }
        }
        None
    }

    async fn obey(&mut self, socket: &Socket, addressed: Addressed) -> Option<Farewell> {
        let farewell = self.carry_out(socket, addressed.order).await;
        addressed.obeyed.done();
        farewell
    }

    async fn lost(&mut self, socket: &Socket, channels: Vec<(ChannelName, Marks)>) -> Option<Farewell> {
        self.announce_loss(socket, channels).await
    }

    async fn expire(&mut self, socket: &Socket, now: Instant) -> Option<Farewell> {
        let over = socket.shard.with_member(socket.slot, |member| {
            if member.has_expired(now) { Err(DisconnectCode::Expired) } else { Ok(member.take_expired(now)) }
        });
        match over? {
            Ok(channels) => self.end_expired(socket, channels).await,
            Err(code) => {
                socket.shard.node.rules.counts.expired(Expired::Connection);
                Some(code.into())
            }
        }
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

impl Replies {
    pub(super) fn add(&mut self, format: Format, reply: &Reply) {
        self.errors += u32::from(matches!(reply, Reply::Answer { outcome: Err(_), .. }));
        format.encode_reply(reply, &mut self.bytes);
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
