use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};
use throng_protocol::{Command, Format};

/// Most commands in one frame: well below what servers accept (throng: 1,024).
const MAX_COMMANDS: usize = 256;

/// Commands on their way out, put together into as few frames as the limits allow.
#[derive(Debug)]
pub(crate) struct FrameBatch {
    format: Format,
    max_bytes: usize,
    /// Frames that are full.
    full: VecDeque<Bytes>,
    /// The frame that the next command goes into.
    open: BytesMut,
    /// How many commands that one holds.
    commands: usize,
}

/// A command that no frame can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooLong {
    pub(crate) bytes: usize,
}

impl FrameBatch {
    pub(crate) fn new(format: Format, max_bytes: usize) -> Self {
        Self { format, max_bytes, full: VecDeque::new(), open: BytesMut::new(), commands: 0 }
    }

    /// Appends a command.
    ///
    /// # Errors
    ///
    /// [`TooLong`] when it does not fit a frame of its own; then nothing is appended.
    pub(crate) fn push(&mut self, command: &Command) -> Result<(), TooLong> {
        let before = self.open.len();
        self.format.encode_command(command, &mut self.open);
        if self.open.len() <= self.max_bytes && self.commands < MAX_COMMANDS {
            self.commands += 1;
            return Ok(());
        }
        let mut own = self.open.split_off(before);
        if before > 0 && self.format == Format::Json {
            own.advance(1); // the newline between two commands
        }
        if own.len() > self.max_bytes {
            return Err(TooLong { bytes: own.len() });
        }
        if before > 0 {
            self.full.push_back(std::mem::replace(&mut self.open, own).freeze());
        } else {
            self.open = own;
        }
        self.commands = 1;
        Ok(())
    }

    /// The next frame to send, if any.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.full.pop_front().or_else(|| {
            self.commands = 0;
            (!self.open.is_empty()).then(|| self.open.split().freeze())
        })
    }

    /// Forgets everything: the connection that it was meant for is gone.
    pub(crate) fn clear(&mut self) {
        self.full.clear();
        self.open.clear();
        self.commands = 0;
    }
}

#[cfg(test)]
mod tests {
    use throng_protocol::{Limits, PublishRequest, Request};

    use super::*;

    fn publish(id: u32, bytes: usize) -> Command {
        let data = json_string(bytes).into();
        let request = PublishRequest { channel: "news".to_owned(), data, ..PublishRequest::default() };
        Command::Request { id, request: Request::Publish(request) }
    }

    fn json_string(bytes: usize) -> String {
        format!("\"{}\"", "x".repeat(bytes))
    }

    fn frames(batch: &mut FrameBatch) -> Vec<Vec<u32>> {
        let (format, max_bytes) = (batch.format, batch.max_bytes);
        std::iter::from_fn(|| batch.pop())
            .map(|frame| {
                assert!(frame.len() <= max_bytes);
                format
                    .decode_commands(frame, &Limits::default())
                    .map(|command| match command {
                        Ok(Command::Request { id, .. }) => id,
                        other => panic!("{other:?}"),
                    })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn commands_share_a_frame_until_it_is_full() {
        for format in [Format::Json, Format::Protobuf] {
            let mut batch = FrameBatch::new(format, 400);
            for id in 1..=7 {
                assert_eq!(batch.push(&publish(id, 100)), Ok(()));
            }
            let frames = frames(&mut batch);
            assert_eq!(frames.concat(), [1, 2, 3, 4, 5, 6, 7], "{format}");
            assert!(frames.len() < 5, "{format}: {frames:?}");
        }
    }

    #[test]
    fn a_command_that_fits_no_frame_is_refused_and_leaves_the_others_alone() {
        for format in [Format::Json, Format::Protobuf] {
            let mut batch = FrameBatch::new(format, 400);
            assert!(matches!(batch.push(&publish(1, 500)), Err(TooLong { bytes: 500.. })));
            assert_eq!(batch.pop(), None);
            assert_eq!(batch.push(&publish(2, 100)), Ok(()));
            assert!(batch.push(&publish(3, 500)).is_err());
            assert_eq!(batch.push(&publish(4, 100)), Ok(()));
            assert_eq!(batch.push(&publish(5, 300)), Ok(()));
            assert_eq!(frames(&mut batch), [vec![2, 4], vec![5]], "{format}");
        }
    }

    #[test]
    fn many_small_commands_are_spread_over_frames() {
        for format in [Format::Json, Format::Protobuf] {
            let mut batch = FrameBatch::new(format, 65_536);
            for id in 1..=600 {
                batch.push(&publish(id, 1)).unwrap();
            }
            let frames = frames(&mut batch);
            assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [256, 256, 88], "{format}");
            assert_eq!(frames.concat(), (1..=600).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_left_after_clear() {
        let mut batch = FrameBatch::new(Format::Json, 200);
        for id in 1..=5 {
            batch.push(&publish(id, 100)).unwrap();
        }
        batch.clear();
        assert_eq!(batch.pop(), None);
    }
}
