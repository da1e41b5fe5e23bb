use bytes::Bytes;

use super::{Format, json, protobuf};
use crate::{Command, DecodeError, Limits, Reply};

/// The commands of one frame, in order; made by [`Format::decode_commands`].
#[derive(Debug)]
pub struct Commands(Frame);

impl Commands {
    pub(super) fn new(format: Format, frame: Bytes, limits: &Limits) -> Self {
        Self(Frame::new(format, frame, limits))
    }
}

impl Iterator for Commands {
    type Item = Result<Command, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_with(json::decode_command, protobuf::decode_command)
    }
}

impl std::iter::FusedIterator for Commands {}

/// The replies of one frame, in order; made by [`Format::decode_replies`].
#[derive(Debug)]
pub struct Replies(Frame);

impl Replies {
    pub(super) fn new(format: Format, frame: Bytes, limits: &Limits) -> Self {
        Self(Frame::new(format, frame, limits))
    }
}

impl Iterator for Replies {
    type Item = Result<Reply, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // None inside: a push of a kind that is not known here.
            match self.0.next_with(json::decode_reply, protobuf::decode_reply)? {
                Ok(Some(reply)) => return Some(Ok(reply)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl std::iter::FusedIterator for Replies {}

/// A frame that is cut into messages, from the front.
#[derive(Debug)]
struct Frame {
    format: Format,
    /// What is left of the frame.
    rest: Bytes,
    limits: Limits,
    /// Messages cut off so far.
    taken: usize,
    ended: bool,
}

type Decode<T> = fn(&Bytes, &Limits) -> Result<T, DecodeError>;

impl Frame {
    fn new(format: Format, frame: Bytes, limits: &Limits) -> Self {
        Self { format, rest: frame, limits: *limits, taken: 0, ended: false }
    }

    fn next_with<T>(&mut self, json: Decode<T>, protobuf: Decode<T>) -> Option<Result<T, DecodeError>> {
        if self.ended || (self.rest.is_empty() && self.taken > 0) {
            return None;
        }
        let result = self.cut().and_then(|message| match self.format {
            Format::Json => json(&message, &self.limits),
            Format::Protobuf => protobuf(&message, &self.limits),
        });
        self.ended = result.is_err();
        Some(result)
    }

    fn cut(&mut self) -> Result<Bytes, DecodeError> {
        if self.rest.is_empty() {
            return Err(DecodeError::EmptyFrame);
        }
        if self.taken == self.limits.commands_per_frame {
            return Err(DecodeError::TooMany { max: self.limits.commands_per_frame });
        }
        self.taken += 1;
        match self.format {
            Format::Json => json::cut(&mut self.rest, self.limits.command_bytes),
            Format::Protobuf => protobuf::cut(&mut self.rest, self.limits.command_bytes),
        }
    }
}
