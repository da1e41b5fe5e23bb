use std::collections::BTreeMap;

use super::table::{choice, message};
use crate::{FilterNode, Payload, StreamPosition};

/// What a client sends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// The empty command: the answer to a ping. A command without id and without `send` counts as one too.
    Pong,
    /// A message to the server that gets no answer.
    Send(SendRequest),
    /// A request, which gets exactly one [`Reply::Answer`](crate::Reply::Answer) with the same id.
    Request {
        /// Above 0, and unique among the connection's unanswered requests.
        id: u32,
        /// What is asked.
        request: Request,
    },
}

choice! {
    /// What a client asks.
    pub enum Request {
        /// Introduces the client; the first request of a connection.
        Connect(ConnectRequest) = 4 "connect",
        /// Joins a channel.
        Subscribe(SubscribeRequest) = 5 "subscribe",
        /// Leaves a channel.
        Unsubscribe(UnsubscribeRequest) = 6 "unsubscribe",
        /// Publishes to a channel.
        Publish(PublishRequest) = 7 "publish",
        /// Who is in a channel?
        Presence(PresenceRequest) = 8 "presence",
        /// How many are in a channel?
        PresenceStats(PresenceStatsRequest) = 9 "presence_stats",
        /// What was published to a channel, and where does its stream stand?
        History(HistoryRequest) = 10 "history",
        /// Calls the application.
        Rpc(RpcRequest) = 13 "rpc",
        /// Prolongs the connection.
        Refresh(RefreshRequest) = 14 "refresh",
        /// Prolongs a subscription.
        SubRefresh(SubRefreshRequest) = 15 "sub_refresh",
    }
}

message! {
    /// Introduces a client.
    pub struct ConnectRequest {
        /// JWT of the connection; empty for none.
        pub token: String = 1,
        /// For the application.
        pub data: Payload = 2,
        /// Where the client stands in the server-side subscriptions that it knows, by channel.
        pub subs: BTreeMap<String, SubscribeRequest> = 3,
        /// Name of the SDK, for example `js`.
        pub name: String = 4,
        /// Version of the SDK or of the application.
        pub version: String = 5,
        /// What would be HTTP headers, where a client cannot set those.
        pub headers: BTreeMap<String, String> = 6,
        /// Bit 0 offers dictionary compression.
        pub flag: i64 = 7,
        /// The dictionary that the client holds.
        pub dict: String = 8,
        /// The dictionary profile that the client wants.
        pub profile: String = 9,
    }

    /// Joins a channel.
    pub struct SubscribeRequest {
        /// The channel. Not checked here; see [`ChannelName`](crate::ChannelName).
        pub channel: String = 1,
        /// JWT of the subscription; empty for none.
        pub token: String = 2,
        /// Asks for what was published after `offset` in `epoch`.
        pub recover: bool = 3,
        /// Epoch that `offset` belongs to; empty when the client knows none.
        pub epoch: String = 6,
        /// Offset of the last publication that the client has seen.
        pub offset: u64 = 7,
        /// For the application.
        pub data: Payload = 8,
        /// Asks to be told when publications are lost.
        pub positioned: bool = 9,
        /// Asks to be able to recover later.
        pub recoverable: bool = 10,
        /// Asks for join and leave pushes.
        pub join_leave: bool = 11,
        /// Delta compression wanted: empty or `fossil`.
        pub delta: String = 12,
        /// Only publications with such tags are wanted. Boxed, as it is rare and large.
        pub tf: Option<Box<FilterNode>> = 13,
        /// Bit 0: channel ids would be understood. Bit 1: a failed recovery is to be error 112.
        pub flag: i64 = 14,
        /// Kind of subscription (`type` on the wire): 0 stream, 1 to 3 maps, 4 shared poll.
        pub kind: i32 = 15 "type",
    }

    /// Leaves a channel.
    pub struct UnsubscribeRequest {
        /// The channel.
        pub channel: String = 1,
    }

    /// Publishes to a channel.
    pub struct PublishRequest {
        /// The channel.
        pub channel: String = 1,
        /// The application's data.
        pub data: Payload = 2,
        /// Kind of subscription meant (`type` on the wire): 0 stream, 1 map.
        pub kind: i32 = 3 "type",
        /// Key of the map entry to set.
        pub key: String = 4,
        /// True to remove the map entry instead.
        pub removed: bool = 5,
    }

    /// Asks who is in a channel.
    pub struct PresenceRequest {
        /// The channel.
        pub channel: String = 1,
    }

    /// Asks how many are in a channel.
    pub struct PresenceStatsRequest {
        /// The channel.
        pub channel: String = 1,
    }

    /// Asks for publications of the past.
    pub struct HistoryRequest {
        /// The channel.
        pub channel: String = 1,
        /// Most publications wanted: 0 asks for the position alone, below 0 for as many as the server gives.
        pub limit: i32 = 7,
        /// Start after this position (before it, when `reverse`); none: at the end of the stream.
        pub since: Option<StreamPosition> = 8,
        /// Newest first.
        pub reverse: bool = 9,
    }

    /// Calls the application.
    pub struct RpcRequest {
        /// The arguments.
        pub data: Payload = 1,
        /// What to call.
        pub method: String = 2,
    }

    /// A message to the application, without an answer.
    pub struct SendRequest {
        /// The application's data.
        pub data: Payload = 1,
    }

    /// Prolongs the connection.
    pub struct RefreshRequest {
        /// The new JWT.
        pub token: String = 1,
    }

    /// Prolongs a subscription.
    pub struct SubRefreshRequest {
        /// The channel.
        pub channel: String = 1,
        /// The new JWT.
        pub token: String = 2,
        /// What to do (`type` on the wire): 0 refresh, 1 and 2 track and untrack shared-poll keys.
        pub kind: i32 = 3 "type",
    }
}
