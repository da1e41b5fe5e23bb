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
        self.0.next_with(|format, message, limits| match format {
            Format::Json => json::decode_command(message, limits),
            Format::Protobuf => protobuf::decode_command(message, limits),
        })
    }
}

impl std::iter::FusedIterator for Commands {}

/// The replies of one frame, in order; made by [`Format::decode_replies`].
///
/// Who gives the channels of pushes [back](Self::give_back) after use gets the next ones in the same buffer:
///
/// ```
/// use throng_protocol::{Format, Limits, Reply};
///
/// let frame = "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":1}}}";
/// let mut buffer = String::with_capacity(100);
/// for _ in 0..3 {
///     let mut replies = Format::Json.decode_replies(frame.into(), &Limits::for_replies());
///     replies.give_back(buffer);
///     let Some(Ok(Reply::Push(push))) = replies.next() else { panic!("no push") };
///     assert_eq!((push.channel.as_str(), push.channel.capacity()), ("news", 100));
///     buffer = push.channel;
/// }
/// ```
#[derive(Debug)]
pub struct Replies {
    frame: Frame,
    /// What the channel of the next push is written to.
    spare: String,
}

impl Replies {
    pub(super) fn new(format: Format, frame: Bytes, limits: &Limits) -> Self {
        Self { frame: Frame::new(format, frame, limits), spare: String::new() }
    }

    /// Takes a buffer for the channel of the next push. Its content does not matter.
    pub fn give_back(&mut self, buffer: String) {
        self.spare = buffer;
    }

    /// The buffer that was given back and not used, or an empty string.
    pub fn into_buffer(self) -> String {
        self.spare
    }
}

impl Iterator for Replies {
    type Item = Result<Reply, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // None inside: a push of a kind that is not known here.
            let spare = &mut self.spare;
            let decoded = self.frame.next_with(|format, message, limits| match format {
                Format::Json => json::decode_reply(message, limits, spare),
                Format::Protobuf => protobuf::decode_reply(message, limits, spare),
            })?;
            match decoded {
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

impl Frame {
    fn new(format: Format, frame: Bytes, limits: &Limits) -> Self {
        Self { format, rest: frame, limits: *limits, taken: 0, ended: false }
    }

    fn next_with<T>(
        &mut self,
        decode: impl FnOnce(Format, &Bytes, &Limits) -> Result<T, DecodeError>,
    ) -> Option<Result<T, DecodeError>> {
        if self.ended || (self.rest.is_empty() && self.taken > 0) {
            return None;
        }
        let result = self.cut().and_then(|message| decode(self.format, &message, &self.limits));
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
