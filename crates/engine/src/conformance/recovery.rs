//! A snapshot of a channel and what is delivered after it, while others publish.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::conformance::Harness;
use crate::conformance::rig::{Rig, since};
use crate::{Delivery, HistoryQuery, Position, Sequence};

const PUBLISHERS: usize = 2;
const EACH: usize = 200;
const ALL: u64 = (PUBLISHERS * EACH) as u64;
const SNAPSHOTS: usize = 40;

/// What a subscriber would start with.
struct Start {
    sequence: Sequence,
    position: Position,
}

/// Publishes on several threads, and meanwhile does `take` again and again, until it was done often enough after the last
/// publication.
fn while_publishing<H: Harness, T>(rig: &Rig<'_, H>, take: impl Fn() -> T) -> Vec<T> {
    let publishing = AtomicUsize::new(PUBLISHERS);
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (publishing, acknowledged) = (&publishing, &acknowledged);
            scope.spawn(move || {
                for number in 0..EACH {
                    rig.store(&format!("{publisher}:{number}"));
                    acknowledged.fetch_add(1, Ordering::Release);
                }
                publishing.fetch_sub(1, Ordering::Release);
            });
        }
        let mut taken = Vec::new();
        // Spread over the run, however fast the engine publishes.
        while publishing.load(Ordering::Acquire) > 0 {
            let due = acknowledged.load(Ordering::Acquire) * SNAPSHOTS / (PUBLISHERS * EACH);
            if taken.len() <= due {
                taken.push(take());
            } else {
                std::thread::yield_now();
            }
        }
        taken.push(take());
        taken
    })
}

/// Whoever starts here and takes what is above its start gets every later publication, each once and in order.
fn assert_continues(start: &Start, deliveries: &[Delivery]) {
    let taken: Vec<u64> = deliveries
        .iter()
        .filter(|delivery| delivery.sequence > start.sequence)
        .filter_map(|delivery| delivery.position)
        .filter(|position| position.offset > start.position.offset)
        .map(|position| position.offset)
        .collect();
    assert_offsets(&taken, start.position.offset + 1..=ALL, "delivered after the snapshot");
}

fn assert_offsets(offsets: &[u64], expected: RangeInclusive<u64>, what: &str) {
    let right = expected.clone().eq(offsets.iter().copied());
    assert!(right, "{what}: {expected:?} without gap and double, not {offsets:?}");
}

pub(super) fn history_and_what_is_delivered_after_it_fit_together<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let histories = while_publishing(&rig, || rig.history(&HistoryQuery::default()));
    let deliveries = rig.delivered(PUBLISHERS * EACH);
    for history in histories {
        let top = history.position.offset;
        let kept = history.publications.expect("no position was named");
        let offsets: Vec<u64> = kept.iter().map(|publication| publication.offset).collect();
        let oldest = top.saturating_sub(rig.history_options().size as u64) + 1;
        assert_offsets(&offsets, oldest..=top, "kept");
        assert_continues(&Start { sequence: history.sequence, position: history.position }, &deliveries);
    }
}

pub(super) fn a_position_and_what_is_delivered_after_it_fit_together<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let snapshots = while_publishing(&rig, || rig.position(Some(&rig.history_options())));
    let deliveries = rig.delivered(PUBLISHERS * EACH);
    for snapshot in snapshots {
        let position = snapshot.position.expect("it was asked for");
        assert_continues(&Start { sequence: snapshot.sequence, position }, &deliveries);
    }
}

pub(super) fn whoever_subscribes_while_others_publish_misses_nothing<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    let come_back = || {
        let first = rig.subscribe();
        let before = rig.top();
        let query = HistoryQuery { since: since(before.offset, before.epoch.as_str()), ..HistoryQuery::default() };
        let history = rig.history(&query);
        assert!(history.sequence >= first, "sequences do not go back");
        rig.unsubscribe();
        (before, history)
    };
    let visits = while_publishing(&rig, come_back);
    for (before, history) in &visits {
        let missed = history.publications.as_ref().expect("the epoch is the stream's");
        let offsets: Vec<u64> = missed.iter().map(|publication| publication.offset).collect();
        let missed = history.position.offset - before.offset;
        let oldest = if missed > 100 { history.position.offset - 99 } else { before.offset + 1 };
        assert_offsets(&offsets, oldest..=history.position.offset, "missed");
    }
    let first = rig.subscribe();
    let top = rig.top();
    assert_eq!(top.offset, ALL, "all is stored, whether anybody was there or not");
    rig.store("last");
    let deliveries = rig.delivered_until("last");
    let after: Vec<_> = deliveries.iter().filter(|delivery| delivery.sequence > first).collect();
    assert_eq!(after.len(), 1, "one publication came after the last subscription");
}
