use super::*;

fn options(scenario: ScenarioName) -> LoadOptions {
    LoadOptions {
        scenario,
        url: Some("ws://127.0.0.1:9".to_owned()),
        connect_concurrency: 8,
        ..LoadOptions::default()
    }
}

fn faults(options: &LoadOptions) -> Vec<PlanError> {
    Plan::check(options).unwrap_err().faults().to_vec()
}

#[test]
fn defaults_make_a_plan_of_every_scenario() {
    use ScenarioName::{Chat, Echo, Fanout, Handshake, Idle, Storm};
    for scenario in [Fanout, Chat, Echo, Idle, Storm, Handshake] {
        assert!(Plan::check(&options(scenario)).is_ok(), "{scenario:?}");
    }
}

#[test]
fn the_path_is_the_given_one_or_fits_the_protocol() {
    let path = |url: &str, protocol, scenario| {
        let options = LoadOptions { url: Some(url.to_owned()), protocol, ..options(scenario) };
        Plan::check(&options).unwrap().path_template
    };
    use ScenarioName::{Echo, Fanout};
    assert_eq!(path("ws://127.0.0.1:9", Protocol::Relay, Fanout), "/relay/{room}");
    assert_eq!(path("ws://127.0.0.1:9", Protocol::Relay, Echo), "/echo");
    assert_eq!(path("ws://127.0.0.1:9", Protocol::Json, Echo), "/connection/websocket");
    assert_eq!(path("ws://127.0.0.1:9/", Protocol::Relay, Fanout), "/");
    assert_eq!(path("ws://127.0.0.1:9/a?b=c", Protocol::Protobuf, Fanout), "/a?b=c");
}

#[test]
fn all_faults_are_listed_together() {
    let options = LoadOptions {
        url: None,
        depth: Some(2),
        size: Some(3),
        connections: Some(0),
        ..options(ScenarioName::Fanout)
    };
    let text = Plan::check(&options).unwrap_err().to_string();
    for part in
        ["--url", "--depth has no meaning in the scenario fanout", "--size is 3", "--connections is 0"]
    {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_url_that_cannot_be_loaded_says_why() {
    for (url, part) in [
        ("localhost:8080", "no scheme"),
        ("http://localhost", "not ws or wss"),
        ("wss://127.0.0.1", "give --cacert FILE"),
        ("ws:///room", "no host"),
    ] {
        let options = LoadOptions { url: Some(url.to_owned()), ..options(ScenarioName::Idle) };
        assert!(faults(&options)[0].to_string().contains(part), "{url}");
    }
}

#[test]
fn a_message_rate_is_multiplied_by_its_receivers() {
    let asked =
        LoadOptions { message_rate: Some(10.0), connections: Some(50), ..options(ScenarioName::Fanout) };
    let pace = Pace::Deliveries { per_second: 500.0 };
    assert_eq!(Plan::check(&asked).unwrap().scenario, Scenario::Fanout { subscribers: 50, stalled: 0, pace });
}

#[test]
fn relay_rooms_without_room_in_the_path_are_refused() {
    let one = LoadOptions { url: Some("ws://127.0.0.1:9/".to_owned()), ..options(ScenarioName::Chat) };
    assert_eq!(faults(&one), [PlanError::RoomsNotInPath]);
    let json = LoadOptions { protocol: Protocol::Json, ..one };
    assert!(Plan::check(&json).is_ok());
}

#[test]
fn a_rate_that_is_no_number_is_refused() {
    for rate in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
        let options = LoadOptions { rate: Some(rate), ..options(ScenarioName::Fanout) };
        assert!(matches!(faults(&options)[..], [PlanError::Range { option: "--rate", .. }]), "{rate}");
    }
}
