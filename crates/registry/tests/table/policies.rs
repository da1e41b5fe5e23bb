use throng_protocol::Publication;
use throng_registry::{Ending, OutboxLimits, Slot, SlowPolicy, StreamMark, Subscription, WireFormat};

use crate::support::{EPOCH, LIMITS, Shard, at, json};

/// A JSON client in channel "news", with a socket that is full.
fn stuck(shard: &mut Shard, slow: SlowPolicy, subscription: Subscription) -> Slot {
    let slot = shard.client(WireFormat::Json);
    shard.subscribe_with(slot, "news", slow, subscription);
    shard.wire(slot).room = 0;
    slot
}

fn positioned() -> Subscription {
    Subscription { positioned: true, marks: 5, ..at(0, 0) }
}

fn delta() -> Subscription {
    Subscription { delta: true, ..at(0, 0) }
}

fn long(number: u64) -> String {
    format!("the quick brown fox jumps over the lazy dog: {number}")
}

/// Publishes these offsets, each in a turn of its own, as patches where they can be.
fn publish(shard: &mut Shard, offsets: std::ops::RangeInclusive<u64>) {
    for offset in offsets {
        shard.tell_after("news", offset, &long(offset - 1), &long(offset));
        shard.flush();
    }
}

fn publish_keyed(shard: &mut Shard, offset: u64, key: &str, text: &str) {
    let mark = StreamMark { epoch: EPOCH, offset };
    let publication = Publication { data: json(text), offset, key: key.to_owned(), ..Publication::default() };
    shard.publish_as("news", Some(mark), publication);
    shard.flush();
}

fn longs(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(long).collect()
}

/// Room for eight messages of any size.
const EIGHT: OutboxLimits = OutboxLimits { client_bytes: 1 << 20, ..LIMITS };

fn dropped(shard: &Shard, slow: SlowPolicy) -> u64 {
    let counts = shard.table.dropped();
    assert!(counts.iter().enumerate().all(|(group, counts)| group == 1 || *counts == [0; 4]));
    counts.get(1).map_or(0, |counts| counts[slow.index()])
}

#[test]
fn the_oldest_go_and_the_client_stays() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::DropOldest, at(0, 0));
    shard.reply(ann, "a reply");
    publish(&mut shard, 1..=20);
    shard.drain(ann);
    let mut expected = longs(14..=20);
    expected.insert(0, "a reply".to_owned());
    assert_eq!(shard.heard(ann), expected);
    assert_eq!(shard.table.ending(ann), None);
    assert_eq!(dropped(&shard, SlowPolicy::DropOldest), 13);
    assert_eq!(shard.table.backlog_bytes(), 0);
}

#[test]
fn the_newest_go_and_the_client_stays() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::DropNewest, at(0, 0));
    publish(&mut shard, 1..=20);
    shard.drain(ann);
    assert_eq!(shard.heard(ann), longs(1..=8));
    assert_eq!(dropped(&shard, SlowPolicy::DropNewest), 12);
    publish(&mut shard, 21..=21);
    assert_eq!(shard.heard(ann), longs(21..=21));
}

#[test]
fn the_latest_of_each_key_waits_and_nothing_else() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::KeepLatest, at(0, 0));
    let news = [("x", "x1"), ("y", "y1"), ("x", "x2"), ("", "1"), ("z", "z1"), ("x", "x3"), ("", "2")];
    for (offset, (key, text)) in (1..).zip(news) {
        publish_keyed(&mut shard, offset, key, text);
    }
    assert_eq!(shard.table.deepest(1)[0].1.messages, 4);
    shard.drain(ann);
    assert_eq!(shard.heard(ann), ["y1", "z1", "x3", "2"]);
    assert_eq!(dropped(&shard, SlowPolicy::KeepLatest), 3);
}

#[test]
fn a_client_that_reads_gets_all_whatever_the_policy() {
    for slow in [SlowPolicy::DropOldest, SlowPolicy::DropNewest, SlowPolicy::KeepLatest] {
        let mut shard = Shard::new(EIGHT);
        let ann = stuck(&mut shard, slow, at(0, 0));
        shard.wire(ann).room = usize::MAX;
        for offset in 1..=20 {
            shard.tell_at("news", offset, &long(offset));
        }
        shard.flush();
        assert_eq!(shard.heard(ann), longs(1..=20), "more than the bound in one turn, but it is taken");
    }
}

