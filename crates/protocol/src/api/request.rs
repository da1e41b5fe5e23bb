use std::collections::BTreeMap;

use crate::message::{choice, message};
use crate::{Payload, PresenceRequest, PresenceStatsRequest, StreamPosition};

choice! {
    /// What a backend asks, alone or in a batch.
    pub enum ApiCommand {
        /// Publishes to a channel.
        Publish(PublishRequest) = 4 "publish",
        /// Publishes the same to many channels.
        Broadcast(BroadcastRequest) = 5 "broadcast",
        /// Subscribes a user's connections to a channel.
        Subscribe(SubscribeRequest) = 6 "subscribe",
        /// Ends subscriptions of a user's connections.
        Unsubscribe(UnsubscribeRequest) = 7 "unsubscribe",
        /// Ends a user's connections.
        Disconnect(DisconnectRequest) = 8 "disconnect",
        /// Tells who is in a channel.
        Presence(PresenceRequest) = 9 "presence",
        /// Tells how many are in a channel.
        PresenceStats(PresenceStatsRequest) = 10 "presence_stats",
        /// Tells what was published to a channel, and where its stream stands.
        History(HistoryRequest) = 11 "history",
        /// Removes the publications of a channel's stream; its offset and its epoch stay.
        HistoryRemove(HistoryRemoveRequest) = 12 "history_remove",
        /// Tells about the server's nodes.
        Info(InfoRequest) = 13 "info",
        /// Calls a method of the application that the server is built into.
        Rpc(RpcRequest) = 14 "rpc",
        /// Prolongs a user's connections, or lets them expire.
        Refresh(RefreshRequest) = 15 "refresh",
        /// Lists the channels that have subscribers.
        Channels(ChannelsRequest) = 16 "channels",
        /// Lists the clients for whom most waits. An extension of throng.
        SlowClients(SlowClientsRequest) = 100 "slow_clients",
        /// Revokes a token: connections that came with it end, and new ones are refused.
        RevokeToken(RevokeTokenRequest) = 101 "revoke_token",
        /// Revokes the tokens of a user that were issued before a time.
        InvalidateUserTokens(InvalidateUserTokensRequest) = 102 "invalidate_user_tokens",
        /// Revokes the tokens of everybody that were issued before a time. An extension of throng.
        InvalidateTokens(InvalidateTokensRequest) = 103 "invalidate_tokens",
        /// Revokes everything that a user holds, whenever it was issued. An extension of throng.
        RevokeUser(RevokeUserRequest) = 104 "revoke_user",
        /// Keeps a user out of a channel: subscriptions end, and new ones are refused. An extension of throng.
        RevokeChannel(RevokeChannelRequest) = 105 "revoke_channel",
        /// Blocks a user: connections end, and new ones are refused.
        BlockUser(BlockUserRequest) = 106 "block_user",
        /// Takes the block of a user back.
        UnblockUser(UnblockUserRequest) = 107 "unblock_user",
        /// Takes a revocation back. An extension of throng.
        Pardon(PardonRequest) = 108 "pardon",
        /// Lists the revocations that hold. An extension of throng.
        Revocations(RevocationsRequest) = 109 "revocations",
    }
}

