//! What is encoded decodes to the same.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use throng_protocol::Format;

use crate::{commands, push, replies, strategy};

const FORMATS: [Format; 2] = [Format::Json, Format::Protobuf];

proptest! {
    #[test]
    fn commands_survive_both_formats(expected in vec(strategy::command(), 1..4)) {
        for format in FORMATS {
            let mut frame = BytesMut::new();
            for command in &expected {
                format.encode_command(command, &mut frame);
            }
            prop_assert_eq!(commands(format, &frame), Ok(expected.clone()));
        }
    }

    #[test]
    fn replies_survive_both_formats(expected in vec(strategy::reply(), 1..4)) {
        for format in FORMATS {
            let mut frame = BytesMut::new();
            for reply in &expected {
                format.encode_reply(reply, &mut frame);
            }
            prop_assert_eq!(replies(format, &frame), Ok(expected.clone()));
        }
    }

    #[test]
    fn the_fast_path_writes_what_the_slow_path_writes(
        channel in strategy::text(),
        publication in strategy::publication(),
    ) {
        for format in FORMATS {
            let (mut fast, mut slow) = (BytesMut::new(), BytesMut::new());
            for _ in 0..2 {
                format.encode_publication_push(&channel, &publication, &mut fast);
                format.encode_reply(&push(&channel, publication.clone()), &mut slow);
            }
            prop_assert_eq!(fast, slow);
        }
    }

    #[test]
    fn a_frame_cut_short_is_never_read_in_full(
        command in strategy::command(),
        cut in any::<prop::sample::Index>(),
    ) {
        for format in FORMATS {
            let mut frame = BytesMut::new();
            format.encode_command(&command, &mut frame);
            let cut = cut.index(frame.len());
            prop_assert!(commands(format, &frame[..cut]).is_err());
        }
    }

    #[test]
    fn noise_is_refused_without_harm(bytes in any::<Vec<u8>>()) {
        for format in FORMATS {
            let _ = commands(format, &bytes);
            let _ = replies(format, &bytes);
        }
    }
}
