use std::ops::RangeInclusive;

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{Ending, Link, Way};

/// Ends connections of a [`Link`] by chance, for soaks. The same seed draws the same cuts.
///
/// Each cut comes after a number of bytes, not after a time, so that on any machine it falls into handshakes, into answers, and into
/// the middle of messages.
///
/// ```
/// use throng_testkit::Cutter;
///
/// let draw = |seed| {
///     let mut cutter = Cutter::new(seed, 1..=2_000);
///     [cutter.draw(), cutter.draw(), cutter.draw()]
/// };
/// assert_eq!(draw(7), draw(7));
/// assert_ne!(draw(7), draw(8));
/// ```
#[derive(Debug)]
pub struct Cutter {
    random: SmallRng,
    bytes: RangeInclusive<u64>,
}

/// A cut that a [`Cutter`] has drawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cut {
    /// In which direction bytes are counted.
    pub way: Way,
    /// How many pass before it.
    pub bytes: u64,
    /// How the connection ends; never half open, which takes clients as long as their watchdogs wait.
    pub ending: Ending,
}

impl Cutter {
    /// Cuts after a number of bytes in this range, each number as likely as any other; two of three are resets.
    #[must_use]
    pub fn new(seed: u64, bytes: RangeInclusive<u64>) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), bytes }
    }

    /// The next cut.
    pub fn draw(&mut self) -> Cut {
        Cut {
            way: if self.random.random_bool(0.75) { Way::ToClient } else { Way::ToServer },
            bytes: self.random.random_range(self.bytes.clone()),
            ending: if self.random.random_ratio(2, 3) { Ending::Reset } else { Ending::Close },
        }
    }

    /// Draws a cut and waits until it has happened.
    pub async fn cut(&mut self, link: &Link) -> Cut {
        let cut = self.draw();
        link.end_after(cut.way, cut.bytes, cut.ending).await;
        cut
    }
}
