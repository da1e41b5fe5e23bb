use std::io::{self, IoSlice};
use std::task::Poll;

use throng_registry::{Ending, OutboxLimits, ShardTable, WireFormat};

use crate::support::{LIMITS, Shard, write};

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
    shard.drain(ann);
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
    let mut shard = Shard::new(OutboxLimits { shard_bytes: 500, ..LIMITS });
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
    shard.drain(ann);
    assert_eq!(shard.table.take_changed(), [ann]);
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
    shard.drain(ann);
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
fn the_clients_with_most_to_read_are_listed_deepest_first() {
    let mut shard = Shard::new(LIMITS);
    let [ann, bob, eve] = ["one", "two", "two"].map(|channel| shard.member(channel));
    for slot in [ann, bob] {
        shard.wire(slot).room = 0;
    }
    shard.publish("one", "short");
    shard.publish("two", "longer than that");
    shard.flush();
    let depths = shard.table.deepest(5);
    assert_eq!(depths.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [bob, ann]);
    assert_eq!((depths[0].1.bytes, depths[0].1.messages), (shard.table.backlog_of(bob), 1));
    assert_eq!(shard.table.deepest(1).len(), 1);
    assert_eq!(shard.heard(eve), ["longer than that"]);
}

#[test]
fn what_a_stream_has_taken_and_still_holds_is_charged_until_it_is_out() {
    /// A stream that takes everything and passes on what there is room for.
    #[derive(Default)]
    struct Holding {
        held: usize,
        room: usize,
    }
    let write = |stream: &mut Holding, slices: &[IoSlice<'_>]| {
        let out = stream.held.min(stream.room);
        stream.held -= out;
        stream.room -= out;
        let taken: usize = slices.iter().map(|slice| slice.len()).sum();
        if stream.held > 0 {
            return Poll::Pending;
        }
        stream.held = taken;
        Poll::Ready(Ok(taken))
    };
    let held = |stream: &Holding| stream.held;

    let mut table = ShardTable::new(OutboxLimits { shard_bytes: 50, ..LIMITS });
    let [ann, bob] = [(); 2].map(|()| table.insert(WireFormat::Relay, Holding::default()));
    for (slot, length) in [(ann, 10), (bob, 20)] {
        table.send(slot, |out| out.extend_from_slice(&vec![b'x'; length]));
        table.watch(slot);
    }
    table.flush_held(write, held);
    assert_eq!((table.backlog_of(ann), table.backlog_of(bob), table.backlog_bytes()), (10, 20, 30));
    assert_eq!(table.deepest(9).len(), 2);
    assert!(!table.is_flushed(ann) && table.take_changed().is_empty());

    table.attachment_mut(ann).unwrap().room = 10;
    table.retry(ann);
    table.flush_held(write, held);
    assert!(table.is_flushed(ann) && !table.is_flushed(bob));
    assert_eq!((table.take_changed(), table.backlog_bytes()), (vec![ann], 20));

    // More waits than the shard allows, so the deepest goes, and what it held is not charged any more.
    table.send(ann, |out| out.extend_from_slice(&[b'x'; 45]));
    table.flush_held(write, held);
    assert_eq!((table.ending(ann), table.ending(bob)), (Some(Ending::Evicted), None));
    assert_eq!(table.backlog_bytes(), 20);
    table.remove(bob);
    table.remove(ann);
    assert_eq!(table.backlog_bytes(), 0);
}
