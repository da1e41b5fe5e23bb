use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use throng_engine::{EngineError, PublishOptions, Published};
use throng_protocol::frame::{
    self, CloseFrame, Decoder, Event, FrameError, FrameLimits, MessageKind, Opcode,
};
use throng_protocol::{ChannelName, DisconnectCode};
use throng_registry::{Ending, Slot};
use tokio::io::ReadBuf;

use crate::limits::Meter;
use crate::node::Addressed;
use crate::shard::{Marks, Shard, SharedStream};

/// A connection as its task sees it: what comes in, and the way out through the shard's table.
pub(crate) struct Socket {
    pub(crate) shard: Rc<Shard>,
    pub(crate) slot: Slot,
    pub(super) meter: Meter,
    stream: SharedStream,
    decoder: Decoder,
    limits: FrameLimits,
    /// What came with the handshake and has not been read yet. Boxed, because hardly any connection has it.
    leftover: Option<Box<Bytes>>,
    /// The table's verdict has been reported.
    ended: bool,
    /// The deadline has passed, but there was something to read, which comes first: it may be the pong that is awaited.
    deferred: bool,
    /// A message was in progress at the last deadline and none has been finished since.
    stalled: bool,
    /// Publications since the last read, of which one may hold thousands.
    streak: Cell<u8>,
}

/// What a connection's task waits for.
#[derive(Debug)]
pub(super) enum Input {
    /// Bytes came in and were made into events; after the last event they may have broken the protocol.
    Read {
        outcome: Result<(), FrameError>,
        /// How many there were.
        bytes: usize,
        /// The buffer was filled, so there probably is more to read at once.
        more: bool,
    },
    /// Everything has been written.
    Flushed,
    /// The deadline has passed.
    Timer,
    /// The table wants the client gone.
    Ended(Ending),
    /// The server wants the connection closed.
    Stop(DisconnectCode),
    /// The application wants something done.
    Order(Addressed),
    /// The client has lost its place in these channels.
    Lost(Vec<(ChannelName, Marks)>),
    /// The peer is gone.
    Closed,
}

/// When a connection's task wants to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reading {
    /// Whenever there is something.
    Always,
    /// Once the client has taken all that was written to it.
    Flushed,
    /// Whenever there is something; that all is written is [`Input::Flushed`] and comes first.
    Beside,
    /// Not at all: the wait is for [`Input::Flushed`].
    Never,
}

/// An event that is handled after the read buffer has been given back.
#[derive(Debug)]
pub(super) enum Inbound {
    Message(MessageKind, Bytes),
    Ping(Bytes),
    Pong(Bytes),
    /// The code of the close frame, if it had one.
    Close(Option<u16>),
}

impl Inbound {
    pub(super) fn keep(event: Event<'_>) -> Self {
        match event {
            Event::Message { kind, data } => Self::Message(kind, Bytes::from(data.into_owned())),
            Event::Ping(data) => Self::Ping(Bytes::from(data.into_owned())),
            Event::Pong(data) => Self::Pong(Bytes::from(data.into_owned())),
            Event::Close(frame) => Self::Close(frame.map(|CloseFrame { code, .. }| code)),
        }
    }
}

impl Socket {
    pub(super) fn new(
        shard: Rc<Shard>,
        slot: Slot,
        stream: SharedStream,
        limits: FrameLimits,
        leftover: Bytes,
        meter: Meter,
    ) -> Self {
        let leftover = (!leftover.is_empty()).then(|| Box::new(leftover));
        Self {
            shard,
            slot,
            meter,
            stream,
            decoder: Decoder::new(),
            limits,
            leftover,
            ended: false,
            deferred: false,
            stalled: false,
            streak: Cell::new(0),
        }
    }

