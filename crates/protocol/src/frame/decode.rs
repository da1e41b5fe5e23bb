//! Bytes in, events out.

use std::borrow::Cow;
use std::fmt;
use std::mem;

use super::header::{Carries, Control, Header, PartialHeader};
use super::mask::Key;
use super::utf8::check_beginning;
use super::{CloseFrame, Event, FrameError, FrameLimits, MessageKind, is_close_code};

/// One connection's position in the byte stream of its client; see the [module](super) for its states.
///
/// It takes 64 bytes, and heap memory only while a frame or a message is unfinished.
pub struct Decoder {
    stage: Stage,
    /// The message whose final frame is not complete yet.
    message: Option<Message>,
}

impl Decoder {
    /// A decoder for a connection whose opening handshake is done.
    pub const fn new() -> Self {
        Self { stage: Stage::IDLE, message: None }
    }

    /// Consumes a prefix of `input`, up to the end of one event; returns its length and the event.
    ///
    /// Without an event all of `input` is consumed: what is unfinished has moved into the decoder, so the caller may use
    /// its buffer for something else. Payload is unmasked in place, so the consumed part of `input` holds nothing of use
    /// except what the event borrows.
    ///
    /// After [`Event::Close`] and after an error the reading side of the connection is over: later input is consumed
    /// and ignored. An empty `input` is fine and yields nothing.
    ///
    /// `limits` may differ from call to call; those of the call that completes a frame's header apply to that frame.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the client breaks RFC 6455 or a limit. Events that precede the fault in `input` have been
    /// returned by then. The connection is to be closed with [`FrameError::close_code`].
    pub fn decode<'a>(
        &mut self,
        input: &'a mut [u8],
        limits: &FrameLimits,
    ) -> Result<(usize, Option<Event<'a>>), FrameError> {
        let decoded = match self.advance(input, limits) {
            Ok((used, None)) => Ok((used, None)),
            Ok((used, Some(Found { kind, place }))) => {
                let payload = match place {
                    Place::Input { len } => Cow::Borrowed(&input[used - len..used]),
                    Place::Collected(payload) => Cow::Owned(payload),
                };
                event(kind, payload).map(|event| (used, Some(event)))
            }
            Err(error) => Err(error),
        };
        if matches!(decoded, Err(_) | Ok((_, Some(Event::Close(_))))) {
            *self = Self { stage: Stage::Closed, message: None };
        }
        decoded
    }

    /// Heap memory held for what is unfinished, in bytes: 0 between messages, else at most about twice what has arrived
    /// of the message and its frame.
    pub fn held_bytes(&self) -> usize {
        let control = match &self.stage {
            Stage::Control(frame) => frame.payload.capacity(),
            Stage::Header(_) | Stage::Data(_) | Stage::Closed => 0,
        };
        control + self.message.as_ref().map_or(0, |message| message.payload.capacity())
    }

    /// Whether a frame or a message has begun that is not complete. A client must not stay in this state for ever, so
    /// whoever owns the connection sets it a deadline.
    pub const fn is_unfinished(&self) -> bool {
        match &self.stage {
            Stage::Header(header) => header.has_begun() || self.message.is_some(),
            Stage::Data(_) | Stage::Control(_) => true,
            Stage::Closed => false,
        }
    }

    /// Whether the reading side is over, by [`Event::Close`] or by an error.
    pub const fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    /// Goes through `input` until something is complete; returns what was consumed, and what was found at its end.
    fn advance(
        &mut self,
        input: &mut [u8],
        limits: &FrameLimits,
    ) -> Result<(usize, Option<Found>), FrameError> {
        let mut at = 0;
        loop {
            let rest = &mut input[at..];
            match &mut self.stage {
                Stage::Header(header) => {
                    let Some((header, used)) = header.read(rest)? else {
                        return Ok((input.len(), None));
                    };
                    at += used;
                    if let Some((found, used)) = self.enter(&header, &mut rest[used..], limits)? {
                        return Ok((at + used, Some(found)));
                    }
                }
                Stage::Data(frame) => {
                    let chunk = frame.take(rest);
                    let (left, fin) = (frame.left, frame.fin);
                    at += chunk.len();
                    let message = self.message.as_mut().expect("a data frame belongs to a message");
                    message.append(chunk, if fin { left } else { usize::MAX }, limits)?;
                    if left > 0 {
                        return Ok((at, None));
                    }
                    self.stage = Stage::IDLE;
                    if let Some(message) = self.message.take_if(|_| fin) {
                        return Ok((at, Some(message.finish()?)));
                    }
                }
                Stage::Control(frame) => {
                    at += frame.fill(rest);
                    if frame.left() > 0 {
                        return Ok((at, None));
                    }
                    let (kind, payload) = (Kind::Control(frame.kind), mem::take(&mut frame.payload));
                    self.stage = Stage::IDLE;
                    return Ok((at, Some(Found { kind, place: Place::Collected(payload) })));
                }
                Stage::Closed => return Ok((input.len(), None)),
            }
        }
    }

    /// Takes up the frame that `rest` goes on with. If that is an event by itself and all here, it is done at once;
    /// else the stage becomes the frame's.
    fn enter(
        &mut self,
        header: &Header,
        rest: &mut [u8],
        limits: &FrameLimits,
    ) -> Result<Option<(Found, usize)>, FrameError> {
        let mut key = header.key;
        let left = match header.carries {
            Carries::Control { kind, len } => {
                let Some(payload) = rest.get_mut(..usize::from(len)) else {
                    self.stage = Stage::Control(ControlFrame { kind, len, key, payload: Vec::new() });
                    return Ok(None);
                };
                key.unmask(payload);
                return Ok(Some(Found::in_input(Kind::Control(kind), payload.len())));
            }
            Carries::Message { kind, len } => {
                if self.message.is_some() {
                    return Err(FrameError::ExpectedContinuation);
                }
                let mut message = Message::new(kind);
                let len = message.admit(len, limits)?;
                if let Some(payload) = rest.get_mut(..len)
                    && header.fin
                {
                    key.unmask(payload);
                    if kind == MessageKind::Text && check_beginning(payload) != Ok(0) {
                        return Err(FrameError::TextNotUtf8);
                    }
                    return Ok(Some(Found::in_input(Kind::Message(kind), len)));
                }
                self.message = Some(message);
                len
            }
            Carries::Continuation { len } => {
                let Some(message) = &mut self.message else {
                    return Err(FrameError::UnexpectedContinuation);
                };
                message.admit(len, limits)?
            }
        };
        self.stage = Stage::Data(DataFrame { left, key, fin: header.fin });
        Ok(None)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells the stage and the sizes, never the payload.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Header(_) => "Header",
            Stage::Data(_) => "Data",
            Stage::Control(_) => "Control",
            Stage::Closed => "Closed",
        };
        f.debug_struct("Decoder")
            .field("stage", &stage)
            .field("unfinished", &self.is_unfinished())
            .field("held_bytes", &self.held_bytes())
            .finish()
    }
}

