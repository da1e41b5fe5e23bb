use std::fmt::Write as _;

use throng_client::Payload;

/// Text for a terminal: control characters, and those that change the direction of what follows, are shown escaped.
///
/// What others send must not be able to move the cursor, change the title or hide parts of a line.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => shown.push('\t'),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{2066}'..='\u{2069}' => {
                shown.extend(character.escape_unicode());
            }
            character if character.is_control() => shown.extend(character.escape_unicode()),
            character => shown.push(character),
        }
    }
    shown
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}"); // writing to a String cannot fail
        digits
    })
}

/// A payload by what it is.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Shown {
    /// JSON, on one line.
    Json(String),
    /// Other text.
    Text(String),
    /// Anything else, in hexadecimal.
    Hex(String),
}

impl Shown {
    pub(crate) fn new(payload: &Payload) -> Self {
        match std::str::from_utf8(payload.as_bytes()) {
            // Line ends in JSON stand between tokens, never inside a string, so they mean nothing.
            Ok(text) if payload.is_json() => Self::Json(text.replace(['\n', '\r'], "")),
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex(hex(payload.as_bytes())),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Json(text) | Self::Text(text) | Self::Hex(text) => text,
        }
    }
}

/// What to publish for data that someone typed: JSON as it is, anything else as a JSON string.
///
/// # Errors
///
/// What is wrong: neither JSON nor text.
pub(crate) fn json_payload(data: Vec<u8>) -> Result<Payload, &'static str> {
    let payload = Payload::from(data);
    if payload.is_json() {
        return Ok(payload);
    }
    let text = std::str::from_utf8(payload.as_bytes()).map_err(|_| "neither JSON nor UTF-8 text")?;
    serde_json::to_vec(text).map(Payload::from).map_err(|_| "no JSON string can hold it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_shown_and_not_obeyed() {
        for (text, shown) in [
            ("hello, wörld 👋", "hello, wörld 👋"),
            ("a\tb", "a\tb"),
            ("two\nlines\r", "two\\nlines\\r"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("abc\u{202e}fed", "abc\\u{202e}fed"),
            ("\x7f\0", "\\u{7f}\\u{0}"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn a_payload_is_shown_as_what_it_is() {
        for (payload, shown) in [
            (&b"{\"a\":\n 1}"[..], Shown::Json("{\"a\": 1}".to_owned())),
            (b"\"hi\"", Shown::Json("\"hi\"".to_owned())),
            (b"hi there", Shown::Text("hi there".to_owned())),
            (b"\xff\x00", Shown::Hex("ff00".to_owned())),
        ] {
            assert_eq!(Shown::new(&payload.to_vec().into()), shown);
        }
    }

    #[test]
    fn what_is_not_json_becomes_a_json_string() {
        for (data, payload) in [
            ("{\"a\":1}", "{\"a\":1}"),
            ("42", "42"),
            ("true", "true"),
            ("hi", "\"hi\""),
            ("say \"hi\"", "\"say \\\"hi\\\"\""),
            ("", "\"\""),
        ] {
            assert_eq!(json_payload(data.into()).unwrap().as_bytes(), payload);
        }
        assert!(json_payload(vec![0xff]).is_err());
    }
}
