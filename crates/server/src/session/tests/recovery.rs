use throng_engine::{Epoch, EpochMismatch, History, Position, Sequence};
use throng_protocol::{Payload, fossil};

use super::*;
use crate::config::RecoveryMode;
use crate::session::plan::Recovery;

/// No offsets at all.
const NONE: std::ops::RangeInclusive<u64> = std::ops::RangeInclusive::new(1, 0);

fn epoch() -> Epoch {
    "abcdefgh".parse().expect("eight letters")
}

fn stream(offsets: std::ops::RangeInclusive<u64>, top: u64) -> History {
    let publication = |offset| Arc::new(Publication { offset, ..Publication::default() });
    History {
        sequence: Sequence::new(9),
        position: Position { offset: top, epoch: epoch() },
        publications: Ok(offsets.map(publication).collect()),
    }
}

fn recovery(mode: RecoveryMode, offset: u64, epoch: &str) -> Recovery {
    let since = Some(StreamPosition { offset, epoch: epoch.into() });
    Recovery { mode, since, or_error: false, limit: 300 }
}

fn offsets(recovered: &Recovered) -> Vec<u64> {
    recovered.publications.iter().map(|publication| publication.offset).collect()
}

#[test]
fn a_recovery_is_complete_or_it_is_none() {
    for (since, epoch, history, complete, offset) in [
        (4, "abcdefgh", stream(5..=7, 7), true, 4),
        (4, "", stream(5..=7, 7), true, 4),
        (7, "abcdefgh", stream(NONE, 7), true, 7),
        (0, "", stream(NONE, 0), true, 0),
        // Trimmed, cut by the limit, ahead of the stream, all of it expired.
        (3, "abcdefgh", stream(5..=7, 7), false, 7),
        (4, "abcdefgh", stream(5..=6, 7), false, 7),
        (9, "abcdefgh", stream(NONE, 7), false, 7),
        (3, "abcdefgh", stream(NONE, 7), false, 7),
    ] {
        let recovered = recovery(RecoveryMode::Stream, since, epoch).judge(history);
        let case = format!("since {since}");
        assert_eq!((recovered.complete, recovered.offset), (complete, offset), "{case}");
        assert!(complete || recovered.publications.is_empty(), "{case}");
    }
}

#[test]
fn another_epoch_is_never_recovered_even_at_the_same_offset() {
    for epoch in ["_", "hgfedcba"] {
        let history = History { publications: Err(EpochMismatch), ..stream(NONE, 7) };
        let recovered = recovery(RecoveryMode::Stream, 7, epoch).judge(history);
        assert_eq!((recovered.complete, recovered.offset), (false, 7));
        let recovered = recovery(RecoveryMode::Stream, 7, epoch).judge(stream(NONE, 7));
        assert!(!recovered.complete);
    }
}

#[test]
fn a_cache_gives_the_latest_unless_the_client_has_it() {
    let cache = |offset, epoch, history| {
        let recovered = recovery(RecoveryMode::Cache, offset, epoch).judge(history);
        (recovered.complete, recovered.offset, offsets(&recovered))
    };
    assert_eq!(cache(2, "abcdefgh", stream(7..=7, 7)), (true, 7, vec![7]));
    assert_eq!(cache(7, "abcdefgh", stream(7..=7, 7)), (true, 7, vec![]));
    assert_eq!(cache(7, "hgfedcba", stream(7..=7, 7)), (true, 7, vec![7]));
    assert_eq!(cache(7, "abcdefgh", stream(NONE, 7)), (false, 7, vec![]));
    let query = recovery(RecoveryMode::Cache, 2, "abcdefgh").query();
    assert_eq!((query.limit, query.reverse, query.since), (Some(1), true, None));
}

#[test]
fn recovered_publications_are_patches_against_one_another_after_the_first() {
    let text = |number: u8| format!(r#"{{"number":{number},"padding":"{}"}}"#, "x".repeat(100));
    let publications = || (1..=3).map(|n| Publication { data: text(n).into(), ..Publication::default() });
    let together = |format| patched(publications().collect(), format);
    let json = together(Format::Json);
    assert_eq!(json.iter().map(|publication| publication.delta).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(json[0].data, Payload::from(text(1)).quoted().unwrap());
    let binary = together(Format::Protobuf);
    assert_eq!(binary[0].data, Payload::from(text(1)));
    let second = fossil::apply(text(1).as_bytes(), binary[1].data.as_bytes(), 1_000).unwrap();
    let third = fossil::apply(&second, binary[2].data.as_bytes(), 1_000).unwrap();
    assert_eq!(third, text(3).into_bytes());
}

#[test]
fn a_patch_that_is_no_text_is_not_sent_to_a_json_client() {
    // The last byte of a character differs, so that the patch cuts it in two.
    let long = "é".repeat(60);
    let publications = [format!("\"{long}à\""), format!("\"{long}á\"")]
        .map(|data| Publication { data: data.into(), ..Publication::default() });
    for publication in patched(publications.to_vec(), Format::Json) {
        assert!(publication.data.is_json(), "{:?}", publication.data);
    }
}

#[test]
fn what_would_not_fit_an_outbox_is_not_recovered_in_part() {
    let data: Payload = "12345".into();
    let publication = |offset| Arc::new(Publication { offset, data: data.clone(), ..Publication::default() });
    let recovered =
        || Recovered { publications: (5..=7).map(publication).collect(), complete: true, offset: 4 };
    assert_eq!(recovered().within(15), recovered());
    let refused = Recovered { publications: Vec::new(), complete: false, offset: 7 };
    assert_eq!(recovered().within(14), refused);
}