    /// Waits for the next input. Events of bytes that came in are handed to `take` where they lie, in the shard's read
    /// buffer.
    ///
    /// Cancel safe: nothing is taken from the stream before it is handed over.
    pub(super) async fn next(
        &mut self,
        reading: Reading,
        mut take: impl FnMut(&Shard, Slot, Event<'_>),
    ) -> Input {
        poll_fn(|cx| self.poll_next(cx, reading, &mut take)).await
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        reading: Reading,
        take: &mut impl FnMut(&Shard, Slot, Event<'_>),
    ) -> Poll<Input> {
        if let Some(signal) = self.poll_signal(cx, reading) {
            return Poll::Ready(signal);
        }
        let mut table = self.shard.table.borrow_mut();
        if table.backlog_of(self.slot) > 0 {
            // Perhaps it is the socket that became writable.
            table.retry(self.slot);
            self.shard.wake_turn();
        }
        let flushed = table.is_flushed(self.slot);
        if reading != Reading::Always && !flushed {
            table.watch(self.slot);
        }
        match reading {
            Reading::Never | Reading::Beside if flushed => return Poll::Ready(Input::Flushed),
            Reading::Never | Reading::Flushed if !flushed => return Poll::Pending,
            Reading::Always | Reading::Flushed | Reading::Beside | Reading::Never => {}
        }
        drop(table);
        let shard = Rc::clone(&self.shard);
        let mut buffer = shard.read_buffer.borrow_mut();
        let length = match self.poll_read(cx, &mut buffer) {
            Poll::Pending if self.take_deadline() => return Poll::Ready(Input::Timer),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Input::Closed),
            Poll::Ready(Ok(length)) => length,
        };
        shard.node.metrics.shards[shard.id.index()].bytes_received.add(length as u64);
        self.streak.set(0);
        let more = length == buffer.len();
        Poll::Ready(Input::Read { outcome: self.decode(&mut buffer[..length], take), bytes: length, more })
    }

    /// What the shard has to say to this connection, if anything.
    fn poll_signal(&mut self, cx: &Context<'_>, reading: Reading) -> Option<Input> {
        let mut table = self.shard.table.borrow_mut();
        if !self.ended
            && let Some(ending) = table.ending(self.slot)
        {
            self.ended = true;
            return Some(Input::Ended(ending));
        }
        let conn = table.attachment_mut(self.slot)?;
        conn.waker.clone_from(cx.waker());
        if let Some(code) = conn.stop.take() {
            return Some(Input::Stop(code));
        }
        if let Some(orders) = &mut conn.orders {
            let order = orders.pop_front();
            conn.orders.take_if(|orders| orders.is_empty());
            if let Some(order) = order {
                return Some(Input::Order(order));
            }
        }
        if conn.fired && (self.deferred || matches!(reading, Reading::Flushed | Reading::Never)) {
            conn.fired = false;
            self.deferred = false;
            return Some(Input::Timer);
        }
        self.deferred = conn.fired;
        let lost = table.take_lost(self.slot);
        if lost.is_empty() {
            return None;
        }
        Some(Input::Lost(lost.into_iter().map(|(name, bits)| (name, Marks::from_bits(bits))).collect()))
    }

    /// Whether the deadline has passed; it is reported once.
    fn take_deadline(&mut self) -> bool {
        self.deferred = false;
        let mut table = self.shard.table.borrow_mut();
        table.attachment_mut(self.slot).is_some_and(|conn| std::mem::take(&mut conn.fired))
    }

    /// Whether the connection must end, for a reason that [`next`](Self::next) will tell.
    pub(super) fn is_called_away(&self) -> bool {
        let table = self.shard.table.borrow();
        let stop = table.attachment(self.slot).is_some_and(|conn| conn.stop.is_some());
        stop || table.ending(self.slot).is_some()
    }

    /// Whether a message has been in progress since the last time this was asked, at a deadline, and none was finished.
    pub(super) fn is_stalled(&mut self) -> bool {
        let unfinished = self.decoder.is_unfinished();
        std::mem::replace(&mut self.stalled, unfinished) && unfinished
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(leftover) = &mut self.leftover {
            let length = leftover.len().min(buffer.len());
            buffer[..length].copy_from_slice(&leftover.split_to(length));
            self.leftover.take_if(|leftover| leftover.is_empty());
            return Poll::Ready(Ok(length));
        }
        let mut into = ReadBuf::new(buffer);
        ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }

    fn decode(
        &mut self,
        mut input: &mut [u8],
        take: &mut impl FnMut(&Shard, Slot, Event<'_>),
    ) -> Result<(), FrameError> {
        while !input.is_empty() {
            let (used, event) = self.decoder.decode(input, &self.limits)?;
            if let Some(event) = event {
                self.stalled &= !matches!(event, Event::Message { .. });
                take(&self.shard, self.slot, event);
            }
            input = &mut input[used..];
        }
        Ok(())
    }

    /// Whether the peer broke the protocol, so that nothing it sends is understood any more.
    pub(super) const fn is_deaf(&self) -> bool {
        self.decoder.is_closed()
    }

    /// Tells the peer that nothing more will come.
    pub(super) async fn shut_down(&self) {
        // A socket that cannot even be shut down is gone, which reading will tell.
        let _ = poll_fn(|cx| Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)).await;
    }

    /// Says goodbye below WebSocket, to a peer that has been told all the rest.
    pub(super) fn part(&self) {
        self.stream.borrow_mut().part();
    }

    /// Publishes an event of this client's, paced by the room there is: a full queue is waited for no longer than `wait`.
    ///
    /// # Errors
    ///
    /// As [`Node::publish`](crate::node::Node::publish).
    pub(crate) async fn publish(
        &self,
        channel: &ChannelName,
        event: throng_engine::Event,
        options: &PublishOptions,
        wait: Duration,
    ) -> Result<Published, EngineError> {
        /// Publications in one go before their sender has to look out for others.
        const STREAK: u8 = 16;

        if self.streak.get() >= STREAK {
            self.shard.node.ease(channel, wait).await;
            self.streak.set(0);
        }
        self.streak.set(self.streak.get() + 1);
        self.shard.node.publish(channel, event, options, wait).await
    }

    /// Whether the client has taken all that was written to it, or must go.
    pub(crate) fn is_flushed(&self) -> bool {
        let table = self.shard.table.borrow();
        table.is_flushed(self.slot) || table.ending(self.slot).is_some()
    }

    /// Waits until what is in the outbox has been offered to the peer: it is written, or in a backlog that has its bounds.
    pub(crate) async fn give_way(&self) {
        loop {
            self.shard.wake_turn();
            tokio::task::yield_now().await;
            let table = self.shard.table.borrow();
            if table.is_flushed(self.slot)
                || table.backlog_of(self.slot) > 0
                || table.ending(self.slot).is_some()
            {
                return;
            }
        }
    }

    /// Puts a control frame into the outbox.
    pub(crate) fn send_control(&self, opcode: Opcode, payload: &[u8]) {
        self.shard.send(self.slot, |out| frame::encode_into(opcode, payload, out));
    }

    /// Puts a message into the outbox.
    pub(crate) fn send(&self, opcode: Opcode, payload: &[u8]) {
        self.send_control(opcode, payload);
        self.count_sent();
    }

    /// Counts a message of the client's own that was put into its outbox.
    pub(crate) fn count_sent(&self) {
        self.shard.node.metrics.shards[self.shard.id.index()].messages_sent.add(1);
    }
}
