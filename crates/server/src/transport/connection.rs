use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use throng_protocol::DisconnectCode;
use throng_protocol::frame::{self, Event, FrameError, FrameLimits, Opcode};
use throng_registry::{ClientId, Ending, Slot};

use super::socket::{Inbound, Input, Reading, Socket};
use super::{Dialogue, Farewell};
use crate::limits::{Limit, Meter};
use crate::listener::Seat;
use crate::metrics::Transport;
use crate::shard::{Conn, Opening, Route, Shard, SharedStream, now};

/// How a conversation came to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
enum End {
    /// The server says goodbye.
    Farewell(Farewell),
    /// The peer sent a close frame with this code; it is answered in kind.
    Peer(Option<u16>),
    /// Too much waited for the client: it gets its farewell if its socket still takes it.
    Slow,
    /// There is nobody to say goodbye to.
    Gone,
}

/// A connection from its handshake to its end, as a task.
///
/// ```text
///  begin ──► converse: read, decide, answer ──► goodbye: close frame, flush, peer's close frame ──► dropped
///                     (timers, shutdown, slow)          (deadline for all of it)
/// ```
///
/// What can be done at once is done here and not in the task, whose memory every idle connection pays for.
pub(super) fn serve<D: Dialogue>(
    shard: &Rc<Shard>,
    stream: SharedStream,
    opening: Opening,
    mut dialogue: D,
) -> impl Future<Output = ()> + use<D> {
    let Opening { answer, leftover, route, client, peer, seat } = opening;
    let conn = Conn {
        stream: Rc::clone(&stream),
        waker: Waker::noop().clone(),
        deadline: None,
        fired: false,
        stop: None,
        member: None,
        orders: None,
    };
    let slot = shard.table.borrow_mut().insert(dialogue.format(), conn);
    let transport = dialogue.transport();
    let presence = Presence::new(shard, slot, client, transport, seat);
    tracing::debug!(connection = %client, %peer, ?transport, shard = shard.id.index(), "open");
    // Whoever hears only itself is held up by itself.
    let meter =
        if matches!(route, Route::Echo) { Meter::exempt() } else { shard.node.limits.meter(peer.ip()) };
    let limits = frame_limits(shard, &route);
    let mut socket = Socket::new(Rc::clone(shard), slot, stream, limits, leftover, meter);
    let answer = answer.into_boxed_slice();
    async move {
        // The answer goes out behind the entry into the room, so that whoever has it is a member. No turn can come between as
        // long as the engine answers inline; one that does not must have deliveries held back until here.
        let refused = dialogue.begin(&socket).await;
        socket.shard.send(socket.slot, |out| out.extend_from_slice(&answer));
        drop(answer);
        let end = match refused {
            Some(farewell) => End::Farewell(farewell),
            None => converse(&mut socket, &mut dialogue).await,
        };
        presence.leave();
        let (code, reason) = Box::pin(goodbye(&mut socket, end)).await;
        tracing::debug!(connection = %presence.client, code, %reason, "closed");
    }
}

fn frame_limits(shard: &Shard, route: &Route) -> FrameLimits {
    let settings = &shard.node.settings;
    let (message_bytes, fragments) = match route {
        Route::Protocol { .. } => (settings.websocket.message_size_limit, settings.echo.max_fragments),
        Route::Relay { .. } => (settings.relay.message_size_limit, settings.echo.max_fragments),
        #[cfg(test)]
        Route::Bomb => (settings.echo.message_size_limit, settings.echo.max_fragments),
        Route::Echo => (settings.echo.message_size_limit, settings.echo.max_fragments),
    };
    FrameLimits { message_bytes, fragments }
}

