use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::Double;
use crate::message::{choice, message};
use crate::{ClientInfo, ErrorCode, ErrorReply, Payload, PresenceResult, PresenceStatsResult, RpcResult};

choice! {
    /// What a command is answered: an error, or the result that has the command's name.
    pub enum ApiReply {
        /// Why there is no result.
        Error(ApiError) = 2 "error",
        /// The publication was accepted.
        Publish(PublishResult) = 4 "publish",
        /// What became of each publication.
        Broadcast(BroadcastResult) = 5 "broadcast",
        /// The connections are subscribed.
        Subscribe(SubscribeResult) = 6 "subscribe",
        /// The connections are not subscribed any more.
        Unsubscribe(UnsubscribeResult) = 7 "unsubscribe",
        /// The connections end.
        Disconnect(DisconnectResult) = 8 "disconnect",
        /// Who is there.
        Presence(PresenceResult) = 9 "presence",
        /// How many are there.
        PresenceStats(PresenceStatsResult) = 10 "presence_stats",
        /// What was published.
        History(HistoryResult) = 11 "history",
        /// The publications are gone.
        HistoryRemove(HistoryRemoveResult) = 12 "history_remove",
        /// What the nodes tell.
        Info(InfoResult) = 13 "info",
        /// What the application answered.
        Rpc(RpcResult) = 14 "rpc",
        /// The connections are prolonged, or expire.
        Refresh(RefreshResult) = 15 "refresh",
        /// The channels.
        Channels(ChannelsResult) = 16 "channels",
        /// The clients for whom most waits.
        SlowClients(SlowClientsResult) = 100 "slow_clients",
        /// The token is revoked.
        RevokeToken(RevokeTokenResult) = 101 "revoke_token",
        /// The tokens are revoked.
        InvalidateUserTokens(InvalidateUserTokensResult) = 102 "invalidate_user_tokens",
        /// The tokens are revoked.
        InvalidateTokens(InvalidateTokensResult) = 103 "invalidate_tokens",
        /// What the user holds is revoked.
        RevokeUser(RevokeUserResult) = 104 "revoke_user",
        /// The user is kept out.
        RevokeChannel(RevokeChannelResult) = 105 "revoke_channel",
        /// The user is blocked.
        BlockUser(BlockUserResult) = 106 "block_user",
        /// The user is not blocked any more.
        UnblockUser(UnblockUserResult) = 107 "unblock_user",
        /// Whether there was something to take back.
        Pardon(PardonResult) = 108 "pardon",
        /// The revocations.
        Revocations(RevocationsResult) = 109 "revocations",
    }
}

choice! {
    /// What became of one of a broadcast's publications.
    pub enum PublishResponse {
        /// Why it was not accepted.
        Error(ApiError) = 1 "error",
        /// It was accepted.
        Result(PublishResult) = 2 "result",
    }
}

