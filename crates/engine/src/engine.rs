use std::future::Future;
use std::sync::Arc;

use throng_protocol::{ChannelName, ClientInfo};

use crate::{
    Delivery, Event, Full, History, HistoryOptions, HistoryQuery, Origin, PresenceStats, PublishOptions,
    Published, Revocation, Revocations, Sequence, Snapshot, Subject,
};

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
    /// There are as many revocations as there may be; nothing was revoked.
    #[error("nothing was revoked")]
    Full(#[from] Full),
    /// What was asked holds now, but would not after a restart.
    #[error("it could not be kept on disk: {0}")]
    NotKept(Arc<str>),
}

/// Where an engine hands over what was published, one channel at a time and in that channel's order.
///
/// The calls about channels are made under the engine's lock of the channel, so they must not block and must not call the engine.
pub trait Sink: Send + Sync + 'static {
    /// Room for one event in every queue that the channel needs.
    type Ticket;

    /// Reserves room for one event of `channel` everywhere or nowhere. Called before the event has a sequence or an offset,
    /// so that a refusal leaves no hole in the order.
    ///
    /// # Errors
    ///
    /// [`Busy`] when one of the queues is full.
    fn reserve(&self, channel: &ChannelName) -> Result<Self::Ticket, Busy>;

    /// Takes the event into the room that was reserved for it.
    fn deliver(&self, ticket: Self::Ticket, channel: &ChannelName, delivery: Delivery);

    /// Hears of a revocation that the engine's [`Revocations`] hold already: what it means and is connected must go. Must not
    /// block and must not call the engine. Sinks without connections have nothing to do.
    fn revoked(&self, revocation: &Revocation) {
        let _ = revocation;
    }
}

/// Orders the events of channels, and keeps their streams and presence.
///
/// What an implementation must do is written down as checks, which take any engine: see [`conformance`](crate::conformance).
///
/// All calls are cancel safe only before the first poll: a dropped call may or may not have done its work.
pub trait Engine: Send + Sync + 'static {
    /// Assigns the event its place in the channel, stores it if `options` ask for it, and has it delivered on every node with
    /// subscribers. Without subscribers anywhere the event reaches nobody, but is stored all the same.
    ///
    /// The checks come in this order: a repeated idempotency key, a stale version, room in the queues.
    ///
    /// # Errors
    ///
    /// [`EngineError::Busy`] when this node cannot take the event; then nothing has changed, and the idempotency key may be
    /// used again.
    fn publish(
        &self,
        channel: &ChannelName,
        event: Event,
        options: &PublishOptions,
    ) -> impl Future<Output = Result<Published, EngineError>> + Send;

    /// Makes this node a subscriber of the channel once more (calls are counted) and tells the sequence of its last event.
    ///
    /// Every event after that sequence is handed to the sink. The caller must be ready to receive before it calls.
    ///
    /// # Errors
    ///
    /// None with the memory engine.
    fn subscribe(&self, channel: &ChannelName) -> impl Future<Output = Result<Sequence, EngineError>> + Send;

    /// Takes back one [`subscribe`](Self::subscribe); the last one ends the node's interest in the channel.
    fn unsubscribe(&self, channel: &ChannelName);

    /// Tells where the channel is, for one more subscriber on a node that is already subscribed. With `history` also where
    /// its stream is, which is made if it is not there, so that there always is an epoch.
    ///
    /// # Errors
    ///
    /// None with the memory engine.
    fn position(
        &self,
        channel: &ChannelName,
        history: Option<&HistoryOptions>,
    ) -> impl Future<Output = Result<Snapshot, EngineError>> + Send;

    /// Reads the channel's stream, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// None with the memory engine. That the query names another epoch is part of the [`History`].
    fn history(
        &self,
        channel: &ChannelName,
        options: &HistoryOptions,
        query: &HistoryQuery,
    ) -> impl Future<Output = Result<History, EngineError>> + Send;

    /// Removes the stream's publications. Its offset and epoch stay.
    ///
    /// # Errors
    ///
    /// None with the memory engine.
    fn remove_history(&self, channel: &ChannelName) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Notes that a client is present in the channel. Doing it again renews the entry, with the new information.
    ///
    /// # Errors
    ///
    /// None with the memory engine.
    fn add_presence(
        &self,
        channel: &ChannelName,
        client: Origin,
        info: Arc<ClientInfo>,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Notes that a client is no longer present in the channel.
    ///
    /// # Errors
    ///
    /// None with the memory engine.
    fn remove_presence(
        &self,
        channel: &ChannelName,
        client: Origin,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Who is present in the channel, in no order.
    ///
    /// # Errors
    ///
    /// None with the memory engine.
    fn presence(
        &self,
        channel: &ChannelName,
    ) -> impl Future<Output = Result<Vec<(Origin, Arc<ClientInfo>)>, EngineError>> + Send;

    /// How many are present in the channel; takes the same time however many they are.
    ///
    /// # Errors
    ///
    /// None with the memory engine.
    fn presence_stats(
        &self,
        channel: &ChannelName,
    ) -> impl Future<Output = Result<PresenceStats, EngineError>> + Send;

    /// The revocations that this node knows of, to be asked without waiting.
    fn revocations(&self) -> &Revocations;

    /// Revokes on every node. This node's [`revocations`](Self::revocations) hold it before the sink hears of it, so that whoever
    /// is entered first and then judged is noticed by one of both.
    ///
    /// One of the same subject is joined with it, see [`Revocations::add`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Full`] when as many as are allowed hold, and [`EngineError::NotKept`] when it holds, but could not be kept
    /// on disk.
    fn revoke(&self, revocation: Revocation) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Takes the revocation of a subject back on every node; false if there was none.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotKept`] when it is taken back, but would come back after a restart.
    fn pardon(&self, subject: &Subject) -> impl Future<Output = Result<bool, EngineError>> + Send;
}
