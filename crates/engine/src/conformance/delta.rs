//! Which payload a publication may be sent as a patch against.

use crate::conformance::Harness;
use crate::conformance::rig::{Rig, info, words};
use crate::{Event, HistoryOptions, Message, PublishOptions};

fn delta<H: Harness>(rig: &Rig<'_, H>) -> PublishOptions {
    PublishOptions { delta: true, ..rig.stored() }
}

/// The bases of everything that was delivered; empty where there is none.
fn bases<H: Harness>(rig: &Rig<'_, H>, count: usize) -> Vec<String> {
    let base = |delivery: &crate::Delivery| delivery.previous.as_ref().map(words).unwrap_or_default();
    rig.delivered(count).iter().map(base).collect()
}

pub(super) fn a_delta_is_made_against_the_publication_before<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.store("a");
    rig.publish("b", &delta(&rig));
    rig.publish("c", &delta(&rig));
    assert_eq!(bases(&rig, 3), ["", "a", "b"]);
}

pub(super) fn no_base_is_given_unless_asked_for<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.store_all(&["a", "b", "c"]);
    let unstored = PublishOptions { history: None, ..delta(&rig) };
    rig.publish("d", &unstored);
    assert_eq!(bases(&rig, 4), [""; 4], "and none without a stream");
}

pub(super) fn the_first_publication_has_no_base<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.publish("a", &delta(&rig));
    assert!(rig.delivered(1)[0].previous.is_none());
}

pub(super) fn what_was_stored_without_delta_is_the_next_base<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.publish("a", &delta(&rig));
    rig.store("b");
    rig.publish("c", &delta(&rig));
    assert_eq!(bases(&rig, 3), ["", "", "b"]);
}

pub(super) fn a_publication_that_is_not_stored_breaks_the_chain<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.store("a");
    rig.pass("subscribers got this last");
    rig.publish("b", &delta(&rig));
    rig.publish("c", &delta(&rig));
    assert_eq!(bases(&rig, 4), ["", "", "", "b"]);
}

pub(super) fn joins_do_not_break_the_chain<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.store("a");
    let join = Event::new(Message::Join(info("ann", "c1")));
    rig.try_publish(join, &PublishOptions::default()).expect("publishing works");
    rig.publish("b", &delta(&rig));
    assert_eq!(bases(&rig, 3), ["", "", "a"]);
}

pub(super) fn what_was_suppressed_is_no_base<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.publish("a", &PublishOptions { version: 2, ..delta(&rig) });
    assert!(rig.publish("stale", &PublishOptions { version: 1, ..delta(&rig) }).suppressed);
    rig.publish("b", &delta(&rig));
    assert_eq!(bases(&rig, 2), ["", "a"]);
}

pub(super) fn removal_ends_the_chain<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.store("a");
    rig.remove_history();
    rig.publish("b", &delta(&rig));
    rig.publish("c", &delta(&rig));
    assert_eq!(bases(&rig, 3), ["", "", "b"]);
}

pub(super) fn expiry_ends_the_chain<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.store("a");
    rig.pass_time(5);
    rig.publish("b", &delta(&rig));
    assert_eq!(bases(&rig, 2), ["", ""]);
}

pub(super) fn a_history_of_one_publication_is_enough_for_deltas<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let history = Some(HistoryOptions { size: 1, ..rig.history_options() });
    let options = PublishOptions { history, ..delta(&rig) };
    ["a", "b", "c"].iter().for_each(|text| assert!(!rig.publish(text, &options).suppressed));
    assert_eq!(bases(&rig, 3), ["", "a", "b"]);
}
