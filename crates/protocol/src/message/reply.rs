use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::table::{choice, message};
use crate::{ClientInfo, Dictionary, Payload, Publication, Push};

/// What a server sends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// The empty reply: asks whether the client is still there.
    Ping,
    /// Something that the client did not ask for just now.
    Push(Push),
    /// The answer to a request.
    Answer {
        /// The request's id.
        id: u32,
        /// Its result, or why there is none.
        outcome: Result<Outcome, ErrorReply>,
    },
}

choice! {
    /// The result of a request: the variant has the request's name.
    pub enum Outcome {
        /// The client is connected.
        Connect(ConnectResult) = 5 "connect",
        /// The client is subscribed.
        Subscribe(SubscribeResult) = 6 "subscribe",
        /// The client is not subscribed any more.
        Unsubscribe(UnsubscribeResult) = 7 "unsubscribe",
        /// The publication was accepted.
        Publish(PublishResult) = 8 "publish",
        /// Who is there.
        Presence(PresenceResult) = 9 "presence",
        /// How many are there.
        PresenceStats(PresenceStatsResult) = 10 "presence_stats",
        /// What was published.
        History(HistoryResult) = 11 "history",
        /// What the application answered.
        Rpc(RpcResult) = 13 "rpc",
        /// The connection is prolonged.
        Refresh(RefreshResult) = 14 "refresh",
        /// The subscription is prolonged.
        SubRefresh(SubRefreshResult) = 15 "sub_refresh",
    }
}

message! {
    /// Why a request failed. Usually made from an [`ErrorCode`](crate::ErrorCode).
    pub struct ErrorReply {
        /// What went wrong; 100 to 113 are the protocol's own, 400 to 1999 the application's.
        pub code: u32 = 1,
        /// The same for people.
        pub message: Cow<'static, str> = 2,
        /// True when the same request may succeed later.
        pub temporary: bool = 3,
    }

    /// Welcomes a client.
    pub struct ConnectResult {
        /// Id of the connection; never empty.
        pub client: String = 1,
        /// Version of the server.
        pub version: String = 2,
        /// The client has to refresh the connection within `ttl`.
        pub expires: bool = 3,
        /// Seconds until the refresh is due; told with `expires`.
        pub ttl: u32 = 4,
        /// From the application.
        pub data: Payload = 5,
        /// Server-side subscriptions, by channel.
        pub subs: BTreeMap<String, SubscribeResult> = 6,
        /// Seconds between the server's pings; 0: there are none.
        pub ping: u32 = 7,
        /// The client has to answer pings.
        pub pong: bool = 8,
        /// Secret name of the session, on transports where commands travel apart from replies.
        pub session: String = 9,
        /// Name of the server's node, told with `session`.
        pub node: String = 10,
        /// The server's clock, in Unix milliseconds; 0 when not told.
        pub time: i64 = 11,
        /// Bit 0 accepts dictionary compression.
        pub flag: i64 = 12,
        /// The dictionary to use.
        pub dict: Option<Dictionary> = 13,
    }

    /// Tells where a subscription starts.
    pub struct SubscribeResult {
        /// The client has to refresh the subscription within `ttl`.
        pub expires: bool = 1,
        /// Seconds until the refresh is due; told with `expires`.
        pub ttl: u32 = 2,
        /// The client may recover later.
        pub recoverable: bool = 3,
        /// The stream's epoch, of a positioned or recoverable subscription.
        pub epoch: String = 6,
        /// What the client had missed.
        pub publications: Vec<Publication> = 7,
        /// True when `publications` is all that the client had missed.
        pub recovered: bool = 8,
        /// Top of the stream; after a recovery, the offset that the client asked for.
        pub offset: u64 = 9,
        /// The client will be told when publications are lost.
        pub positioned: bool = 10,
        /// From the application.
        pub data: Payload = 11,
        /// The request had asked for recovery.
        pub was_recovering: bool = 12,
        /// Delta compression is on.
        pub delta: bool = 13,
        /// Kind of subscription (`type` on the wire): 0 stream, 1 map, 4 shared poll.
        pub kind: i32 = 15 "type",
    }

    /// Nothing to tell.
    pub struct UnsubscribeResult {}

    /// Nothing to tell.
    pub struct PublishResult {}

    /// Who is in a channel.
    pub struct PresenceResult {
        /// The clients, by connection id.
        pub presence: BTreeMap<String, ClientInfo> = 1 always,
    }

    /// How many are in a channel.
    pub struct PresenceStatsResult {
        /// Connections.
        pub num_clients: u32 = 1 always,
        /// Different users among them; all anonymous ones count as one.
        pub num_users: u32 = 2 always,
    }

    /// Publications of the past.
    pub struct HistoryResult {
        /// The publications, in the order asked for.
        pub publications: Vec<Publication> = 1 always,
        /// The stream's epoch.
        pub epoch: String = 2 always,
        /// Offset of the newest publication of the stream.
        pub offset: u64 = 3 always,
    }

    /// What the application answered.
    pub struct RpcResult {
        /// The application's data.
        pub data: Payload = 1,
    }

    /// How long the connection lasts now.
    pub struct RefreshResult {
        /// Id of the connection.
        pub client: String = 1,
        /// Version of the server.
        pub version: String = 2,
        /// The client has to refresh again within `ttl`.
        pub expires: bool = 3,
        /// Seconds until the refresh is due.
        pub ttl: u32 = 4,
    }

    /// How long the subscription lasts now.
    pub struct SubRefreshResult {
        /// The client has to refresh again within `ttl`.
        pub expires: bool = 1,
        /// Seconds until the refresh is due.
        pub ttl: u32 = 2,
    }
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for ErrorReply {}