#[test]
fn where_nothing_may_be_dropped_the_client_goes() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::DropOldest, at(0, 0));
    publish(&mut shard, 1..=2);
    for _ in 0..9 {
        shard.reply(ann, "r");
        shard.flush();
    }
    assert_eq!(shard.table.ending(ann), Some(Ending::Slow));
    assert_eq!(dropped(&shard, SlowPolicy::DropOldest), 2);
}

#[test]
fn what_goes_with_a_slow_client_is_counted_too() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::Disconnect, at(0, 0));
    publish(&mut shard, 1..=9);
    assert_eq!(shard.table.ending(ann), Some(Ending::Slow));
    assert_eq!(dropped(&shard, SlowPolicy::Disconnect), 9);
}

#[test]
fn a_drop_is_a_loss_for_those_who_must_be_told_and_nothing_follows_it() {
    for slow in [SlowPolicy::DropOldest, SlowPolicy::DropNewest] {
        let mut shard = Shard::new(EIGHT);
        let ann = stuck(&mut shard, slow, positioned());
        publish(&mut shard, 1..=9);
        assert_eq!(shard.table.take_changed(), [ann]);
        assert_eq!(shard.lost(ann), [("news".to_owned(), 5)]);
        publish(&mut shard, 10..=12);
        shard.drain(ann);
        assert_eq!(shard.heard(ann), Vec::<String>::new());
        assert_eq!(dropped(&shard, slow), 9, "what is not delivered any more was not dropped");
    }
}

#[test]
fn a_socket_that_opens_at_the_last_moment_gets_everything() {
    for slow in [SlowPolicy::DropOldest, SlowPolicy::DropNewest] {
        let mut shard = Shard::new(EIGHT);
        let ann = stuck(&mut shard, slow, positioned());
        publish(&mut shard, 1..=8);
        shard.wire(ann).room = usize::MAX;
        publish(&mut shard, 9..=9);
        assert_eq!(shard.heard(ann), longs(1..=9));
        assert_eq!(shard.lost(ann), []);
    }
}

#[test]
fn a_replaced_publication_is_a_loss_and_nothing_behind_it_is_written() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::KeepLatest, positioned());
    publish_keyed(&mut shard, 1, "x", "x1");
    publish_keyed(&mut shard, 2, "y", "y1");
    // The socket opens in the very turn in which a publication is replaced.
    shard.wire(ann).room = usize::MAX;
    publish_keyed(&mut shard, 3, "x", "x2");
    assert_eq!(shard.heard(ann), Vec::<String>::new());
    assert_eq!(shard.lost(ann).len(), 1);
    assert_eq!(dropped(&shard, SlowPolicy::KeepLatest), 3);
}

#[test]
fn a_half_written_publication_is_finished_whatever_is_dropped() {
    for slow in [SlowPolicy::DropOldest, SlowPolicy::DropNewest, SlowPolicy::KeepLatest] {
        let mut shard = Shard::new(EIGHT);
        let ann = stuck(&mut shard, slow, positioned());
        shard.wire(ann).room = 5;
        publish(&mut shard, 1..=20);
        assert_eq!(shard.lost(ann).len(), 1);
        shard.drain(ann);
        assert_eq!(shard.heard(ann), longs(1..=1));
    }
}

#[test]
fn a_publication_beyond_the_bounds_is_finished_once_it_is_begun() {
    for slow in [SlowPolicy::DropOldest, SlowPolicy::DropNewest, SlowPolicy::KeepLatest] {
        let mut shard = Shard::new(OutboxLimits { client_bytes: 50, ..LIMITS });
        let ann = stuck(&mut shard, slow, at(0, 0));
        shard.wire(ann).room = 5;
        publish(&mut shard, 1..=1);
        // It cannot be dropped, and it is too much.
        assert_eq!(shard.table.ending(ann), Some(Ending::Slow));
        shard.drain(ann);
        assert_eq!(shard.heard(ann), longs(1..=1));
    }
}

