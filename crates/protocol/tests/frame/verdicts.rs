//! The verdicts of throng and tungstenite on streams that are right, wrong, and damaged at random.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use throng_protocol::frame::{FrameLimits, Opcode};

use crate::oracle::{Difference, compare};
use crate::pieces::dubious_frame;
use crate::support::{ClientFrame, Length, frame, stream};

const LIMITS: FrameLimits = FrameLimits { message_bytes: 1_000, fragments: 8 };

/// What is done to a stream on its way.
#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    CutOff(prop::sample::Index),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Flip(at, bits) => {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Self::Remove(at) => {
                bytes.remove(at.index(bytes.len()));
            }
            Self::CutOff(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), 0..8_u32).prop_map(|(at, bit)| Damage::Flip(at, 1 << bit)),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        1 => at().prop_map(Damage::Remove),
        2 => at().prop_map(Damage::CutOff),
    ]
}

/// Frames that make up correct messages of up to three fragments each, with pings between them.
fn correct_frames() -> impl Strategy<Value = Vec<ClientFrame>> {
    let message = (any::<bool>(), any::<String>(), vec(any::<prop::sample::Index>(), 0..3), any::<[u8; 4]>());
    vec(message, 0..5).prop_map(|messages| {
        let mut frames = Vec::new();
        for (text, data, cuts, key) in messages {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(data.len());
            let mut from = 0;
            for (nth, &to) in cuts.iter().enumerate() {
                let opcode = match (nth, text) {
                    (0, true) => Opcode::Text,
                    (0, false) => Opcode::Binary,
                    _ => Opcode::Continuation,
                };
                let fragment = ClientFrame { key: Some(key), ..frame(opcode, &data.as_bytes()[from..to]) };
                from = to;
                let last = nth + 1 == cuts.len();
                frames.push(if last { fragment } else { fragment.unfinished() });
                if !last {
                    frames.push(frame(Opcode::Ping, key));
                }
            }
        }
        frames
    })
}

#[track_caller]
fn difference(frames: &[ClientFrame]) -> Option<Difference> {
    compare(&stream(frames), &LIMITS).unwrap_or_else(|complaint| panic!("{complaint}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn correct_streams_are_read_alike(frames in correct_frames()) {
        prop_assert_eq!(compare(&stream(&frames), &LIMITS), Ok(None));
    }

    #[test]
    fn damaged_streams_get_the_same_verdict(frames in correct_frames(), damages in vec(damage(), 1..4)) {
        let mut bytes = stream(&frames);
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        prop_assert!(compare(&bytes, &LIMITS).is_ok(), "{}", compare(&bytes, &LIMITS).unwrap_err());
    }

    #[test]
    fn dubious_frames_get_the_same_verdict(
        frames in vec(dubious_frame(), 1..5),
        message_bytes in prop_oneof![Just(50_usize), Just(1_000), Just(66_000)],
        fragments in 1..4_u32,
    ) {
        let limits = FrameLimits { message_bytes, fragments };
        let bytes = stream(&frames);
        prop_assert!(compare(&bytes, &limits).is_ok(), "{}", compare(&bytes, &limits).unwrap_err());
    }

    #[test]
    fn noise_gets_the_same_verdict(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(compare(&bytes, &LIMITS).is_ok(), "{}", compare(&bytes, &LIMITS).unwrap_err());
    }
}

#[test]
fn every_difference_from_tungstenite_has_an_example() {
    let unfinished = frame(Opcode::Text, "\u{1f600}").unfinished();
    let examples = [
        (
            // Bad UTF-8 in a frame whose end is missing.
            vec![ClientFrame { length: Length::In16Bits, ..frame(Opcode::Text, vec![0xff; 500]) }],
            Some(Difference::FailFast),
            300,
        ),
        (
            [vec![unfinished], vec![frame(Opcode::Continuation, "").unfinished(); 8]].concat(),
            Some(Difference::FragmentLimit),
            0,
        ),
        (
            vec![ClientFrame { length: Length::In64Bits, ..frame(Opcode::Text, "short") }],
            Some(Difference::LengthNotMinimal),
            0,
        ),
        (
            vec![ClientFrame { length: Length::Claimed(u64::MAX), ..frame(Opcode::Text, "") }],
            Some(Difference::TooLongAndWrong),
            0,
        ),
        (vec![frame(Opcode::Close, 1005_u16.to_be_bytes())], Some(Difference::BadCloseCode), 0),
        (vec![frame(Opcode::Close, 1014_u16.to_be_bytes())], Some(Difference::BadGateway), 0),
    ];
    let mut seen = HashSet::new();
    for (frames, expected, missing) in examples {
        let bytes = stream(&frames);
        let bytes = &bytes[..bytes.len() - missing];
        assert_eq!(compare(bytes, &LIMITS), Ok(expected));
        seen.extend(expected);
    }
    assert_eq!(seen.len(), Difference::ALL.len());
}

#[test]
fn everything_else_that_is_wrong_is_refused_by_both_alike() {
    let wrong = [
        vec![ClientFrame { key: None, ..frame(Opcode::Text, "x") }],
        vec![ClientFrame { first: 0xC1, ..frame(Opcode::Text, "x") }],
        vec![ClientFrame { first: 0x83, ..frame(Opcode::Text, "x") }],
        vec![frame(Opcode::Ping, "x").unfinished()],
        vec![frame(Opcode::Ping, [0; 126])],
        vec![frame(Opcode::Continuation, "x")],
        vec![frame(Opcode::Text, "x").unfinished(), frame(Opcode::Text, "y")],
        vec![frame(Opcode::Text, [0; 1_001])],
        vec![frame(Opcode::Text, [0; 600]).unfinished(), frame(Opcode::Continuation, [0; 401])],
        vec![frame(Opcode::Text, b"\xed\xa0\x80")],
        vec![frame(Opcode::Close, [3])],
        vec![frame(Opcode::Close, b"\x03\xe8\xff")],
    ];
    for frames in wrong {
        assert_eq!(difference(&frames), None, "{frames:?}");
    }
}
