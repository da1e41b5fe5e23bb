//! What a token allows beside what the namespaces allow: claim `caps`.

use std::sync::Arc;

use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;

use super::parts::invalid;
use super::{Capabilities, Capability, ChannelMatch, Operation, TokenError};

/// Entries, and channels of all of them, that a token may have.
const MAX_ENTRIES: usize = 32;
const MAX_CHANNELS: usize = 128;
/// Expressions that a token may have, and bytes that one may take once it is compiled.
const MAX_EXPRESSIONS: usize = 16;
const EXPRESSION_BYTES: usize = 16 * 1024;

/// One entry as it stands in a token.
#[derive(Deserialize)]
pub(super) struct Entry {
    channels: Vec<String>,
    #[serde(rename = "match")]
    how: Option<String>,
    allow: Vec<String>,
}

impl Capabilities {
    /// Whether the operation is allowed in the channel.
    pub(crate) fn allows(&self, channel: &str, operation: Operation) -> bool {
        let Self(capabilities) = self;
        capabilities.iter().any(|capability| {
            capability.allow.contains(&operation)
                && capability.channels.iter().any(|channels| channels.covers(channel))
        })
    }

    /// Takes over the entries of a token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Invalid`] when there are too many, or one of them means nothing.
    pub(super) fn of(entries: Vec<Entry>) -> Result<Self, TokenError> {
        let channels = |entries: &[Entry]| entries.iter().map(|entry| entry.channels.len()).sum::<usize>();
        let expressions: Vec<_> =
            entries.iter().filter(|entry| entry.how.as_deref() == Some("regex")).collect();
        let expressions: usize = expressions.iter().map(|entry| entry.channels.len()).sum();
        if entries.len() > MAX_ENTRIES || channels(&entries) > MAX_CHANNELS || expressions > MAX_EXPRESSIONS {
            return Err(invalid("claim caps has too many entries or channels"));
        }
        entries.into_iter().map(Capability::of).collect::<Result<_, _>>().map(Self)
    }
}

impl Capability {
    fn of(entry: Entry) -> Result<Self, TokenError> {
        let match_of: fn(String) -> Result<ChannelMatch, TokenError> = match entry.how.as_deref() {
            None | Some("") => |channel| Ok(ChannelMatch::Exact(channel.into())),
            Some("wildcard") => |pattern| Ok(ChannelMatch::Wildcard(pattern.into())),
            Some("regex") => |text| Ok(ChannelMatch::Regex(Arc::new(expression(&text)?))),
            Some(_) => return Err(invalid("a match in claim caps is neither wildcard nor regex")),
        };
        Ok(Self {
            channels: entry.channels.into_iter().map(match_of).collect::<Result<_, _>>()?,
            allow: entry.allow.iter().map(|name| Operation::of(name)).collect::<Result<_, _>>()?,
        })
    }
}

impl ChannelMatch {
    fn covers(&self, channel: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *channel,
            Self::Wildcard(pattern) => wildcard(pattern.as_bytes(), channel.as_bytes()),
            Self::Regex(expression) => expression.is_match(channel),
        }
    }
}

impl Operation {
    fn of(name: &str) -> Result<Self, TokenError> {
        match name {
            "sub" => Ok(Self::Subscribe),
            "pub" => Ok(Self::Publish),
            "prs" => Ok(Self::Presence),
            "hst" => Ok(Self::History),
            _ => Err(invalid("an operation in claim caps is none of sub, pub, prs and hst")),
        }
    }
}

/// Whether the pattern, in which `*` stands for any bytes, covers the whole text. Only the last `*` is ever tried again, which
/// is enough and bounds the time by the product of both lengths.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    // Behind the last `*`, and where the text goes on that it has not taken.
    let mut again = None;
    while at < text.len() {
        match pattern.get(next) {
            Some(b'*') => {
                next += 1;
                again = Some((next, at));
            }
            Some(byte) if *byte == text[at] => (at, next) = (at + 1, next + 1),
            Some(_) | None => {
                let Some((behind, taken)) = again else { return false };
                (at, next) = (taken + 1, behind);
                again = Some((behind, at));
            }
        }
    }
    pattern[next..].iter().all(|byte| *byte == b'*')
}

