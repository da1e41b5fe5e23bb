//! What a client decides, without sockets and clocks: inputs and the time go in, frames and actions come out.

mod conversation;
mod frames;
mod keepalive;
mod link;
mod requests;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use throng_protocol::{Format, Limits, Outcome, Request};
use tokio::sync::oneshot;

pub(crate) use self::{
    conversation::Conversation,
    keepalive::{Check, Keepalive},
    link::{Link, ReconnectPolicy, Verdict},
    subscriptions::{NewSubscription, SubscriptionKey},
};
use crate::{Disconnect, RequestError, State};

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
    /// Requests that may wait, for a connection or for an answer, before the queue in front of them fills.
    pub(crate) max_pending: usize,
    /// What the client calls itself in the connect command.
    pub(crate) name: String,
    pub(crate) version: String,
    /// Bounds of what the server may send.
    pub(crate) limits: Limits,
}

/// What happens to a conversation.
#[derive(Debug)]
pub(crate) enum Input {
    /// The client begins.
    Start,
    /// The application wants a request sent.
    Request(RequestOrder),
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
    /// Open a socket.
    Dial,
    /// Give up the socket, or the attempt to open one, with a close frame if one can be sent at once.
    HangUp,
    /// Send a close frame and wait for the server's.
    Farewell,
    /// Tell whoever watches.
    Announce(State),
}

/// A request of the application, and where its answer goes.
#[derive(Debug)]
pub(crate) struct RequestOrder {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Result<Outcome, RequestError>>,
}
