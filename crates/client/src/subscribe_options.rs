use throng_protocol::{FilterNode, Payload, StreamPosition, SubscribeRequest};

use crate::{QueueBounds, SlowReader, Token, TokenError, TokenGetter};

/// What to ask for with a subscription; see [`Client::subscribe_with`](crate::Client::subscribe_with).
///
/// The server grants what the channel's namespace allows and leaves out the rest without a word;
/// [`Subscription::is_recoverable`](crate::Subscription::is_recoverable) tells about recovery.
///
/// ```
/// use throng_client::SubscribeOptions;
///
/// let options = SubscribeOptions { recoverable: true, join_leave: true, ..SubscribeOptions::default() };
/// assert!(options.since.is_none(), "it begins with what is published from now on");
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SubscribeOptions {
    /// After an interruption, get what was published meanwhile; [`Event::Gap`](crate::Event::Gap) tells when the server
    /// cannot give it. Needs a channel with history.
    pub recoverable: bool,
    /// Begin after this place in the stream instead of at the present, for example where an earlier run of the program
    /// has ended ([`Subscription::position`](crate::Subscription::position)). An empty epoch fits any stream.
    /// Implies `recoverable`.
    pub since: Option<StreamPosition>,
    /// Let the server watch that no publication is lost on the way to this client: it renews the subscription when one
    /// is. Recoverable subscriptions have that anyway.
    pub positioned: bool,
    /// Get [`Event::Join`](crate::Event::Join) and [`Event::Leave`](crate::Event::Leave).
    pub join_leave: bool,
    /// Let the server send patches where they are shorter than the payload. What is handed out is whole in any case.
    /// Not together with `tags_filter`.
    pub delta: bool,
    /// Get only publications whose tags fulfil this condition.
    pub tags_filter: Option<FilterNode>,
    /// How far the reader of the stream may fall behind. Default: what the builder says.
    pub queue: Option<QueueBounds>,
    /// What happens when it falls behind further. Default: the oldest events are dropped.
    pub slow_reader: SlowReader,
    /// The token that allows it, for channels that need one. Default none.
    pub token: Token,
    /// Where to get a token when there is none, when it has expired, and shortly before it does. Default none: then a
    /// subscription ends with its token. See [`token_getter`](Self::token_getter).
    pub token_getter: Option<TokenGetter>,
    /// For the application that decides about the subscription. JSON on a JSON connection; empty for none.
    pub data: Payload,
}

impl SubscribeOptions {
    /// Sets the async closure that gets the token, and gets it anew before it expires; it is told the channel.
    /// [`TokenError::Unauthorized`] ends the subscription, any other error is tried again.
    ///
    /// ```
    /// use throng_client::{SubscribeOptions, Token};
    ///
    /// let options = SubscribeOptions::default()
    ///     .token_getter(|channel| async move { Ok(Token::from(format!("made for {channel}"))) });
    /// assert!(options.token_getter.is_some());
    /// ```
    #[must_use]
    pub fn token_getter<F, T>(self, getter: F) -> Self
    where
        F: Fn(String) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Token, TokenError>> + Send + 'static,
    {
        Self { token_getter: Some(TokenGetter::for_channel(getter)), ..self }
    }

    /// The command, but for what changes from one time to the next.
    pub(crate) fn request(&self, channel: &str) -> SubscribeRequest {
        SubscribeRequest {
            channel: channel.to_owned(),
            recoverable: self.recoverable || self.since.is_some(),
            positioned: self.positioned,
            join_leave: self.join_leave,
            tf: self.tags_filter.clone().map(Box::new),
            data: self.data.clone(),
            ..SubscribeRequest::default()
        }
    }
}
