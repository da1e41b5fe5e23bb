//! One connection as a sans-io state machine: bytes in, events and bytes out.
//!
//! ```text
//! Upgrading ──101──► Greeting ──all answered──► Open ──Close frame──► Closed
//!                 (a relay has no greeting)
//! ```

use crate::wire::{
    dialect::{FIRST_PUBLISH_ID, Incoming, Protocol, Refusal, Room},
    frame::{self, Header},
    stamp::Stamp,
    upgrade::{Upgrade, UpgradeFault},
};

/// Longest message that is taken from a server, in bytes: far above any that it was sent.
const MAX_MESSAGE: u64 = 4 << 20;

/// What all connections of a run have in common.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) protocol: Protocol,
    pub(crate) upgrade: Upgrade,
    pub(crate) rooms: Vec<Room>,
    /// Path of the handshake with `{room}` in it, or without.
    pub(crate) path_template: String,
    /// Bytes of every payload.
    pub(crate) size: usize,
}

/// One connection's state. It holds no buffer while nothing is under way.
#[derive(Debug)]
pub(crate) struct Link {
    phase: Phase,
    room: u32,
    subscribes: bool,
    wants_pong: bool,
    /// Payload of a message whose last frame has not arrived.
    fragments: Option<Vec<u8>>,
    /// Bytes of a frame that has not arrived whole.
    pending: Vec<u8>,
    pub(crate) outbox: Outbox,
}

/// What one connection is about to send.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them the socket has taken.
    written: usize,
    /// State of the generator of mask keys: a server cannot unmask cheaper than it would have to for a browser.
    mask: u32,
    next_id: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Upgrading,
    Greeting { answers: u8 },
    Open,
    Closed { was_open: bool },
}