/// Reads and answers until something ends the connection.
async fn converse(socket: &mut Socket, dialogue: &mut impl Dialogue) -> End {
    loop {
        let due = dialogue.deadline(&socket.shard.node.settings);
        socket.shard.set_deadline(socket.slot, due.into_iter().chain(dialogue.expiry(socket)).min());
        let mut events = Vec::new();
        let reading = dialogue.reading();
        let input = socket
            .next(reading, |shard, slot, event| receive(dialogue, shard, slot, event, &mut events))
            .await;
        match input {
            Input::Read { outcome, bytes, more } => {
                if !socket.meter.take_bytes(&socket.shard.node.limits, bytes) {
                    return End::Farewell(dialogue.farewell(DisconnectCode::TooManyRequests));
                }
                if !events.is_empty()
                    && let Some(end) = Box::pin(handle(socket, dialogue, events)).await
                {
                    return end;
                }
                if let Err(error) = outcome {
                    return End::Farewell(violation(error));
                }
                // Whoever has much to say lets the others and the turn have theirs.
                if more {
                    tokio::task::yield_now().await;
                }
            }
            Input::Flushed => {
                if let Some(farewell) = Box::pin(dialogue.resume(socket)).await {
                    return End::Farewell(farewell);
                }
            }
            Input::Timer => {
                if let Some(farewell) = beat(socket, dialogue, now()) {
                    return End::Farewell(farewell);
                }
                if dialogue.expiry(socket).is_some_and(|expiry| expiry <= now())
                    && let Some(farewell) = Box::pin(dialogue.expire(socket, now())).await
                {
                    return End::Farewell(farewell);
                }
            }
            Input::Stop(code) => return End::Farewell(dialogue.farewell(code)),
            Input::Order(order) => {
                if let Some(farewell) = Box::pin(dialogue.obey(socket, order)).await {
                    return End::Farewell(farewell);
                }
            }
            Input::Lost(channels) => {
                if let Some(farewell) = Box::pin(dialogue.lost(socket, channels)).await {
                    return End::Farewell(farewell);
                }
            }
            Input::Ended(ending) => return ended(socket, ending),
            Input::Closed => return End::Gone,
        }
    }
}

/// Does what is due by the clock that pings. Whether a message takes too long is asked at its times only.
fn beat(socket: &mut Socket, dialogue: &mut impl Dialogue, now: Instant) -> Option<Farewell> {
    if dialogue.deadline(&socket.shard.node.settings).is_none_or(|deadline| deadline > now) {
        return None;
    }
    if socket.is_stalled() {
        return Some(NOT_FINISHED);
    }
    dialogue.timer(socket, now)
}

/// A message was begun and not finished in the time between two pings. It would hold its memory for ever otherwise.
const NOT_FINISHED: Farewell =
    Farewell { code: 1008, reason: Cow::Borrowed("a message was not finished in time") };

/// What the table's verdict means for the connection.
fn ended(socket: &Socket, ending: Ending) -> End {
    tracing::debug!(shard = socket.shard.id.index(), ?ending, "the client must go");
    match ending {
        Ending::Slow => End::Slow,
        Ending::WrongFormat => End::Farewell(DisconnectCode::InappropriateProtocol.into()),
        Ending::Evicted | Ending::WriteError(_) => End::Gone,
        Ending::Panicked => {
            socket.shard.node.metrics.panics.add(1);
            tracing::error!(shard = socket.shard.id.index(), "writing to a client panicked");
            End::Gone
        }
    }
}

/// Takes an event where it lies, or keeps it for [`handle`].
fn receive(
    dialogue: &mut impl Dialogue,
    shard: &Shard,
    slot: Slot,
    event: Event<'_>,
    events: &mut Vec<Inbound>,
) {
    if let Event::Message { kind, data } = &event {
        shard.node.metrics.shards[shard.id.index()].messages_received.add(1);
        // Not before what came first has been answered.
        if events.is_empty() && dialogue.at_once(shard, slot, *kind, data) {
            return;
        }
    }
    events.push(Inbound::keep(event));
}

async fn handle(socket: &Socket, dialogue: &mut impl Dialogue, events: Vec<Inbound>) -> Option<End> {
    for event in events {
        // What the client still says does not count once it must go.
        if socket.is_called_away() {
            return None;
        }
        match event {
            Inbound::Message(kind, data) => {
                if let Some(farewell) = dialogue.message(socket, kind, data).await {
                    return Some(End::Farewell(farewell));
                }
            }
            Inbound::Ping(_) | Inbound::Pong(_) if !socket.within(Limit::ConnectionCommands, 1) => {
                return Some(End::Farewell(dialogue.farewell(DisconnectCode::TooManyRequests)));
            }
            Inbound::Ping(data) => socket.send_control(Opcode::Pong, &data),
            Inbound::Pong(data) => dialogue.pong(&data),
            Inbound::Close(code) => return Some(End::Peer(code)),
        }
    }
    None
}

fn violation(error: FrameError) -> Farewell {
    let code = error.close_code();
    let reason = match code {
        1007 => "invalid UTF-8",
        1009 => "message size limit exceeded",
        _ => "protocol error",
    };
    Farewell { code, reason: Cow::Borrowed(reason) }
}

