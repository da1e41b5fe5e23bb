//! What stands between the quotes of a JSON string.

/// The content of a string, found by [`scan`].
pub(super) struct Scanned {
    /// Its length in bytes, without the closing quote.
    pub(super) len: usize,
    /// True if it holds escapes.
    pub(super) escaped: bool,
}

/// Finds the closing quote. Checks on the way that control characters are escaped and that escapes are well-formed;
/// the error is where that is not so, or the end.
pub(super) fn scan(bytes: &[u8]) -> Result<Scanned, usize> {
    let mut at = 0;
    let mut escaped = false;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(Scanned { len: at, escaped }),
            Some(b'\\') => {
                escaped = true;
                at += escape_len(&bytes[at..]).ok_or(at)?;
            }
            None | Some(0..0x20) => return Err(at),
            Some(_) => at += 1,
        }
    }
}

fn escape_len(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => bytes.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// Undoes the escapes of a scanned string. None if it holds half a surrogate pair, which is no character.
pub(super) fn unescape(content: &str) -> Option<String> {
    let mut text = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(index) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..index]);
        let (character, len) = unescape_one(&rest[index..])?;
        text.push(character);
        rest = &rest[index + len..];
    }
    text.push_str(rest);
    Some(text)
}

/// The character of the escape at the start of `escape`, and the escape's length.
fn unescape_one(escape: &str) -> Option<(char, usize)> {
    let character = match escape.as_bytes().get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescape_unicode(escape),
        other => char::from(*other),
    };
    Some((character, 2))
}

fn unescape_unicode(escape: &str) -> Option<(char, usize)> {
    let first = code_unit(escape)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    let second = code_unit(escape.get(6..)?)?;
    if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    let character = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?;
    Some((character, 12))
}

/// The number in an escape of the form `\uXXXX`.
fn code_unit(escape: &str) -> Option<u32> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(r#"a\"\\\/\b\f\n\r\tz"#).unwrap(), "a\"\\/\u{8}\u{c}\n\r\tz");
        assert_eq!(unescape(r"\u00e9\u2028\ud83d\ude00!").unwrap(), "\u{e9}\u{2028}\u{1f600}!");
        assert_eq!(unescape(r"\ud800\udc00\udbff\udfff").unwrap(), "\u{10000}\u{10ffff}");
    }

    #[test]
    fn half_a_surrogate_pair_is_no_character() {
        for content in [r"\ud83d", r"\ud83dx", r"\ude00\ud83d", r"\ud83d\u0041", r"\ud83d\n"] {
            assert_eq!(unescape(content), None, "{content}");
        }
    }

    #[test]
    fn scanning_stops_at_what_does_not_belong_there() {
        for (bytes, at) in
            [(&b"ab"[..], 2), (b"a\nb\"", 1), (b"a\\x\"", 1), (b"\\u12g4\"", 0), (b"\\u12", 0), (b"\\", 0)]
        {
            assert_eq!(scan(bytes).err(), Some(at));
        }
        let scanned = scan(b"a\\\"b\"rest").unwrap();
        assert_eq!((scanned.len, scanned.escaped), (4, true));
    }
}
