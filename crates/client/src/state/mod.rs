//! What a client decides, without sockets and clocks: inputs and the time go in, frames and actions come out.

mod conversation;
mod credential;
mod delta;
mod frames;
mod keepalive;
mod link;
mod requests;
mod server_subscriptions;
mod subscriptions;
#[cfg(test)]
mod tests;
mod track;

use std::time::Duration;

use bytes::Bytes;
use throng_protocol::{Format, Limits, Outcome, Request, SendRequest};
use tokio::sync::oneshot;

pub(crate) use self::{
    conversation::Conversation,
    keepalive::{Check, Keepalive},
    link::{Link, ReconnectPolicy, Verdict},
    subscriptions::{NewSubscription, SubscriptionKey},
    track::{Place, Told},
};
use crate::{Disconnect, RequestError, State, Token, TokenError, TokenGetter};

/// What a client needs to know; the builder fills it in.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) format: Format,
    pub(crate) reconnect: ReconnectPolicy,
    /// Time for an answer, and for a connection to send a request on.
    pub(crate) command_timeout: Duration,
    /// How much later than promised the server's pings may come.
    pub(crate) ping_grace: Duration,
    /// Largest frame that the server takes.
    pub(crate) max_frame_bytes: usize,
    /// Requests that may be unanswered at once, before the queue in front of them fills.
    pub(crate) max_pending: usize,
    /// What the client calls itself in the connect command.
    pub(crate) name: String,
    pub(crate) version: String,
    /// Says who the client is, until the getter has a newer one.
    pub(crate) token: Token,
    pub(crate) token_getter: Option<TokenGetter>,
    /// Bounds of what the server may send.
    pub(crate) limits: Limits,
}

/// What happens to a conversation.
#[derive(Debug)]
pub(crate) enum Input {
    /// The client begins.
    Start,
    /// The socket has taken what it was given, and requests may be in the queue: they may be sent.
    Writable,
    /// The application wants a subscription.
    Subscribe(NewSubscription),
    /// The application has dropped a subscription.
    Abandoned(SubscriptionKey),
    /// The socket that [`Action::Dial`] asked for is open.
    Opened,
    /// A WebSocket message with replies arrived.
    Received(Bytes),
    /// Something else arrived, such as a WebSocket ping: a sign of life.
    Heard,
    /// What [`Action::FetchToken`] asked for.
    Token { owner: TokenOwner, outcome: Result<Token, TokenError> },
    /// The socket could not be opened, or is closed.
    Lost(Disconnect),
    /// [`Conversation::deadline`] has passed.
    Time,
    /// The application closes the client.
    Close,
}

/// What is to be done for a conversation, apart from sending its frames.
#[derive(Debug)]
pub(crate) enum Action {
    /// Open a socket, to the server whose turn it is.
    Dial { turn: usize },
    /// Ask the application for a token, within a deadline, and hand over what it says.
    FetchToken { owner: TokenOwner, getter: TokenGetter },
    /// Give up the socket, or the attempt to open one, with a close frame if one can be sent at once.
    HangUp,
    /// Send a close frame and wait for the server's.
    Farewell,
    /// Tell whoever watches.
    Announce(State),
}

/// Whom a token is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum TokenOwner {
    Connection,
    Subscription(SubscriptionKey),
}

/// What the application wants sent, and where the result goes.
#[derive(Debug)]
pub(crate) enum RequestOrder {
    /// Something that the server answers.
    Request { request: Request, answer: oneshot::Sender<Result<Outcome, RequestError>> },
    /// A message that nobody answers: it is done when it is on its way.
    Send { message: SendRequest, sent: oneshot::Sender<Result<(), RequestError>> },
}

impl RequestOrder {
    /// Tells the caller that nothing was sent. One that has left does not need to know.
    pub(crate) fn fail(self, error: RequestError) {
        match self {
            Self::Request { answer, .. } => drop(answer.send(Err(error))),
            Self::Send { sent, .. } => drop(sent.send(Err(error))),
        }
    }
}
