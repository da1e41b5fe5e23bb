//! The generator finds what a server does wrong.

mod support;

use std::time::Duration;

use support::{
    faulty::{Fault, FaultyRelay},
    run, short,
};
use throng_bench::{LoadOptions, Report, report::Integrity};

const SUBSCRIBERS: u64 = 4;
/// Long enough for what does come, on a slow machine too; what was dropped is waited for so long.
const DRAIN: Duration = Duration::from_secs(2);

/// One hundred messages to four subscribers.
fn fanout(fault: Fault) -> Report {
    let server = FaultyRelay::start(fault);
    let options = LoadOptions {
        connections: Some(4),
        rate: Some(100_000.0),
        messages: Some(100),
        drain: DRAIN,
        ..short(server.address, "/relay/{room}")
    };
    run(options).expect("the relay takes connections")
}

fn found(report: &Report) -> Integrity {
    assert_eq!(report.integrity.expected, 100 * SUBSCRIBERS);
    report.integrity.clone()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let all = Integrity { expected: 400, delivered: 400, ..Integrity::default() };
    assert_eq!(found(&fanout(Fault::None)), all);
}

#[test]
fn dropped_messages_are_lost() {
    let lost = Integrity { expected: 400, delivered: 360, lost: 40, ..Integrity::default() };
    assert_eq!(found(&fanout(Fault::Drop)), lost);
}

#[test]
fn doubled_messages_are_counted_and_not_delivered_twice() {
    let doubled = Integrity { expected: 400, delivered: 400, duplicated: 40, ..Integrity::default() };
    assert_eq!(found(&fanout(Fault::Double)), doubled);
}

#[test]
fn swapped_messages_are_reordered_and_not_lost() {
    let swapped = Integrity { expected: 400, delivered: 400, reordered: 40, ..Integrity::default() };
    assert_eq!(found(&fanout(Fault::Swap)), swapped);
}

#[test]
fn cut_messages_are_foreign_and_the_originals_lost() {
    let cut = Integrity { expected: 400, delivered: 360, lost: 40, foreign: 40, ..Integrity::default() };
    assert_eq!(found(&fanout(Fault::Cut)), cut);
}

#[test]
fn messages_that_return_to_their_sender_are_misrouted() {
    let mirrored = Integrity { expected: 400, delivered: 400, misrouted: 100, ..Integrity::default() };
    assert_eq!(found(&fanout(Fault::Mirror)), mirrored);
}

#[test]
fn a_subscriber_that_was_hung_up_on_is_disconnected_and_lacks_the_rest() {
    let found = found(&fanout(Fault::HangUp));
    assert_eq!(found.disconnected, 1);
    assert!(found.lost >= 49, "{found:?}");
    assert_eq!(found.lost + found.delivered, 400);
}

#[test]
fn a_window_that_can_never_close_ends_the_run_and_says_so() {
    let server = FaultyRelay::start(Fault::Drop);
    let options = LoadOptions {
        connections: Some(4),
        in_flight: Some(2),
        messages: Some(100),
        drain: DRAIN,
        ..short(server.address, "/relay/{room}")
    };
    let report = run(options).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("the window stood still")), "{:?}", report.notes);
    assert_eq!(report.integrity.lost, 4);
}

#[test]
fn a_server_that_refuses_is_an_error_with_its_status() {
    let server = FaultyRelay::start(Fault::Refuse);
    let error = run(LoadOptions { connections: Some(4), ..short(server.address, "") }).unwrap_err();
    let chain: Vec<String> =
        std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect();
    assert!(chain[0].contains("of 5 could not be opened"), "{chain:?}");
    assert!(chain[1].contains("503 Service Unavailable"), "{chain:?}");
}

#[test]
fn handshakes_with_a_server_that_refuses_end_in_an_error() {
    let server = FaultyRelay::start(Fault::Refuse);
    let options = LoadOptions {
        scenario: throng_bench::options::ScenarioName::Handshake,
        connect_concurrency: 4,
        ..short(server.address, "")
    };
    assert!(run(options).is_err());
}
