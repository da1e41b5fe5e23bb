//! A shard without threads: its table, and writers that take as much as a test says.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use throng_protocol::frame::{MessageKind, Opcode, encode};
use throng_protocol::{
    ChannelName, ClientInfo, Format, Limits, Payload, Publication, PushEvent, Reply, TagsFilter,
};
use throng_registry::{
    Broadcast, ChannelRules, Frames, OutboxLimits, ShardTable, Slot, SlowPolicy, StreamMark, Subscription,
    WireFormat,
};

/// A socket that takes `room` bytes and is full then.
pub(crate) struct Wire {
    pub(crate) taken: Vec<u8>,
    pub(crate) room: usize,
    pub(crate) writes: usize,
    pub(crate) broken: bool,
}

pub(crate) fn write(wire: &mut Wire, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    wire.writes += 1;
    if wire.broken {
        return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
    }
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

pub(crate) const LIMITS: OutboxLimits =
    OutboxLimits { client_bytes: 1_000, client_messages: 8, shard_bytes: 10_000 };

/// The epoch of the tests' streams.
pub(crate) const EPOCH: u64 = 7;

pub(crate) struct Shard {
    pub(crate) table: ShardTable<Wire>,
    /// Sequence of the last event, of all channels.
    pub(crate) sequence: u64,
}

impl Shard {
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        Self { table: ShardTable::new(limits), sequence: 0 }
    }

    pub(crate) fn client(&mut self, format: WireFormat) -> Slot {
        self.table.insert(format, Wire { taken: Vec::new(), room: usize::MAX, writes: 0, broken: false })
    }

    /// A relay client in a channel.
    pub(crate) fn member(&mut self, channel: &str) -> Slot {
        let slot = self.client(WireFormat::Relay);
        self.subscribe(slot, channel);
        slot
    }

    /// A JSON client in a channel.
    pub(crate) fn reader(&mut self, channel: &str, subscription: Subscription) -> Slot {
        let slot = self.client(WireFormat::Json);
        self.subscribe_with(slot, channel, SlowPolicy::Disconnect, subscription);
        slot
    }

    /// Subscribes a client to what is published from now on.
    pub(crate) fn subscribe(&mut self, slot: Slot, channel: &str) {
        let subscription = Subscription { sequence: self.sequence, ..Subscription::default() };
        self.subscribe_with(slot, channel, SlowPolicy::Disconnect, subscription);
    }

    pub(crate) fn subscribe_with(
        &mut self,
        slot: Slot,
        channel: &str,
        slow: SlowPolicy,
        subscription: Subscription,
    ) {
        self.enter_with(slot, channel, slow);
        self.table.subscribe(slot, &name(channel), subscription, |_| ()).unwrap();
    }

    pub(crate) fn enter(&mut self, slot: Slot, channel: &str) -> bool {
        self.enter_with(slot, channel, SlowPolicy::Disconnect)
    }

    pub(crate) fn enter_with(&mut self, slot: Slot, channel: &str, slow: SlowPolicy) -> bool {
        self.table.enter(slot, &name(channel), ChannelRules { slow, group: 1 })
    }

    /// Completes an `enter` with a reply that says so.
    pub(crate) fn complete(&mut self, slot: Slot, channel: &str, subscription: Subscription) -> bool {
        let reply = |out: &mut bytes::BytesMut| out.extend_from_slice(&frame("subscribed"));
        self.table.subscribe(slot, &name(channel), subscription, reply).is_ok()
    }

    pub(crate) fn publish(&mut self, channel: &str, text: &str) -> usize {
        self.publish_except(channel, text, None)
    }

    pub(crate) fn publish_except(&mut self, channel: &str, text: &str, except: Option<Slot>) -> usize {
        let frames = Frames::relay(MessageKind::Text, Payload::from(text.to_owned()));
        self.deliver(channel, None, frames, except)
    }

    /// Publishes a text to a channel that keeps no stream.
    pub(crate) fn tell(&mut self, channel: &str, text: &str) -> usize {
        self.publish_as(channel, None, Publication { data: json(text), ..Publication::default() })
    }

    /// Publishes a text at an offset of the channel's stream.
    pub(crate) fn tell_at(&mut self, channel: &str, offset: u64, text: &str) -> usize {
        let publication = Publication { data: json(text), offset, ..Publication::default() };
        self.publish_as(channel, Some(StreamMark { epoch: EPOCH, offset }), publication)
    }

    /// Publishes a text at an offset, with what subscribers got before it.
    pub(crate) fn tell_after(&mut self, channel: &str, offset: u64, previous: &str, text: &str) -> usize {
        let publication = Arc::new(Publication { data: json(text), offset, ..Publication::default() });
        let frames = Frames::publication(name(channel), publication, Some(json(previous)), true);
        self.deliver(channel, Some(StreamMark { epoch: EPOCH, offset }), frames, None)
    }

    pub(crate) fn publish_as(
        &mut self,
        channel: &str,
        stream: Option<StreamMark>,
        publication: Publication,
    ) -> usize {
        let frames = Frames::publication(name(channel), Arc::new(publication), None, true);
        self.deliver(channel, stream, frames, None)
    }

    pub(crate) fn join(&mut self, channel: &str, user: &str) -> usize {
        let info = ClientInfo { user: user.to_owned(), ..ClientInfo::default() };
        self.deliver(channel, None, Frames::join(name(channel), Arc::new(info)), None)
    }

    pub(crate) fn leave(&mut self, channel: &str, user: &str) -> usize {
        let info = ClientInfo { user: user.to_owned(), ..ClientInfo::default() };
        self.deliver(channel, None, Frames::leave(name(channel), Arc::new(info)), None)
    }

    pub(crate) fn deliver(
        &mut self,
        channel: &str,
        stream: Option<StreamMark>,
        frames: Frames,
        except: Option<Slot>,
    ) -> usize {
        self.sequence += 1;
        let (channel, sequence, frames) = (name(channel), self.sequence, Arc::new(frames));
        self.table.deliver(&Broadcast { channel, sequence, stream, frames, except })
    }

    pub(crate) fn reply(&mut self, slot: Slot, text: &str) {
        self.table.send(slot, |out| out.extend_from_slice(&frame(text)));
    }

    pub(crate) fn flush(&mut self) {
        self.table.flush(write);
    }

    /// The client reads everything that waits for it.
    pub(crate) fn drain(&mut self, slot: Slot) {
        self.wire(slot).room = usize::MAX;
        self.table.retry(slot);
        self.flush();
    }

    pub(crate) fn wire(&mut self, slot: Slot) -> &mut Wire {
        self.table.attachment_mut(slot).unwrap()
    }

    /// What the client has got since the last call: texts as they are, publications as their data with `~` before a patch, and
    /// `+` or `-` with the user who joined or left.
    pub(crate) fn heard(&mut self, slot: Slot) -> Vec<String> {
        let bytes = std::mem::take(&mut self.wire(slot).taken);
        frames_of(&bytes).iter().map(|text| described(text)).collect()
    }

    pub(crate) fn lost(&mut self, slot: Slot) -> Vec<(String, u8)> {
        let lost = self.table.take_lost(slot);
        lost.into_iter().map(|(name, marks)| (name.to_string(), marks)).collect()
    }
}

