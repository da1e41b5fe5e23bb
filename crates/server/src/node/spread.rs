use std::sync::Arc;

use throng_engine::{Busy, Delivery, Message, Origin, Revocation, Sink};
use throng_protocol::ChannelName;
use throng_registry::{ClientId, Fanout, Frames, StreamMark, Ticket};

use super::{Namespaces, revocations};
use crate::config::DataFormat;
use crate::shard::ShardCommand;

/// The engine's sink: spreads each event over the queues of the shards that have subscribers.
#[derive(Debug)]
pub(super) struct Spread {
    fanout: Arc<Fanout<ShardCommand>>,
    namespaces: Arc<Namespaces>,
    /// Whether payloads may be anything but JSON in some namespace.
    may_be_binary: bool,
}

impl Spread {
    pub(super) fn new(fanout: Arc<Fanout<ShardCommand>>, namespaces: Arc<Namespaces>) -> Self {
        let may_be_binary = namespaces.all().iter().any(|space| space.data_format == DataFormat::Binary);
        Self { fanout, namespaces, may_be_binary }
    }

    /// Whether JSON clients can read a payload. It has been checked on its way in, where it must be JSON.
    fn is_json(&self, channel: &ChannelName, data: &throng_protocol::Payload) -> bool {
        let binary = || {
            self.namespaces
                .of(channel.as_str())
                .is_ok_and(|namespace| namespace.data_format == DataFormat::Binary)
        };
        !self.may_be_binary || !binary() || data.is_json()
    }
}

impl Sink for Spread {
    type Ticket = Ticket<ShardCommand>;

    fn reserve(&self, channel: &ChannelName) -> Result<Self::Ticket, Busy> {
        self.fanout.reserve(channel).ok_or(Busy)
    }

    fn deliver(&self, ticket: Self::Ticket, channel: &ChannelName, delivery: Delivery) {
        let Delivery { sequence, position, previous, event } = delivery;
        let frames = match event.message {
            Message::Publication(publication) => {
                let json = self.is_json(channel, &publication.data);
                Frames::publication(channel.clone(), publication, previous, json)
            }
            Message::Join(info) => Frames::join(channel.clone(), info),
            Message::Leave(info) => Frames::leave(channel.clone(), info),
            Message::Relay { kind, data } => Frames::relay(kind, data),
        };
        let stream =
            position.map(|position| StreamMark { epoch: position.epoch.id(), offset: position.offset });
        let except = event.except.map(|Origin(bits)| ClientId::from_u128(bits));
        self.fanout.deliver(ticket, channel, sequence.get(), stream, frames, except);
    }

    fn revoked(&self, revocation: &Revocation) {
        revocations::tell_shards(&self.fanout, revocation);
    }
}