message! {
    /// Publishes to a channel.
    pub struct PublishRequest {
        /// The channel; must not be empty.
        pub channel: String = 1,
        /// What is published: any JSON.
        pub data: Payload = 2,
        /// What is published, in standard Base64 with padding, for data that is not JSON. Wins over `data` when it is
        /// not empty.
        pub b64data: String = 3,
        /// Deliver without adding to the channel's history.
        pub skip_history: bool = 4,
        /// Labels that subscribers get, and that their filters look at.
        pub tags: BTreeMap<String, String> = 5,
        /// Names this publication: a repeat with the same key in the same channel is not published again and gets the
        /// first one's result, for some minutes. Empty for none.
        pub idempotency_key: String = 6,
        /// Let subscribers that negotiated it get a patch against the publication before. Needs history.
        pub delta: bool = 7,
        /// Drop the publication, without an error, unless this is above the version that the stream stands at. 0 for
        /// none. Needs history.
        pub version: u64 = 8,
        /// What versions can be compared in: with another epoch than the stream's, `version` counts as newer.
        pub version_epoch: String = 9,
        /// In channels that keep only the latest for slow subscribers: what this publication is the latest of. Empty
        /// for the channel as a whole. An extension of throng.
        pub key: String = 100,
    }

    /// Publishes the same to many channels.
    pub struct BroadcastRequest {
        /// The channels; must not be empty.
        pub channels: Vec<String> = 1,
        /// What is published: any JSON.
        pub data: Payload = 2,
        /// What is published, in standard Base64 with padding, for data that is not JSON. Wins over `data` when it is
        /// not empty.
        pub b64data: String = 3,
        /// Deliver without adding to the channels' histories.
        pub skip_history: bool = 4,
        /// Labels that subscribers get, and that their filters look at.
        pub tags: BTreeMap<String, String> = 5,
        /// Names this publication: a repeat with the same key in the same channel is not published again and gets the
        /// first one's result, for some minutes. Empty for none.
        pub idempotency_key: String = 6,
        /// Let subscribers that negotiated it get patches against the publications before. Needs history.
        pub delta: bool = 7,
        /// Drop the publication, without an error, unless this is above the version that the stream stands at. 0 for
        /// none. Needs history.
        pub version: u64 = 8,
        /// What versions can be compared in: with another epoch than the stream's, `version` counts as newer.
        pub version_epoch: String = 9,
        /// In channels that keep only the latest for slow subscribers: what this publication is the latest of. Empty
        /// for the channel as a whole. An extension of throng.
        pub key: String = 100,
    }

    /// Subscribes a user's connections to a channel.
    pub struct SubscribeRequest {
        /// The channel.
        pub channel: String = 1,
        /// The user; empty for anonymous connections.
        pub user: String = 2,
        /// When the subscription ends, in Unix seconds; 0 for never.
        pub expire_at: i64 = 3,
        /// What others see of the subscription, in presence, join and leave: any JSON.
        pub info: Payload = 4,
        /// The same in standard Base64 with padding. Wins over `info` when it is not empty.
        pub b64info: String = 5,
        /// Only the connection with this id; empty for all of the user's.
        pub client: String = 6,
        /// What the client gets with the subscription: any JSON.
        pub data: Payload = 7,
        /// The same in standard Base64 with padding. Wins over `data` when it is not empty.
        pub b64data: String = 8,
        /// Deliver at once what was published after this position.
        pub recover_since: Option<StreamPosition> = 9,
        /// What is other than in the channel's options.
        pub overrides: Option<Override> = 10 "override",
        /// Only the connection with this session; empty for all of the user's.
        pub session: String = 11,
    }

    /// Options of one subscription that are other than those of its channel. What is not given stays.
    pub struct Override {
        /// Be listed in presence.
        pub presence: Option<BoolValue> = 1,
        /// Publish when the subscriber joins and leaves.
        pub join_leave: Option<BoolValue> = 2,
        /// Be able to recover.
        pub force_recovery: Option<BoolValue> = 3,
        /// Be told when publications are lost.
        pub force_positioning: Option<BoolValue> = 4,
        /// Get the joins and leaves of others.
        pub force_push_join_leave: Option<BoolValue> = 5,
    }

    /// Yes or no, where not saying either is a third thing.
    pub struct BoolValue {
        /// The value.
        pub value: bool = 1,
    }

    /// Ends subscriptions of a user's connections.
    pub struct UnsubscribeRequest {
        /// The channel; empty for all.
        pub channel: String = 1,
        /// The user; empty for anonymous connections.
        pub user: String = 2,
        /// Only the connection with this id; empty for all of the user's.
        pub client: String = 3,
        /// Only the connection with this session; empty for all of the user's.
        pub session: String = 4,
    }

    /// Ends a user's connections.
    pub struct DisconnectRequest {
        /// The user; empty for anonymous connections.
        pub user: String = 1,
        /// What the clients are told; if it is not given, code 3503, after which they do not come back.
        pub disconnect: Option<Disconnect> = 2,
        /// Only the connection with this id; empty for all of the user's.
        pub client: String = 3,
        /// Ids of connections that stay.
        pub whitelist: Vec<String> = 4,
        /// Only the connection with this session; empty for all of the user's.
        pub session: String = 5,
    }

    /// Why a connection ends.
    pub struct Disconnect {
        /// The code of the WebSocket close frame; decides whether the client reconnects.
        pub code: u32 = 1,
        /// The same for people.
        pub reason: String = 2,
    }

    /// Prolongs a user's connections, or lets them expire.
    pub struct RefreshRequest {
        /// The user; empty for anonymous connections.
        pub user: String = 1,
        /// Only the connection with this id; empty for all of the user's.
        pub client: String = 2,
        /// Let the connections expire now.
        pub expired: bool = 3,
        /// When the connections expire, in Unix seconds; 0 for never.
        pub expire_at: i64 = 4,
        /// What others see of the connections from now on: any JSON.
        pub info: Payload = 5,
        /// Only the connection with this session; empty for all of the user's.
        pub session: String = 6,
    }

    /// Asks for publications of the past.
    pub struct HistoryRequest {
        /// The channel.
        pub channel: String = 1,
        /// Most publications wanted: 0 for the position alone, -1 for all.
        pub limit: i32 = 2,
        /// Start after this position, or before it with `reverse`; if it is not given, at the end of the stream.
        pub since: Option<StreamPosition> = 3,
        /// Newest first.
        pub reverse: bool = 4,
    }

    /// Removes the publications of a channel's stream; its offset and its epoch stay.
    pub struct HistoryRemoveRequest {
        /// The channel.
        pub channel: String = 1,
    }

    /// Asks about the server's nodes.
    pub struct InfoRequest {}

    /// Calls a method of the application that the server is built into.
    pub struct RpcRequest {
        /// What to call; must not be empty.
        pub method: String = 1,
        /// The arguments: any JSON.
        pub params: Payload = 2,
    }

    /// Asks for the clients for whom most waits.
    pub struct SlowClientsRequest {
        /// Most clients wanted, at most 1,000; 0 for 10.
        pub limit: u32 = 1,
    }

    /// Revokes a token.
    pub struct RevokeTokenRequest {
        /// The token's id, its claim `jti`; must not be empty.
        pub uid: String = 1,
        /// When the revocation ends, in Unix seconds: not before the token does. 0 for as long as the server allows.
        pub expire_at: i64 = 2,
    }

    /// Revokes the tokens of a user that were issued before a time.
    pub struct InvalidateUserTokensRequest {
        /// The user; must not be empty.
        pub user: String = 1,
        /// The time, in Unix seconds; tokens that do not say when they were issued count as older. 0 for now, this second
        /// included.
        pub issued_before: i64 = 2,
        /// When the revocation ends, in Unix seconds: not before the tokens do. 0 for as long as the server allows.
        pub expire_at: i64 = 3,
    }

    /// Revokes the tokens of everybody that were issued before a time.
    pub struct InvalidateTokensRequest {
        /// The time, in Unix seconds; tokens that do not say when they were issued count as older. Must not be 0.
        pub issued_before: i64 = 1,
        /// When the revocation ends, in Unix seconds: not before the tokens do. 0 for as long as the server allows.
        pub expire_at: i64 = 2,
    }

    /// Revokes everything that a user holds.
    pub struct RevokeUserRequest {
        /// The user; must not be empty.
        pub user: String = 1,
        /// When the revocation ends, in Unix seconds. 0 for as long as the server allows.
        pub expire_at: i64 = 2,
    }

    /// Keeps a user out of a channel.
    pub struct RevokeChannelRequest {
        /// The user; must not be empty.
        pub user: String = 1,
        /// The channel; must not be empty.
        pub channel: String = 2,
        /// When the revocation ends, in Unix seconds. 0 for as long as the server allows.
        pub expire_at: i64 = 3,
    }

    /// Blocks a user.
    pub struct BlockUserRequest {
        /// The user; must not be empty.
        pub user: String = 1,
        /// When the block ends, in Unix seconds. 0 for as long as the server allows.
        pub expire_at: i64 = 2,
    }

    /// Takes the block of a user back.
    pub struct UnblockUserRequest {
        /// The user; must not be empty.
        pub user: String = 1,
    }

    /// Takes a revocation back. One of these must be given: `uid`; `user`; `user` and `channel`; or `issued_before`, alone for what
    /// was revoked for everybody and with `user` for what was revoked for one.
    pub struct PardonRequest {
        /// The token's id, its claim `jti`.
        pub uid: String = 1,
        /// The user.
        pub user: String = 2,
        /// The channel that the user was kept out of.
        pub channel: String = 3,
        /// Tokens that were issued before a time, whichever that is.
        pub issued_before: bool = 4,
    }

    /// Asks for the revocations that hold.
    pub struct RevocationsRequest {
        /// Only those that name this user; empty for all.
        pub user: String = 1,
        /// Most revocations wanted, at most 10,000; 0 for 100.
        pub limit: u32 = 2,
    }

    /// Asks for the channels that have subscribers.
    pub struct ChannelsRequest {
        /// What the names must look like: `*` stands for any characters, `?` for one. Empty for all channels.
        pub pattern: String = 1,
    }
}
