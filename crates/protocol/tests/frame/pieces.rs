//! How a stream is cut into reads changes nothing, and what is unfinished costs no more than what has arrived.

use std::borrow::Cow;
use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use throng_protocol::frame::{Decoder, Event, FrameError, FrameLimits, MessageKind, Opcode};

use crate::support::{
    ClientFrame, Length, Seen, binary, decode_in_pieces, decode_whole, frame, read, stream, text,
};

const LIMITS: FrameLimits = FrameLimits { message_bytes: 100_000, fragments: 65_536 };

/// A message, where it is cut into fragments, and the control frames that come between those.
#[derive(Clone, Debug)]
struct Sent {
    kind: MessageKind,
    data: Vec<u8>,
    cuts: Vec<prop::sample::Index>,
    between: Vec<Option<(bool, Vec<u8>)>>,
    keys: Vec<[u8; 4]>,
}

impl Sent {
    /// The frames in which a client sends it, and the events that a server shall see.
    fn play(&self, frames: &mut Vec<ClientFrame>, events: &mut Vec<Event<'static>>) {
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut.index(self.data.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(self.data.len());
        let mut keys = self.keys.iter().copied().cycle();
        let mut from = 0;
        for (nth, &to) in cuts.iter().enumerate() {
            let opcode = if nth == 0 { self.kind.opcode() } else { Opcode::Continuation };
            let mut fragment = ClientFrame { key: keys.next(), ..frame(opcode, &self.data[from..to]) };
            from = to;
            if nth + 1 < cuts.len() {
                fragment = fragment.unfinished();
            }
            frames.push(fragment);
            if let Some(Some((ping, data))) = self.between.get(nth)
                && nth + 1 < cuts.len()
            {
                let opcode = if *ping { Opcode::Ping } else { Opcode::Pong };
                frames.push(ClientFrame { key: keys.next(), ..frame(opcode, data) });
                let data = Cow::Owned(data.clone());
                events.push(if *ping { Event::Ping(data) } else { Event::Pong(data) });
            }
        }
        events.push(Event::Message { kind: self.kind, data: Cow::Owned(self.data.clone()) });
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let message = prop_oneof![
        4 => any::<String>().prop_map(|text| (MessageKind::Text, text.into_bytes())),
        4 => vec(any::<u8>(), 0..200).prop_map(|data| (MessageKind::Binary, data)),
        1 => (65_500..65_600_usize).prop_map(|len| (MessageKind::Text, vec![b'x'; len])),
    ];
    let control = prop::option::of((any::<bool>(), vec(any::<u8>(), 0..=125)));
    (message, vec(any::<prop::sample::Index>(), 0..5), vec(control, 0..5), vec(any::<[u8; 4]>(), 1..4))
        .prop_map(|((kind, data), cuts, between, keys)| Sent { kind, data, cuts, between, keys })
}

/// Frames of which some are wrong in some way.
pub(crate) fn dubious_frame() -> impl Strategy<Value = ClientFrame> {
    let payload = prop_oneof![
        4 => any::<String>().prop_map(String::into_bytes),
        // Texts that are cut, so that a later fragment may complete them.
        2 => (any::<String>(), any::<prop::sample::Index>())
            .prop_map(|(text, cut)| text.as_bytes()[..cut.index(text.len() + 1)].to_vec()),
        2 => vec(any::<u8>(), 0..140),
        1 => (990..1_010_u16, "[a-z]{0,3}").prop_map(|(code, reason)| {
            [&code.to_be_bytes()[..], reason.as_bytes()].concat()
        }),
    ];
    let opcode = prop_oneof![
        6 => prop::sample::select(vec![0x0_u8, 0x1, 0x2, 0x8, 0x9, 0xA]),
        1 => 0x0..0x10_u8,
    ];
    let reserved = prop_oneof![12 => Just(0), 1 => (1..8_u8).prop_map(|bits| bits << 4)];
    let length = prop_oneof![
        12 => Just(Length::Shortest),
        1 => Just(Length::In16Bits),
        1 => Just(Length::In64Bits),
        1 => any::<u64>().prop_map(Length::Claimed),
        1 => (65_536..70_000_u64).prop_map(Length::Claimed),
    ];
    let key = prop_oneof![12 => any::<[u8; 4]>().prop_map(Some), 1 => Just(None)];
    (payload, opcode, reserved, any::<bool>(), length, key).prop_map(
        |(payload, opcode, reserved, fin, length, key)| {
            let fin = if fin { 0x80 } else { 0 };
            ClientFrame { first: fin | reserved | opcode, key, length, payload }
        },
    )
}

proptest! {
    #[test]
    fn messages_arrive_as_sent_however_they_are_cut(
        sent in vec(sent(), 0..6),
        sizes in vec(prop_oneof![1..8_usize, 1..300_usize, 1..70_000_usize], 1..8),
    ) {
        let (mut frames, mut events) = (Vec::new(), Vec::new());
        sent.iter().for_each(|sent| sent.play(&mut frames, &mut events));
        let bytes = stream(&frames);
        let expected = Seen { events, error: None };
        prop_assert_eq!(&decode_whole(&bytes, &LIMITS), &expected);
        prop_assert_eq!(&decode_in_pieces(&bytes, &sizes, &LIMITS), &expected);
    }

    #[test]
    fn cuts_do_not_change_what_is_refused_nor_why(
        frames in vec(dubious_frame(), 1..6),
        sizes in vec(1..40_usize, 1..8),
        limit in prop_oneof![Just(100_usize), Just(1_000), Just(100_000)],
        fragments in 1..4_u32,
    ) {
        let bytes = stream(&frames);
        let limits = FrameLimits { message_bytes: limit, fragments };
        let whole = decode_whole(&bytes, &limits);
        prop_assert_eq!(&decode_in_pieces(&bytes, &sizes, &limits), &whole);
        prop_assert_eq!(&decode_in_pieces(&bytes, &[1], &limits), &whole);
    }
}

#[test]
fn a_message_of_one_byte_fragments_is_put_together_whole_or_byte_by_byte() {
    let count = 65_536_usize;
    let mut frames = vec![frame(Opcode::Text, "x").unfinished()];
    frames.extend(vec![frame(Opcode::Continuation, "x").unfinished(); count - 2]);
    frames.push(frame(Opcode::Continuation, "x"));
    let bytes = stream(&frames);
    let expected = Seen { events: vec![text(&"x".repeat(count))], error: None };
    assert_eq!(decode_whole(&bytes, &LIMITS), expected);
    assert_eq!(decode_in_pieces(&bytes, &[7], &LIMITS), expected);
    let one_less = FrameLimits { fragments: 65_535, ..LIMITS };
    assert_eq!(decode_whole(&bytes, &one_less).error, Some(FrameError::TooManyFragments { limit: 65_535 }));
}

#[test]
fn empty_fragments_without_end_hold_no_memory_and_meet_the_limit() {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    read(&mut decoder, &mut frame(Opcode::Text, "").unfinished().bytes(), &LIMITS, &mut events).unwrap();
    let empty = frame(Opcode::Continuation, "").unfinished().bytes();
    let error = (1..=LIMITS.fragments).find_map(|nth| {
        assert_eq!(decoder.held_bytes(), 0);
        read(&mut decoder, &mut empty.clone(), &LIMITS, &mut events).err().map(|error| (nth, error))
    });
    assert_eq!(error, Some((LIMITS.fragments, FrameError::TooManyFragments { limit: LIMITS.fragments })));
}

#[test]
fn memory_held_follows_what_has_arrived_not_what_was_claimed() {
    let whole = frame(Opcode::Binary, vec![7; 100_000]);
    let header = whole.header().len();
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for (at, byte) in whole.bytes()[..header + 99_999].iter().enumerate() {
        read(&mut decoder, &mut [*byte], &LIMITS, &mut events).unwrap();
        let arrived = (at + 1).saturating_sub(header);
        assert!((arrived..=2 * arrived).contains(&decoder.held_bytes()), "{} at {at}", decoder.held_bytes());
    }
}

/// Each growth copies what is there, so it is few growths that keep the work linear.
#[test]
fn the_buffer_grows_seldom_however_small_the_pieces_are() {
    let first = [frame(Opcode::Binary, [7]).unfinished()];
    let fragments = vec![frame(Opcode::Continuation, [7]).unfinished(); 20_000];
    let of_small_fragments = stream(&[&first[..], &fragments].concat());
    let of_small_reads = frame(Opcode::Binary, vec![7; 20_000]).bytes();
    for bytes in [of_small_fragments, of_small_reads] {
        let mut decoder = Decoder::new();
        let mut sizes = HashSet::new();
        for byte in &bytes[..bytes.len() - 1] {
            read(&mut decoder, &mut [*byte], &LIMITS, &mut Vec::new()).unwrap();
            sizes.insert(decoder.held_bytes());
        }
        assert!(sizes.len() <= 20, "{} growths", sizes.len());
    }
}

#[test]
fn a_message_in_pieces_is_handed_over_in_an_allocation_of_its_own_size() {
    let mut bytes = frame(Opcode::Binary, vec![7; 100_000]).bytes();
    let (head, tail) = bytes.split_at_mut(1_000);
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(head, &LIMITS), Ok((1_000, None)));
    let (_, event) = decoder.decode(tail, &LIMITS).unwrap();
    let Some(Event::Message { data: Cow::Owned(data), .. }) = event else { panic!("not owned: {event:?}") };
    assert_eq!((data.len(), data.capacity()), (100_000, 100_000));
}

#[test]
fn an_idle_decoder_holds_no_memory() {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    let frames = [
        frame(Opcode::Text, "a".repeat(5_000)).unfinished(),
        frame(Opcode::Ping, "between"),
        frame(Opcode::Continuation, "b".repeat(5_000)),
        frame(Opcode::Binary, "whole"),
        frame(Opcode::Pong, "end"),
    ];
    for piece in stream(&frames).chunks_mut(3) {
        read(&mut decoder, piece, &LIMITS, &mut events).unwrap();
    }
    assert_eq!(events.len(), 4);
    assert_eq!(events[2], binary(*b"whole"));
    assert_eq!(decoder.held_bytes(), 0);
    assert!(!decoder.is_unfinished());
}