#[test]
fn a_client_that_ends_with_a_half_written_publication_gets_its_rest_and_its_close_frame() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::DropNewest, at(0, 0));
    shard.wire(ann).room = 1;
    publish(&mut shard, 1..=3);
    for _ in 0..8 {
        shard.reply(ann, "r");
        shard.flush();
    }
    assert_eq!(shard.table.ending(ann), Some(Ending::Slow));
    shard.reply(ann, "bye");
    shard.drain(ann);
    assert_eq!(shard.heard(ann), [long(1), "bye".to_owned()]);
}

#[test]
fn after_a_drop_patches_begin_anew() {
    for slow in [SlowPolicy::DropOldest, SlowPolicy::DropNewest] {
        let mut shard = Shard::new(EIGHT);
        let ann = stuck(&mut shard, slow, delta());
        publish(&mut shard, 1..=9);
        assert_eq!(dropped(&shard, slow), 9, "patches are worth nothing without what they change");
        publish(&mut shard, 10..=12);
        shard.drain(ann);
        let heard = shard.heard(ann);
        let kinds: Vec<_> = heard.iter().map(|text| text.starts_with('~')).collect();
        assert_eq!(kinds, [false, true, true]);
        assert!(heard[0].contains(&long(10)));
    }
}

#[test]
fn where_the_latest_waits_it_waits_whole() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::KeepLatest, Subscription { has_base: true, ..delta() });
    publish(&mut shard, 1..=2);
    shard.drain(ann);
    let heard = shard.heard(ann);
    assert_eq!(heard.len(), 1);
    assert!(heard[0].contains(&long(2)) && !heard[0].starts_with('~'));
}

#[test]
fn drops_in_one_channel_leave_the_others_alone() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::DropOldest, positioned());
    shard.subscribe_with(ann, "more", SlowPolicy::Disconnect, positioned());
    for offset in 1..=6 {
        shard.tell_at("more", offset, &format!("more {offset}"));
        shard.flush();
    }
    publish(&mut shard, 1..=3);
    assert_eq!(shard.lost(ann), [("news".to_owned(), 5)]);
    assert_eq!(shard.table.ending(ann), None);
    shard.drain(ann);
    assert_eq!(shard.heard(ann), (1..=6).map(|n| format!("more {n}")).collect::<Vec<_>>());
}

#[test]
fn who_joins_is_not_dropped_like_a_publication() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::DropOldest, Subscription { join_leave: true, ..at(0, 0) });
    shard.join("news", "eve");
    publish(&mut shard, 1..=20);
    shard.drain(ann);
    assert_eq!(shard.heard(ann)[0], "+eve");
}

#[test]
fn a_channel_that_comes_back_is_not_blamed_for_what_waits_of_its_predecessor() {
    let mut shard = Shard::new(EIGHT);
    let ann = stuck(&mut shard, SlowPolicy::DropOldest, positioned());
    publish(&mut shard, 1..=8);
    shard.table.unsubscribe(ann, &crate::support::name("news"));
    shard.subscribe_with(ann, "news", SlowPolicy::DropOldest, Subscription { positioned: true, ..at(8, 8) });
    publish(&mut shard, 9..=9);
    assert_eq!(shard.lost(ann), [], "only what waited of the old subscription was dropped");
    shard.drain(ann);
    assert_eq!(shard.heard(ann), longs(9..=9));
}

#[test]
fn what_may_be_dropped_is_found_however_deep_it_lies() {
    let limits = OutboxLimits { client_bytes: 1 << 30, client_messages: 40_000, shard_bytes: 1 << 30 };
    let mut shard = Shard::new(limits);
    let ann = stuck(&mut shard, SlowPolicy::DropNewest, at(0, 0));
    shard.subscribe_with(ann, "more", SlowPolicy::Disconnect, at(0, 0));
    for offset in 1..=20_000 {
        shard.tell_at("news", offset, "n");
    }
    for offset in 1..=40_000 {
        shard.tell_at("more", offset, "m");
        if offset % 16 == 0 {
            shard.flush();
        }
    }
    assert_eq!(shard.table.ending(ann), None);
    assert_eq!(dropped(&shard, SlowPolicy::DropNewest), 20_000);
}
