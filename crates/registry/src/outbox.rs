use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// How much may wait for clients that do not read.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Bytes that may wait for one client, the frames' full lengths and an overhead for each. Default 1 MiB.
    pub client_bytes: usize,
    /// Frames that may wait for one client. Default 8,192.
    pub client_messages: usize,
    /// Bytes that may wait for all clients of a shard; beyond it the deepest are ended first. Default 256 MiB.
    pub shard_bytes: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { client_bytes: 1 << 20, client_messages: 8_192, shard_bytes: 256 << 20 }
    }
}

/// What a frame is charged beside its length: its place in the list and its share of the allocation.
const FRAME_OVERHEAD: usize = 64;

/// What a client's socket has not taken yet, in order. Only a client whose socket is full has one.
///
/// A frame is charged in full until its last byte is written, also where clients share it: the bound must hold if all the
/// others let go of it.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    frames: VecDeque<Bytes>,
    /// Bytes of the first frame that are written already.
    written: usize,
    charged: usize,
}

impl Backlog {
    pub(crate) fn push(&mut self, frame: Bytes) {
        if !frame.is_empty() {
            self.charged += frame.len() + FRAME_OVERHEAD;
            self.frames.push_back(frame);
        }
    }

    /// Bytes charged to the client.
    pub(crate) const fn charged(&self) -> usize {
        self.charged
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn exceeds(&self, limits: &OutboxLimits, allowance: usize) -> bool {
        self.charged > limits.client_bytes.max(allowance) || self.frames.len() > limits.client_messages
    }

    /// What to write next, as many slices as fit.
    pub(crate) fn slices<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, frame) in into.iter_mut().zip(&self.frames) {
            let start = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&frame[start..]);
            count += 1;
        }
        count
    }

    /// Notes that this many bytes more have left.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        bytes += self.written;
        while let Some(first) = self.frames.front() {
            if bytes < first.len() {
                break;
            }
            bytes -= first.len();
            self.charged -= first.len() + FRAME_OVERHEAD;
            self.frames.pop_front();
        }
        self.written = bytes;
    }

    /// Drops all frames that are not on the wire yet; a frame that is half written stays, or the stream would break.
    pub(crate) fn abandon(&mut self) {
        let keep = usize::from(self.written > 0);
        for frame in self.frames.drain(keep.min(self.frames.len())..) {
            self.charged -= frame.len() + FRAME_OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(frames: &[&'static str]) -> Backlog {
        let mut backlog = Backlog::default();
        frames.iter().for_each(|frame| backlog.push(Bytes::from_static(frame.as_bytes())));
        backlog
    }

    fn pending(backlog: &Backlog) -> String {
        let mut slices = [IoSlice::new(&[]); 8];
        let count = backlog.slices(&mut slices);
        slices[..count]
            .iter()
            .map(|slice| String::from_utf8(slice.to_vec()).unwrap())
            .collect::<Vec<_>>()
            .join("|")
    }

    #[test]
    fn what_is_written_leaves_from_the_front_and_frames_are_charged_until_their_last_byte() {
        let mut backlog = backlog(&["abc", "defg", "h"]);
        let full = backlog.charged();
        assert_eq!(full, 8 + 3 * FRAME_OVERHEAD);
        backlog.advance(2);
        assert_eq!((pending(&backlog).as_str(), backlog.charged()), ("c|defg|h", full));
        backlog.advance(3);
        assert_eq!((pending(&backlog).as_str(), backlog.charged()), ("fg|h", full - 3 - FRAME_OVERHEAD));
        backlog.advance(3);
        assert!(backlog.is_empty());
        assert_eq!(backlog.charged(), 0);
    }

    #[test]
    fn abandoning_keeps_only_a_frame_that_is_half_written() {
        let mut half = backlog(&["abc", "defg"]);
        half.advance(1);
        half.abandon();
        assert_eq!(pending(&half), "bc");
        let mut untouched = backlog(&["abc", "defg"]);
        untouched.abandon();
        assert!(untouched.is_empty());
        assert_eq!(untouched.charged(), 0);
    }

    #[test]
    fn bytes_and_messages_are_bounded_each() {
        let limits = OutboxLimits { client_bytes: 200, client_messages: 2, shard_bytes: 0 };
        assert!(!backlog(&["a", "b"]).exceeds(&limits, 0));
        assert!(backlog(&["a", "b", "c"]).exceeds(&limits, 0));
        let mut large = backlog(&[]);
        large.push(Bytes::from(vec![0; 200]));
        assert!(large.exceeds(&limits, 0));
        assert!(!large.exceeds(&limits, 1_000), "an allowance widens the bound on bytes");
    }
}
