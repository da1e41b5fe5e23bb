use throng_bench::{
    Protocol,
    options::ScenarioName,
    report::{Connect, Generator, Pacing, Server, Traffic},
};

use super::*;
use crate::compare::cases;

fn report(deliveries_per_s: f64, cpu: f64) -> Report {
    Report {
        scenario: ScenarioName::Fanout,
        url: String::new(),
        protocol: Protocol::Relay,
        load: String::new(),
        interrupted: false,
        connect: Connect::default(),
        traffic: Some(Traffic {
            pacing: Pacing::Closed,
            seconds: 1.0,
            messages: 1,
            deliveries: 1,
            messages_per_s: 1.0,
            deliveries_per_s,
            latency: None,
            timeline: Vec::new(),
        }),
        integrity: Integrity::default(),
        storm: None,
        server: Some(Server { cpu_us_per_delivery: Some(cpu), ..Server::default() }),
        generator: Generator::default(),
        notes: Vec::new(),
        verdicts: Vec::new(),
    }
}

/// The burst with these rounds of throng's relay, the tutorial and the merging floor.
fn judged(rounds: &[[(f64, f64); 3]]) -> CaseResult {
    let case = &cases::all(Duration::from_secs(1))[0];
    let names = ["throng relay", "tutorial", "merging floor"];
    let contenders: Vec<_> =
        case.contenders.iter().filter(|contender| names.contains(&contender.name)).collect();
    let mut result = CaseResult::new(case, &contenders);
    for round in rounds {
        for (index, (rate, cpu)) in round.iter().enumerate() {
            result.add(index, report(*rate, *cpu));
        }
    }
    result.judge(case);
    result
}

#[test]
fn a_target_is_judged_by_the_median_of_the_rounds_ratios() {
    // The machine is three times slower in the second round, for all.
    let result = judged(&[
        [(4e6, 0.5), (1e6, 4.0), (4e6, 0.5)],
        [(1.2e6, 1.5), (0.4e6, 12.0), (1.2e6, 1.0)],
        [(3.6e6, 0.6), (1e6, 4.0), (4e6, 0.5)],
    ]);
    let rate = &result.verdicts[0];
    assert_eq!((rate.of, rate.metric, rate.met), ("throng relay", "deliveries_per_s", true));
    assert_eq!(rate.found.map(|spread| short(spread.median)).as_deref(), Some("3.60"));
    let cpu = &result.verdicts[1];
    assert_eq!(cpu.found(), "1.20 (1.00 to 1.50)");
    assert!(cpu.met);
}

#[test]
fn a_missed_and_an_unmeasured_target_are_not_met() {
    let result = judged(&[[(3e6, 0.9), (1e6, 4.0), (4e6, 0.5)]]);
    let words: Vec<_> = result.verdicts.iter().map(Verdict::word).collect();
    assert_eq!(words, ["MISSED"; 5], "the last three are of contenders that did not run");
    assert!(result.to_text().contains("not measured"));
}

#[test]
fn figures_with_lost_messages_are_void() {
    let mut result = judged(&[[(4e6, 0.5), (1e6, 4.0), (4e6, 0.5)]]);
    assert!(result.verdicts[0].met);
    result.contenders[0].reports[0].integrity.lost = 3;
    result.judge(&cases::all(Duration::from_secs(1))[0]);
    assert!(!result.verdicts[0].met);
    assert!(result.to_text().contains("3 lost: its figures are void"));
}

#[test]
fn a_generator_at_its_limit_is_named_beside_the_ratio() {
    let mut result = judged(&[[(4e6, 0.5), (1e6, 4.0), (4e6, 0.5)]]);
    result.contenders[0].reports[0].generator.was_limit = true;
    result.judge(&cases::all(Duration::from_secs(1))[0]);
    assert_eq!(result.verdicts[0].found(), "4.00 (4.00 to 4.00; the generator was the limit in 1 runs)");
}

#[test]
fn the_summary_is_a_table_for_the_documents() {
    let mut outcome = Outcome::new(1, Duration::from_secs(1));
    outcome.cases.push(judged(&[[(4e6, 0.5), (1e6, 4.0), (4e6, 0.5)]]));
    let row = "| burst | throng relay / tutorial: deliveries_per_s | ≥ 3.50 | 4.00 (4.00 to 4.00) | met |";
    assert!(outcome.summary().contains(row), "{}", outcome.summary());
    assert!(!outcome.all_met());
}

#[test]
fn the_median_of_an_even_number_is_between_the_middle_ones() {
    assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 8.0]), Some(Spread { median: 3.0, min: 1.0, max: 8.0 }));
    assert_eq!(Spread::of(&[]), None);
}

#[test]
fn figures_are_short_and_grouped() {
    assert_eq!([0.456, 12.34, 1234.5, 33_554_432.0].map(short), ["0.46", "12.3", "1,234", "33,554,432"]);
}
