//! The rules of RFC 6455 and the limits, one by one.

use std::borrow::Cow;

use throng_protocol::frame::{CloseFrame, Decoder, Event, FrameError, FrameLimits, MessageKind, Opcode};

use crate::support::{
    ClientFrame, Length, Seen, binary, decode_in_pieces, decode_whole, frame, read, stream, text,
};

const LIMITS: FrameLimits = FrameLimits { message_bytes: 1_000, fragments: 4 };

/// Decodes the stream at once and byte by byte, which must not differ.
fn decode(bytes: &[u8]) -> Seen {
    let whole = decode_whole(bytes, &LIMITS);
    assert_eq!(decode_in_pieces(bytes, &[1], &LIMITS), whole, "cutting into bytes changed the outcome");
    whole
}

#[track_caller]
fn accepts(frames: &[ClientFrame], events: &[Event<'static>]) {
    assert_eq!(decode(&stream(frames)), Seen { events: events.to_vec(), error: None });
}

#[track_caller]
fn refuses(frames: &[ClientFrame], expected: FrameError, code: u16) {
    let seen = decode(&stream(frames));
    assert_eq!(seen.error, Some(expected));
    assert_eq!(expected.close_code(), code);
}

fn close(payload: &[u8]) -> ClientFrame {
    frame(Opcode::Close, payload)
}

fn close_with(code: u16, reason: &[u8]) -> ClientFrame {
    close(&[&code.to_be_bytes()[..], reason].concat())
}

fn close_event(code: u16, reason: &'static str) -> Event<'static> {
    Event::Close(Some(CloseFrame { code, reason: Cow::Borrowed(reason) }))
}

#[test]
fn a_whole_message_is_lent_from_the_input_without_a_copy() {
    let mut bytes = frame(Opcode::Text, "in place").bytes();
    let input = bytes.as_ptr_range();
    let mut decoder = Decoder::new();
    let (used, event) = decoder.decode(&mut bytes, &LIMITS).unwrap();
    let Some(Event::Message { kind: MessageKind::Text, data: Cow::Borrowed(data) }) = event else {
        panic!("not lent: {event:?}");
    };
    assert_eq!(data, b"in place");
    assert_eq!(data.as_ptr_range().end, input.end);
    assert_eq!(used, 6 + 8);
    assert_eq!(decoder.held_bytes(), 0);
}

#[test]
fn whole_control_frames_are_lent_from_the_input_even_between_fragments() {
    let mut bytes =
        stream(&[frame(Opcode::Text, "a").unfinished(), frame(Opcode::Ping, "p"), close_with(1000, b"bye")]);
    let mut decoder = Decoder::new();
    let (used, event) = decoder.decode(&mut bytes, &LIMITS).unwrap();
    assert!(matches!(event, Some(Event::Ping(Cow::Borrowed(b"p")))), "{event:?}");
    let (_, event) = decoder.decode(&mut bytes[used..], &LIMITS).unwrap();
    let Some(Event::Close(Some(CloseFrame { code: 1000, reason: Cow::Borrowed("bye") }))) = event else {
        panic!("not lent: {event:?}");
    };
}

#[test]
fn each_call_consumes_one_event_and_leaves_the_rest() {
    let frames = [frame(Opcode::Binary, [1]), frame(Opcode::Ping, [2]), frame(Opcode::Text, "3")];
    accepts(&frames, &[binary([1]), Event::Ping(Cow::Borrowed(&[2])), text("3")]);
}

#[test]
fn empty_messages_and_control_frames_are_events() {
    let frames = [
        frame(Opcode::Text, ""),
        frame(Opcode::Binary, ""),
        frame(Opcode::Ping, ""),
        frame(Opcode::Pong, ""),
        close(b""),
    ];
    let nothing = Cow::Borrowed(&[][..]);
    let events =
        [text(""), binary([]), Event::Ping(nothing.clone()), Event::Pong(nothing), Event::Close(None)];
    accepts(&frames, &events);
}

#[test]
fn payloads_keep_their_bytes_at_every_length_form() {
    let limits = FrameLimits { message_bytes: 70_000, fragments: 1 };
    for len in [1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537] {
        let payload: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let bytes = frame(Opcode::Binary, &payload).bytes();
        let expected = Seen { events: vec![binary(payload)], error: None };
        assert_eq!(decode_whole(&bytes, &limits), expected, "length {len}");
        assert_eq!(
            decode_in_pieces(&bytes, &[4_093], &limits),
            expected,
            "length {len} in reads of 4,093 bytes"
        );
    }
}

#[test]
fn unmasked_frames_are_refused() {
    for opcode in [Opcode::Text, Opcode::Binary, Opcode::Ping, Opcode::Close] {
        let unmasked = ClientFrame { key: None, ..frame(opcode, "") };
        refuses(&[unmasked], FrameError::Unmasked, 1002);
    }
}

#[test]
fn reserved_bits_are_refused_in_every_kind_of_frame() {
    for opcode in
        [Opcode::Text, Opcode::Binary, Opcode::Continuation, Opcode::Close, Opcode::Ping, Opcode::Pong]
    {
        for bits in [0x40, 0x20, 0x10, 0x70] {
            let mut reserved = frame(opcode, "x");
            reserved.first |= bits;
            refuses(&[reserved], FrameError::ReservedBits(bits), 1002);
        }
    }
}

#[test]
fn unknown_opcodes_are_refused() {
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        let unknown = ClientFrame { first: 0x80 | opcode, ..frame(Opcode::Text, "") };
        refuses(&[unknown], FrameError::UnknownOpcode(opcode), 1002);
    }
}

#[test]
fn a_wrong_first_byte_is_refused_before_the_second_has_come() {
    for (first, error) in [
        (0xC1, FrameError::ReservedBits(0x40)),
        (0x83, FrameError::UnknownOpcode(0x3)),
        (0x09, FrameError::FragmentedControl(Opcode::Ping)),
    ] {
        assert_eq!(Decoder::new().decode(&mut [first], &LIMITS), Err(error));
    }
}

#[test]
fn control_frames_must_not_be_fragmented() {
    for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
        refuses(&[frame(opcode, "").unfinished()], FrameError::FragmentedControl(opcode), 1002);
    }
}

