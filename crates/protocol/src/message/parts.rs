use std::collections::BTreeMap;

use super::table::message;
use crate::Payload;

message! {
    /// Who is behind a connection, as other clients see it.
    pub struct ClientInfo {
        /// The user; empty for anonymous ones.
        pub user: String = 1 always,
        /// The connection's id.
        pub client: String = 2 always,
        /// What authentication attached to the connection.
        pub conn_info: Payload = 3,
        /// What was attached to the subscription.
        pub chan_info: Payload = 4,
    }

    /// A message in a channel.
    pub struct Publication {
        /// The application's data. A JSON string when delta compression is on in JSON.
        pub data: Payload = 4,
        /// The publisher, when a client connection published it.
        pub info: Option<ClientInfo> = 5,
        /// Position in the channel's stream, from 1; 0 without history.
        pub offset: u64 = 6,
        /// Labels set by the publisher, for filters and for the application.
        pub tags: BTreeMap<String, String> = 7,
        /// True when `data` is a fossil patch against the previous payload.
        pub delta: bool = 8,
        /// When it was published, in Unix milliseconds; 0 when not told.
        pub time: i64 = 9,
        /// The real channel, where a subscription covers several.
        pub channel: String = 10,
        /// Key of the entry, in map and shared-poll subscriptions.
        pub key: String = 11,
        /// True when the entry `key` is gone.
        pub removed: bool = 12,
        /// Rank of the entry in a map.
        pub score: i64 = 13 zigzag,
        /// Epoch of the stream; the stream's first publication carries it.
        pub epoch: String = 14,
        /// Version of a shared-poll entry.
        pub version: u64 = 16,
    }

    /// A place in a channel's stream.
    pub struct StreamPosition {
        /// Offset of the last publication seen; 0 before the first.
        pub offset: u64 = 1,
        /// The stream's identity: offsets of different epochs cannot be compared.
        pub epoch: String = 2,
    }

    /// A condition on a publication's tags: a leaf compares one tag, a branch joins conditions. Not checked here;
    /// see [`TagsFilter`](crate::TagsFilter).
    pub struct FilterNode {
        /// Empty for a leaf, or `and`, `or`, `not`.
        pub op: String = 1,
        /// Leaf: name of the tag.
        pub key: String = 2,
        /// Leaf: how to compare, for example `eq`, `in`, `ex`, `gte`.
        pub cmp: String = 3,
        /// Leaf: what to compare with.
        pub val: String = 4,
        /// Leaf: what to compare with, for `in` and `nin`.
        pub vals: Vec<String> = 5,
        /// Branch: the conditions that it joins.
        pub nodes: Vec<FilterNode> = 6,
    }

    /// A dictionary for compressing frames.
    pub struct Dictionary {
        /// Its name.
        pub id: String = 1,
        /// Its bytes, in Protobuf.
        pub data: Payload = 2,
        /// Its bytes in Base64, in JSON.
        pub data_b64: String = 3,
    }
}
