use std::fmt;

/// A token (JWT) that says who a client is, or that it may subscribe to a channel. Not shown by `Debug`.
///
/// ```
/// use throng_client::Token;
///
/// let token = Token::from("eyJhbGciOi…");
/// assert_eq!(format!("{token:?}"), "Token(…)");
/// ```
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Token(String);

impl Token {
    /// The token itself; empty for none.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "Token()" } else { "Token(…)" })
    }
}
