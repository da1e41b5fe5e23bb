use throng_protocol::{Payload, Publication};
use throng_registry::{OutboxLimits, StreamMark, Subscription, WireFormat};

use crate::support::{EPOCH, LIMITS, Shard, at, name};

fn positioned(sequence: u64, offset: u64) -> Subscription {
    Subscription { positioned: true, marks: 9, ..at(sequence, offset) }
}

#[test]
fn publications_that_follow_each_other_are_delivered_and_repeated_ones_are_not() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", positioned(0, 4));
    let bob = shard.reader("news", at(0, 4));
    for offset in [4, 5, 6, 5, 6, 7] {
        shard.tell_at("news", offset, &offset.to_string());
    }
    shard.flush();
    assert_eq!(shard.heard(ann), ["5", "6", "7"]);
    assert_eq!(shard.heard(bob), ["5", "6", "7"]);
    assert_eq!(shard.lost(ann), []);
    assert_eq!(shard.table.last_of(&name("news")), Some(StreamMark { epoch: EPOCH, offset: 7 }));
}

#[test]
fn a_gap_ends_deliveries_to_those_who_must_be_told_of_it_and_to_nobody_else() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", Subscription { join_leave: true, ..positioned(0, 0) });
    let bob = shard.reader("news", at(0, 0));
    shard.tell_at("news", 1, "1");
    shard.tell_at("news", 3, "3");
    shard.tell_at("news", 4, "4");
    shard.tell("news", "no stream");
    shard.join("news", "eve");
    assert!(shard.table.needs_flush());
    shard.flush();
    assert_eq!(shard.heard(ann), ["1"]);
    assert_eq!(shard.heard(bob), ["1", "3", "4", "no stream"]);
    assert_eq!(shard.table.take_changed(), [ann]);
    assert_eq!(shard.lost(ann), [("news".to_owned(), 9)]);
    assert_eq!(shard.lost(ann), [], "that is told once");
    assert_eq!(shard.table.counters().lost, 1);
    assert!(shard.table.unsubscribe(ann, &name("news")).is_some());
}

#[test]
fn a_loss_is_told_even_if_there_is_nothing_to_write() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", positioned(0, 0));
    assert_eq!(shard.tell_at("news", 2, "2"), 0);
    assert!(shard.table.needs_flush());
    shard.flush();
    assert_eq!(shard.table.take_changed(), [ann]);
    assert!(!shard.table.needs_flush());
}

#[test]
fn a_new_epoch_is_a_gap() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", positioned(0, 6));
    let bob = shard.reader("news", at(0, 6));
    let eve = shard.client(WireFormat::Json);
    shard.enter(eve, "news");
    let first = Publication { data: Payload::from("1"), ..Publication::default() };
    shard.publish_as("news", Some(StreamMark { epoch: EPOCH + 1, offset: 1 }), first);
    // Eve read the stream when it was the new one already.
    let stream = Some(StreamMark { epoch: EPOCH + 1, offset: 0 });
    shard.complete(eve, "news", Subscription { stream, ..positioned(0, 0) });
    shard.flush();
    assert_eq!((shard.heard(ann), shard.lost(ann).len()), (vec![], 1));
    assert_eq!(shard.heard(bob), ["1"]);
    assert_eq!((shard.heard(eve), shard.lost(eve).len()), (vec!["subscribed".into(), "1".into()], 0));
}

#[test]
fn members_who_started_at_different_places_miss_and_double_nothing() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", positioned(0, 0));
    // What these two recovered reaches further than what has been delivered here.
    let bob = shard.reader("news", positioned(0, 2));
    let eve = shard.reader("news", positioned(3, 3));
    for offset in 1..=5 {
        shard.tell_at("news", offset, &offset.to_string());
    }
    shard.flush();
    assert_eq!(shard.heard(ann), ["1", "2", "3", "4", "5"]);
    assert_eq!(shard.heard(bob), ["3", "4", "5"]);
    assert_eq!(shard.heard(eve), ["4", "5"]);
    assert_eq!([ann, bob, eve].map(|slot| shard.lost(slot).len()), [0; 3]);
}

