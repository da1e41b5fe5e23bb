use crate::auth::{Capabilities, Capability, ChannelMatch, Operation};
use crate::config::AllowedOrigins;
use crate::http::ChannelPattern;

use super::two_texts;

/// Bytes of a pattern and of a text: the oracle's time is their product.
const MOST: usize = 512;

/// All matchers of patterns agree with one that tries everything. The input is a pattern, a byte `0xff`, and a text.
pub fn patterns(bytes: &[u8]) -> usize {
    let Some((pattern, text)) = two_texts(bytes) else { return 0 };
    if pattern.len() > MOST || text.len() > MOST {
        return 0;
    }
    let covered = covers(pattern.as_bytes(), text.as_bytes(), false);
    let capability = Capability {
        channels: [ChannelMatch::Wildcard(pattern.into())].into(),
        allow: [Operation::Subscribe].into(),
    };
    let capabilities = Capabilities([capability].into());
    assert_eq!(capabilities.allows(text, Operation::Subscribe), covered, "{pattern:?} {text:?}");
    assert!(!capabilities.allows(text, Operation::Publish), "an operation that was not allowed");

    if let Some(channels) = ChannelPattern::new(pattern) {
        let expected = pattern.is_empty() || covers(pattern.as_bytes(), text.as_bytes(), true);
        assert_eq!(channels.matches(text), expected, "{pattern:?} {text:?}");
    }
    origins(pattern, text);
    usize::from(covered)
}

/// An origin that is allowed is one, and is covered by the pattern in lower case.
fn origins(pattern: &str, origin: &str) {
    let (low_pattern, low_origin) = (pattern.to_ascii_lowercase(), origin.to_ascii_lowercase());
    let covered = covers(low_pattern.as_bytes(), low_origin.as_bytes(), false);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
    let is_origin = low_origin == "null"
        || low_origin.split_once("://").is_some_and(|(_, authority)| authority.bytes().all(plain));
    let origins = AllowedOrigins::new(Some(&[pattern.to_owned()]));
    assert_eq!(origins.allows(Some(origin), None), covered && is_origin, "{pattern:?} {origin:?}");
    assert!(
        !AllowedOrigins::new(Some(&[])).allows(Some(origin), Some(origin)),
        "an empty list allowed {origin:?}"
    );
}

/// Whether the pattern covers the text, by a table of all their beginnings. `*` is any bytes; `?` is any byte, if `one` says so.
fn covers(pattern: &[u8], text: &[u8], one: bool) -> bool {
    // Which beginnings of the text the beginning of the pattern covers.
    let mut covered = vec![false; text.len() + 1];
    covered[0] = true;
    for byte in pattern {
        if *byte == b'*' {
            let first = covered.iter().position(|covered| *covered).unwrap_or(covered.len());
            covered[first..].fill(true);
        } else {
            for end in (1..covered.len()).rev() {
                covered[end] = covered[end - 1] && (*byte == text[end - 1] || (one && *byte == b'?'));
            }
            covered[0] = false;
        }
    }
    covered[text.len()]
}
