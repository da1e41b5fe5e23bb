//! Where clients meet the limits on what they do.

use throng_protocol::{DisconnectCode, ErrorCode};

use super::Socket;
use super::protocol::Protocol;
use crate::limits::{Limit, Operation};
use crate::session::{self, Decision};

impl Socket {
    /// Takes from one of the connection's limits; false if it has done too much.
    pub(super) fn within(&self, limit: Limit, amount: u32) -> bool {
        self.meter.take(&self.shard.node.limits, limit, amount)
    }
}

impl Protocol {
    /// What a decision comes to, once it is looked at how often this was done: by the connection, by the user and, for
    /// publications, in the channel.
    pub(super) fn throttled(&self, socket: &Socket, decision: Decision) -> Decision {
        if socket.meter.is_exempt() {
            return decision;
        }
        let (id, operation, channel) = match &decision {
            Decision::Publish { id, channel, .. } => (*id, Operation::Publish, Some(channel)),
            Decision::Subscribe { id, .. } | Decision::Consent { id, .. } => {
                (*id, Operation::Subscribe, None)
            }
            Decision::History { id, .. } => (*id, Operation::History, None),
            Decision::Presence { id, .. } | Decision::PresenceStats { id, .. } => {
                (*id, Operation::Presence, None)
            }
            Decision::Rpc { id, .. } => (*id, Operation::Rpc, None),
            Decision::Message(_) => (0, Operation::Rpc, None),
            Decision::Reply(_)
            | Decision::Authenticate { .. }
            | Decision::Verify { .. }
            | Decision::Refresh { .. }
            | Decision::SubRefresh { .. }
            | Decision::Open(_)
            | Decision::Unsubscribe { .. }
            | Decision::Pong
            | Decision::Close(_) => return decision,
        };
        let limits = &socket.shard.node.limits;
        let of_connection = || operation.connection_limit().is_none_or(|limit| socket.within(limit, 1));
        let of_user = || {
            // Anonymous clients have only their connection in common with themselves.
            let user = self.session.identity().map_or("", |identity| &identity.user);
            user.is_empty() || limits.allows_user(user, operation)
        };
        let of_channel = || channel.is_none_or(|channel| limits.allows_channel(channel));
        if of_connection() && of_user() && of_channel() {
            return decision;
        }
        tracing::debug!(connection = %self.client, ?operation, "too many of these");
        match id {
            // A message has no answer that could say it.
            0 => Decision::Close(DisconnectCode::TooManyRequests),
            id => Decision::Reply(session::error(id, ErrorCode::TooManyRequests)),
        }
    }
}
