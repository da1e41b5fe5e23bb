//! Whether what one subscriber received from one publisher is complete, single and in order.

/// Gaps that are remembered per stream; beyond it the oldest gap counts as lost for good.
const MAX_GAPS: usize = 1024;

/// Follows the sequence numbers of one publisher at one subscriber.
///
/// A number that arrives late is told from one that arrives twice by the gaps that are still open.
///
/// ```
/// use throng_bench::sequence::{Arrival, Sequence};
///
/// let mut sequence = Sequence::default();
/// assert_eq!(sequence.arrived(0), Arrival::InOrder);
/// assert_eq!(sequence.arrived(2), Arrival::AfterGap { missing: 1 });
/// assert_eq!(sequence.arrived(1), Arrival::Late);
/// assert_eq!(sequence.arrived(2), Arrival::Duplicate);
/// assert_eq!(sequence.missing_of(4), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    next: u32,
    /// Nearly no stream has any, and there are millions of streams.
    gaps: Option<Box<Gaps>>,
}

#[derive(Clone, Debug, Default)]
struct Gaps {
    /// Half-open ranges in ascending order.
    open: Vec<(u32, u32)>,
    /// Numbers in gaps that are no longer remembered.
    given_up: u32,
}

/// What one arrival means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrival {
    /// The next number.
    InOrder,
    /// A later number than the next one; so many before it have not arrived (yet).
    AfterGap {
        /// Numbers that were skipped by this arrival.
        missing: u32,
    },
    /// A number that was missing: not lost, but out of order.
    Late,
    /// A number that has arrived before.
    Duplicate,
}

impl Sequence {
    /// Takes note of one number.
    pub fn arrived(&mut self, number: u32) -> Arrival {
        if number == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        if number > self.next {
            let missing = number - self.next;
            self.open_gap((self.next, number));
            self.next = number + 1;
            return Arrival::AfterGap { missing };
        }
        if self.fill(number) { Arrival::Late } else { Arrival::Duplicate }
    }

    /// The number that is due next.
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// How many of the numbers below `sent` have not arrived.
    pub fn missing_of(&self, sent: u32) -> u32 {
        let inside = self
            .gaps
            .as_ref()
            .map_or(0, |gaps| gaps.given_up + gaps.open.iter().map(|(start, end)| end - start).sum::<u32>());
        inside + sent.saturating_sub(self.next)
    }

    fn open_gap(&mut self, gap: (u32, u32)) {
        let gaps = self.gaps.get_or_insert_default();
        if gaps.open.len() == MAX_GAPS {
            let (start, end) = gaps.open.remove(0);
            gaps.given_up += end - start;
        }
        gaps.open.push(gap);
    }

    fn fill(&mut self, number: u32) -> bool {
        let Some(Gaps { open, .. }) = self.gaps.as_deref_mut() else { return false };
        let Some(index) = open.iter().position(|(start, end)| (*start..*end).contains(&number)) else {
            return false;
        };
        let (start, end) = open[index];
        let parts = [(start, number), (number + 1, end)];
        open.splice(index..=index, parts.into_iter().filter(|(start, end)| start < end));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Any stream of numbers is judged as a set and a maximum would judge it.
        #[test]
        fn arrivals_agree_with_a_plain_set(numbers in proptest::collection::vec(0u32..60, 0..120)) {
            let mut sequence = Sequence::default();
            let mut seen = HashSet::new();
            for number in numbers {
                let highest = seen.iter().max().map_or(0, |max: &u32| max + 1);
                let expected = match number {
                    _ if seen.contains(&number) => Arrival::Duplicate,
                    _ if number < highest => Arrival::Late,
                    _ if number == highest => Arrival::InOrder,
                    _ => Arrival::AfterGap { missing: number - highest },
                };
                prop_assert_eq!(sequence.arrived(number), expected);
                seen.insert(number);
            }
            let sent = 80;
            let missing = u32::try_from((0..sent).filter(|number| !seen.contains(number)).count()).unwrap();
            prop_assert_eq!(sequence.missing_of(sent), missing);
        }
    }

    #[test]
    fn planted_loss_duplicate_and_reordering_are_found() {
        let mut sequence = Sequence::default();
        let arrivals: Vec<Arrival> = [0, 1, 1, 4, 3, 5].map(|number| sequence.arrived(number)).into();
        let gap = Arrival::AfterGap { missing: 2 };
        assert_eq!(
            arrivals,
            [Arrival::InOrder, Arrival::InOrder, Arrival::Duplicate, gap, Arrival::Late, Arrival::InOrder]
        );
        assert_eq!(sequence.missing_of(6), 1);
    }

    #[test]
    fn remembered_gaps_are_bounded_and_none_is_forgotten_as_loss() {
        let mut sequence = Sequence::default();
        let sent = 2 * u32::try_from(MAX_GAPS).unwrap() * 2;
        for number in (1..sent).step_by(2) {
            sequence.arrived(number);
        }
        assert_eq!(sequence.gaps.as_ref().unwrap().open.len(), MAX_GAPS);
        assert_eq!(sequence.missing_of(sent), sent / 2);
    }
}
