use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::Poll;

use throng_protocol::frame::{Opcode, encode_into};
use throng_protocol::{ChannelName, ClientInfo, Payload, Publication};
use throng_registry::{
    Broadcast, ChannelRules, Frames, OutboxLimits, ShardTable, Slot, SlowPolicy, StreamMark, Subscription,
    WireFormat,
};

use crate::reader;

pub(crate) const CLIENTS: usize = 4;
pub(crate) const CHANNELS: usize = 3;
/// How channels differ: each policy with each kind of subscription.
pub(crate) const NATURES: usize = POLICIES.len() * KINDS.len();

const POLICIES: [SlowPolicy; 4] =
    [SlowPolicy::Disconnect, SlowPolicy::DropOldest, SlowPolicy::DropNewest, SlowPolicy::KeepLatest];

const KINDS: [Kind; 3] = [Kind::Plain, Kind::Positioned, Kind::Delta];

/// Tight, so that policies have something to do.
const LIMITS: OutboxLimits = OutboxLimits { client_bytes: 3_000, client_messages: 6, shard_bytes: 1 << 20 };

/// How a channel's subscribers subscribe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Plain,
    Positioned,
    Delta,
}

pub(crate) struct Channel {
    pub(crate) kind: Kind,
    pub(crate) policy: SlowPolicy,
    /// Everything that was published, the first with number 1.
    pub(crate) published: Vec<Published>,
    /// Sequences of those who joined.
    pub(crate) joins: Vec<u64>,
    sequence: u64,
    epoch: u64,
    offset: u64,
    /// Number of the last publication, and sequence of the last event, that have arrived at the table.
    arrived: usize,
    arrived_sequence: u64,
}

pub(crate) struct Published {
    mark: StreamMark,
    pub(crate) vanished: bool,
}

/// A place in a channel: the last publication, and the last event, before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) number: usize,
    pub(crate) sequence: u64,
}

/// A subscription from its reply on.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) channel: usize,
    pub(crate) start: Place,
    /// What had arrived when it ended.
    pub(crate) end: Option<Place>,
    /// The client was told that it lost something.
    pub(crate) lost: bool,
    pub(crate) has_base: bool,
}

struct Client {
    slot: Slot,
    /// Subscriptions being made, with the position once it has been read.
    pending: Vec<(usize, Option<(Place, Subscription)>)>,
    records: Vec<Record>,
    replies: usize,
}

#[derive(Default)]
struct Wire {
    taken: Vec<u8>,
    room: usize,
}

pub(crate) struct World {
    table: ShardTable<Wire>,
    pub(crate) channels: Vec<Channel>,
    clients: Vec<Client>,
    /// What is on its way to the table: the channel, the publication's number if it is one, and the event.
    queue: VecDeque<(usize, usize, Broadcast)>,
    /// A client was replaced or ended, so that what it did not get cannot be told from what was dropped.
    excused: bool,
    /// Publications that clients did not get, by channel.
    missing: Vec<usize>,
}

pub(crate) fn text(channel: usize, number: usize) -> String {
    format!("\"{} {channel} {number}\"", "what does not change ".repeat(4))
}

fn name(channel: usize) -> ChannelName {
    format!("channel{channel}").parse().unwrap()
}

fn write(wire: &mut Wire, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    let before = wire.taken.len();
    for slice in slices {
        let length = slice.len().min(wire.room);
        wire.taken.extend_from_slice(&slice[..length]);
        wire.room -= length;
    }
    match wire.taken.len() - before {
        0 => Poll::Pending,
        bytes => Poll::Ready(Ok(bytes)),
    }
}

impl World {
    /// A world whose channels have these natures.
    pub(crate) fn new(natures: [usize; CHANNELS]) -> Self {
        let channel = |nature: usize| Channel {
            kind: KINDS[nature / POLICIES.len()],
            policy: POLICIES[nature % POLICIES.len()],
            published: Vec::new(),
            joins: Vec::new(),
            sequence: 0,
            epoch: 1,
            offset: 0,
            arrived: 0,
            arrived_sequence: 0,
        };
        let mut world = Self {
            table: ShardTable::new(LIMITS),
            channels: natures.map(channel).into(),
            clients: Vec::new(),
            queue: VecDeque::new(),
            excused: false,
            missing: vec![0; CHANNELS],
        };
        for _ in 0..CLIENTS {
            let client = world.client();
            world.clients.push(client);
        }
        world
    }

    fn client(&mut self) -> Client {
        let slot = self.table.insert(WireFormat::Json, Wire { taken: Vec::new(), room: 300 });
        Client { slot, pending: Vec::new(), records: Vec::new(), replies: 0 }
    }

