use std::{error::Error, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

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

/// Where a client gets a token when it needs one: an async closure of the application.
///
/// It is called before the first connection (unless there is a token already), when the server calls a token expired
/// (error 109), and shortly before a token expires. It runs beside everything else that the client does, for as long as
/// [`ClientBuilder::token_timeout`](crate::ClientBuilder::token_timeout) allows; what blocks belongs on a thread of its
/// own ([`tokio::task::spawn_blocking`]). A failure is tried again after a wait with full jitter,
/// [`TokenError::Unauthorized`] and an empty token are final.
///
/// ```
/// use throng_client::{Token, TokenError, TokenGetter};
///
/// async fn ask_the_backend(channel: &str) -> Result<String, std::io::Error> {
///     Ok(format!("token for {channel:?}"))
/// }
///
/// // One getter may serve a connection, where the channel is empty, and any number of subscriptions.
/// let getter = TokenGetter::for_channel(|channel| async move {
///     match ask_the_backend(&channel).await {
///         Ok(token) => Ok(Token::from(token)),
///         Err(error) => Err(TokenError::temporary(error)),
///     }
/// });
/// # let _ = getter;
/// ```
#[derive(Clone)]
pub struct TokenGetter(Arc<dyn Fn(&str) -> TokenFuture + Send + Sync>);

/// What a [`TokenGetter`] is at work on.
type TokenFuture = BoxFuture<'static, Result<Token, TokenError>>;

/// Why a [`TokenGetter`] has no token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There will be none: the client, or the subscription, ends.
    #[error("not authorized")]
    Unauthorized,
    /// Not now. It is asked for again after a while.
    #[error("the token getter failed")]
    Temporary(#[source] Arc<dyn Error + Send + Sync>),
    /// The getter has not come to an end. It is asked again after a while.
    #[error("no token within {waited:?}")]
    TimedOut {
        /// The time that was allowed, [`ClientBuilder::token_timeout`](crate::ClientBuilder::token_timeout).
        waited: Duration,
    },
}

impl Token {
    /// The token itself; empty for none.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TokenGetter {
    /// A getter to which all tokens are the same: for a connection, or for one subscription.
    pub fn new<F, T>(getter: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<Token, TokenError>> + Send + 'static,
    {
        Self(Arc::new(move |_| Box::pin(getter())))
    }

    /// A getter that is told the channel, for subscriptions to several. For a connection the channel is empty.
    pub fn for_channel<F, T>(getter: F) -> Self
    where
        F: Fn(String) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Token, TokenError>> + Send + 'static,
    {
        Self(Arc::new(move |channel| Box::pin(getter(channel.to_owned()))))
    }

    /// Asks for a token.
    pub(crate) fn get(&self, channel: &str) -> TokenFuture {
        (self.0)(channel)
    }
}

impl TokenError {
    /// A failure that may be over the next time.
    ///
    /// ```
    /// # use throng_client::TokenError;
    /// let error = TokenError::temporary("the identity provider does not answer");
    /// assert_eq!(error.to_string(), "the token getter failed");
    /// ```
    pub fn temporary(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Temporary(error.into().into())
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

/// Two are equal when one is a clone of the other.
impl PartialEq for TokenGetter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TokenGetter {}

impl fmt::Debug for TokenGetter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenGetter(…)")
    }
}
