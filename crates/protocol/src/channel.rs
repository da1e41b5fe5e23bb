use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Name of a channel: 1 to [`ChannelName::MAX_BYTES`] bytes of ASCII.
///
/// Checked once, when parsed; code that holds a `ChannelName` never checks it again. Clones share the text.
///
/// ```
/// # use throng_protocol::{ChannelName, ChannelNameError};
/// assert_eq!("news".parse::<ChannelName>()?.as_str(), "news");
/// assert_eq!("".parse::<ChannelName>(), Err(ChannelNameError::Empty));
/// # Ok::<(), ChannelNameError>(())
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChannelName(Arc<str>);

/// Why a text is no channel name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelNameError {
    /// The text is empty. A session ends the connection for it (3501).
    #[error("empty channel name")]
    Empty,
    /// The text is longer than allowed.
    #[error("channel name of {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// Length of the text, in bytes.
        bytes: usize,
        /// The limit that it broke, in bytes.
        max: usize,
    },
    /// The text holds a character outside ASCII.
    #[error("channel name with a character outside ASCII at byte {position}")]
    NotAscii {
        /// Where the first such character starts, in bytes.
        position: usize,
    },
}

impl ChannelName {
    /// Longest name that any setting may allow, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks a text against a limit of `max_bytes`, which itself is cut to [`Self::MAX_BYTES`].
    /// `text.parse()` does the same with the full length.
    ///
    /// # Errors
    ///
    /// Says which rule is broken: length is looked at first, so that a hostile name is not searched in full.
    pub fn parse(text: &str, max_bytes: usize) -> Result<Self, ChannelNameError> {
        let max = max_bytes.min(Self::MAX_BYTES);
        if text.is_empty() {
            return Err(ChannelNameError::Empty);
        }
        if text.len() > max {
            return Err(ChannelNameError::TooLong { bytes: text.len(), max });
        }
        match text.bytes().position(|byte| !byte.is_ascii()) {
            Some(position) => Err(ChannelNameError::NotAscii { position }),
            None => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ChannelName {
    type Err = ChannelNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, Self::MAX_BYTES)
    }
}

impl TryFrom<&str> for ChannelName {
    type Error = ChannelNameError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl AsRef<str> for ChannelName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ChannelName({:?})", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_1_to_255_ascii_bytes_are_accepted() {
        for text in ["a", "news:42", "$private", "a#42,43", "with space", &"x".repeat(255)] {
            assert_eq!(text.parse::<ChannelName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn each_broken_rule_has_its_own_error() {
        assert_eq!("".parse::<ChannelName>(), Err(ChannelNameError::Empty));
        assert_eq!(
            "x".repeat(256).parse::<ChannelName>(),
            Err(ChannelNameError::TooLong { bytes: 256, max: 255 })
        );
        assert_eq!("caf\u{e9}".parse::<ChannelName>(), Err(ChannelNameError::NotAscii { position: 3 }));
    }

    #[test]
    fn a_lower_limit_is_kept_and_a_higher_one_is_cut() {
        assert_eq!(ChannelName::parse("abc", 2), Err(ChannelNameError::TooLong { bytes: 3, max: 2 }));
        let long = "x".repeat(256);
        assert_eq!(ChannelName::parse(&long, 1_000), Err(ChannelNameError::TooLong { bytes: 256, max: 255 }));
    }

    #[test]
    fn a_map_keyed_by_names_is_asked_with_plain_text() {
        let map = std::collections::HashMap::from([("news".parse::<ChannelName>().unwrap(), 1)]);
        assert_eq!(map.get("news"), Some(&1));
    }
}
