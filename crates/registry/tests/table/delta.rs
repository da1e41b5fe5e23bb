use std::sync::Arc;

use throng_protocol::Publication;
use throng_registry::{Frames, Subscription, WireFormat};

use crate::support::{LIMITS, Shard, at, json, name, only};

const ONE: &str = "the quick brown fox jumps over the lazy dog: 1";
const TWO: &str = "the quick brown fox jumps over the lazy dog: 2";
const THREE: &str = "the quick brown fox jumps over the lazy dog: 3";

fn delta() -> Subscription {
    Subscription { delta: true, ..at(0, 0) }
}

fn kinds(heard: &[String]) -> String {
    heard.iter().map(|text| if text.starts_with('~') { '~' } else { '.' }).collect()
}

#[test]
fn the_first_publication_is_whole_and_patches_follow() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", delta());
    let bob = shard.reader("news", at(0, 0));
    shard.tell_after("news", 1, "none of theirs", ONE);
    shard.tell_after("news", 2, ONE, TWO);
    shard.tell_after("news", 3, TWO, THREE);
    shard.flush();
    assert_eq!(kinds(&shard.heard(ann)), ".~~");
    assert_eq!(shard.heard(bob), [ONE, TWO, THREE]);
}

#[test]
fn a_subscriber_that_has_the_newest_publication_gets_a_patch_at_once() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", Subscription { has_base: true, ..delta() });
    shard.tell_after("news", 1, ONE, TWO);
    shard.flush();
    assert_eq!(kinds(&shard.heard(ann)), "~");
}

#[test]
fn a_publication_that_may_not_be_patched_is_whole_and_the_base_of_the_next() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", Subscription { has_base: true, ..delta() });
    shard.tell_at("news", 1, ONE);
    shard.tell_after("news", 2, ONE, TWO);
    shard.flush();
    assert_eq!(kinds(&shard.heard(ann)), ".~");
}

#[test]
fn whoever_missed_a_publication_gets_the_next_one_whole() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", Subscription { has_base: true, ..delta() });
    shard.tell_after("news", 1, ONE, TWO);
    shard.tell_after("news", 3, TWO, THREE);
    shard.tell_after("news", 4, THREE, ONE);
    shard.flush();
    assert_eq!(kinds(&shard.heard(ann)), "~.~");
}

#[test]
fn what_a_filter_hid_is_no_base() {
    let mut shard = Shard::new(LIMITS);
    let filter = only("kind", "good");
    let ann = shard.reader("news", Subscription { has_base: true, filter, ..delta() });
    for (offset, kind) in [(1, "good"), (2, "bad"), (3, "good"), (4, "good")] {
        let tags = [("kind".to_owned(), kind.to_owned())].into();
        let publication = Publication { data: json(ONE), tags, ..Publication::default() };
        let frames = Frames::publication(name("news"), Arc::new(publication), Some(json(TWO)), true);
        shard.deliver("news", at(0, offset).stream, frames, None);
    }
    shard.flush();
    assert_eq!(kinds(&shard.heard(ann)), "~.~");
}

#[test]
fn patches_of_what_was_held_begin_whole() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.client(WireFormat::Json);
    shard.enter(ann, "news");
    shard.tell_after("news", 1, "x", ONE);
    shard.tell_after("news", 2, ONE, TWO);
    shard.complete(ann, "news", delta());
    shard.tell_after("news", 3, TWO, THREE);
    shard.flush();
    assert_eq!(kinds(&shard.heard(ann)[1..]), ".~~");
}

#[test]
fn joins_between_publications_do_not_disturb_their_patches() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.reader("news", Subscription { join_leave: true, ..delta() });
    shard.tell_at("news", 1, ONE);
    shard.join("news", "eve");
    shard.tell_after("news", 2, ONE, TWO);
    shard.flush();
    let heard = shard.heard(ann);
    assert_eq!((kinds(&heard), heard[1].as_str()), ("..~".to_owned(), "+eve"));
}

#[test]
fn variants_share_a_turn_but_not_their_bytes() {
    let mut shard = Shard::new(LIMITS);
    let has_base = Subscription { has_base: true, ..delta() };
    let readers = [delta(), at(0, 0), has_base.clone(), delta(), at(0, 0), has_base]
        .map(|subscription| shard.reader("news", subscription));
    shard.tell_after("news", 1, THREE, ONE);
    shard.tell_after("news", 2, ONE, TWO);
    shard.tell_after("news", 3, TWO, THREE);
    shard.flush();
    let heard = readers.map(|slot| kinds(&shard.heard(slot)));
    assert_eq!(heard, [".~~", "...", "~~~", ".~~", "...", "~~~"]);
}
