//! The shard's table driven by hand, with writers that take as much as a test says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::Poll;

use throng_protocol::frame::MessageKind;
use throng_protocol::{ChannelName, Payload, Publication};
use throng_registry::{
    Broadcast, ChannelRules, Ended, Ending, Frames, OutboxLimits, ShardTable, Slot, Subscription, WireFormat,
};

/// A socket that takes `room` bytes and is full then.
struct Wire {
    taken: Vec<u8>,
    room: usize,
    writes: usize,
    broken: bool,
}

fn write(wire: &mut Wire, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
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

struct Shard {
    table: ShardTable<Wire>,
    sequence: u64,
}

const LIMITS: OutboxLimits = OutboxLimits { client_bytes: 1_000, client_messages: 8, shard_bytes: 10_000 };

impl Shard {
    fn new(limits: OutboxLimits) -> Self {
        Self { table: ShardTable::new(limits), sequence: 0 }
    }

    fn client(&mut self, format: WireFormat) -> Slot {
        self.table.insert(format, Wire { taken: Vec::new(), room: usize::MAX, writes: 0, broken: false })
    }

    fn member(&mut self, channel: &str) -> Slot {
        let slot = self.client(WireFormat::Relay);
        self.subscribe(slot, channel);
        slot
    }

    fn subscribe(&mut self, slot: Slot, channel: &str) {
        self.table.enter(slot, &name(channel), ChannelRules::default());
        self.table.subscribe(slot, &name(channel), from(self.sequence), |_| ());
    }

    fn publish(&mut self, channel: &str, text: &str) -> usize {
        self.publish_except(channel, text, None)
    }

    fn publish_except(&mut self, channel: &str, text: &str, except: Option<Slot>) -> usize {
        self.sequence += 1;
        let frames = Frames::relay(MessageKind::Text, Payload::from(text.to_owned().into_bytes()));
        let (channel, sequence) = (name(channel), self.sequence);
        self.table.deliver(&Broadcast { channel, sequence, stream: None, frames: Arc::new(frames), except })
    }

    fn reply(&mut self, slot: Slot, text: &str) {
        self.table.send(slot, |out| out.extend_from_slice(&frame(text)));
    }

    fn flush(&mut self) {
        self.table.flush(write);
    }

    fn wire(&mut self, slot: Slot) -> &mut Wire {
        self.table.attachment_mut(slot).unwrap()
    }

    /// What the client has got since the last call, as texts.
    fn heard(&mut self, slot: Slot) -> Vec<String> {
        let bytes = std::mem::take(&mut self.wire(slot).taken);
        let mut rest = &bytes[..];
        let mut texts = Vec::new();
        while let [0x81, length, tail @ ..] = rest {
            let (text, after) = tail.split_at(usize::from(*length));
            texts.push(String::from_utf8(text.to_vec()).unwrap());
            rest = after;
        }
        assert!(rest.is_empty(), "a whole number of frames");
        texts
    }
}

/// A subscription to what is published above this sequence.
fn from(sequence: u64) -> Subscription {
    Subscription { sequence, ..Subscription::default() }
}

fn ended(leave: bool) -> Option<Ended> {
    Some(Ended { marks: 0, leave })
}

fn name(channel: &str) -> ChannelName {
    channel.parse().unwrap()
}

fn frame(text: &str) -> Vec<u8> {
    throng_protocol::frame::encode(throng_protocol::frame::Opcode::Text, text.as_bytes()).to_vec()
}

#[test]
fn members_get_what_is_published_and_others_do_not() {
    let mut shard = Shard::new(LIMITS);
    let [ann, bob] = [(); 2].map(|()| shard.member("news"));
    let eve = shard.member("other");
    assert_eq!(shard.publish("news", "one"), 2);
    shard.flush();
    assert_eq!([ann, bob, eve].map(|slot| shard.heard(slot)), [vec!["one"], vec!["one"], vec![]]);
}

#[test]
fn publications_of_a_turn_are_written_in_one_call() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    for text in ["one", "two", "three"] {
        shard.publish("news", text);
    }
    shard.flush();
    assert_eq!(shard.heard(ann), ["one", "two", "three"]);
    assert_eq!(shard.wire(ann).writes, 1);
}

