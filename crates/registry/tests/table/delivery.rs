use std::sync::Arc;

use throng_protocol::{Payload, Publication};
use throng_registry::{Ending, Frames, Subscription, WireFormat};

use crate::support::{LIMITS, Shard, at, name, only};

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
fn formats_share_a_turn_but_not_their_bytes() {
    let mut shard = Shard::new(LIMITS);
    let [json, protobuf] = [WireFormat::Json, WireFormat::Protobuf].map(|format| shard.client(format));
    for slot in [json, protobuf] {
        shard.subscribe(slot, "news");
    }
    for _ in 0..2 {
        let publication = Publication { data: Payload::from("{}"), ..Publication::default() };
        shard.publish_as("news", None, publication);
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

#[test]
fn only_those_who_asked_hear_who_joins_and_leaves() {
    let mut shard = Shard::new(LIMITS);
    let [ann, bob] = [true, false]
        .map(|join_leave| shard.reader("news", Subscription { join_leave, ..Subscription::default() }));
    assert_eq!(shard.join("news", "eve"), 1);
    assert_eq!(shard.tell("news", "hello"), 2);
    assert_eq!(shard.leave("news", "eve"), 1);
    shard.flush();
    assert_eq!(shard.heard(ann), ["+eve", "hello", "-eve"]);
    assert_eq!(shard.heard(bob), ["hello"]);
}

#[test]
fn a_filter_hides_publications_and_nothing_else() {
    let mut shard = Shard::new(LIMITS);
    let filter = only("kind", "good");
    let ann = shard.reader("news", Subscription { filter, join_leave: true, positioned: true, ..at(0, 0) });
    let bob = shard.reader("news", at(0, 0));
    for (offset, kind) in [(1, "good"), (2, "bad"), (3, "good")] {
        let tags = [("kind".to_owned(), kind.to_owned())].into();
        let data = Payload::from(format!("{offset}"));
        let mark = at(0, offset).stream;
        shard.publish_as("news", mark, Publication { data, offset, tags, ..Publication::default() });
    }
    shard.join("news", "eve");
    shard.flush();
    assert_eq!(shard.heard(ann), ["1", "3", "+eve"]);
    assert_eq!(shard.heard(bob), ["1", "2", "3"]);
    assert_eq!(shard.lost(ann), [], "what was hidden was not lost");
}

#[test]
fn a_json_client_that_is_sent_something_else_must_go_and_the_others_get_it() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", Subscription::default());
    let bob = shard.client(WireFormat::Protobuf);
    shard.subscribe(bob, "news");
    shard.tell("news", "before");
    let publication = Publication { data: Payload::from(vec![0xFF, 0]), ..Publication::default() };
    let frames = Frames::publication(name("news"), Arc::new(publication), None, false);
    assert_eq!(shard.deliver("news", None, frames, None), 1);
    assert_eq!(shard.tell("news", "after"), 1);
    shard.flush();
    assert_eq!(shard.table.ending(ann), Some(Ending::WrongFormat));
    assert_eq!(shard.table.take_changed(), [ann]);
    assert_eq!(shard.heard(ann), ["before"]);
    assert_eq!(shard.table.ending(bob), None);
    assert!(shard.wire(bob).taken.windows(2).any(|bytes| bytes == [0xFF, 0]));
}
