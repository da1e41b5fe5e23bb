//! From bytes to messages and back: the tasks that read connections, one dialogue for each kind of endpoint.

mod commands;
mod connection;
mod echo;
mod entry;
mod orders;
mod protocol;
mod relay;
mod socket;
mod throttle;
mod tokens;

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use throng_protocol::frame::MessageKind;
use throng_protocol::{ChannelName, DisconnectCode};
use throng_registry::WireFormat;

use crate::config::Settings;
use crate::metrics::Transport;
use crate::node::{Addressed, Order};
use crate::session::Expired;
use crate::shard::{Incoming, Marks, Opening, Route, Shard};

use socket::{Reading, Socket};

/// Starts the task of a connection that was given to this shard.
pub(crate) fn open(shard: &Rc<Shard>, stream: Incoming, opening: Opening) {
    let stream = match stream.into_local() {
        Ok(stream) => stream,
        Err(error) => {
            return tracing::warn!(connection = %opening.client, %error, "the shard cannot watch the socket");
        }
    };
    // The local runtime owns the task and ends it with the shard; until then the client's place in the table stands for it.
    match opening.route.clone() {
        Route::Protocol { format, ping_style, user } => {
            let dialogue = protocol::Protocol::new(shard, opening.client, format, ping_style, user);
            tokio::task::spawn_local(connection::serve(shard, stream, opening, dialogue));
        }
        Route::Relay { room, pass } => {
            let dialogue = relay::Relay::new(shard, opening.client, room, pass);
            tokio::task::spawn_local(connection::serve(shard, stream, opening, dialogue));
        }
        Route::Echo => {
            let dialogue = echo::Echo::new(shard, opening.client);
            tokio::task::spawn_local(connection::serve(shard, stream, opening, dialogue));
        }
        #[cfg(test)]
        Route::Bomb => {
            tokio::task::spawn_local(connection::serve(shard, stream, opening, tests::Bomb));
        }
    }
}

/// What an endpoint does with the messages of one connection.
pub(crate) trait Dialogue {
    /// What the connection carries.
    fn format(&self) -> WireFormat;

    /// Its label in the metrics.
    fn transport(&self) -> Transport;

    /// Begins, once the connection is in its shard's table.
    async fn begin(&mut self, socket: &Socket) -> Option<Farewell>;

    /// Takes a message where it lies in the read buffer; true if that was all. Otherwise it is copied for
    /// [`message`](Self::message), which may await.
    fn at_once(&mut self, _: &Shard, _: throng_registry::Slot, _: MessageKind, _: &[u8]) -> bool {
        false
    }

    /// Takes a message.
    async fn message(&mut self, socket: &Socket, kind: MessageKind, data: Bytes) -> Option<Farewell>;

    /// Takes a pong frame.
    fn pong(&mut self, payload: &[u8]);

    /// When [`timer`](Self::timer) wants to be called.
    fn deadline(&self, settings: &Settings) -> Option<Instant>;

    /// When something is over next: the connection, or a subscription.
    fn expiry(&self, socket: &Socket) -> Option<Instant> {
        socket.shard.with_member(socket.slot, |member| member.next_expiry()).flatten()
    }

    /// Ends what is over at the moment that [`expiry`](Self::expiry) told: the connection, or some of its subscriptions.
    async fn expire(&mut self, socket: &Socket, now: Instant) -> Option<Farewell> {
        let expired = socket.shard.with_member(socket.slot, |member| member.has_expired(now));
        if !expired.unwrap_or_default() {
            return None;
        }
        socket.shard.node.rules.counts.expired(Expired::Connection);
        Some(self.farewell(DisconnectCode::Expired))
    }

    /// Does what is due.
    fn timer(&mut self, socket: &Socket, now: Instant) -> Option<Farewell>;

    /// Does what the application orders; those that mean nothing here are not obeyed.
    async fn obey(&mut self, _: &Socket, addressed: Addressed) -> Option<Farewell> {
        match addressed.order {
            Order::Disconnect { code, reason } => {
                addressed.obeyed.done();
                Some(Farewell { code, reason })
            }
            Order::Subscribe(_) | Order::Unsubscribe { .. } | Order::Refresh { .. } => None,
        }
    }

    /// Tells the client that it has lost its place in these channels.
    async fn lost(&mut self, _: &Socket, _: Vec<(ChannelName, Marks)>) -> Option<Farewell> {
        None
    }

    /// How this endpoint says that the connection ends for this reason.
    fn farewell(&self, code: DisconnectCode) -> Farewell {
        Farewell::from(code)
    }

    /// When more is to be read.
    fn reading(&self) -> Reading {
        Reading::Always
    }

    /// Goes on, because the client has taken all that was written to it; [`reading`](Self::reading) asks for this.
    async fn resume(&mut self, _: &Socket) -> Option<Farewell> {
        None
    }
}

/// How the server ends a connection: the close frame it sends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Farewell {
    pub(crate) code: u16,
    pub(crate) reason: Cow<'static, str>,
}

impl From<DisconnectCode> for Farewell {
    fn from(code: DisconnectCode) -> Self {
        Self { code: code.code(), reason: Cow::Borrowed(code.reason()) }
    }
}

#[cfg(test)]
mod tests;
