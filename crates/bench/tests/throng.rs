//! The generator and throng itself: two programs that share no code for the wire must agree on it.

mod support;

use std::{net::SocketAddr, time::Duration};

use support::{run, short};
use throng_bench::{
    LoadOptions, Protocol,
    options::ScenarioName,
    report::{Integrity, Pacing},
};
use throng_server::{Running, Server, config::Settings};
use tokio::runtime::Runtime;

const PROTOCOLS: [Protocol; 3] = [Protocol::Relay, Protocol::Json, Protocol::Protobuf];

/// A server that is stopped, and must have cut nobody, at the end of the test.
struct Throng {
    runtime: Runtime,
    running: Running,
}

impl Throng {
    fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let mut settings = Settings::default();
        settings.http_server.port = 0;
        change(&mut settings);
        let running = runtime.block_on(Server::builder().settings(settings).start());
        Self { runtime, running: running.expect("the server starts") }
    }

    fn address(&self) -> SocketAddr {
        self.running.local_addr()
    }

    fn stop(self) {
        assert_eq!(self.runtime.block_on(self.running.shutdown()).cut, 0);
    }
}

fn complete(options: LoadOptions, deliveries: u64) {
    let protocol = options.protocol;
    let report = run(options).expect("the server takes connections");
    let all = Integrity { expected: deliveries, delivered: deliveries, ..Integrity::default() };
    assert_eq!(report.integrity, all, "{protocol}: {:?}", report.notes);
}

#[test]
fn fanout_is_complete_and_in_order_in_every_protocol() {
    let server = Throng::start(|_| ());
    for protocol in PROTOCOLS {
        let scheduled = LoadOptions {
            protocol,
            connections: Some(20),
            rate: Some(50_000.0),
            messages: Some(200),
            ..short(server.address(), "")
        };
        let windowed = LoadOptions { rate: None, in_flight: Some(16), ..scheduled.clone() };
        complete(scheduled, 4_000);
        complete(windowed, 4_000);
    }
    server.stop();
}

/// What becomes of them is no part of the result.
#[test]
fn subscribers_that_do_not_read_are_not_waited_for() {
    let server = Throng::start(|settings| settings.client.queue_max_messages = 10);
    let options = LoadOptions {
        protocol: Protocol::Json,
        connections: Some(5),
        stalled: Some(5),
        size: Some(32 << 10),
        rate: Some(500.0),
        messages: Some(50),
        ..short(server.address(), "")
    };
    complete(options, 250);
    server.stop();
}

#[test]
fn members_of_a_room_hear_each_other_and_themselves_only_in_the_protocol() {
    let server = Throng::start(|_| ());
    for (protocol, receivers) in [(Protocol::Relay, 3), (Protocol::Json, 4), (Protocol::Protobuf, 4)] {
        let options = LoadOptions {
            scenario: ScenarioName::Chat,
            protocol,
            rooms: Some(5),
            members: Some(4),
            rate: Some(20_000.0),
            messages: Some(200),
            ..short(server.address(), "")
        };
        complete(options, 200 * receivers);
    }
    server.stop();
}

#[test]
fn echo_works_through_the_echo_endpoint_and_through_own_subscriptions() {
    let server = Throng::start(|_| ());
    for protocol in PROTOCOLS {
        let options = LoadOptions {
            scenario: ScenarioName::Echo,
            protocol,
            connections: Some(10),
            depth: Some(4),
            messages: Some(1_000),
            ..short(server.address(), "")
        };
        let report = run(options).expect("the server takes connections");
        assert_eq!((report.integrity.delivered, report.integrity.lost), (1_000, 0), "{protocol}");
        assert_eq!(report.traffic.expect("there was traffic").pacing, Pacing::Closed);
    }
    server.stop();
}

#[test]
fn pings_are_answered_so_that_idle_connections_stay() {
    let server = Throng::start(|settings| {
        settings.client.ping_interval = Some(Duration::from_secs(1));
        settings.client.pong_timeout = Some(Duration::from_millis(500));
    });
    for protocol in [Protocol::Json, Protocol::Protobuf] {
        let options = LoadOptions {
            scenario: ScenarioName::Idle,
            protocol,
            connections: Some(5),
            duration: Some(Duration::from_millis(2_500)),
            ..short(server.address(), "")
        };
        let report = run(options).expect("the server takes connections");
        assert_eq!((report.connect.opened, report.integrity.disconnected), (5, 0), "{protocol}");
    }
    server.stop();
}

#[test]
fn a_storm_and_handshakes_pass_in_every_protocol() {
    let server = Throng::start(|_| ());
    for protocol in PROTOCOLS {
        let storm = LoadOptions {
            scenario: ScenarioName::Storm,
            protocol,
            connections: Some(50),
            warm_up: Some(Duration::ZERO),
            ..short(server.address(), "")
        };
        let back = run(storm).expect("the server takes connections").storm.expect("there was a storm");
        assert_eq!((back.back, back.retries), (50, 0), "{protocol}");
    }
    server.stop();
}

#[test]
fn every_scenario_runs_over_tls_as_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let server = Throng::start(|settings| {
        let tls = &mut settings.http_server.tls;
        tls.enabled = true;
        tls.cert_pem = cert.to_str().unwrap().into();
        tls.key_pem = key.to_str().unwrap().into();
    });
    let url = Some(format!("wss://{}", server.address()));
    let over_tls = LoadOptions { url, cacert: Some(cert), ..short(server.address(), "") };
    for (protocol, size, messages) in
        [(Protocol::Relay, 128, 200), (Protocol::Json, 50_000, 20), (Protocol::Protobuf, 128, 200)]
    {
        let fanout = LoadOptions {
            protocol,
            size: Some(size),
            connections: Some(10),
            in_flight: Some(16),
            messages: Some(messages),
            ..over_tls.clone()
        };
        complete(fanout, messages * 10);
    }
    for resume in [false, true] {
        let handshakes = LoadOptions {
            scenario: ScenarioName::Handshake,
            resume,
            duration: Some(Duration::from_millis(200)),
            warm_up: Some(Duration::ZERO),
            ..over_tls.clone()
        };
        let report = run(handshakes).expect("the server takes connections");
        assert!(report.connect.opened > 0, "{:?}", report.notes);
    }
    server.stop();
}