    pub(crate) fn publish(&mut self, at: usize, vanished: bool) {
        let channel = &mut self.channels[at];
        let number = channel.published.len() + 1;
        let same_stream = channel.published.last().is_some_and(|last| last.mark.epoch == channel.epoch);
        let previous = same_stream.then(|| Payload::from(text(at, number - 1)));
        channel.offset += 1;
        let mark = StreamMark { epoch: channel.epoch, offset: channel.offset };
        channel.published.push(Published { mark, vanished });
        if !vanished {
            let key = ["", "a", "b"][number % 3].to_owned();
            let data = Payload::from(text(at, number));
            let publication = Publication { data, offset: mark.offset, key, ..Publication::default() };
            let frames = Frames::publication(name(at), Arc::new(publication), previous, true);
            self.send(at, number, Some(mark), frames);
        }
    }

    pub(crate) fn repeat(&mut self, at: usize) {
        let channel = &self.channels[at];
        let number = channel.published.len();
        let Some(last) = channel.published.last() else { return };
        if last.vanished || last.mark.epoch != channel.epoch {
            return;
        }
        let mark = last.mark;
        let publication = Publication { data: Payload::from(text(at, number)), ..Publication::default() };
        let frames = Frames::publication(name(at), Arc::new(publication), None, true);
        self.send(at, number, Some(mark), frames);
    }

    pub(crate) fn join(&mut self, at: usize) {
        let sequence = self.channels[at].sequence + 1;
        self.channels[at].joins.push(sequence);
        let info = ClientInfo { user: format!("{at} {sequence}"), ..ClientInfo::default() };
        let number = self.channels[at].published.len();
        self.send(at, number, None, Frames::join(name(at), Arc::new(info)));
    }

    fn send(&mut self, at: usize, number: usize, stream: Option<StreamMark>, frames: Frames) {
        self.channels[at].sequence += 1;
        let (channel, sequence, frames) = (name(at), self.channels[at].sequence, Arc::new(frames));
        self.queue.push_back((at, number, Broadcast { channel, sequence, stream, frames, except: None }));
    }

    pub(crate) fn new_epoch(&mut self, at: usize) {
        self.channels[at].epoch += 1;
        self.channels[at].offset = 0;
    }

    pub(crate) fn arrive(&mut self, count: usize) {
        for _ in 0..count {
            let Some((at, number, broadcast)) = self.queue.pop_front() else { return };
            let channel = &mut self.channels[at];
            channel.arrived = channel.arrived.max(number);
            channel.arrived_sequence = broadcast.sequence;
            self.table.deliver(&broadcast);
        }
    }

    /// Enters, reads the position, or completes, whichever is next.
    pub(crate) fn subscribe(&mut self, client: usize, at: usize) {
        let Client { slot, pending, .. } = &mut self.clients[client];
        let slot = *slot;
        if self.table.is_subscribed(slot, &name(at)) || self.table.ending(slot).is_some() {
            return;
        }
        let step = pending.iter().position(|(channel, _)| *channel == at);
        match step {
            None => {
                let rules =
                    ChannelRules { slow: self.channels[at].policy, group: u16::try_from(at).unwrap() };
                self.table.enter(slot, &name(at), rules);
                pending.push((at, None));
            }
            Some(step) if pending[step].1.is_none() => {
                pending[step].1 = Some(self.channels[at].start(client.is_multiple_of(2)));
            }
            Some(step) => {
                let (_, position) = pending.swap_remove(step);
                let (start, subscription) = position.unwrap();
                let has_base = subscription.has_base;
                let reply = format!("sub {at}");
                let write = |out: &mut bytes::BytesMut| encode_into(Opcode::Text, reply.as_bytes(), out);
                self.table.subscribe(slot, &name(at), subscription, write).unwrap();
                let record = Record { channel: at, start, end: None, lost: false, has_base };
                self.clients[client].records.push(record);
            }
        }
    }

    pub(crate) fn unsubscribe(&mut self, client: usize, at: usize) {
        self.note_losses();
        let slot = self.clients[client].slot;
        if self.table.ending(slot).is_some() || self.table.unsubscribe(slot, &name(at)).is_none() {
            return;
        }
        let end = self.channels[at].arrived();
        let record = self.clients[client].records.iter_mut().rfind(|record| record.channel == at).unwrap();
        record.end = Some(end);
        self.say(slot, &format!("unsub {at}"));
    }

    pub(crate) fn reply(&mut self, client: usize) {
        let Client { slot, replies, .. } = &mut self.clients[client];
        // Whoever must go is not answered any more.
        if self.table.ending(*slot).is_none() {
            *replies += 1;
            let (slot, text) = (*slot, format!("reply {replies}"));
            self.say(slot, &text);
        }
    }

