use super::*;

fn backlog(frames: &[&'static str]) -> Backlog {
    let mut backlog = Backlog::default();
    let push = |frame: &&'static str| {
        backlog.push(Bytes::from_static(frame.as_bytes()), None, &mut Vec::new());
    };
    frames.iter().for_each(push);
    backlog
}

fn pending(backlog: &Backlog) -> String {
    let mut slices = [IoSlice::new(&[]); 8];
    let count = backlog.slices(&mut slices);
    let texts = slices[..count].iter().map(|slice| String::from_utf8(slice.to_vec()).unwrap());
    texts.collect::<Vec<_>>().join("|")
}

const BOUNDS: Bounds = Bounds { bytes: 1_000, messages: 3 };

const fn tag(slow: SlowPolicy, channel: u32, key: u64) -> Tag {
    Tag { channel, rules: ChannelRules { slow, group: 0 }, key, style: Style::PLAIN }
}

/// A backlog that gets these publications of a channel and key each, of whose first so many bytes are written, and sheds.
fn squeezed(slow: SlowPolicy, written: usize, frames: &[(&'static str, u32, u64)]) -> (String, usize) {
    let (mut backlog, mut dropped) = (Backlog::default(), Vec::new());
    for (at, (frame, channel, key)) in frames.iter().enumerate() {
        let tag = tag(slow, *channel, *key);
        backlog.push(Bytes::from_static(frame.as_bytes()), Some(tag), &mut dropped);
        if at == 0 {
            backlog.advance(written);
        }
    }
    backlog.shed(BOUNDS, &mut dropped);
    let bytes = pending(&backlog).replace('|', "").len() + written;
    assert_eq!(backlog.charged(), bytes + backlog.depth().messages * FRAME_OVERHEAD);
    (pending(&backlog), dropped.len())
}

const FIVE: [(&str, u32, u64); 5] = [("a1", 1, 0), ("b2", 2, 0), ("a3", 1, 0), ("a4", 1, 7), ("a5", 1, 0)];

#[test]
fn what_is_written_leaves_from_the_front_and_frames_are_charged_until_their_last_byte() {
    let mut backlog = backlog(&["abc", "defg", "h"]);
    let full = backlog.charged();
    assert_eq!(full, 8 + 3 * FRAME_OVERHEAD);
    backlog.advance(2);
    assert_eq!((pending(&backlog).as_str(), backlog.charged()), ("c|defg|h", full));
    backlog.advance(3);
    assert_eq!((pending(&backlog).as_str(), backlog.charged()), ("fg|h", full - 3 - FRAME_OVERHEAD));
    backlog.advance(3);
    assert!(backlog.is_empty());
    assert_eq!(backlog.charged(), 0);
}

#[test]
fn abandoning_keeps_only_a_frame_that_is_half_written_and_counts_publications() {
    let mut counts = Dropped::default();
    let mut half = backlog(&["abc", "defg"]);
    half.advance(1);
    let tag = tag(SlowPolicy::DropNewest, 1, 0);
    half.push(Bytes::from_static(b"pub"), Some(tag), &mut Vec::new());
    half.abandon(&mut counts);
    assert_eq!(pending(&half), "bc");
    assert_eq!(counts.by_group(), [[0, 0, 1, 0]]);
    half.advance(2);
    assert_eq!(half.charged(), 0);
    let mut untouched = backlog(&["abc", "defg"]);
    untouched.abandon(&mut counts);
    assert!(untouched.is_empty());
    assert_eq!(untouched.charged(), 0);
}

#[test]
fn bytes_and_messages_are_bounded_each() {
    let bounds = |bytes, messages| Bounds { bytes, messages };
    let of_three = 3 * (1 + FRAME_OVERHEAD);
    assert!(!backlog(&["a", "b"]).exceeds(bounds(1_000, 2)));
    assert!(backlog(&["a", "b", "c"]).exceeds(bounds(1_000, 2)));
    assert!(backlog(&["a", "b", "c"]).exceeds(bounds(of_three - 1, 3)));
    assert!(!backlog(&["a", "b", "c"]).exceeds(bounds(of_three, 3)));
}

#[test]
fn the_policy_says_what_is_dropped_for_what_comes() {
    assert_eq!(squeezed(SlowPolicy::DropOldest, 0, &FIVE), ("a3|a4|a5".into(), 2));
    assert_eq!(squeezed(SlowPolicy::DropNewest, 0, &FIVE), ("a1|b2|a3".into(), 2));
    assert_eq!(squeezed(SlowPolicy::KeepLatest, 0, &FIVE), ("b2|a4|a5".into(), 2));
    assert_eq!(squeezed(SlowPolicy::Disconnect, 0, &FIVE).1, 0);
}

#[test]
fn the_latest_of_too_many_keys_go_in_the_order_in_which_they_came() {
    let frames = [("a1", 1, 1), ("a2", 1, 2), ("b1", 2, 1), ("a3", 1, 3), ("a1'", 1, 1)];
    assert_eq!(squeezed(SlowPolicy::KeepLatest, 0, &frames), ("b1|a3|a1'".into(), 2));
}

#[test]
fn what_is_half_written_is_never_dropped() {
    assert_eq!(squeezed(SlowPolicy::DropOldest, 1, &FIVE), ("1|a4|a5".into(), 2));
    assert_eq!(squeezed(SlowPolicy::DropNewest, 1, &FIVE[..1]), ("1".into(), 0));
    assert_eq!(squeezed(SlowPolicy::KeepLatest, 1, &FIVE), ("1|a4|a5".into(), 2));
    let (mut half, mut dropped) = (Backlog::default(), Vec::new());
    let tag = tag(SlowPolicy::DropOldest, 1, 0);
    half.push(Bytes::from_static(b"abc"), Some(tag), &mut dropped);
    half.push(Bytes::from_static(b"def"), Some(tag), &mut dropped);
    half.advance(1);
    half.purge(1, &mut dropped);
    assert_eq!((pending(&half).as_str(), dropped.len()), ("bc", 1));
}

#[test]
fn replies_are_never_dropped() {
    let mut backlog = backlog(&["r1", "r2", "r3", "r4"]);
    let mut dropped = Vec::new();
    for slow in [SlowPolicy::DropOldest, SlowPolicy::DropNewest, SlowPolicy::KeepLatest] {
        backlog.push(Bytes::from_static(b"p"), Some(tag(slow, 1, 0)), &mut dropped);
    }
    backlog.shed(BOUNDS, &mut dropped);
    assert_eq!((pending(&backlog).as_str(), dropped.len()), ("r1|r2|r3|r4", 3));
    assert!(backlog.exceeds(BOUNDS));
}

#[test]
fn a_drop_that_must_be_told_takes_the_channel_along_and_one_of_patches_does_too() {
    let styles = [
        Style { variant: Variant::Plain, positioned: true },
        Style { variant: Variant::Patch, positioned: false },
    ];
    for style in styles {
        let (mut backlog, mut dropped) = (Backlog::default(), Vec::new());
        for (frame, channel) in [("a1", 1), ("b1", 2), ("a2", 1), ("a3", 1)] {
            let tag = Tag { style, ..tag(SlowPolicy::DropOldest, channel, 0) };
            backlog.push(Bytes::from_static(frame.as_bytes()), Some(tag), &mut dropped);
        }
        backlog.shed(BOUNDS, &mut dropped);
        assert_eq!((pending(&backlog).as_str(), dropped.len()), ("b1", 3));
    }
}

#[test]
fn a_ticker_that_is_never_read_takes_no_more_room_than_its_keys() {
    let (mut backlog, mut dropped) = (Backlog::default(), Vec::new());
    for number in 0..10_000_u64 {
        let tag = tag(SlowPolicy::KeepLatest, 1, number % 10);
        backlog.push(Bytes::from_static(b"tick"), Some(tag), &mut dropped);
    }
    assert_eq!((backlog.depth().messages, dropped.len()), (10, 9_990));
    assert!(backlog.entries.capacity() <= 64 && backlog.latest.len() == 10);
}

#[test]
fn an_entry_takes_no_more_than_it_is_charged_for() {
    assert!(size_of::<Entry>() <= FRAME_OVERHEAD, "{}", size_of::<Entry>());
}

#[test]
fn nothing_is_left_behind_when_all_is_written() {
    let (mut backlog, mut dropped) = (Backlog::default(), Vec::new());
    let policies = [SlowPolicy::DropOldest, SlowPolicy::DropNewest, SlowPolicy::KeepLatest];
    for (slow, channel) in policies.into_iter().zip(1..) {
        backlog.push(Bytes::from_static(b"abcd"), Some(tag(slow, channel, 5)), &mut dropped);
    }
    for _ in 0..6 {
        backlog.advance(2);
    }
    assert!(backlog.is_empty() && backlog.by_channel.is_empty() && backlog.latest.is_empty());
    assert!(backlog.by_policy.iter().all(|chain| chain.first().is_none() && chain.last().is_none()));
}