#[test]
fn control_frames_carry_125_bytes_at_most() {
    let longest = vec![b'.'; 125];
    accepts(&[frame(Opcode::Ping, &longest)], &[Event::Ping(Cow::Owned(longest.clone()))]);
    for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
        refuses(&[frame(opcode, [b'.'; 126])], FrameError::ControlTooLong(opcode), 1002);
    }
}

#[test]
fn control_frames_are_not_subject_to_the_message_limit() {
    let limits = FrameLimits { message_bytes: 0, fragments: 0 };
    let seen = decode_whole(&frame(Opcode::Pong, "alive").bytes(), &limits);
    assert_eq!(seen, Seen { events: vec![Event::Pong(Cow::Borrowed(b"alive"))], error: None });
}

#[test]
fn lengths_must_be_written_in_their_shortest_form() {
    let too_wide = [
        (Length::In16Bits, 0),
        (Length::In16Bits, 125),
        (Length::In64Bits, 0),
        (Length::In64Bits, 126),
        (Length::In64Bits, 65_535),
    ];
    for (length, len) in too_wide {
        let wordy = ClientFrame { length, ..frame(Opcode::Binary, vec![0; len]) };
        refuses(&[wordy], FrameError::LengthNotMinimal { bytes: len as u64 }, 1002);
    }
    let just_right = ClientFrame { length: Length::In16Bits, ..frame(Opcode::Binary, [0; 126]) };
    accepts(&[just_right], &[binary([0; 126])]);
}

#[test]
fn lengths_with_the_highest_bit_set_are_a_protocol_error_not_a_long_message() {
    for bytes in [1 << 63, u64::MAX] {
        let absurd = ClientFrame { length: Length::Claimed(bytes), ..frame(Opcode::Binary, "") };
        refuses(&[absurd], FrameError::LengthOutOfRange { bytes }, 1002);
    }
}

#[test]
fn fragments_are_put_together_and_control_frames_between_them_come_at_once() {
    let frames = [
        frame(Opcode::Text, "one ").unfinished(),
        frame(Opcode::Ping, "now"),
        frame(Opcode::Continuation, "").unfinished(),
        frame(Opcode::Pong, "too"),
        frame(Opcode::Continuation, "two"),
        frame(Opcode::Binary, "next"),
    ];
    let events = [
        Event::Ping(Cow::Borrowed(&b"now"[..])),
        Event::Pong(Cow::Borrowed(b"too")),
        text("one two"),
        binary(*b"next"),
    ];
    accepts(&frames, &events);
}

#[test]
fn a_continuation_needs_a_message_to_continue() {
    refuses(&[frame(Opcode::Continuation, "x")], FrameError::UnexpectedContinuation, 1002);
    refuses(&[frame(Opcode::Continuation, "x").unfinished()], FrameError::UnexpectedContinuation, 1002);
    let after_the_end = [
        frame(Opcode::Text, "a").unfinished(),
        frame(Opcode::Continuation, "b"),
        frame(Opcode::Continuation, "c"),
    ];
    refuses(&after_the_end, FrameError::UnexpectedContinuation, 1002);
}

