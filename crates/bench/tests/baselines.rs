//! The generator against both baselines: every scenario, bounded by counts.

mod support;

use std::{net::TcpListener, sync::atomic::AtomicBool, time::Duration};

use support::{FloorServer, TutorialServer, run, short};
use throng_bench::{
    LoadOptions, Plan, Report,
    baseline::floor::Floor,
    options::ScenarioName,
    progress::Silent,
    report::{Integrity, Pacing},
};

fn complete(report: &Report, deliveries: u64) {
    let all = Integrity { expected: deliveries, delivered: deliveries, ..Integrity::default() };
    assert_eq!(report.integrity, all, "{:?}", report.notes);
}

#[test]
fn a_scheduled_fanout_reaches_every_subscriber_of_every_server() {
    let (floor, merging) =
        (FloorServer::start(Floor::default()), FloorServer::start(Floor { merge: true, echo: false }));
    let tutorial = TutorialServer::start(false);
    for address in [floor.address, merging.address, tutorial.address] {
        let options = LoadOptions {
            connections: Some(20),
            rate: Some(100_000.0),
            messages: Some(200),
            ..short(address, "")
        };
        let report = run(options).unwrap();
        complete(&report, 4_000);
        let traffic = report.traffic.unwrap();
        assert_eq!((traffic.pacing, traffic.messages), (Pacing::Open, 200));
        assert_eq!(traffic.latency.unwrap().count, 4_000);
        assert_eq!(traffic.timeline.iter().sum::<u64>(), traffic.deliveries);
    }
}

#[test]
fn a_window_keeps_its_messages_in_flight_and_gets_all_of_them() {
    let floor = FloorServer::start(Floor { merge: true, echo: false });
    let tutorial = TutorialServer::start(false);
    for address in [floor.address, tutorial.address] {
        let options = LoadOptions {
            connections: Some(10),
            in_flight: Some(16),
            messages: Some(500),
            ..short(address, "/any/{room}")
        };
        let report = run(options).unwrap();
        complete(&report, 5_000);
        assert_eq!(report.traffic.unwrap().pacing, Pacing::Closed);
    }
}

#[test]
fn chat_reaches_the_own_room_and_no_other() {
    let floor = FloorServer::start(Floor::default());
    let options = LoadOptions {
        scenario: ScenarioName::Chat,
        rooms: Some(5),
        members: Some(4),
        rate: Some(100_000.0),
        messages: Some(200),
        ..short(floor.address, "")
    };
    complete(&run(options).unwrap(), 600);
}

#[test]
fn chat_in_rooms_that_the_server_does_not_know_is_misrouted() {
    let tutorial = TutorialServer::start(false);
    let options = LoadOptions {
        scenario: ScenarioName::Chat,
        rooms: Some(2),
        members: Some(3),
        rate: Some(100_000.0),
        messages: Some(50),
        ..short(tutorial.address, "")
    };
    let found = run(options).unwrap().integrity;
    assert_eq!((found.delivered, found.lost, found.misrouted), (100, 0, 150));
}

#[test]
fn echo_returns_every_message_at_any_depth() {
    let floor = FloorServer::start(Floor { merge: false, echo: true });
    let merging = FloorServer::start(Floor { merge: true, echo: true });
    let tutorial = TutorialServer::start(true);
    for (address, depth) in [(floor.address, 1), (merging.address, 16), (tutorial.address, 16)] {
        let options = LoadOptions {
            scenario: ScenarioName::Echo,
            connections: Some(10),
            depth: Some(depth),
            messages: Some(1_000),
            ..short(address, "")
        };
        complete(&run(options).unwrap(), 1_000);
    }
}

#[test]
fn large_messages_survive_partial_reads() {
    let floor = FloorServer::start(Floor::default());
    let options = LoadOptions {
        connections: Some(3),
        in_flight: Some(2),
        size: Some(300_000),
        messages: Some(20),
        ..short(floor.address, "")
    };
    complete(&run(options).unwrap(), 60);
}

#[test]
fn idle_connections_are_weighed_and_let_go() {
    let tutorial = TutorialServer::start(false);
    let options = LoadOptions {
        scenario: ScenarioName::Idle,
        connections: Some(50),
        duration: Some(Duration::from_millis(50)),
        pid: Some(std::process::id()),
        ..short(tutorial.address, "")
    };
    let report = run(options).unwrap();
    assert_eq!((report.connect.opened, report.integrity.disconnected), (50, 0));
    let server = report.server.unwrap();
    assert!(server.rss_before > 0 && server.rss_connected > Some(0) && server.rss_left > Some(0));
}

#[test]
fn after_a_storm_all_are_back() {
    let floor = FloorServer::start(Floor::default());
    let options = LoadOptions {
        scenario: ScenarioName::Storm,
        connections: Some(100),
        warm_up: Some(Duration::ZERO),
        connect_concurrency: 16,
        ..short(floor.address, "")
    };
    let report = run(options).unwrap();
    let storm = report.storm.clone().unwrap();
    assert_eq!((storm.connections, storm.back, storm.retries), (100, 100, 0));
    assert!(report.to_text().contains("100 of 100 back"));
}

#[test]
fn handshakes_are_counted() {
    let tutorial = TutorialServer::start(false);
    let options = LoadOptions {
        scenario: ScenarioName::Handshake,
        warm_up: Some(Duration::ZERO),
        duration: Some(Duration::from_millis(200)),
        connect_concurrency: 8,
        ..short(tutorial.address, "")
    };
    let report = run(options).unwrap();
    assert!(report.connect.opened > 0);
    assert_eq!(report.connect.failed, 0);
    assert_eq!(report.connect.latency.unwrap().count, report.connect.opened);
}

#[test]
fn a_run_that_is_stopped_reports_what_there_is() {
    let floor = FloorServer::start(Floor::default());
    let options = LoadOptions { connections: Some(5), ..short(floor.address, "") };
    let report =
        throng_bench::run(&Plan::check(&options).unwrap(), &mut Silent, &AtomicBool::new(true)).unwrap();
    assert!(report.interrupted);
    assert!(report.to_text().contains("the run was interrupted"));
}

#[test]
fn a_server_that_is_not_there_is_one_clear_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = run(LoadOptions { connections: Some(1), ..short(address, "") }).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {address}"));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("refused"), "{cause}");
}

#[test]
fn a_process_that_is_not_there_is_refused_before_the_run() {
    let floor = FloorServer::start(Floor::default());
    let options = LoadOptions { pid: Some(u32::MAX), connections: Some(1), ..short(floor.address, "") };
    assert!(run(options).unwrap_err().to_string().contains("4294967295"));
}
