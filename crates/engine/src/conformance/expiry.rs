//! What time does to streams. The histories of these checks keep publications for 4 units and streams for 10.

use crate::conformance::Harness;
use crate::conformance::rig::Rig;
use crate::{HistoryOptions, Position, PublishOptions};

pub(super) fn publications_expire_and_the_position_stays<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    let last = rig.store_all(&["a", "b"]);
    rig.pass_time(3);
    assert_eq!(rig.kept(), ["a", "b"], "it is not yet time");
    rig.pass_time(2);
    assert!(rig.kept().is_empty(), "now it is");
    assert_eq!(rig.top(), last);
    assert_eq!(rig.store("c"), Position { offset: 3, ..last });
    assert_eq!(rig.kept(), ["c"], "what is gone does not come back");
}

pub(super) fn each_publication_renews_the_time_of_all<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    for text in ["a", "b", "c"] {
        rig.store(text);
        rig.pass_time(3);
    }
    assert_eq!(rig.kept(), ["a", "b", "c"]);
    rig.pass_time(2);
    assert!(rig.kept().is_empty());
}

pub(super) fn reading_does_not_renew_publications<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    rig.store("a");
    rig.pass_time(3);
    assert_eq!(rig.kept(), ["a"]);
    rig.pass("a publication that is not stored renews nothing either");
    rig.pass_time(2);
    assert!(rig.kept().is_empty());
}

pub(super) fn an_idle_stream_is_forgotten_with_its_epoch<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    let last = rig.store("a");
    rig.pass_time(11);
    let top = rig.top();
    assert_eq!(top.offset, 0, "offsets start anew");
    assert_ne!(top.epoch, last.epoch, "and so the epoch is another");
}

pub(super) fn reading_renews_the_stream<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    let last = rig.store("a");
    rig.pass_time(8);
    assert_eq!(rig.top(), last, "asking for the position renews it");
    rig.pass_time(8);
    assert!(rig.kept().is_empty(), "reading the history renews it");
    rig.pass_time(8);
    assert_eq!(rig.top(), last);
}

pub(super) fn publishing_renews_the_stream<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    let first = rig.store("a");
    for offset in 2..=3 {
        rig.pass_time(8);
        assert_eq!(rig.store("b"), Position { offset, ..first });
    }
}

pub(super) fn a_stream_outlives_its_publications_even_if_its_own_time_is_shorter<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    let history = HistoryOptions { meta_ttl: harness.unit(), ..rig.history_options() };
    let options = PublishOptions { history: Some(history), ..PublishOptions::default() };
    let first = rig.publish("a", &options).position.expect("it is stored");
    rig.pass_time(3);
    let second = rig.publish("b", &options).position.expect("it is stored");
    assert_eq!(second, Position { offset: 2, ..first });
}
