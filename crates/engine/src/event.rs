use std::sync::Arc;

use throng_protocol::frame::MessageKind;
use throng_protocol::{ClientInfo, Payload, Publication};

use crate::Position;

/// Place of an event in its channel's order: 1 for the first event after the channel came into use, then one more for each.
///
/// It is internal to the node and its engine; clients see offsets, and only on channels that keep a stream.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Sequence(u64);

impl Sequence {
    /// The sequence with this number; 0 stands before the first event.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sequence of the event that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Identity of the client that caused an event: the 128 bits of its client id, unique in the cluster.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Origin(pub u128);

/// What travels through a channel.
#[derive(Clone, Debug)]
pub enum Message {
    /// A publication of the Centrifuge protocol.
    Publication(Arc<Publication>),
    /// A client subscribed.
    Join(Arc<ClientInfo>),
    /// A client's subscription ended.
    Leave(Arc<ClientInfo>),
    /// A message of the plain relay, which stays text or binary on its way.
    Relay {
        /// Whether the sender sent a text or a binary message.
        kind: MessageKind,
        /// The message's bytes; UTF-8 if it is text.
        data: Payload,
    },
}

/// A message and what the fan-out must know about it.
#[derive(Clone, Debug)]
pub struct Event {
    /// What subscribers get.
    pub message: Message,
    /// The one client that does not get it, although it is subscribed: the relay does not echo to its sender.
    pub except: Option<Origin>,
}

impl Event {
    /// An event for every subscriber.
    #[must_use]
    pub const fn new(message: Message) -> Self {
        Self { message, except: None }
    }

    /// The same event, kept from the client that sent it.
    #[must_use]
    pub const fn except(mut self, origin: Origin) -> Self {
        self.except = Some(origin);
        self
    }
}

/// An event in its place, as an engine hands it to the [`Sink`](crate::Sink).
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its place in the channel's order; one above that of the delivery before it, unless the node was not subscribed between.
    pub sequence: Sequence,
    /// Its place in the stream, for a publication that was stored.
    pub position: Option<Position>,
    /// The payload that subscribers got just before this one. Given only when this publication was published with
    /// [`delta`](crate::PublishOptions::delta), so that it may be sent as a patch.
    pub previous: Option<Payload>,
    /// What subscribers get. A stored publication has its offset set, and the stream's first also its epoch.
    pub event: Event,
}