/// The expression, which has to cover a text whole.
pub(super) fn whole(text: &str, size: usize) -> Option<Regex> {
    let compiled = |text: &str| RegexBuilder::new(text).size_limit(size).build().ok();
    // By itself first: a text with a lone parenthesis would end the group that holds it together.
    compiled(text)?;
    compiled(&format!(r"^(?:{text})\z"))
}

fn expression(text: &str) -> Result<Regex, TokenError> {
    whole(text, EXPRESSION_BYTES)
        .ok_or_else(|| invalid("an expression in claim caps is none, or takes too much memory"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn capabilities(json: &str) -> Result<Capabilities, TokenError> {
        Capabilities::of(serde_json::from_str(json).unwrap())
    }

    /// By trying everything, which is right and slow.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            Some((byte, rest)) => {
                text.split_first().is_some_and(|(first, text)| first == byte && naive(rest, text))
            }
        }
    }

    proptest! {
        #[test]
        fn a_wildcard_covers_what_a_naive_matcher_says(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(wildcard(pattern.as_bytes(), text.as_bytes()), naive(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn a_wildcard_covers_whatever_stands_for_its_stars(parts in prop::collection::vec("[a-z*:]{0,6}", 1..6), fill in "\\PC{0,9}") {
            let pattern = parts.join("*");
            let text = pattern.replace('*', &fill);
            prop_assert!(wildcard(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn many_stars_that_fail_at_the_end_take_no_longer_than_the_product_of_the_lengths() {
        let (pattern, text) = ("a*".repeat(4_000) + "b", "a".repeat(8_000));
        assert!(!wildcard(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn operations_are_allowed_in_the_channels_of_their_entry_and_nowhere_else() {
        let capabilities = capabilities(
            r#"[{"channels":["news"],"allow":["sub"]},
                {"channels":["chat:*"],"match":"wildcard","allow":["pub","prs"]},
                {"channels":["user:\\d+"],"match":"regex","allow":["hst"]}]"#,
        )
        .unwrap();
        for (channel, operation, allowed) in [
            ("news", Operation::Subscribe, true),
            ("news", Operation::Publish, false),
            ("news2", Operation::Subscribe, false),
            ("chat:a", Operation::Publish, true),
            ("chat:", Operation::Presence, true),
            ("xchat:a", Operation::Publish, false),
            ("chat:a", Operation::Subscribe, false),
            ("user:42", Operation::History, true),
            ("user:42x", Operation::History, false),
            ("xuser:42", Operation::History, false),
            ("user:42\n", Operation::History, false),
        ] {
            assert_eq!(capabilities.allows(channel, operation), allowed, "{channel} {operation:?}");
        }
    }

    #[test]
    fn an_expression_does_not_get_out_of_its_bounds() {
        for text in ["a)|(?:b", "(?x)a #", "[", "a{1000}{1000}{1000}"] {
            let json = serde_json::json!([{"channels": [text], "match": "regex", "allow": ["sub"]}]);
            assert!(capabilities(&json.to_string()).is_err(), "{text}");
        }
        let either = capabilities(r#"[{"channels":["a|b"],"match":"regex","allow":["sub"]}]"#).unwrap();
        assert!(either.allows("b", Operation::Subscribe));
        assert!(!either.allows("ab", Operation::Subscribe));
    }

    #[test]
    fn what_means_nothing_or_is_too_much_is_refused() {
        let many = |count, how: &str| {
            let channels: Vec<_> = (0..count).map(|number| format!("c{number}")).collect();
            serde_json::json!([{"channels": channels, "match": how, "allow": ["sub"]}]).to_string()
        };
        assert!(capabilities(&many(MAX_CHANNELS, "wildcard")).is_ok());
        assert!(capabilities(&many(MAX_CHANNELS + 1, "wildcard")).is_err());
        assert!(capabilities(&many(MAX_EXPRESSIONS + 1, "regex")).is_err());
        let entry = r#"{"channels":[],"allow":[]}"#;
        assert!(capabilities(&format!("[{}]", [entry; MAX_ENTRIES].join(","))).is_ok());
        assert!(capabilities(&format!("[{}]", [entry; MAX_ENTRIES + 1].join(","))).is_err());
        assert!(capabilities(r#"[{"channels":["a"],"match":"glob","allow":["sub"]}]"#).is_err());
        assert!(capabilities(r#"[{"channels":["a"],"allow":["everything"]}]"#).is_err());
    }
}
