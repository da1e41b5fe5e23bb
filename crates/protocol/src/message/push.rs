use std::collections::BTreeMap;

use super::table::{choice, message};
use crate::{ClientInfo, Payload, Publication, SubscribeResult};

/// Something that a client receives without asking just now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Push {
    /// The channel it is about; empty when it is about the connection.
    pub channel: String,
    /// What happened.
    pub event: PushEvent,
}

choice! {
    /// What a push tells.
    pub enum PushEvent {
        /// A message was published (`pub` on the wire).
        Publication(Publication) = 4 "pub",
        /// Someone joined the channel.
        Join(Join) = 5 "join",
        /// Someone left the channel.
        Leave(Leave) = 6 "leave",
        /// The server removed the subscription.
        Unsubscribe(Unsubscribe) = 7 "unsubscribe",
        /// A message outside of channels.
        Message(Message) = 8 "message",
        /// The server added a subscription.
        Subscribe(Subscribe) = 9 "subscribe",
        /// The client is connected; on one-way transports.
        Connect(Connect) = 10 "connect",
        /// The connection ends; on transports that have no close frame.
        Disconnect(Disconnect) = 11 "disconnect",
        /// The server prolonged the connection.
        Refresh(Refresh) = 12 "refresh",
    }
}

message! {
    /// Someone joined the channel.
    pub struct Join {
        /// Who.
        pub info: Option<ClientInfo> = 1,
    }

    /// Someone left the channel.
    pub struct Leave {
        /// Who.
        pub info: Option<ClientInfo> = 1,
    }

    /// The server removed the subscription; see [`UnsubscribeCode`](crate::UnsubscribeCode).
    pub struct Unsubscribe {
        /// Why; decides whether the client subscribes again.
        pub code: u32 = 2,
        /// The same for people.
        pub reason: String = 3,
    }

    /// A message outside of channels.
    pub struct Message {
        /// The application's data.
        pub data: Payload = 1,
    }

    /// The server added a subscription.
    pub struct Subscribe {
        /// The client may recover later.
        pub recoverable: bool = 1,
        /// The stream's epoch.
        pub epoch: String = 4,
        /// Top of the stream.
        pub offset: u64 = 5,
        /// The client will be told when publications are lost.
        pub positioned: bool = 6,
        /// From the application.
        pub data: Payload = 7,
    }

    /// Welcomes a client on a one-way transport.
    pub struct Connect {
        /// Id of the connection.
        pub client: String = 1,
        /// Version of the server.
        pub version: String = 2,
        /// From the application.
        pub data: Payload = 3,
        /// Subscriptions, by channel.
        pub subs: BTreeMap<String, SubscribeResult> = 4,
        /// The connection ends after `ttl` unless it is refreshed.
        pub expires: bool = 5,
        /// Seconds until then.
        pub ttl: u32 = 6,
        /// Seconds between the server's pings; 0: there are none.
        pub ping: u32 = 7,
        /// The client has to answer pings.
        pub pong: bool = 8,
        /// Secret name of the session.
        pub session: String = 9,
        /// Name of the server's node.
        pub node: String = 10,
        /// The server's clock, in Unix milliseconds; 0 when not told.
        pub time: i64 = 11,
    }

    /// The connection ends; see [`DisconnectCode`](crate::DisconnectCode).
    pub struct Disconnect {
        /// Why; decides whether the client reconnects.
        pub code: u32 = 1,
        /// The same for people.
        pub reason: String = 2,
        /// Left false: clients decide by the code.
        pub reconnect: bool = 3,
    }

    /// The server prolonged the connection.
    pub struct Refresh {
        /// The connection ends after `ttl` unless it is refreshed.
        pub expires: bool = 1,
        /// Seconds until then.
        pub ttl: u32 = 2,
    }
}