#[test]
fn replies_and_publications_keep_the_order_in_which_they_happened() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.subscribe(ann, "more");
    shard.publish("news", "1");
    shard.reply(ann, "2");
    shard.reply(ann, "3");
    shard.publish("more", "4");
    shard.publish("news", "5");
    shard.publish("news", "6");
    shard.flush();
    assert_eq!(shard.heard(ann), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(shard.wire(ann).writes, 1);
}

#[test]
fn the_sender_is_left_out_of_its_own_message_only() {
    let mut shard = Shard::new(LIMITS);
    let [ann, bob] = [(); 2].map(|()| shard.member("room"));
    shard.publish_except("room", "a", Some(ann));
    shard.publish_except("room", "b", Some(bob));
    shard.publish_except("room", "c", None);
    shard.flush();
    assert_eq!(shard.heard(ann), ["b", "c"]);
    assert_eq!(shard.heard(bob), ["a", "c"]);
}

#[test]
fn a_subscriber_gets_nothing_that_was_published_before_it_subscribed() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    let bob = shard.client(WireFormat::Relay);
    shard.table.enter(bob, &name("news"), ChannelRules::default());
    // The position was read when 7 was the top; what is still on its way from before must not be delivered.
    shard.table.subscribe(bob, &name("news"), from(7), |_| ());
    shard.sequence = 6;
    shard.publish("news", "seven");
    shard.publish("news", "eight");
    shard.flush();
    assert_eq!(shard.heard(ann), ["seven", "eight"]);
    assert_eq!(shard.heard(bob), ["eight"]);
}

#[test]
fn nothing_follows_an_unsubscribe() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.publish("news", "before");
    assert_eq!(shard.table.unsubscribe(ann, &name("news")), ended(true), "it was the last one");
    shard.reply(ann, "unsubscribed");
    assert_eq!(shard.publish("news", "after"), 0);
    assert_eq!(shard.table.unsubscribe(ann, &name("news")), None);
    shard.flush();
    // "before" had been put into the outbox; the channel it came from is gone by the time of the flush.
    assert_eq!(shard.heard(ann), ["before", "unsubscribed"]);
}

#[test]
fn what_a_full_socket_does_not_take_follows_when_it_is_writable() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.wire(ann).room = 4;
    shard.publish("news", "one");
    shard.publish("news", "two");
    shard.flush();
    assert!(shard.table.backlog_of(ann) > 0);
    shard.publish("news", "three");
    shard.reply(ann, "reply");
    shard.flush();
    shard.wire(ann).room = usize::MAX;
    shard.table.retry(ann);
    shard.flush();
    assert_eq!(shard.heard(ann), ["one", "two", "three", "reply"]);
    assert_eq!((shard.table.backlog_of(ann), shard.table.backlog_bytes()), (0, 0));
    assert!(shard.table.is_flushed(ann));
}

#[test]
fn a_client_that_does_not_read_is_ended_as_slow_and_the_others_are_not() {
    let mut shard = Shard::new(LIMITS);
    let [ann, bob] = [(); 2].map(|()| shard.member("news"));
    shard.wire(ann).room = 1;
    for number in 0..9 {
        shard.publish("news", &number.to_string());
        shard.flush();
    }
    assert_eq!(shard.table.ending(ann), Some(Ending::Slow));
    assert_eq!(shard.table.take_changed(), [ann]);
    assert_eq!(shard.table.counters().slow, 1);
    assert_eq!(shard.table.ending(bob), None);
    assert_eq!(shard.heard(bob).len(), 9);
    // The frame that is half on the wire is completed, so that a close frame can follow.
    shard.wire(ann).room = usize::MAX;
    shard.reply(ann, "bye");
    shard.publish("news", "not for ann");
    shard.flush();
    assert_eq!(shard.heard(ann), ["0", "bye"]);
}

#[test]
fn bytes_that_wait_for_all_clients_are_bounded_and_the_deepest_goes_first() {
    let mut shard = Shard::new(OutboxLimits { shard_bytes: 400, ..LIMITS });
    let [ann, bob] = [(); 2].map(|()| shard.member("news"));
    shard.subscribe(bob, "more");
    for slot in [ann, bob] {
        shard.wire(slot).room = 0;
    }
    shard.publish("news", "to both");
    shard.publish("more", &"x".repeat(100));
    shard.flush();
    assert_eq!((shard.table.ending(ann), shard.table.ending(bob)), (None, None));
    shard.publish("more", &"x".repeat(100));
    shard.flush();
    assert_eq!((shard.table.ending(ann), shard.table.ending(bob)), (None, Some(Ending::Evicted)));
    assert_eq!(shard.table.backlog_bytes(), shard.table.backlog_of(ann));
}