    fn say(&mut self, slot: Slot, text: &str) {
        self.table.send(slot, |out| encode_into(Opcode::Text, text.as_bytes(), out));
    }

    pub(crate) fn give_room(&mut self, client: usize, bytes: usize) {
        let slot = self.clients[client].slot;
        self.table.attachment_mut(slot).unwrap().room += bytes;
        self.table.retry(slot);
    }

    pub(crate) fn flush(&mut self) {
        self.table.flush(write);
        self.note_losses();
        self.table.take_changed();
        let waiting: usize = self.clients.iter().map(|client| self.table.backlog_of(client.slot)).sum();
        assert_eq!(waiting, self.table.backlog_bytes(), "the account of what waits");
        for client in &self.clients {
            let within = self.table.backlog_of(client.slot) <= LIMITS.client_bytes;
            assert!(within || self.table.ending(client.slot).is_some(), "bounded, or on its way out");
        }
    }

    fn note_losses(&mut self) {
        for client in &mut self.clients {
            for (lost, _) in self.table.take_lost(client.slot) {
                let at = lost.as_str()["channel".len()..].parse::<usize>().unwrap();
                let record = client.records.iter_mut().rfind(|record| record.channel == at).unwrap();
                assert!(!record.lost && record.end.is_none(), "a loss is told once");
                let overflowed = self.table.counters().overflowed > 0;
                assert!(self.channels[at].kind == Kind::Positioned || overflowed, "only they need to know");
                record.lost = true;
            }
        }
    }

    pub(crate) fn replace(&mut self, client: usize) {
        self.flush();
        let new = self.client();
        let old = std::mem::replace(&mut self.clients[client], new);
        let ended = self.table.ending(old.slot).is_some();
        let (wire, _) = self.table.remove(old.slot).unwrap();
        self.excused = true;
        reader::check(&self.channels, &old.records, &wire.taken, false, ended);
    }

    /// Has everything arrive and be written, and looks at all clients and at the counters.
    pub(crate) fn settle_and_check(mut self) {
        self.arrive(usize::MAX);
        // The bounds hold for what a socket did not take, so first all that waits gets its chance.
        for client in 0..CLIENTS {
            self.give_room(client, usize::MAX / 2);
        }
        self.flush();
        for client in std::mem::take(&mut self.clients) {
            let ended = self.table.ending(client.slot).is_some();
            self.excused |= ended;
            assert_eq!(self.table.backlog_of(client.slot), 0);
            let (wire, _) = self.table.remove(client.slot).unwrap();
            let missing = reader::check(&self.channels, &client.records, &wire.taken, true, ended);
            missing.into_iter().for_each(|(at, count)| self.missing[at] += count);
        }
        assert_eq!(self.table.sizes(), (0, 0, 0));
        if !self.excused {
            self.check_counters();
        }
    }

    /// What nobody was told of is what the counters say was dropped, neither more nor less.
    fn check_counters(&self) {
        for (at, channel) in self.channels.iter().enumerate() {
            let counts = self.table.dropped().get(at).copied().unwrap_or_default();
            let total: u64 = counts.iter().sum();
            assert_eq!(total, counts[channel.policy.index()], "counted under the channel's own policy");
            match channel.kind {
                Kind::Plain | Kind::Delta => assert_eq!(total, self.missing[at] as u64, "channel {at}"),
                Kind::Positioned => assert!(total <= self.missing[at] as u64),
            }
        }
    }
}

impl Channel {
    fn arrived(&self) -> Place {
        Place { number: self.arrived, sequence: self.arrived_sequence }
    }

    /// How far what arrived until the end of the test, or of a subscription, reaches.
    pub(crate) fn end_of(&self, record: &Record) -> Place {
        record.end.unwrap_or(self.arrived())
    }

    /// Where somebody starts who reads the position now.
    fn start(&self, may_have_base: bool) -> (Place, Subscription) {
        let place = Place { number: self.published.len(), sequence: self.sequence };
        let subscription = Subscription {
            sequence: self.sequence,
            stream: Some(StreamMark { epoch: self.epoch, offset: self.offset }),
            positioned: self.kind == Kind::Positioned,
            join_leave: true,
            delta: self.kind == Kind::Delta,
            has_base: may_have_base && self.kind == Kind::Delta && self.offset > 0,
            ..Subscription::default()
        };
        (place, subscription)
    }

    pub(crate) fn epoch_of(&self, number: usize) -> u64 {
        self.published[number - 1].mark.epoch
    }
}