#[test]
fn a_message_must_not_begin_inside_of_another() {
    for opcode in [Opcode::Text, Opcode::Binary] {
        let frames = [frame(Opcode::Text, "a").unfinished(), frame(opcode, "b")];
        refuses(&frames, FrameError::ExpectedContinuation, 1002);
    }
}

#[test]
fn messages_up_to_the_limit_pass_and_one_byte_more_is_refused() {
    accepts(&[frame(Opcode::Binary, [0; 1_000])], &[binary([0; 1_000])]);
    let too_long = FrameError::MessageTooLong { bytes: 1_001, limit: 1_000 };
    refuses(&[frame(Opcode::Binary, [0; 1_001])], too_long, 1009);

    let first = frame(Opcode::Binary, [0; 600]).unfinished();
    accepts(&[first.clone(), frame(Opcode::Continuation, [0; 400])], &[binary([0; 1_000])]);
    refuses(&[first, frame(Opcode::Continuation, [0; 401])], too_long, 1009);
}

#[test]
fn a_long_message_is_refused_by_its_header_before_anything_is_stored() {
    for bytes in [1_001, 1 << 32, (1 << 63) - 1] {
        let header =
            ClientFrame { length: Length::Claimed(bytes.max(65_536)), ..frame(Opcode::Binary, "") }.header();
        let mut decoder = Decoder::new();
        let mut seen = Vec::new();
        let error = read(&mut decoder, &mut header.clone(), &LIMITS, &mut seen).unwrap_err();
        assert_eq!(error, FrameError::MessageTooLong { bytes: bytes.max(65_536), limit: 1_000 });
        assert_eq!(decoder.held_bytes(), 0);
    }
}

#[test]
fn a_message_may_have_as_many_fragments_as_the_limit_says_counting_empty_ones() {
    let first = frame(Opcode::Text, "").unfinished();
    let middle = frame(Opcode::Continuation, "").unfinished();
    let last = frame(Opcode::Continuation, "end");
    let four = [first.clone(), middle.clone(), middle.clone(), last.clone()];
    accepts(&four, &[text("end")]);
    accepts(&[four.clone(), four].concat(), &[text("end"), text("end")]);
    let five = [first, middle.clone(), middle.clone(), middle, last];
    refuses(&five, FrameError::TooManyFragments { limit: 4 }, 1009);
}

#[test]
fn control_frames_do_not_count_as_fragments() {
    let mut frames = vec![frame(Opcode::Text, "a").unfinished()];
    frames.extend(vec![frame(Opcode::Ping, ""); 10]);
    frames.push(frame(Opcode::Continuation, "b"));
    assert_eq!(decode(&stream(&frames)).events.last(), Some(&text("ab")));
}

#[test]
fn limits_of_none_refuse_every_message() {
    let no_fragment = FrameLimits { message_bytes: 10, fragments: 0 };
    let seen = decode_whole(&frame(Opcode::Text, "").bytes(), &no_fragment);
    assert_eq!(seen.error, Some(FrameError::TooManyFragments { limit: 0 }));
    let no_bytes = FrameLimits { message_bytes: 0, fragments: 1 };
    assert_eq!(decode_whole(&frame(Opcode::Text, "").bytes(), &no_bytes).events, [text("")]);
    assert!(decode_whole(&frame(Opcode::Text, "x").bytes(), &no_bytes).error.is_some());
}

#[test]
fn limits_that_are_lowered_apply_to_the_next_frame() {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    let mut first = frame(Opcode::Binary, [0; 500]).unfinished().bytes();
    read(&mut decoder, &mut first, &LIMITS, &mut events).unwrap();
    let lower = FrameLimits { message_bytes: 100, ..LIMITS };
    let mut second = frame(Opcode::Continuation, "").bytes();
    assert_eq!(read(&mut decoder, &mut second, &lower, &mut events), Ok(()), "an empty frame adds nothing");
    let mut third = frame(Opcode::Binary, [0; 101]).bytes();
    let error = read(&mut decoder, &mut third, &lower, &mut events).unwrap_err();
    assert_eq!(error, FrameError::MessageTooLong { bytes: 101, limit: 100 });
}

#[test]
fn close_frames_give_code_and_reason() {
    accepts(&[close_with(1000, b"")], &[close_event(1000, "")]);
    accepts(&[close_with(4999, "müde".as_bytes())], &[close_event(4999, "müde")]);
}

#[test]
fn close_codes_are_those_that_may_be_sent() {
    for code in [1000, 1001, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        accepts(&[close_with(code, b"")], &[close_event(code, "")]);
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        refuses(&[close_with(code, b"")], FrameError::CloseCode(code), 1002);
    }
}

#[test]
fn half_a_close_code_is_refused() {
    refuses(&[close(&[3])], FrameError::CloseTooShort, 1002);
}

