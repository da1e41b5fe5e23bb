//! Which publications a query reads.

use crate::conformance::Harness;
use crate::conformance::rig::{Rig, since, words};
use crate::{EpochMismatch, HistoryOptions, HistoryQuery, PublishOptions};

const TEXTS: [&str; 5] = ["1", "2", "3", "4", "5"];

/// A rig with five publications, each named by its offset.
fn five<H: Harness>(harness: &H) -> Rig<'_, H> {
    let rig = Rig::new(harness);
    rig.store_all(&TEXTS);
    rig
}

fn forward() -> HistoryQuery {
    HistoryQuery::default()
}

fn reverse() -> HistoryQuery {
    HistoryQuery { reverse: true, ..HistoryQuery::default() }
}

/// Publishes into a history of this many publications.
fn store_within<H: Harness>(rig: &Rig<'_, H>, size: usize, text: &str) {
    let history = Some(HistoryOptions { size, ..rig.history_options() });
    rig.publish(text, &PublishOptions { history, ..PublishOptions::default() });
}

pub(super) fn history_is_read_from_the_oldest_publication<H: Harness>(harness: &H) {
    let rig = five(harness);
    assert_eq!(rig.read(&forward()), TEXTS);
    let history = rig.history(&forward());
    assert_eq!(history.position, rig.top(), "the top is told with it");
    for publication in history.publications.expect("no position was named") {
        assert_eq!(words(&publication.data), publication.offset.to_string(), "each has its own offset");
    }
}

pub(super) fn history_is_read_in_reverse_from_the_newest<H: Harness>(harness: &H) {
    let rig = five(harness);
    assert_eq!(rig.read(&reverse()), ["5", "4", "3", "2", "1"]);
}

pub(super) fn a_limit_cuts_what_is_read<H: Harness>(harness: &H) {
    let rig = five(harness);
    assert_eq!(rig.read(&HistoryQuery { limit: Some(2), ..forward() }), ["1", "2"], "the oldest");
    assert_eq!(rig.read(&HistoryQuery { limit: Some(2), ..reverse() }), ["5", "4"], "the newest");
    assert_eq!(rig.read(&HistoryQuery { limit: Some(5), ..forward() }), TEXTS, "exactly what there is");
    assert_eq!(rig.read(&HistoryQuery { limit: Some(usize::MAX), ..forward() }), TEXTS, "more than there is");
    let after = HistoryQuery { limit: Some(2), since: since(1, ""), ..forward() };
    assert_eq!(rig.read(&after), ["2", "3"], "from a position on");
    let before = HistoryQuery { limit: Some(2), since: since(5, ""), ..reverse() };
    assert_eq!(rig.read(&before), ["4", "3"], "from a position back");
}

pub(super) fn limit_zero_reads_the_position_alone<H: Harness>(harness: &H) {
    let rig = five(harness);
    for query in [forward(), reverse(), HistoryQuery { since: since(2, ""), ..forward() }] {
        let history = rig.history(&HistoryQuery { limit: Some(0), ..query });
        assert_eq!(history.publications, Ok(Vec::new()));
        assert_eq!(history.position.offset, 5);
    }
}

pub(super) fn since_leaves_its_own_publication_out<H: Harness>(harness: &H) {
    let rig = five(harness);
    for (offset, expected) in [(0, &TEXTS[..]), (1, &TEXTS[1..]), (4, &TEXTS[4..]), (5, &[])] {
        assert_eq!(rig.read(&HistoryQuery { since: since(offset, ""), ..forward() }), expected, "since {offset}");
    }
}

pub(super) fn since_in_reverse_reads_what_is_older<H: Harness>(harness: &H) {
    let rig = five(harness);
    for (offset, expected) in [(5, &["4", "3", "2", "1"][..]), (2, &["1"]), (1, &[])] {
        assert_eq!(rig.read(&HistoryQuery { since: since(offset, ""), ..reverse() }), expected, "since {offset}");
    }
}

pub(super) fn since_above_the_top_has_nothing_after_it<H: Harness>(harness: &H) {
    let rig = five(harness);
    for offset in [6, 100, u64::MAX] {
        let query = HistoryQuery { since: since(offset, ""), ..forward() };
        assert!(rig.read(&query).is_empty(), "nothing is above {offset}");
        let query = HistoryQuery { since: since(offset, ""), ..reverse() };
        assert_eq!(rig.read(&query), ["5", "4", "3", "2", "1"], "all is below {offset}");
    }
}

pub(super) fn since_what_is_trimmed_starts_at_the_oldest_kept<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    TEXTS.iter().for_each(|text| store_within(&rig, 2, text));
    for offset in 0..=3 {
        let query = HistoryQuery { since: since(offset, ""), ..forward() };
        assert_eq!(rig.read(&query), ["4", "5"], "since {offset}");
    }
    for offset in 1..=4 {
        let query = HistoryQuery { since: since(offset, ""), ..reverse() };
        assert!(rig.read(&query).is_empty(), "nothing kept is older than {offset}");
    }
    assert_eq!(rig.read(&HistoryQuery { since: since(5, ""), ..reverse() }), ["4"]);
}

pub(super) fn only_the_newest_publications_are_kept<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    for (text, expected) in [("1", &["1"][..]), ("2", &["1", "2"]), ("3", &["2", "3"])] {
        store_within(&rig, 2, text);
        assert_eq!(rig.kept(), expected);
    }
    store_within(&rig, 4, "4");
    assert_eq!(rig.kept(), ["2", "3", "4"], "a longer history keeps more from now on");
    store_within(&rig, 1, "5");
    assert_eq!(rig.kept(), ["5"], "a shorter one is cut");
}

pub(super) fn a_foreign_epoch_is_told<H: Harness>(harness: &H) {
    let rig = five(harness);
    let top = rig.top();
    for epoch in ["_", "x", "AbCdEfGh", &format!("{}x", top.epoch)] {
        for query in [forward(), reverse(), HistoryQuery { limit: Some(0), ..forward() }] {
            let history = rig.history(&HistoryQuery { since: since(2, epoch), ..query });
            assert_eq!(history.publications, Err(EpochMismatch), "{epoch:?} is another stream's");
            assert_eq!(history.position, top, "where the stream is can be told all the same");
        }
    }
    let own = HistoryQuery { since: since(4, top.epoch.as_str()), ..forward() };
    assert_eq!(rig.read(&own), ["5"]);
}

pub(super) fn an_empty_epoch_matches_any<H: Harness>(harness: &H) {
    let rig = five(harness);
    assert_eq!(rig.read(&HistoryQuery { since: since(3, ""), ..forward() }), ["4", "5"]);
}

pub(super) fn a_channel_without_publications_has_an_empty_history<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    let history = rig.history(&forward());
    assert_eq!(history.publications, Ok(Vec::new()));
    assert_eq!(history.position.offset, 0);
    assert_eq!(rig.top(), history.position, "reading made the stream");
    assert_eq!(rig.read(&HistoryQuery { since: since(0, history.position.epoch.as_str()), ..forward() }), [""; 0]);
    assert_eq!(
        rig.history(&HistoryQuery { since: since(0, "_"), ..forward() }).publications,
        Err(EpochMismatch),
        "a position in another stream is foreign here, too"
    );
}
