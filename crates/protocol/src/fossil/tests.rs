use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// A patch that holds all of the target.
fn whole(target: &[u8]) -> Vec<u8> {
    diff(b"", target)
}

fn check(source: &[u8], target: &[u8]) -> Vec<u8> {
    let patch = diff(source, target);
    assert_eq!(apply(source, &patch, target.len()).as_deref(), Ok(target));
    assert!(patch.len() <= whole(target).len());
    patch
}

#[test]
fn patches_are_those_of_the_reference() {
    let counter = |n: u32| format!("{{\"counter\":{n},\"payload\":\"{}\"}}", "a".repeat(60)).into_bytes();
    let vectors: [(&[u8], &[u8], &[u8]); 3] = [
        (
            br#"{"a":1}"#,
            br#"{"a":2}"#,
            br#"7
7:{"a":2}2qLDtY;"#,
        ),
        (b"", b"x", b"1\n1:x1t0000;"),
        (
            &counter(1),
            &counter(2),
            br#"1M
C:{"counter":21A@C,13aU2P;"#,
        ),
    ];
    for (source, target, patch) in vectors {
        assert_eq!(check(source, target).escape_ascii().to_string(), patch.escape_ascii().to_string());
    }
    // The reference does not tell its text of 96 bytes, so the checksum is not compared.
    let text = &b"The quick brown fox jumps over the lazy dog. ".repeat(3)[..96];
    assert!(check(text, text).starts_with(b"1W\n1W@0,"));
}

#[test]
fn a_run_is_found_wherever_it_moved_and_grows_both_ways() {
    let run: Vec<u8> = (0..100).map(|n: u8| n.wrapping_mul(37)).collect();
    for (before, after) in [(0, 0), (1, 0), (0, 3), (13, 29), (200, 5)] {
        let source = [&vec![b'<'; before][..], &run, b">>>>"].concat();
        let target = [&vec![b'{'; after][..], &run, b"}}"].concat();
        let (patch, mut copy) = (check(&source, &target), Vec::new());
        copy.extend_from_slice(b"1_@");
        copy.extend_from_slice(match before {
            0 => b"0,".as_slice(),
            1 => b"1,",
            13 => b"D,",
            _ => b"38,",
        });
        assert!(patch.windows(copy.len()).any(|part| part == copy), "{}", patch.escape_ascii());
    }
}

#[test]
fn the_longest_of_several_candidates_is_taken() {
    let head = b"sixteen bytes! #";
    let tail = b"and this follows only once in the source";
    let source = [&head[..], b"something between", &[b'-'; 15], head, tail, head, b"2"].concat();
    let target = [&b"new "[..], head, tail].concat();
    assert!(
        check(&source, &target).starts_with(b"x\n4:new t@l,"),
        "{}",
        diff(&source, &target).escape_ascii()
    );
}

#[test]
fn small_edits_of_a_large_document_make_small_patches() {
    let rows: Vec<String> =
        (0..500).map(|n| format!("{{\"id\":{n},\"state\":\"open\",\"load\":0.5}}")).collect();
    let source = format!("[{}]", rows.join(",")).into_bytes();
    let mut edited = rows.clone();
    edited[250] = edited[250].replace("0.5", "0.75");
    edited.remove(100);
    edited.insert(400, "{\"id\":9999,\"state\":\"closed\",\"load\":1}".into());
    let target = format!("[{}]", edited.join(",")).into_bytes();
    let patch = check(&source, &target);
    assert!(patch.len() < 150, "{} bytes for {}", patch.len(), target.len());
}

/// Quadratic work on these would take hours.
#[test]
fn hostile_bytes_take_no_longer_than_others() {
    const LEN: usize = 1 << 18;
    let equal = vec![b'a'; LEN];
    let mut dotted = equal.clone();
    dotted.iter_mut().step_by(17).for_each(|byte| *byte = b'b');
    let periodic: Vec<u8> = b"0123456789abcdef".iter().copied().cycle().take(LEN).collect();
    let mut shifted = periodic.clone();
    shifted.iter_mut().step_by(1_001).for_each(|byte| *byte = b'x');
    let continued = vec![0x80; LEN];
    for source in [&equal, &dotted, &periodic, &shifted, &continued] {
        for target in [&equal, &dotted, &periodic, &shifted, &continued] {
            check(source, target);
        }
    }
}

#[test]
fn what_is_not_a_patch_is_refused() {
    let source = b"0123456789";
    let cases: [(&[u8], usize, &str); 13] = [
        (b"", 0, "a number"),
        (b"\n", 0, "a number"),
        (b"5", 1, "the end of the line"),
        (b"5\n", 2, "a number"),
        (b"5\n5", 3, "'@', ':' or ';'"),
        (b"5\n5@", 4, "a number"),
        (b"5\n5@0", 5, "a comma"),
        (b"5\n5@0;", 5, "a comma"),
        (b"5\n5:0123", 8, "the rest of an insertion"),
        (b"5\n5@0,", 6, "a number"),
        (b"5\n5@0,0;!", 8, "the end"),
        (b"5\n5@0,4000000;", 6, "a checksum of 32 bits"),
        (b"~~~~~~~~~~~\n", 0, "a number in range"),
    ];
    for (patch, position, expected) in cases {
        let error = apply(source, patch, 100);
        assert_eq!(error, Err(PatchError::Malformed { position, expected }), "{}", patch.escape_ascii());
    }
}

#[test]
fn a_patch_that_does_not_add_up_is_refused() {
    let source = b"0123456789";
    let error = |patch: &[u8]| apply(source, patch, 100).unwrap_err();
    let outside = |offset, len| PatchError::OutsideSource { offset, len, source_len: 10 };
    assert_eq!(error(b"5\n5@6,0;"), outside(6, 5));
    assert_eq!(error(b"5\n5@A,0;"), outside(10, 5));
    assert_eq!(error(b"5\n5@F~~~~~~~~~,0;"), outside((16 << 54) - 1, 5));
    assert_eq!(error(b"5\n4@0,0;"), PatchError::WrongLength { declared: 5, made: 4 });
    assert_eq!(error(b"5\n4@0,2:ab0;"), PatchError::WrongLength { declared: 5, made: 6 });
    assert_eq!(error(b"0\n1;"), PatchError::WrongChecksum { declared: 1, made: 0 });
    assert_eq!(apply(source, b"0\n0;", 0), Ok(Vec::new()));
    assert_eq!(apply(source, b"2\n0@A,1@9,0:1:9uEG00;", 2).as_deref(), Ok(&b"99"[..]));
}

#[test]
fn a_patch_for_another_source_is_found_out_by_its_checksum() {
    let (source, target) = (b"{\"price\": 12, \"unit\": \"EUR\"}", b"{\"price\": 13, \"unit\": \"EUR\"}");
    let patch = diff(source, target);
    let other = source.map(|byte| if byte == b'E' { b'A' } else { byte });
    assert!(matches!(apply(&other, &patch, 100), Err(PatchError::WrongChecksum { .. })));
}

#[test]
fn a_target_may_be_as_long_as_allowed_and_no_longer() {
    let patch = diff(b"", b"12345");
    assert!(apply(b"", &patch, 5).is_ok());
    assert_eq!(apply(b"", &patch, 4), Err(PatchError::TooLong { bytes: 5, max: 4 }));
    // Were memory taken for what is declared, the program would end here.
    let boast = b"2~~~~~~~~\n0;";
    assert!(matches!(apply(b"", boast, usize::MAX), Err(PatchError::WrongLength { made: 0, .. })));
}

/// A source, and a target that is made of pieces of it and of other bytes.
fn related() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let source = prop_oneof![
        vec(any::<u8>(), 0..600),
        // Few different bytes: many candidates.
        vec(b'a'..=b'c', 0..600),
        "[a-cé😀\"{}:,0-9]{0,200}".prop_map(String::into_bytes),
    ];
    let piece = (any::<Index>(), 0_usize..150, vec(prop_oneof![any::<u8>(), b'a'..=b'c'], 0..20));
    (source, vec(piece, 0..8)).prop_map(|(source, pieces)| {
        let mut target = Vec::new();
        for (start, len, other) in pieces {
            let start = start.index(source.len() + 1);
            target.extend_from_slice(&source[start..source.len().min(start + len)]);
            target.extend_from_slice(&other);
        }
        (source, target)
    })
}

