use std::future::Future;

use throng_protocol::frame::MessageKind;
use throng_protocol::{ChannelName, Payload, Publication};

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
    Publication(Box<Publication>),
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

/// The node cannot take an event now: a queue that it must enter is full. Nothing was published; try again later.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a shard's queue is full")]
pub struct Busy;

/// Why an engine could not do what it was asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The node that would deliver is [`Busy`]; nothing was published.
    #[error("the event was not taken")]
    Busy(#[from] Busy),
}

/// Where an engine hands over what was published, one channel at a time and in that channel's order.
///
/// Both calls are made under the engine's lock of the channel, so they must not block and must not call the engine.
pub trait Sink: Send + Sync + 'static {
    /// Room for one event in every queue that the channel needs.
    type Ticket;

    /// Reserves room for one event of `channel` everywhere or nowhere. Called before the event has a sequence, so that a
    /// refusal leaves no hole in the order.
    ///
    /// # Errors
    ///
    /// [`Busy`] when one of the queues is full.
    fn reserve(&self, channel: &ChannelName) -> Result<Self::Ticket, Busy>;

    /// Takes the event into the room that was reserved for it.
    fn deliver(&self, ticket: Self::Ticket, channel: &ChannelName, sequence: Sequence, event: Event);
}

/// Orders the events of channels. Implementations pass the same conformance tests, whatever they store events in.
pub trait Engine: Send + Sync + 'static {
    /// Assigns the event its place in the channel and has it delivered on every node with subscribers. Without subscribers
    /// anywhere the event is accepted and reaches nobody.
    ///
    /// Cancel safe only before the first poll: a dropped call may or may not have published.
    ///
    /// # Errors
    ///
    /// [`EngineError::Busy`] when this node cannot take the event; nothing was published.
    fn publish(
        &self,
        channel: &ChannelName,
        event: Event,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Makes this node a subscriber of the channel once more (calls are counted) and tells the sequence of its last event.
    ///
    /// Every event after that sequence is handed to the sink. The caller must be ready to receive before it calls.
    ///
    /// # Errors
    ///
    /// None with the memory engine.
    fn subscribe(&self, channel: &ChannelName) -> impl Future<Output = Result<Sequence, EngineError>> + Send;

    /// Tells the sequence of the channel's last event, for one more subscriber on a node that is already subscribed.
    ///
    /// # Errors
    ///
    /// None with the memory engine.
    fn position(&self, channel: &ChannelName) -> impl Future<Output = Result<Sequence, EngineError>> + Send;

    /// Takes back one [`subscribe`](Self::subscribe); the last one ends the node's interest in the channel.
    fn unsubscribe(&self, channel: &ChannelName);
}