#[test]
fn close_reasons_must_be_utf8() {
    refuses(&[close_with(1000, b"\xff")], FrameError::ReasonNotUtf8, 1007);
    refuses(&[close_with(1000, b"cut \xe2\x82")], FrameError::ReasonNotUtf8, 1007);
}

#[test]
fn text_must_be_utf8() {
    for bad in [&b"\xff"[..], b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"cut \xe2\x82"] {
        refuses(&[frame(Opcode::Text, bad)], FrameError::TextNotUtf8, 1007);
        let [head, tail] = [&bad[..1], &bad[1..]];
        let frames = [frame(Opcode::Text, head).unfinished(), frame(Opcode::Continuation, tail)];
        refuses(&frames, FrameError::TextNotUtf8, 1007);
        accepts(&[frame(Opcode::Binary, bad)], &[binary(bad)]);
    }
}

#[test]
fn characters_may_be_cut_by_fragments_anywhere() {
    let message = "aé€😀";
    for cut in 0..=message.len() {
        let (head, tail) = message.as_bytes().split_at(cut);
        let frames = [
            frame(Opcode::Text, head).unfinished(),
            frame(Opcode::Continuation, "").unfinished(),
            frame(Opcode::Continuation, tail),
        ];
        accepts(&frames, &[text(message)]);
    }
}

#[test]
fn bad_utf8_is_refused_with_the_byte_that_makes_it_bad_in_the_midst_of_a_frame() {
    // Autobahn's 6.4: a valid beginning, then F4 90, which no continuation can save, then more.
    let payload = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80\x65\x64\x69\x74\x65\x64";
    let culprit = payload.iter().position(|&byte| byte == 0x90).unwrap();
    let whole = frame(Opcode::Text, payload);
    let before = whole.header().len() + culprit;
    let bytes = whole.bytes();
    let mut decoder = Decoder::new();
    for &byte in &bytes[..before] {
        assert_eq!(decoder.decode(&mut [byte], &LIMITS), Ok((1, None)));
    }
    assert_eq!(decoder.decode(&mut [bytes[before]], &LIMITS), Err(FrameError::TextNotUtf8));
}

#[test]
fn after_a_close_frame_everything_is_swallowed() {
    let mut bytes = stream(&[close_with(1000, b""), frame(Opcode::Text, "late")]);
    let mut decoder = Decoder::new();
    let (used, event) = decoder.decode(&mut bytes, &LIMITS).unwrap();
    assert_eq!(event, Some(close_event(1000, "")));
    let rest = &mut bytes[used..];
    let len = rest.len();
    assert_eq!(decoder.decode(rest, &LIMITS), Ok((len, None)));
    assert_eq!(decoder.decode(&mut [0xff; 9], &LIMITS), Ok((9, None)));
    assert!(decoder.is_closed());
}

#[test]
fn after_an_error_everything_is_swallowed_and_nothing_is_held() {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    let mut bytes = stream(&[frame(Opcode::Text, "begun").unfinished(), frame(Opcode::Text, "wrong")]);
    assert_eq!(read(&mut decoder, &mut bytes, &LIMITS, &mut events), Err(FrameError::ExpectedContinuation));
    assert_eq!(decoder.held_bytes(), 0);
    assert!(decoder.is_closed() && !decoder.is_unfinished());
    assert_eq!(decoder.decode(&mut frame(Opcode::Text, "late").bytes(), &LIMITS), Ok((10, None)));
}

#[test]
fn a_decoder_says_whether_something_has_begun() {
    let mut decoder = Decoder::new();
    let mut unfinished_after = |bytes: &mut [u8]| {
        read(&mut decoder, bytes, &LIMITS, &mut Vec::new()).unwrap();
        decoder.is_unfinished()
    };
    assert!(!unfinished_after(&mut []));
    let mut bytes = frame(Opcode::Text, "ab").bytes();
    let (head, tail) = bytes.split_at_mut(1);
    assert!(unfinished_after(head), "a header has begun");
    assert!(!unfinished_after(tail));
    assert!(unfinished_after(&mut frame(Opcode::Text, "a").unfinished().bytes()), "a message has begun");
    assert!(!unfinished_after(&mut frame(Opcode::Continuation, "b").bytes()));
    assert!(unfinished_after(&mut frame(Opcode::Ping, "a").bytes()[..6].to_vec()), "a ping has begun");
}

#[test]
fn debug_output_does_not_show_payload() {
    let mut decoder = Decoder::new();
    let mut bytes = frame(Opcode::Text, "secret").unfinished().bytes();
    read(&mut decoder, &mut bytes, &LIMITS, &mut Vec::new()).unwrap();
    let shown = format!("{decoder:?}");
    assert!(shown.contains("Header") && !shown.contains("secret") && !shown.contains("115"), "{shown}");
}
