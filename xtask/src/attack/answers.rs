//! What the server answered to an attacker, held against what it should have.

use std::{collections::BTreeMap, fmt};

/// What an attacker saw.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Seen {
    /// An HTTP status.
    Status(u16),
    /// A close frame with this code; 1005 if it had none.
    Close(u16),
    /// An error reply with this code.
    Error(u32),
    /// A reply that a command succeeded, or any other message.
    Granted,
    /// The end of the stream, without a word.
    End,
    /// The connection was reset.
    Reset,
    /// Nothing, for longer than any deadline of the server's.
    Silence,
    /// Something that had to be so is so.
    Held,
    /// Something that had to be so is not so.
    Broken,
}

/// The answers of one attack, counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    right: BTreeMap<Seen, usize>,
    /// By what was tried, and what came.
    wrong: BTreeMap<(String, Seen), usize>,
}

impl Answers {
    /// No answers, because of this.
    pub(super) fn of_none(error: &anyhow::Error) -> Self {
        let mut answers = Self::default();
        answers.hold(&format!("{error:#}"), false);
        answers
    }

    /// Counts what was seen when `what` was tried; it must be one of `expected`.
    pub(super) fn expect(&mut self, what: &str, expected: &[Seen], seen: Seen) {
        if expected.contains(&seen) {
            *self.right.entry(seen).or_default() += 1;
        } else {
            *self.wrong.entry((what.to_owned(), seen)).or_default() += 1;
        }
    }

    /// Counts whether something holds that no single answer tells.
    pub(super) fn hold(&mut self, what: &str, holds: bool) {
        self.expect(what, &[Seen::Held], if holds { Seen::Held } else { Seen::Broken });
    }

    /// Takes in what was seen at another time.
    pub(super) fn add(&mut self, other: Self) {
        for (seen, count) in other.right {
            *self.right.entry(seen).or_default() += count;
        }
        for (what, count) in other.wrong {
            *self.wrong.entry(what).or_default() += count;
        }
    }

    /// How much was seen.
    pub(super) fn total(&self) -> usize {
        self.right.values().sum::<usize>() + self.wrong.values().sum::<usize>()
    }

    /// What was not as it should be, as sentences.
    pub(super) fn wrong(&self) -> impl Iterator<Item = String> {
        self.wrong.iter().map(|((what, seen), count)| format!("{what}: {seen}, {count} time(s)"))
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (seen, count)) in self.right.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} × {seen}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Close(code) => write!(f, "close {code}"),
            Self::Error(code) => write!(f, "error {code}"),
            Self::Granted => f.write_str("granted"),
            Self::End => f.write_str("end"),
            Self::Reset => f.write_str("reset"),
            Self::Silence => f.write_str("silence"),
            Self::Held => f.write_str("held"),
            Self::Broken => f.write_str("did not hold"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_wrong_ones_named() {
        let mut answers = Answers::default();
        answers.expect("a", &[Seen::Close(1002), Seen::End], Seen::End);
        answers.expect("a", &[Seen::Close(1002), Seen::End], Seen::End);
        answers.expect("b", &[Seen::Status(400)], Seen::Status(200));
        answers.hold("c", true);
        answers.hold("d", false);
        assert_eq!(answers.to_string(), "2 × end, 1 × held");
        assert_eq!(answers.total(), 5);
        answers.add(answers.clone());
        assert_eq!(answers.to_string(), "4 × end, 2 × held");
        let wrong: Vec<_> = answers.wrong().collect();
        assert_eq!(wrong, ["b: status 200, 2 time(s)", "d: did not hold, 2 time(s)"]);
    }
}
