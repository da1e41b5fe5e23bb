use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

/// Identity of a stream: 8 ASCII letters, drawn when the stream is made. Offsets of different epochs cannot be compared.
///
/// ```
/// # use throng_engine::Epoch;
/// let epoch: Epoch = "nmxqAbCd".parse()?;
/// assert_eq!(epoch.as_str(), "nmxqAbCd");
/// assert_ne!(Epoch::random(), Epoch::random());
/// assert!("_".parse::<Epoch>().is_err());
/// # Ok::<(), throng_engine::EpochError>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Epoch([u8; Self::LETTERS]);

/// The text is no [`Epoch`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an epoch is 8 ASCII letters")]
pub struct EpochError;

impl Epoch {
    const LETTERS: usize = 8;

    /// A new epoch. It need not be secret, only differ from those before it: two are equal once in 50 million million times.
    #[must_use]
    pub fn random() -> Self {
        const ALPHABET: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        // Every `RandomState` has other keys, which stem from the system's randomness.
        let mut bits = RandomState::new().hash_one(0);
        Self(std::array::from_fn(|_| {
            let letter = ALPHABET[(bits % 52) as usize];
            bits /= 52;
            letter
        }))
    }

    /// The epoch as clients see it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_else(|_| unreachable!("letters are UTF-8"))
    }

    /// The same identity as a number: the letters' bytes, the first one highest.
    #[must_use]
    pub const fn id(self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

impl FromStr for Epoch {
    type Err = EpochError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters: [u8; Self::LETTERS] = text.as_bytes().try_into().map_err(|_| EpochError)?;
        if letters.iter().all(u8::is_ascii_alphabetic) { Ok(Self(letters)) } else { Err(EpochError) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Epoch({self})")
    }
}

/// A place in a stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Position {
    /// Offset of a publication, from 1. As the position of a whole stream: the offset of its newest publication, 0 before the
    /// first; it stays when publications expire or are removed.
    pub offset: u64,
    /// Which stream.
    pub epoch: Epoch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_eight_letters_and_nothing_else() {
        for text in ["", "_", "abcdefg", "abcdefghi", "abcdefg1", "abcdefé"] {
            assert_eq!(text.parse::<Epoch>(), Err(EpochError), "{text:?}");
        }
        let epoch = Epoch::random();
        assert_eq!(epoch.as_str().parse(), Ok(epoch));
    }

    #[test]
    fn the_number_of_an_epoch_is_its_letters_the_first_one_highest() {
        let epoch: Epoch = "AAAAAAAB".parse().unwrap();
        assert_eq!(epoch.id(), 0x4141_4141_4141_4142);
        assert_eq!(epoch.to_string(), "AAAAAAAB");
    }

    #[test]
    fn random_epochs_use_the_whole_alphabet_in_every_place() {
        let epochs: Vec<_> = (0..2_000).map(|_| Epoch::random()).collect();
        for place in 0..8 {
            let seen: std::collections::HashSet<u8> = epochs.iter().map(|epoch| epoch.0[place]).collect();
            assert_eq!(seen.len(), 52, "place {place}");
        }
    }
}