/// Ends a connection: the close frame behind all that waits, then the peer's, within the deadline. Returns what was said.
async fn goodbye(socket: &mut Socket, end: End) -> (u16, Cow<'static, str>) {
    let patience = socket.shard.node.settings.shutdown.close_timeout;
    let farewell = match &end {
        End::Farewell(farewell) => Some(farewell.clone()),
        End::Slow => Some(DisconnectCode::Slow.into()),
        End::Peer(_) | End::Gone => None,
    };
    if let Some(farewell) = farewell {
        say(socket, &farewell);
        if !wait_for_close(socket, patience, true).await {
            socket.shard.count_unanswered();
        }
        socket.part();
        return (farewell.code, farewell.reason);
    }
    match end {
        End::Peer(code) => {
            let answer =
                code.map_or_else(|| frame::encode(Opcode::Close, b""), |code| frame::encode_close(code, ""));
            socket.shard.send(socket.slot, |out| out.extend_from_slice(&answer));
            wait_for_close(socket, patience, false).await;
            socket.part();
            (code.unwrap_or(NO_STATUS), Cow::Borrowed("closed by the client"))
        }
        End::Farewell(_) | End::Slow | End::Gone => (ABNORMAL, Cow::Borrowed("connection lost")),
    }
}

/// RFC 6455 section 7.4.1: no code was given, and the connection ended without a close frame.
const NO_STATUS: u16 = 1005;
const ABNORMAL: u16 = 1006;

fn say(socket: &Socket, farewell: &Farewell) {
    let close = frame::encode_close(farewell.code, &farewell.reason);
    socket.shard.send(socket.slot, |out| out.extend_from_slice(&close));
}

/// Most bytes that are read, in reads of one buffer each, while a close frame is awaited.
const LAST_READS: usize = 256;

/// Waits until all is written and, if it is awaited, the peer's close frame is there. What else comes in is thrown away. False
/// if the peer took or said nothing in time.
async fn wait_for_close(socket: &mut Socket, patience: Duration, peer_too: bool) -> bool {
    socket.shard.set_deadline(socket.slot, Some(now() + patience));
    loop {
        match socket.next(Reading::Never, |_, _, _| ()).await {
            Input::Flushed => break,
            Input::Read { .. }
            | Input::Stop(_)
            | Input::Order(_)
            | Input::Lost(_)
            | Input::Ended(Ending::Slow) => {}
            Input::Timer => return false,
            Input::Ended(_) | Input::Closed => return true,
        }
    }
    // After a violation no close frame can be understood any more: the end of the stream is what is waited for. The client
    // sees ours first, because closing a socket with unread bytes would reset the connection.
    if socket.is_deaf() {
        socket.shut_down().await;
    }
    let mut awaited = peer_too;
    let mut reads = 0;
    while awaited && reads < LAST_READS {
        let heard = |_: &Shard, _: Slot, event: Event<'_>| awaited &= !matches!(event, Event::Close(_));
        match socket.next(Reading::Always, heard).await {
            Input::Read { .. } => {
                reads += 1;
                tokio::task::yield_now().await;
            }
            Input::Flushed
            | Input::Stop(_)
            | Input::Order(_)
            | Input::Lost(_)
            | Input::Ended(Ending::Slow) => {}
            Input::Timer => return false,
            Input::Ended(_) | Input::Closed => return true,
        }
    }
    true
}

/// A client's place in its shard and node. Leaves no trace when it is dropped, also if that is because of a panic.
struct Presence {
    shard: Rc<Shard>,
    slot: Slot,
    client: ClientId,
    transport: Transport,
    left: Cell<bool>,
    seat: Option<Seat>,
}

impl Presence {
    fn new(shard: &Rc<Shard>, slot: Slot, client: ClientId, transport: Transport, seat: Seat) -> Self {
        shard.node.metrics.connections(transport).add(1);
        Self { shard: Rc::clone(shard), slot, client, transport, left: Cell::new(false), seat: Some(seat) }
    }

    /// Takes the client out of the directory and all channels; its socket is still open.
    fn leave(&self) {
        if !self.left.replace(true) {
            self.shard.forsake(self.slot);
            self.shard.node.directory().disconnect(self.client);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.shard.is_in_turn() {
            self.shard.node.metrics.panics.add(1);
            tracing::error!(connection = %self.client, "a connection's task panicked");
        }
        self.leave();
        self.shard.remove(self.slot);
        // Whoever sees that a connection has gone may count on its seat.
        self.seat = None;
        self.shard.node.metrics.connections(self.transport).subtract(1);
    }
}
