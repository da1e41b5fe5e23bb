//! Publications that are told from new ones: by idempotency key, or by version.

use std::sync::Barrier;

use crate::conformance::Harness;
use crate::conformance::rig::{Rig, fresh_channel};
use crate::{PublishOptions, Published};

const THREADS: usize = 8;
const ROUNDS: usize = 20;

fn with_key<H: Harness>(rig: &Rig<'_, H>, key: &str) -> PublishOptions {
    PublishOptions { idempotency_key: Some(key.into()), ..rig.stored() }
}

fn versioned<H: Harness>(rig: &Rig<'_, H>, version: u64, epoch: &str) -> PublishOptions {
    PublishOptions { version, version_epoch: epoch.into(), ..rig.stored() }
}

/// Publishes with a version; returns whether it was dropped.
fn is_stale<H: Harness>(rig: &Rig<'_, H>, version: u64, epoch: &str) -> bool {
    let text = format!("{epoch}{version}");
    let published = rig.publish(&text, &versioned(rig, version, epoch));
    assert_eq!(published.position, Some(rig.top()), "{text}: the position is the stream's top either way");
    published.suppressed
}

pub(super) fn a_repeated_key_publishes_once<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let first = rig.publish("a", &with_key(&rig, "key"));
    assert!(!first.suppressed);
    rig.store("b");
    for text in ["a", "another text"] {
        let again = rig.publish(text, &with_key(&rig, "key"));
        assert_eq!(again, Published { suppressed: true, ..first }, "a repeat gets the first result");
    }
    assert!(!rig.publish("c", &with_key(&rig, "other")).suppressed);
    assert_eq!(rig.delivered_texts(3), ["a", "b", "c"]);
    assert_eq!(rig.kept(), ["a", "b", "c"]);
}

pub(super) fn a_key_works_without_history<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let options = PublishOptions { history: None, ..with_key(&rig, "key") };
    assert_eq!(rig.publish("a", &options), Published { position: None, suppressed: false });
    assert_eq!(rig.publish("a", &options), Published { position: None, suppressed: true });
    rig.pass("b");
    assert_eq!(rig.delivered_texts(2), ["a", "b"]);
}

pub(super) fn keys_belong_to_their_channel<H: Harness>(harness: &H) {
    let mut rig = Rig::subscribed(harness);
    let options = with_key(&rig, "key");
    rig.publish("here", &options);
    rig.channel = fresh_channel();
    assert!(!rig.publish("there", &options).suppressed);
    assert_eq!(rig.kept(), ["there"]);
}

pub(super) fn a_key_may_be_used_again_when_its_time_is_over<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let options = with_key(&rig, "key");
    rig.publish("a", &options);
    let ttl = harness.idempotency_ttl();
    harness.advance(&rig.engine, ttl / 2);
    assert!(rig.publish("b", &options).suppressed, "it is kept for its time");
    harness.advance(&rig.engine, ttl / 2 + ttl / 4);
    assert!(!rig.publish("c", &options).suppressed, "which a repeat does not renew");
    assert!(rig.publish("d", &options).suppressed, "and it is kept anew");
    assert_eq!(rig.delivered_texts(2), ["a", "c"]);
}

pub(super) fn threads_with_one_key_publish_once<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    for round in 0..ROUNDS {
        let options = with_key(&rig, &round.to_string());
        let start = Barrier::new(THREADS);
        let results: Vec<Published> = std::thread::scope(|scope| {
            let publish = || {
                start.wait();
                rig.publish("x", &options)
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(publish)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a publisher ends")).collect()
        });
        let new = results.iter().filter(|published| !published.suppressed).count();
        assert_eq!(new, 1, "one of {THREADS} has published in round {round}");
        let offsets = results.iter().map(|published| published.position.map(|position| position.offset));
        let expected = Some(round as u64 + 1);
        assert!(offsets.clone().all(|offset| offset == expected), "all are told the same offset: {offsets:?}");
    }
    rig.delivered(ROUNDS);
}

pub(super) fn a_key_is_looked_at_before_the_version<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let options = PublishOptions { idempotency_key: Some("key".into()), ..versioned(&rig, 2, "") };
    let first = rig.publish("a", &options);
    rig.store("b");
    let again = rig.publish("a", &options);
    assert_eq!(again, Published { suppressed: true, ..first }, "the key's result, not the stream's top");
    rig.delivered(2);
}

pub(super) fn a_stale_version_is_dropped<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let stale: Vec<_> = [5, 5, 4, 6, 1, 7].iter().map(|version| is_stale(&rig, *version, "")).collect();
    assert_eq!(stale, [false, true, true, false, true, false]);
    assert_eq!(rig.kept(), ["5", "6", "7"]);
    assert_eq!(rig.delivered_texts(3), ["5", "6", "7"]);
}

pub(super) fn another_version_epoch_starts_anew<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    assert!(!is_stale(&rig, 5, "a"));
    assert!(is_stale(&rig, 5, "a"));
    assert!(!is_stale(&rig, 1, "b"), "versions of another series are not compared");
    assert!(is_stale(&rig, 1, "b"));
    assert!(!is_stale(&rig, 2, "a"), "the first series is forgotten");
}

pub(super) fn an_empty_version_epoch_compares_with_any<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    assert!(!is_stale(&rig, 5, "a"));
    assert!(is_stale(&rig, 5, ""));
    assert!(!is_stale(&rig, 6, ""));
    assert!(!is_stale(&rig, 1, "a"), "the newest version had no epoch, so this one is of another series");
}

pub(super) fn a_publication_without_version_passes_and_changes_no_version<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    assert!(!is_stale(&rig, 5, "a"));
    rig.store("no version");
    assert!(is_stale(&rig, 5, "a"));
    assert!(!is_stale(&rig, 6, "a"));
}

pub(super) fn versions_outlive_the_publications<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    assert!(!is_stale(&rig, 5, ""));
    rig.remove_history();
    assert!(is_stale(&rig, 5, ""), "after removal");
    rig.pass_time(5);
    assert!(rig.kept().is_empty());
    assert!(is_stale(&rig, 5, ""), "after expiry");
    rig.pass_time(11);
    assert!(!is_stale(&rig, 1, ""), "but not the stream");
}

pub(super) fn versions_mean_nothing_without_history<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let options = PublishOptions { history: None, ..versioned(&rig, 5, "") };
    assert!(!rig.publish("a", &options).suppressed);
    assert!(!rig.publish("b", &options).suppressed);
    assert_eq!(rig.delivered_texts(2), ["a", "b"]);
    assert!(!is_stale(&rig, 1, ""), "and leave nothing behind");
}