/// An event whose payload is complete, unmasked, and, if it is text, checked.
struct Found {
    kind: Kind,
    place: Place,
}

impl Found {
    const fn in_input(kind: Kind, len: usize) -> (Self, usize) {
        (Self { kind, place: Place::Input { len } }, len)
    }
}

/// Where a complete payload is. (A range in place of a slice, because a loop cannot return what it borrowed anew in every turn.)
enum Place {
    /// The last `len` bytes of what was consumed.
    Input {
        len: usize,
    },
    Collected(Vec<u8>),
}

#[derive(Clone, Copy)]
enum Kind {
    Message(MessageKind),
    Control(Control),
}

fn event(kind: Kind, payload: Cow<'_, [u8]>) -> Result<Event<'_>, FrameError> {
    match kind {
        Kind::Message(kind) => Ok(Event::Message { kind, data: payload }),
        Kind::Control(Control::Ping) => Ok(Event::Ping(payload)),
        Kind::Control(Control::Pong) => Ok(Event::Pong(payload)),
        Kind::Control(Control::Close) => close_frame(payload).map(Event::Close),
    }
}

fn close_frame(payload: Cow<'_, [u8]>) -> Result<Option<CloseFrame<'_>>, FrameError> {
    let code = match &*payload {
        [] => return Ok(None),
        [_] => return Err(FrameError::CloseTooShort),
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
    };
    let reason = match payload {
        Cow::Borrowed(payload) => std::str::from_utf8(&payload[2..]).ok().map(Cow::Borrowed),
        Cow::Owned(mut payload) => String::from_utf8(payload.split_off(2)).ok().map(Cow::Owned),
    };
    let reason = reason.ok_or(FrameError::ReasonNotUtf8)?;
    if is_close_code(code) { Ok(Some(CloseFrame { code, reason })) } else { Err(FrameError::CloseCode(code)) }
}

/// Where in a frame the decoder is. What it keeps of a message is beside it, for control frames come in between.
enum Stage {
    Header(PartialHeader),
    Data(DataFrame),
    Control(ControlFrame),
    Closed,
}

impl Stage {
    const IDLE: Self = Self::Header(PartialHeader::NONE);
}

/// A data frame whose payload moves to the message in progress.
struct DataFrame {
    /// Bytes of payload that have not arrived.
    left: usize,
    key: Key,
    fin: bool,
}

impl DataFrame {
    /// Unmasks as much of the frame as `input` has, and lends it.
    fn take<'a>(&mut self, input: &'a mut [u8]) -> &'a [u8] {
        let len = self.left.min(input.len());
        let chunk = &mut input[..len];
        self.key.unmask(chunk);
        self.left -= len;
        chunk
    }
}

