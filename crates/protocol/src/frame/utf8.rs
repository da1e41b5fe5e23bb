//! UTF-8 that arrives in pieces.

/// Checks text whose end may still be on its way; returns how many bytes at the end are the beginning of a character
/// (0 to 3). Prepended to what comes next, they are all that a later check needs to know of this one.
///
/// # Errors
///
/// Fails as soon as no continuation could make the text valid, so `ED A0` (a surrogate) and `F4 90` (beyond U+10FFFF) fail
/// without waiting for the bytes that would complete them.
pub(super) const fn check_beginning(text: &[u8]) -> Result<u8, NotUtf8> {
    if text.is_ascii() {
        return Ok(0);
    }
    match std::str::from_utf8(text) {
        Ok(_) => Ok(0),
        Err(error) if error.error_len().is_some() => Err(NotUtf8),
        Err(error) => match text.len() - error.valid_up_to() {
            1 => Ok(1),
            2 => Ok(2),
            _ => Ok(3),
        },
    }
}

/// The text is not UTF-8, whatever may follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotUtf8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_open_until_its_last_byte() {
        for character in ['a', 'é', '€', '\u{d7ff}', '\u{e000}', '😀', '\u{10ffff}'] {
            let text = character.to_string().into_bytes();
            for cut in 1..text.len() {
                assert_eq!(
                    check_beginning(&text[..cut]).map(usize::from),
                    Ok(cut),
                    "{character:?} cut at {cut}"
                );
            }
            assert_eq!(check_beginning(&text), Ok(0), "{character:?}");
        }
    }

    #[test]
    fn a_beginning_that_no_continuation_can_save_fails_at_once() {
        let hopeless: [&[u8]; 10] = [
            b"\x80",               // a continuation byte in first place
            b"\xc0",               // overlong two-byte form
            b"\xc1",               // likewise
            b"\xe0\x9f",           // overlong three-byte form
            b"\xed\xa0",           // surrogate
            b"\xf0\x8f",           // overlong four-byte form
            b"\xf4\x90",           // beyond U+10FFFF
            b"\xf5",               // likewise
            b"\xff",               // never a byte of UTF-8
            b"valid \xe2\x82\x28", // third byte is no continuation
        ];
        for text in hopeless {
            assert_eq!(check_beginning(text), Err(NotUtf8), "{text:x?}");
        }
    }

    #[test]
    fn only_the_open_character_at_the_end_is_left_over() {
        assert_eq!(check_beginning("κόσμε".as_bytes()), Ok(0));
        assert_eq!(check_beginning(b"price: 5 \xe2\x82"), Ok(2));
        assert_eq!(check_beginning(b""), Ok(0));
    }
}
