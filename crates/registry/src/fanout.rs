use std::sync::Arc;

use throng_protocol::ChannelName;

use crate::queue::Reservation;
use crate::{ClientId, Directory, Frames, ShardId, ShardQueue, Slot, StreamMark};

/// One publication on its way to the subscribers of a shard.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// The channel it was published to.
    pub channel: ChannelName,
    /// Its place in the channel's order.
    pub sequence: u64,
    /// Its place in the channel's stream, if it is a publication that is kept.
    pub stream: Option<StreamMark>,
    /// What goes on the wire.
    pub frames: Arc<Frames>,
    /// The client of this shard that does not get it.
    pub except: Option<Slot>,
}

/// The way from a publisher to the shards: the directory that knows which shards are concerned, and their queues.
///
/// The publisher's work is one queue entry per shard with subscribers, however many subscribers there are.
#[derive(Debug)]
pub struct Fanout<C> {
    directory: Directory,
    queues: Box<[Arc<ShardQueue<Broadcast, C>>]>,
}

/// Room for one broadcast in the queue of every shard that has subscribers of a channel.
#[derive(Debug)]
pub struct Ticket<C>(Vec<(ShardId, Reservation<Broadcast, C>)>);

impl<C> Fanout<C> {
    /// A fan-out to `shards` shards (1 to [`ShardId::MAX_SHARDS`]), each with room for `queue_capacity` broadcasts.
    #[must_use]
    pub fn new(shards: usize, queue_capacity: usize) -> Self {
        let shards = shards.clamp(1, ShardId::MAX_SHARDS);
        let queues = (0..shards).map(|_| Arc::new(ShardQueue::new(queue_capacity))).collect();
        Self { directory: Directory::new(), queues }
    }

    /// Who is connected and where channels have subscribers.
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The shards, lowest first.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        (0..self.queues.len()).filter_map(ShardId::new)
    }

    /// The way into one shard.
    ///
    /// # Panics
    ///
    /// If the shard is not one of this fan-out's.
    pub fn queue(&self, shard: ShardId) -> &Arc<ShardQueue<Broadcast, C>> {
        &self.queues[shard.index()]
    }

    /// Whether the queue of a shard with subscribers of the channel holds `depth` broadcasts or more.
    pub fn is_crowded(&self, channel: &ChannelName, depth: usize) -> bool {
        self.directory.shards_of(channel).iter().any(|shard| self.queue(shard).depth() >= depth)
    }

    /// Reserves room for one broadcast in all shards that have subscribers of the channel, or in none (`None`) when one of
    /// them is full.
    pub fn reserve(&self, channel: &ChannelName) -> Option<Ticket<C>> {
        let shards = self.directory.shards_of(channel);
        let reserve = |shard| Some((shard, self.queue(shard).reserve()?));
        shards.iter().map(reserve).collect::<Option<Vec<_>>>().map(Ticket)
    }

    /// Sends an event to the shards for which room was reserved. `except` names a client that does not get it.
    pub fn deliver(
        &self,
        ticket: Ticket<C>,
        channel: &ChannelName,
        sequence: u64,
        stream: Option<StreamMark>,
        frames: Frames,
        except: Option<ClientId>,
    ) {
        let frames = Arc::new(frames);
        let except = except.and_then(|id| self.directory.locate(id));
        for (shard, reservation) in ticket.0 {
            reservation.fill(Broadcast {
                channel: channel.clone(),
                sequence,
                stream,
                frames: Arc::clone(&frames),
                except: except.filter(|key| key.shard == shard).map(|key| key.slot),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use throng_protocol::Payload;
    use throng_protocol::frame::MessageKind;

    use std::collections::VecDeque;

    use super::*;
    use crate::{Client, ClientKey, QueueEntry, WireFormat};

    #[test]
    fn a_publication_enters_every_queue_it_needs_or_none() {
        let fanout = Fanout::<()>::new(2, 1);
        let [a, b] = [0, 1].map(|n| ShardId::new(n).unwrap());
        let news: ChannelName = "news".parse().unwrap();
        fanout.directory().join(&news, a);
        fanout.directory().join(&news, b);
        let taken = fanout.queue(b).reserve().unwrap();
        assert!(fanout.reserve(&news).is_none(), "shard b is full");
        assert_eq!(fanout.queue(a).depth(), 0, "and so shard a was not entered");
        drop(taken);
        let ticket = fanout.reserve(&news).unwrap();
        fanout.deliver(ticket, &news, 1, None, Frames::relay(MessageKind::Text, Payload::from("x")), None);
        assert_eq!([a, b].map(|shard| fanout.queue(shard).depth()), [1, 1]);
    }

    #[test]
    fn the_sender_is_left_out_on_its_own_shard_alone() {
        let fanout = Fanout::<()>::new(2, 8);
        let [a, b] = [0, 1].map(|n| ShardId::new(n).unwrap());
        let room: ChannelName = "relay:lobby".parse().unwrap();
        let slot = Slot { index: 0, generation: 1 };
        let sender = ClientId::random();
        let client = Client { key: ClientKey { shard: a, slot }, user: "".into(), format: WireFormat::Relay };
        fanout.directory().connect(sender, client);
        fanout.directory().join(&room, a);
        fanout.directory().join(&room, b);
        let ticket = fanout.reserve(&room).unwrap();
        fanout.deliver(
            ticket,
            &room,
            1,
            None,
            Frames::relay(MessageKind::Text, Payload::from("x")),
            Some(sender),
        );
        let except = [a, b].map(|shard| {
            let mut entries = VecDeque::new();
            fanout.queue(shard).drain(1, &mut entries);
            let Some(QueueEntry::Broadcast(broadcast)) = entries.pop_front() else {
                panic!("nothing was delivered")
            };
            broadcast.except
        });
        assert_eq!(except, [Some(slot), None], "slots of different shards may be equal");
    }
}
