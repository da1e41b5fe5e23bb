use super::*;

impl Report {
    /// A report of a small run, for tests of what is made of reports.
    pub(crate) fn example() -> Self {
        let mut histogram = crate::measure::histogram();
        for us in 1..=1000 {
            histogram.record(us * 10_000).unwrap();
        }
        Self {
            scenario: ScenarioName::Fanout,
            url: "ws://127.0.0.1:9/<room>".to_owned(),
            protocol: Protocol::Relay,
            load: "1 publisher, 10 subscribers".to_owned(),
            interrupted: false,
            connect: Connect { opened: 11, seconds: 0.5, per_second: 22.0, ..Connect::default() },
            traffic: Some(Traffic {
                pacing: Pacing::Open,
                seconds: 2.0,
                messages: 100,
                deliveries: 1000,
                messages_per_s: 50.0,
                deliveries_per_s: 500.0,
                latency: Latency::of(&histogram),
                timeline: vec![490, 510],
            }),
            integrity: Integrity { expected: 1000, delivered: 1000, ..Integrity::default() },
            storm: None,
            server: Some(Server { pid: 7, cpu_us_per_delivery: Some(8.25), ..Server::default() }),
            generator: Generator {
                behind_p99_us: Some(60.0),
                behind_max_us: Some(80.0),
                ..Generator::default()
            },
            notes: vec!["a <b>note</b>".to_owned()],
            verdicts: Vec::new(),
        }
    }
}

#[test]
fn percentiles_come_from_the_histogram() {
    let latency = Report::example().traffic.unwrap().latency.unwrap();
    assert_eq!(latency.count, 1000);
    for (value, expected) in
        [(latency.p50, 5_000.0), (latency.p90, 9_000.0), (latency.p99, 9_900.0), (latency.max, 10_000.0)]
    {
        assert!((value / expected - 1.0).abs() < 0.002, "{value} is not {expected}");
    }
    assert!(latency.curve.is_sorted_by(|a, b| a.quantile < b.quantile && a.us <= b.us));
    assert_eq!(Latency::of(&crate::measure::histogram()), None);
}

#[test]
fn the_table_holds_what_was_found() {
    let mut report = Report::example();
    report.generator.was_limit = true;
    report.judge(&["lost==0".parse().unwrap(), "p99<1ms".parse().unwrap()]);
    let text = report.to_text();
    for part in [
        "500 deliveries/s",
        "p50 5.00 ms",
        "1,000 of 1,000 delivered",
        "lost 0 · duplicated 0",
        "8.25 µs CPU per delivery",
        "behind its schedule p99 60.0 µs",
        "IT WAS THE LIMIT",
        "note: a <b>note</b>",
        "holds  lost==0 (measured: 0)",
        "FAILS  p99<1ms (measured: 9.90 ms)",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!report.passes());
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_escapes_what_others_wrote() {
    let html = Report::example().to_html();
    assert_eq!(html.matches("<svg").count(), 2);
    assert!(html.contains("prefers-color-scheme:dark"));
    assert!(html.contains("a &lt;b&gt;note&lt;/b&gt;"));
    for foreign in ["<script", "http://", "https://", "<link", "<b>", "url("] {
        assert!(!html.contains(foreign), "{foreign:?} is in the page");
    }
}

#[test]
fn a_report_survives_json() {
    let mut report = Report::example();
    // The points of the curve are the only numbers that are no short decimals.
    if let Some(Traffic { latency: Some(latency), .. }) = &mut report.traffic {
        latency.curve.truncate(1);
    }
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn a_run_without_messages_proves_no_loss_nor_its_absence() {
    let report = Report { traffic: None, ..Report::example() };
    assert_eq!(report.metric(Metric::Lost), None);
}