#[test]
fn a_gap_is_judged_from_where_each_member_stands() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", positioned(0, 0));
    let bob = shard.reader("news", positioned(0, 3));
    // Somewhere 1 to 3 got lost; bob has recovered them.
    shard.tell_at("news", 4, "4");
    shard.flush();
    assert_eq!((shard.heard(ann), shard.lost(ann).len()), (vec![], 1));
    assert_eq!((shard.heard(bob), shard.lost(bob).len()), (vec!["4".to_owned()], 0));
}

#[test]
fn whoever_leaves_takes_its_own_place_in_the_stream_along() {
    let mut shard = Shard::new(LIMITS);
    let [ann, bob] = [0, 9].map(|offset| shard.reader("news", positioned(0, offset)));
    shard.table.unsubscribe(bob, &name("news"));
    shard.enter(bob, "news");
    shard.complete(bob, "news", positioned(0, 0));
    shard.tell_at("news", 1, "1");
    shard.flush();
    assert_eq!(shard.heard(ann), ["1"]);
    assert_eq!(shard.heard(bob), ["subscribed", "1"]);
}

#[test]
fn whoever_is_behind_a_place_in_the_stream_is_lost() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", positioned(0, 0));
    let bob = shard.reader("news", positioned(0, 5));
    let eve = shard.reader("news", at(0, 0));
    assert_eq!(shard.table.positioned_channels(), [name("news")]);
    shard.tell_at("news", 1, "1");
    assert_eq!(shard.table.lose_behind(&name("news"), StreamMark { epoch: EPOCH, offset: 1 }), 0);
    assert_eq!(shard.table.lose_behind(&name("news"), StreamMark { epoch: EPOCH, offset: 5 }), 1);
    assert_eq!(shard.table.take_changed(), [ann]);
    assert_eq!(shard.table.lose_behind(&name("news"), StreamMark { epoch: EPOCH + 1, offset: 0 }), 1);
    assert_eq!(shard.table.take_changed(), [bob]);
    assert!(shard.table.positioned_channels().is_empty());
    shard.tell_at("news", 2, "2");
    shard.flush();
    assert_eq!([ann, bob].map(|slot| shard.heard(slot).len()), [1, 0]);
    assert_eq!(shard.heard(eve), ["1", "2"]);
}

#[test]
fn a_subscription_for_which_too_much_was_held_is_lost_from_the_beginning() {
    let mut shard = Shard::new(OutboxLimits { client_bytes: 1 << 20, ..LIMITS });
    let [ann, bob] = [(); 2].map(|()| shard.client(WireFormat::Json));
    shard.enter(ann, "news");
    for offset in 1..=1_025 {
        if offset == 2 {
            shard.enter(bob, "news");
        }
        shard.tell_at("news", offset, "x");
    }
    shard.complete(ann, "news", positioned(0, 0));
    shard.complete(bob, "news", positioned(0, 1_020));
    shard.flush();
    assert_eq!((shard.heard(ann), shard.lost(ann).len()), (vec!["subscribed".to_owned()], 1));
    assert_eq!((shard.heard(bob).len(), shard.lost(bob).len()), (1 + 5, 0));
    assert_eq!(shard.table.counters().overflowed, 1);
}

#[test]
fn bytes_that_are_held_are_bounded_like_those_that_wait() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.client(WireFormat::Json);
    shard.enter(ann, "news");
    shard.tell_at("news", 1, &"x".repeat(1_000));
    shard.complete(ann, "news", positioned(0, 0));
    assert_eq!(shard.lost(ann).len(), 1);
}

#[test]
fn a_client_learns_of_each_channel_that_lost_something() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.client(WireFormat::Json);
    for (channel, marks) in [("one", 1), ("two", 2), ("three", 3)] {
        shard.enter(ann, channel);
        shard.complete(ann, channel, Subscription { marks, ..positioned(0, 0) });
    }
    shard.tell_at("one", 2, "2");
    shard.tell_at("three", 2, "2");
    let mut lost = shard.lost(ann);
    lost.sort();
    assert_eq!(lost, [("one".to_owned(), 1), ("three".to_owned(), 3)]);
    shard.tell_at("two", 2, "2");
    assert_eq!(shard.lost(ann), [("two".to_owned(), 2)]);
}