/// A control frame that came in pieces.
struct ControlFrame {
    kind: Control,
    /// Length of the whole payload, at most 125.
    len: u8,
    key: Key,
    /// What has arrived of it, unmasked.
    payload: Vec<u8>,
}

impl ControlFrame {
    /// Copies and unmasks as much of the frame as `input` has; returns how much that is.
    fn fill(&mut self, input: &[u8]) -> usize {
        let had = self.payload.len();
        let len = self.left().min(input.len());
        self.payload.extend_from_slice(&input[..len]);
        self.key.unmask(&mut self.payload[had..]);
        len
    }

    const fn left(&self) -> usize {
        self.len as usize - self.payload.len()
    }
}

/// A message that came in pieces.
struct Message {
    /// What has arrived of it, unmasked.
    payload: Vec<u8>,
    /// Frames that have begun.
    fragments: u32,
    kind: MessageKind,
    /// Bytes at the end of a text that are the beginning of a character, 0 to 3.
    open: u8,
}

impl Message {
    const fn new(kind: MessageKind) -> Self {
        Self { payload: Vec::new(), fragments: 0, kind, open: 0 }
    }

    /// Lets a further frame in, before anything of it is stored; returns its length.
    fn admit(&mut self, len: u64, limits: &FrameLimits) -> Result<usize, FrameError> {
        if self.fragments >= limits.fragments {
            return Err(FrameError::TooManyFragments { limit: limits.fragments });
        }
        self.fragments += 1;
        let limit = limits.message_bytes;
        let room = limit.saturating_sub(self.payload.len());
        match usize::try_from(len) {
            Ok(len) if len <= room => Ok(len),
            _ => Err(FrameError::MessageTooLong { bytes: self.payload.len() as u64 + len, limit }),
        }
    }

    /// Adds what has arrived of a frame. At most `to_come` further bytes will follow.
    fn append(&mut self, chunk: &[u8], to_come: usize, limits: &FrameLimits) -> Result<(), FrameError> {
        let had = self.payload.len();
        let needed = had + chunk.len();
        if needed > self.payload.capacity() {
            // Doubling keeps the work linear. Where the end is known, the last step meets it exactly.
            let longest = limits.message_bytes.min(needed.saturating_add(to_come));
            let capacity = needed.saturating_mul(2).min(longest).max(needed);
            self.payload.reserve_exact(capacity - had);
        }
        self.payload.extend_from_slice(chunk);
        if self.kind == MessageKind::Text {
            let unchecked = &self.payload[had - usize::from(self.open)..];
            self.open = check_beginning(unchecked).map_err(|_| FrameError::TextNotUtf8)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Found, FrameError> {
        if self.open > 0 {
            return Err(FrameError::TextNotUtf8);
        }
        Ok(Found { kind: Kind::Message(self.kind), place: Place::Collected(self.payload) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_decoder_fits_in_64_bytes() {
        assert!(size_of::<Decoder>() <= 64, "{} bytes", size_of::<Decoder>());
    }
}