/// The texts of whole text frames.
fn frames_of(mut rest: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let [0x81, length, tail @ ..] = rest {
        let (length, tail) = match *length {
            126 => (usize::from(u16::from_be_bytes([tail[0], tail[1]])), &tail[2..]),
            length => (usize::from(length), tail),
        };
        let (text, after) = tail.split_at(length);
        texts.push(String::from_utf8(text.to_vec()).unwrap());
        rest = after;
    }
    assert!(rest.is_empty(), "a whole number of frames");
    texts
}

fn described(text: &str) -> String {
    if !text.starts_with("{\"push\"") {
        return text.to_owned();
    }
    let frame = Bytes::copy_from_slice(text.as_bytes());
    let Some(Ok(Reply::Push(push))) = Format::Json.decode_replies(frame, &Limits::for_replies()).next()
    else {
        panic!("no push: {text}")
    };
    match push.event {
        PushEvent::Publication(it) => {
            let data = std::str::from_utf8(it.data.as_bytes()).unwrap();
            format!("{}{}", if it.delta { "~" } else { "" }, data.trim_matches('"'))
        }
        PushEvent::Join(join) => format!("+{}", join.info.unwrap().user),
        PushEvent::Leave(leave) => format!("-{}", leave.info.unwrap().user),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn name(channel: &str) -> ChannelName {
    channel.parse().unwrap()
}

pub(crate) fn frame(text: &str) -> Vec<u8> {
    encode(Opcode::Text, text.as_bytes()).to_vec()
}

/// The text as a JSON string.
pub(crate) fn json(text: &str) -> Payload {
    Payload::from(format!("\"{text}\""))
}

/// A subscription at this place of the tests' streams.
pub(crate) fn at(sequence: u64, offset: u64) -> Subscription {
    let stream = Some(StreamMark { epoch: EPOCH, offset });
    Subscription { sequence, stream, ..Subscription::default() }
}

/// A filter for publications whose tag `key` is `value`.
pub(crate) fn only(key: &str, value: &str) -> Option<Arc<TagsFilter>> {
    let node = throng_protocol::FilterNode {
        key: key.to_owned(),
        cmp: "eq".to_owned(),
        val: value.to_owned(),
        ..Default::default()
    };
    Some(Arc::new(TagsFilter::compile(&node).unwrap()))
}
