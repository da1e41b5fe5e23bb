//! `docs/protocol.md` says what the code does.

use std::path::Path;

use throng_protocol::{DisconnectCode, ErrorCode, Format, Limits, UnsubscribeCode, close_code_reconnects};

use crate::{commands, replies};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the table that begins with `header`, cell by cell.
fn table(document: &str, header: &str) -> Vec<Vec<String>> {
    let (_, rest) = document.split_once(header).unwrap_or_else(|| panic!("no table `{header}`"));
    rest.lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

fn number(cell: &str) -> u32 {
    cell.parse().unwrap_or_else(|_| panic!("`{cell}` is no number"))
}

#[test]
fn the_tables_of_codes_are_complete() {
    let document = document();
    let errors = ErrorCode::ALL.iter().map(|code| (code.code(), code.message(), code.temporary()));
    let rows = table(&document, "| code | message | temporary |");
    let written = rows.iter().map(|row| (number(&row[0]), row[1].as_str(), row[2] == "yes"));
    assert!(errors.eq(written), "{rows:?}");

    let disconnects = DisconnectCode::ALL.iter().map(|code| (code.code(), code.reason(), code.reconnect()));
    let rows = table(&document, "| code | reason | reconnect |");
    let written = rows.iter().map(|row| {
        let code = u16::try_from(number(&row[0])).expect("a close code");
        assert_eq!(row[2].starts_with("yes"), close_code_reconnects(code), "{code}");
        (code, row[1].as_str(), row[2].starts_with("yes"))
    });
    assert!(disconnects.eq(written), "{rows:?}");

    let unsubscribes = UnsubscribeCode::ALL
        .iter()
        .map(|code| (code.code(), code.reason(), UnsubscribeCode::resubscribes(code.code())));
    let rows = table(&document, "| code | reason | resubscribe |");
    let written = rows.iter().map(|row| (number(&row[0]), row[1].as_str(), row[2].starts_with("yes")));
    assert!(unsubscribes.eq(written), "{rows:?}");
}

/// An empty body with this field number in a message that may carry an id.
fn message(id: &[u8], number: u32) -> Vec<u8> {
    let body = [id, &[u8::try_from(number << 3 | 2).expect("a small number"), 0]].concat();
    [&[u8::try_from(body.len()).expect("short")], &body[..]].concat()
}

#[test]
fn the_tables_of_commands_and_pushes_have_the_right_numbers() {
    let document = document();
    let rows = table(&document, "| request, result | number in command | number in reply | |");
    assert_eq!(rows.len(), 10);
    for row in rows {
        let json = format!(r#"{{"id":1,"{}":{{}}}}"#, row[0]);
        let id = [8, 1];
        assert_eq!(
            commands(Format::Protobuf, &message(&id, number(&row[1]))),
            commands(Format::Json, json.as_bytes())
        );
        assert_eq!(
            replies(Format::Protobuf, &message(&id, number(&row[2]))),
            replies(Format::Json, json.as_bytes())
        );
        assert!(commands(Format::Json, json.as_bytes()).is_ok(), "{json}");
        assert!(replies(Format::Json, json.as_bytes()).is_ok(), "{json}");
    }
    let rows = table(&document, "| push | number | |");
    assert_eq!(rows.len(), 9);
    for row in rows {
        let json = format!(r#"{{"push":{{"{}":{{}}}}}}"#, row[0]);
        let event = &message(&[], number(&row[1]))[1..];
        let pushed = [&[4, 0x22, 2], event].concat();
        assert_eq!(replies(Format::Protobuf, &pushed), replies(Format::Json, json.as_bytes()), "{json}");
        assert_eq!(replies(Format::Json, json.as_bytes()).map(|replies| replies.len()), Ok(1), "{json}");
    }
}

#[test]
fn the_limits_are_the_defaults() {
    let document = document();
    let limits = Limits::default();
    for (name, value, written) in [
        ("command_bytes", limits.command_bytes, "65,536"),
        ("commands_per_frame", limits.commands_per_frame, "1,024"),
        ("nesting", limits.nesting, "64"),
        ("elements", limits.elements, "4,096"),
    ] {
        assert_eq!(written.replace(',', ""), value.to_string());
        assert!(document.contains(&format!("`{name}`, {written} |")), "{name}");
    }
}