message! {
    /// Why a command failed. Usually made from an error code.
    pub struct ApiError {
        /// What went wrong; 100 to 113 are throng's own, 400 to 1999 the application's.
        pub code: u32 = 1,
        /// The same for people.
        pub message: Cow<'static, str> = 2,
    }

    /// Where the publication is.
    pub struct PublishResult {
        /// Its position in the channel's stream; left out without history.
        pub offset: u64 = 1,
        /// The stream's epoch; left out without history.
        pub epoch: String = 2,
    }

    /// What became of each publication.
    pub struct BroadcastResult {
        /// One for each channel, in the order of the channels.
        pub responses: Vec<PublishResponse> = 1 always,
    }

    /// Nothing to tell.
    pub struct SubscribeResult {}

    /// Nothing to tell.
    pub struct UnsubscribeResult {}

    /// Nothing to tell.
    pub struct DisconnectResult {}

    /// Nothing to tell.
    pub struct RefreshResult {}

    /// Nothing to tell.
    pub struct HistoryRemoveResult {}

    /// Publications of the past.
    pub struct HistoryResult {
        /// The publications, in the order asked for.
        pub publications: Vec<Publication> = 1 always,
        /// The stream's epoch.
        pub epoch: String = 2 always,
        /// Offset of the newest publication of the stream.
        pub offset: u64 = 3 always,
    }

    /// A publication of the past.
    pub struct Publication {
        /// The application's data.
        pub data: Payload = 2,
        /// The publisher, when a client connection published it.
        pub info: Option<ClientInfo> = 3,
        /// Position in the channel's stream, from 1.
        pub offset: u64 = 4,
        /// Labels set by the publisher.
        pub tags: BTreeMap<String, String> = 5,
        /// The application's data in standard Base64, in place of `data`, if it is not JSON. An extension of throng.
        pub b64data: String = 100,
    }

    /// The channels that have subscribers.
    pub struct ChannelsResult {
        /// What is known of them, by name.
        pub channels: BTreeMap<String, ChannelInfo> = 1 always,
    }

    /// What is known of a channel.
    pub struct ChannelInfo {
        /// Subscribed connections.
        pub num_clients: u32 = 1,
    }

    /// The clients for whom most waits.
    pub struct SlowClientsResult {
        /// The clients, the one for whom most waits first; those for whom nothing waits are left out.
        pub clients: Vec<SlowClient> = 1 always,
    }

    /// A client that is sent more than it takes.
    pub struct SlowClient {
        /// Id of the connection.
        pub client: String = 1 always,
        /// The user; empty for an anonymous one.
        pub user: String = 2 always,
        /// Bytes that wait for it.
        pub bytes: u64 = 3 always,
        /// Messages that wait for it.
        pub messages: u64 = 4 always,
    }

    /// Nothing to tell.
    pub struct RevokeTokenResult {}

    /// Nothing to tell.
    pub struct InvalidateUserTokensResult {}

    /// Nothing to tell.
    pub struct InvalidateTokensResult {}

    /// Nothing to tell.
    pub struct RevokeUserResult {}

    /// Nothing to tell.
    pub struct RevokeChannelResult {}

    /// Nothing to tell.
    pub struct BlockUserResult {}

    /// Nothing to tell.
    pub struct UnblockUserResult {}

    /// Whether there was something to take back.
    pub struct PardonResult {
        /// It was revoked, and is so no more.
        pub pardoned: bool = 1 always,
    }

    /// The revocations that hold.
    pub struct RevocationsResult {
        /// The revocations, in no order.
        pub revocations: Vec<RevocationInfo> = 1 always,
        /// How many there are in all.
        pub total: u32 = 2 always,
    }

    /// A revocation.
    pub struct RevocationInfo {
        /// What is revoked: `token`, `user`, `channel`, `issued_before` or `blocked_user`.
        pub kind: String = 1 always,
        /// The token's id.
        pub uid: String = 2,
        /// The user.
        pub user: String = 3,
        /// The channel.
        pub channel: String = 4,
        /// Tokens that were issued before are revoked, in Unix seconds.
        pub issued_before: i64 = 5,
        /// When it ends, in Unix seconds.
        pub expire_at: i64 = 6 always,
    }

    /// What the nodes tell.
    pub struct InfoResult {
        /// The nodes.
        pub nodes: Vec<NodeInfo> = 1 always,
    }

    /// A node of the server.
    pub struct NodeInfo {
        /// Its id, another one after each start.
        pub uid: String = 1 always,
        /// Its name.
        pub name: String = 2 always,
        /// Version of the server.
        pub version: String = 3 always,
        /// Connections.
        pub num_clients: u32 = 4 always,
        /// Different users among them; all anonymous ones count as one.
        pub num_users: u32 = 5 always,
        /// Channels with subscribers.
        pub num_channels: u32 = 6 always,
        /// Seconds since the start.
        pub uptime: u32 = 7,
        /// Measurements.
        pub metrics: Option<Metrics> = 8,
        /// What the process takes of the machine.
        pub process: Option<Process> = 9,
        /// Subscriptions of all connections.
        pub num_subs: u32 = 10 always,
    }

    /// Measurements of a node.
    pub struct Metrics {
        /// Seconds between measurements.
        pub interval: Double = 1,
        /// The last ones, by name.
        pub items: BTreeMap<String, Double> = 2,
    }

    /// What a process takes of its machine.
    pub struct Process {
        /// Of a processor, in percent.
        pub cpu: Double = 1,
        /// Resident memory, in bytes.
        pub rss: i64 = 2,
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for ApiError {}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self { code: code.code(), message: code.api_message().into() }
    }
}

/// The code and its text, also an application's; whether it is temporary gets lost.
impl From<ErrorReply> for ApiError {
    fn from(error: ErrorReply) -> Self {
        Self { code: error.code, message: error.message }
    }
}

impl From<ErrorCode> for ApiReply {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code.into())
    }
}

impl<T: Into<Self>, E: Into<ApiError>> From<Result<T, E>> for ApiReply {
    fn from(result: Result<T, E>) -> Self {
        result.map_or_else(|error| Self::Error(error.into()), Into::into)
    }
}

impl<E: Into<ApiError>> From<Result<PublishResult, E>> for PublishResponse {
    fn from(result: Result<PublishResult, E>) -> Self {
        result.map_or_else(|error| Self::Error(error.into()), Self::Result)
    }
}

impl From<crate::Publication> for Publication {
    fn from(publication: crate::Publication) -> Self {
        let crate::Publication { data, info, offset, tags, .. } = publication;
        Self { data, info, offset, tags, b64data: String::new() }
    }
}

impl From<crate::HistoryResult> for HistoryResult {
    fn from(history: crate::HistoryResult) -> Self {
        let crate::HistoryResult { publications, epoch, offset } = history;
        Self { publications: publications.into_iter().map(Into::into).collect(), epoch, offset }
    }
}