/// Two texts that differ here and there, in characters whose encodings begin or end alike.
fn texts() -> impl Strategy<Value = (String, String)> {
    let source = "[а-яÀ-Ö日月😀-😄]{20,120}";
    (source, vec((any::<Index>(), "[а-яÀ-Ö日月😀-😄]?"), 0..5)).prop_map(|(source, edits)| {
        let mut target: Vec<String> = source.chars().map(String::from).collect();
        for (place, text) in edits {
            let place = place.index(target.len());
            target[place] = text;
        }
        (source, target.concat())
    })
}

proptest! {
    #[test]
    fn applying_a_difference_makes_the_target((source, target) in related()) {
        check(&source, &target);
    }

    #[test]
    fn applying_a_difference_of_any_bytes_makes_the_target(source: Vec<u8>, target: Vec<u8>) {
        check(&source, &target);
    }

    #[test]
    fn a_patch_between_texts_is_text((source, target) in texts()) {
        let patch = check(source.as_bytes(), target.as_bytes());
        prop_assert!(String::from_utf8(patch).is_ok());
    }

    #[test]
    fn a_damaged_patch_makes_the_target_or_nothing(
        (source, target) in related(),
        place in any::<Index>(),
        byte in any::<u8>(),
    ) {
        let mut patch = diff(&source, &target);
        let place = place.index(patch.len());
        patch[place] = byte;
        if let Ok(made) = apply(&source, &patch, 10_000) {
            // What slips through has the declared checksum: it differs by words that add up to the same.
            prop_assert_eq!(checksum(&made), checksum(&target));
        }
    }

    #[test]
    fn noise_is_no_patch_and_does_no_harm(source: Vec<u8>, patch in "[0-9a-zA-Z@:;,\n]{0,40}") {
        let _ = apply(&source, patch.as_bytes(), 1_000);
    }
}