/// What happened on a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// The handshake, and the greeting where there is one, are done.
    Opened,
    /// A stamped message arrived.
    Message(Stamp),
    /// A message that is not of this run.
    Foreign,
    /// A publication was refused.
    Refused(Refusal),
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LinkError {
    /// The opening handshake failed.
    #[error("the opening handshake failed: {0}")]
    Upgrade(#[from] UpgradeFault),
    /// Connecting or subscribing was answered with an error.
    #[error("the server refused to let the client in: {0}")]
    Refused(Refusal),
    /// The server broke RFC 6455.
    #[error("the server broke the WebSocket protocol: {0}")]
    Frame(&'static str),
    /// A message is longer than 4 MiB.
    #[error("the server announced a message of {bytes} bytes, more than the {MAX_MESSAGE} that are taken")]
    TooLong {
        /// Announced length.
        bytes: u64,
    },
    /// A message is no reply of the protocol.
    #[error("the server sent something that is no reply of the protocol")]
    Undecodable,
    /// The server sent a Close frame.
    #[error("the server closed with code {code} {reason:?}")]
    Closed {
        /// Close code, 1005 when the frame had none.
        code: u16,
        /// Close reason.
        reason: String,
    },
    /// The connection ended without a Close frame.
    #[error("the server hung up")]
    HungUp,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(String),
    /// The connection was not open in time.
    #[error("the connection was not open after {0:?}")]
    Deadline(std::time::Duration),
}

impl Wire {
    pub(crate) fn room(&self, number: u32) -> &Room {
        &self.rooms[number as usize]
    }
}

impl Link {
    /// A connection to `room` that has its handshake request in its outbox.
    pub(crate) fn new(wire: &Wire, room: u32, subscribes: bool, seed: u32) -> Self {
        let mut outbox = Outbox { bytes: Vec::new(), written: 0, mask: seed | 1, next_id: FIRST_PUBLISH_ID };
        let path = wire.path_template.replace("{room}", &wire.room(room).name);
        wire.upgrade.write_request(&path, &mut outbox.bytes);
        Self {
            phase: Phase::Upgrading,
            room,
            subscribes,
            wants_pong: false,
            fragments: None,
            pending: Vec::new(),
            outbox,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Open now, or open until the server closed it.
    pub(crate) const fn was_open(&self) -> bool {
        match self.phase {
            Phase::Upgrading | Phase::Greeting { .. } => false,
            Phase::Open => true,
            Phase::Closed { was_open } => was_open,
        }
    }

    /// Bytes that must stand before what is read next.
    pub(crate) fn take_pending(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// Puts back what [`take_pending`](Self::take_pending) gave, because nothing came behind it.
    pub(crate) fn keep_pending(&mut self, pending: Vec<u8>) {
        self.pending = pending;
    }

    /// Takes `bytes`: what was pending, followed by what was read. Events are given to `each` together with the outbox,
    /// so that an answer leaves with the next write.
    pub(crate) fn feed(
        &mut self,
        wire: &Wire,
        bytes: &[u8],
        each: &mut impl FnMut(Event, &mut Outbox),
    ) -> Result<(), LinkError> {
        let mut rest = bytes;
        if self.phase == Phase::Upgrading {
            let Some(head) = wire.upgrade.check_response(rest)? else {
                self.pending.extend_from_slice(rest);
                return Ok(());
            };
            rest = &rest[head..];
            self.greet(wire, each);
        }
        while let Some((header, end)) = next_frame(rest)? {
            self.take_frame(wire, header, &rest[header.size..end], each)?;
            rest = &rest[end..];
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    fn greet(&mut self, wire: &Wire, each: &mut impl FnMut(Event, &mut Outbox)) {
        let mut greeting = Vec::new();
        let room = self.subscribes.then(|| wire.room(self.room));
        let answers = wire.protocol.write_greeting(room, &mut greeting);
        if answers == 0 {
            self.phase = Phase::Open;
            each(Event::Opened, &mut self.outbox);
        } else {
            self.phase = Phase::Greeting { answers };
            self.outbox.push_frame(wire.protocol.opcode(), &greeting);
        }
    }

    fn take_frame(
        &mut self,
        wire: &Wire,
        header: Header,
        payload: &[u8],
        each: &mut impl FnMut(Event, &mut Outbox),
    ) -> Result<(), LinkError> {
        match (header.opcode, header.fin) {
            (frame::TEXT | frame::BINARY, _) if self.fragments.is_some() => {
                Err(LinkError::Frame("a new message began inside another one"))
            }
            (frame::TEXT | frame::BINARY, true) => self.take_message(wire, payload, each),
            (frame::TEXT | frame::BINARY, false) => {
                self.fragments = Some(payload.to_vec());
                Ok(())
            }
            (frame::CONTINUATION, fin) => {
                let fragments = self.fragments.as_mut();
                let message = fragments.ok_or(LinkError::Frame("a continuation had nothing to continue"))?;
                message.extend_from_slice(payload);
                let bytes = message.len() as u64;
                if bytes > MAX_MESSAGE {
                    return Err(LinkError::TooLong { bytes });
                }
                if !fin {
                    return Ok(());
                }
                let message = self.fragments.take().unwrap_or_default();
                self.take_message(wire, &message, each)
            }
            (frame::PING, _) => {
                self.outbox.push_frame(frame::PONG, payload);
                Ok(())
            }
            (frame::PONG, _) => Ok(()),
            (frame::CLOSE, _) => Err(self.close_by_peer(payload)),
            (_, _) => Err(LinkError::Frame("a frame had an unknown opcode")),
        }
    }

    fn take_message(
        &mut self,
        wire: &Wire,
        message: &[u8],
        each: &mut impl FnMut(Event, &mut Outbox),
    ) -> Result<(), LinkError> {
        let mut fault = None;
        let result =
            wire.protocol.read(message, wire.room(self.room), wire.size, &mut |incoming| match incoming {
                Incoming::Publication(stamp) => each(Event::Message(stamp), &mut self.outbox),
                Incoming::Foreign => each(Event::Foreign, &mut self.outbox),
                Incoming::Ping if self.wants_pong => {
                    self.outbox.push_frame(wire.protocol.opcode(), wire.protocol.pong());
                }
                Incoming::Ping => {}
                Incoming::Answer { id, refused, wants_pong } => {
                    self.wants_pong |= wants_pong;
                    match (refused, &mut self.phase) {
                        (Some(refusal), _) if id < FIRST_PUBLISH_ID => {
                            fault = Some(LinkError::Refused(refusal));
                        }
                        (Some(refusal), _) => each(Event::Refused(refusal), &mut self.outbox),
                        (None, Phase::Greeting { answers }) => {
                            *answers = answers.saturating_sub(1);
                            if *answers == 0 {
                                self.phase = Phase::Open;
                                each(Event::Opened, &mut self.outbox);
                            }
                        }
                        (None, Phase::Upgrading | Phase::Open | Phase::Closed { .. }) => {}
                    }
                }
            });
        if let Some(fault) = fault {
            return Err(fault);
        }
        result.map_err(|_| LinkError::Undecodable)
    }

    fn close_by_peer(&mut self, payload: &[u8]) -> LinkError {
        self.phase = Phase::Closed { was_open: self.is_open() };
        self.outbox.push_frame(frame::CLOSE, payload.get(..2).unwrap_or_default());
        let (code, reason) = payload.split_first_chunk().map_or((1005, ""), |(code, reason)| {
            (u16::from_be_bytes(*code), std::str::from_utf8(reason).unwrap_or_default())
        });
        LinkError::Closed { code, reason: reason.to_owned() }
    }
}

impl Outbox {
    /// Queues one message of the run; `scratch` is used to build it.
    pub(crate) fn publish(&mut self, wire: &Wire, stamp: &Stamp, scratch: &mut Scratch) {
        scratch.payload.clear();
        stamp.write(wire.size, &mut scratch.payload);
        if wire.protocol == Protocol::Relay {
            self.push_frame(wire.protocol.opcode(), &scratch.payload);
            return;
        }
        scratch.message.clear();
        let room = wire.room(stamp.room);
        wire.protocol.write_publish(room, self.next_id, &scratch.payload, &mut scratch.message);
        self.next_id += 1;
        self.push_frame(wire.protocol.opcode(), &scratch.message);
    }

    /// Bytes that the socket has not taken.
    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Takes note that the socket took `count` bytes.
    pub(crate) fn wrote(&mut self, count: usize) {
        const COMPACT: usize = 1 << 20;
        self.written += count;
        if self.written == self.bytes.len() || self.written >= COMPACT {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    fn push_frame(&mut self, opcode: u8, payload: &[u8]) {
        // xorshift32: never zero when it did not start so.
        self.mask ^= self.mask << 13;
        self.mask ^= self.mask >> 17;
        self.mask ^= self.mask << 5;
        frame::write_masked(&mut self.bytes, opcode, payload, self.mask.to_ne_bytes());
    }
}

/// Buffers for building a message, shared by all connections.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    payload: Vec<u8>,
    message: Vec<u8>,
}

/// The header of the first frame of `bytes`, checked, and where its payload ends; `None` when it has not arrived whole.
fn next_frame(bytes: &[u8]) -> Result<Option<(Header, usize)>, LinkError> {
    let Some(header) = Header::parse(bytes) else { return Ok(None) };
    if header.reserved {
        return Err(LinkError::Frame("a reserved bit was set although no extension was agreed"));
    }
    if header.mask.is_some() {
        return Err(LinkError::Frame("a frame from the server was masked"));
    }
    if header.is_control() && (!header.fin || header.payload > frame::MAX_CONTROL) {
        return Err(LinkError::Frame("a control frame was fragmented or too long"));
    }
    if header.payload > MAX_MESSAGE {
        return Err(LinkError::TooLong { bytes: header.payload });
    }
    let length = usize::try_from(header.payload).map_err(|_| LinkError::TooLong { bytes: header.payload })?;
    let end = header.size + length;
    Ok((end <= bytes.len()).then_some((header, end)))
}

#[cfg(test)]
mod tests;
