//! What stands in paths and queries.

use http::Uri;

/// The bytes that a percent-encoded text means; `None` if a `%` is not followed by two digits.
pub(crate) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

/// The first value of a query parameter, decoded as that of a form, where `+` is a space.
pub(crate) fn parameter(uri: &Uri, key: &str) -> Option<Vec<u8>> {
    let value = uri.query()?.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))?;
    percent_decode(&value.replace('+', " "))
}
