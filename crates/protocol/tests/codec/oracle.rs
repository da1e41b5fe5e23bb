//! Other people's codecs read what we write and write what we read.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use throng_protocol::Format;

use crate::{Check, checks, commands, encoded_command, encoded_reply, replies, strategy};

proptest! {
    #[test]
    fn generated_commands_pass_the_checks_of_the_fuzz_targets(expected in vec(strategy::command(), 1..4)) {
        for (format, check) in
            [(Format::Json, checks::json_commands as Check), (Format::Protobuf, checks::protobuf_commands)]
        {
            let mut frame = BytesMut::new();
            for command in &expected {
                format.encode_command(command, &mut frame);
            }
            prop_assert_eq!(check(&frame), expected.len());
        }
    }

    #[test]
    fn generated_replies_pass_the_checks_of_the_fuzz_targets(expected in vec(strategy::reply(), 1..4)) {
        for (format, check) in
            [(Format::Json, checks::json_replies as Check), (Format::Protobuf, checks::protobuf_replies)]
        {
            let mut frame = BytesMut::new();
            for reply in &expected {
                format.encode_reply(reply, &mut frame);
            }
            prop_assert_eq!(check(&frame), expected.len());
        }
    }

    #[test]
    fn commands_survive_a_trip_through_serde_json(command in strategy::command()) {
        let json = through_serde_json(&encoded_command(Format::Json, &command));
        prop_assert_eq!(commands(Format::Json, json.as_bytes()), Ok(vec![command]));
    }

    #[test]
    fn replies_survive_a_trip_through_serde_json(reply in strategy::reply()) {
        let json = through_serde_json(&encoded_reply(Format::Json, &reply));
        prop_assert_eq!(replies(Format::Json, json.as_bytes()), Ok(vec![reply]));
    }
}

fn through_serde_json(json: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(json).expect("we write JSON").to_string()
}
