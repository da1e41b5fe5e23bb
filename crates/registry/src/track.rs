/// A place in a channel's stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StreamMark {
    /// The stream's identity as a number; offsets of different epochs cannot be compared.
    pub epoch: u64,
    /// Offset of a publication; 0 stands before the first.
    pub offset: u64,
}

/// How far somebody has come in a channel: what is not above it has been seen, or was published before.
///
/// Events in the stream are compared by their offsets, all others, and those of another epoch, by their sequence: the two are
/// read at different places, and a sequence says nothing about a stream that other nodes write, too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Track {
    pub(crate) sequence: u64,
    pub(crate) stream: Option<StreamMark>,
}

/// What an event is to somebody who stands at a [`Track`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// The one that comes next.
    Next,
    /// One that has been seen already.
    Old,
    /// A new one, but others of the stream should have come before it.
    Gap,
}

impl Track {
    /// Moves past an event.
    pub(crate) fn advance(&mut self, sequence: u64, stream: Option<StreamMark>) -> Step {
        let by_sequence = if sequence > self.sequence { Step::Next } else { Step::Old };
        self.sequence = self.sequence.max(sequence);
        let Some(mark) = stream else { return by_sequence };
        let step = match self.stream {
            Some(last) if last.epoch == mark.epoch && mark.offset <= last.offset => Step::Old,
            Some(last) if last.epoch == mark.epoch && mark.offset == last.offset + 1 => Step::Next,
            Some(last) if last.epoch == mark.epoch || by_sequence == Step::Next => Step::Gap,
            Some(_) | None => by_sequence,
        };
        if step != Step::Old {
            self.stream = Some(mark);
        }
        step
    }

    /// Whether somebody at this track will take the same steps as somebody at the `other` from now on.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.sequence == other.sequence && (self.stream.is_none() || self.stream == other.stream)
    }

    /// Whether publications up to `mark` should have come and did not.
    pub(crate) fn is_behind(&self, mark: StreamMark) -> bool {
        self.stream.is_none_or(|own| own.epoch != mark.epoch || own.offset < mark.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mark(epoch: u64, offset: u64) -> Option<StreamMark> {
        Some(StreamMark { epoch, offset })
    }

    fn steps<const N: usize>(mut track: Track, events: [(u64, Option<StreamMark>); N]) -> [Step; N] {
        events.map(|(sequence, stream)| track.advance(sequence, stream))
    }

    #[test]
    fn events_outside_of_a_stream_go_by_their_sequence() {
        let track = Track { sequence: 5, stream: mark(1, 9) };
        assert_eq!(steps(track, [(5, None), (6, None), (6, None)]), [Step::Old, Step::Next, Step::Old]);
    }

    #[test]
    fn events_of_the_stream_go_by_their_offset_whatever_their_sequence() {
        let track = Track { sequence: 5, stream: mark(1, 9) };
        let events =
            [(6, mark(1, 9)), (4, mark(1, 10)), (7, mark(1, 12)), (8, mark(1, 11)), (9, mark(1, 13))];
        assert_eq!(steps(track, events), [Step::Old, Step::Next, Step::Gap, Step::Old, Step::Next]);
    }

    #[test]
    fn another_epoch_is_a_gap_unless_it_is_one_of_the_past() {
        let track = Track { sequence: 5, stream: mark(2, 9) };
        let events = [(5, mark(1, 99)), (6, mark(2, 10)), (7, mark(3, 1)), (8, mark(3, 2))];
        assert_eq!(steps(track, events), [Step::Old, Step::Next, Step::Gap, Step::Next]);
    }

    #[test]
    fn whoever_knows_no_place_in_the_stream_takes_the_first_that_comes() {
        let track = Track { sequence: 5, stream: None };
        let events = [(5, mark(1, 3)), (6, mark(1, 4)), (7, mark(1, 5)), (8, mark(1, 7))];
        assert_eq!(steps(track, events), [Step::Old, Step::Next, Step::Next, Step::Gap]);
    }
}