#[test]
fn an_allowance_lets_more_wait_for_one_client() {
    let mut shard = Shard::new(OutboxLimits { client_messages: 1_000, ..LIMITS });
    let ann = shard.member("news");
    shard.table.allow(ann, 4_000);
    shard.wire(ann).room = 0;
    for _ in 0..20 {
        shard.publish("news", &"x".repeat(100));
    }
    shard.flush();
    assert_eq!(shard.table.ending(ann), None);
    assert!(shard.table.backlog_of(ann) > LIMITS.client_bytes);
}

#[test]
fn a_socket_that_fails_ends_its_client() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.wire(ann).broken = true;
    shard.publish("news", "x");
    shard.flush();
    assert_eq!(shard.table.ending(ann), Some(Ending::WriteError(io::ErrorKind::BrokenPipe)));
}

#[test]
fn a_panic_while_writing_ends_that_client_alone() {
    let mut shard = Shard::new(LIMITS);
    let [ann, bob] = [(); 2].map(|()| shard.member("news"));
    shard.wire(ann).broken = true;
    shard.publish("news", "x");
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    shard.table.flush(|wire, slices| if wire.broken { panic!("planted") } else { write(wire, slices) });
    std::panic::set_hook(silent);
    assert_eq!(shard.table.ending(ann), Some(Ending::Panicked));
    assert_eq!(shard.heard(bob), ["x"]);
}

#[test]
fn a_watched_client_is_listed_once_all_is_written() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.client(WireFormat::Relay);
    shard.wire(ann).room = 0;
    shard.reply(ann, "x");
    shard.flush();
    shard.table.watch(ann);
    shard.table.retry(ann);
    shard.flush();
    assert_eq!(shard.table.take_changed(), []);
    shard.wire(ann).room = usize::MAX;
    shard.table.retry(ann);
    shard.flush();
    assert_eq!(shard.table.take_changed(), [ann]);
}

#[test]
fn a_slot_finds_nobody_after_its_client_has_gone() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    let (_, emptied) = shard.table.remove(ann).unwrap();
    assert_eq!(emptied, [(name("news"), Ended { marks: 0, leave: true })]);
    let bob = shard.member("news");
    assert_ne!(ann, bob);
    shard.reply(ann, "for ann");
    assert!(shard.table.remove(ann).is_none());
    shard.flush();
    assert_eq!(shard.heard(bob), Vec::<String>::new());
    assert_eq!(shard.table.sizes(), (1, 1, 1));
}

#[test]
fn a_channel_stays_in_use_while_a_subscription_to_it_is_under_way() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    let bob = shard.client(WireFormat::Relay);
    assert!(
        !shard.table.enter(bob, &name("news"), ChannelRules::default()),
        "the shard is in the channel already"
    );
    assert_eq!(shard.table.unsubscribe(ann, &name("news")), ended(false));
    assert!(shard.table.abandon(bob, &name("news")));
    assert!(shard.table.enter(ann, &name("news"), ChannelRules::default()));
    assert!(!shard.table.subscribe(ann, &name("news"), from(0), |_| ()));
    assert_eq!(shard.table.sizes(), (2, 1, 1));
}

#[test]
fn formats_share_a_turn_but_not_their_bytes() {
    let mut shard = Shard::new(LIMITS);
    let [json, protobuf] = [WireFormat::Json, WireFormat::Protobuf].map(|format| shard.client(format));
    for slot in [json, protobuf] {
        shard.subscribe(slot, "news");
    }
    for sequence in [1, 2] {
        let publication = Publication { data: Payload::from("{}"), ..Publication::default() };
        let frames = Arc::new(Frames::publication(name("news"), Arc::new(publication), None, true));
        shard.table.deliver(&Broadcast {
            channel: name("news"),
            sequence,
            stream: None,
            frames,
            except: None,
        });
    }
    shard.flush();
    let push = br#"{"push":{"channel":"news","pub":{"data":{}}}}"#;
    let taken = shard.wire(json).taken.clone();
    assert_eq!(taken.len(), 2 * (2 + push.len()));
    assert!(taken.ends_with(push));
    let protobuf = shard.wire(protobuf).taken.clone();
    assert_eq!(protobuf[0], 0x82);
    assert!(protobuf.len() < taken.len());
}

#[test]
fn a_shard_over_its_bound_spares_those_who_owe_nothing() {
    let mut shard = Shard::new(OutboxLimits { shard_bytes: 400, ..LIMITS });
    let slow = [(); 3].map(|()| shard.member("news"));
    let innocent = [(); 3].map(|()| shard.member("other"));
    for slot in slow {
        // Each gets stuck in the middle of a frame, which a mere end of the client would have to keep.
        shard.wire(slot).room = 1;
    }
    shard.publish("news", &"x".repeat(100));
    shard.flush();
    let evicted = slow.iter().filter(|slot| shard.table.ending(**slot) == Some(Ending::Evicted)).count();
    assert_eq!(evicted, 1, "two of them fit");
    assert_eq!(innocent.map(|slot| shard.table.ending(slot)), [None; 3]);
    assert!(shard.table.backlog_bytes() <= 400);
}

#[test]
fn nothing_follows_a_frame_that_was_dropped_half_way() {
    let mut shard = Shard::new(OutboxLimits { shard_bytes: 10, ..LIMITS });
    let ann = shard.member("news");
    shard.wire(ann).room = 3;
    shard.publish("news", "hello");
    shard.flush();
    assert_eq!(shard.table.ending(ann), Some(Ending::Evicted));
    shard.wire(ann).room = usize::MAX;
    shard.reply(ann, "bye");
    shard.flush();
    assert_eq!(shard.wire(ann).taken.len(), 3);
}

#[test]
fn a_panic_leaves_the_account_of_what_waits_in_order() {
    let mut shard = Shard::new(LIMITS);
    let [ann, bob] = [(); 2].map(|()| shard.member("news"));
    shard.wire(ann).room = 0;
    shard.publish("news", "x");
    shard.flush();
    shard.wire(ann).broken = true;
    shard.publish("news", "yy");
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    shard.table.flush(|wire, slices| if wire.broken { panic!("planted") } else { write(wire, slices) });
    std::panic::set_hook(silent);
    assert_eq!(shard.table.ending(ann), Some(Ending::Panicked));
    assert_eq!(shard.table.backlog_bytes(), 0);
    assert_eq!(shard.table.ending(bob), None);
}

#[test]
fn a_slow_client_with_a_large_half_frame_keeps_its_close_frame() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.wire(ann).room = 1;
    // The replies of one turn are kept as one piece.
    for _ in 0..12 {
        shard.reply(ann, &"x".repeat(100));
    }
    shard.flush();
    assert_eq!(shard.table.ending(ann), Some(Ending::Slow));
    shard.reply(ann, "bye");
    shard.flush();
    shard.wire(ann).room = usize::MAX;
    shard.table.retry(ann);
    shard.flush();
    assert_eq!(shard.heard(ann).last().map(String::as_str), Some("bye"));
}

#[test]
fn what_waits_for_a_client_goes_with_it() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.wire(ann).room = 0;
    shard.publish("news", "x");
    shard.flush();
    assert!(shard.table.backlog_bytes() > 0);
    shard.table.remove(ann);
    assert_eq!(shard.table.backlog_bytes(), 0);
}

#[test]
fn a_channel_out_of_use_is_gone_after_the_turn() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.publish("news", "x");
    shard.table.unsubscribe(ann, &name("news"));
    shard.flush();
    assert_eq!(shard.table.sizes(), (1, 0, 0));
}

#[test]
fn runs_of_different_channels_are_merged_each_for_itself() {
    let mut shard = Shard::new(LIMITS);
    let (ann, bob) = (shard.member("one"), shard.member("two"));
    for channel in ["one", "two"] {
        shard.publish(channel, &format!("{channel} a"));
        shard.publish(channel, &format!("{channel} b"));
    }
    shard.flush();
    assert_eq!(shard.heard(ann), ["one a", "one b"]);
    assert_eq!(shard.heard(bob), ["two a", "two b"]);
    // The next turn's runs have the same places.
    for text in ["c", "d"] {
        shard.publish("one", text);
    }
    shard.flush();
    assert_eq!(shard.heard(ann), ["c", "d"]);
}
