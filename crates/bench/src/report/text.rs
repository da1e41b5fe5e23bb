//! The report as a table for a terminal.

use std::fmt::Write;

use super::{
    Pacing, Report, Server, Traffic,
    number::{bytes, count, grouped, percent, significant, time},
};

/// Width of the first column.
const LABEL: usize = 13;

pub(super) fn render(report: &Report) -> String {
    let mut out =
        format!("{} · {} · {}\n{}\n\n", report.scenario.name(), report.protocol, report.url, report.load);
    for (label, value) in rows(report) {
        line(&mut out, &format!("  {label:LABEL$}  {value}"));
    }
    let notes = report.notes.iter().map(|note| format!("  note: {note}"));
    let verdicts = report.verdicts.iter().map(|verdict| {
        let mark = if verdict.holds { "holds" } else { "FAILS" };
        format!("  {mark}  {} (measured: {})", verdict.assertion, verdict.shown)
    });
    for block in [notes.collect::<Vec<_>>(), verdicts.collect()] {
        if !block.is_empty() {
            out.push('\n');
            block.iter().for_each(|text| line(&mut out, text));
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{}", text.trim_end()).expect("writing to a String cannot fail");
}

/// The table as label and value, also for the page.
pub(super) fn rows(report: &Report) -> Vec<(&'static str, String)> {
    let mut rows = vec![("connections", connections(report))];
    if let Some(storm) = &report.storm {
        let (back, all) = (count(storm.back), count(storm.connections));
        let rate = grouped(storm.per_second);
        let retries = count(storm.retries);
        rows.push(("storm", format!("{back} of {all} back after {}", time(storm.all_back_s * 1e6))));
        rows.push(("", format!("{rate} handshakes/s · {retries} attempts repeated")));
    }
    if let Some(traffic) = &report.traffic {
        traffic_rows(report, traffic, &mut rows);
    }
    let ended = report.integrity.disconnected;
    if ended > 0 {
        rows.push(("disconnected", format!("the server ended {} open connections", count(ended))));
    }
    if let Some(server) = &report.server {
        server_rows(server, &mut rows);
    }
    rows.push(("generator", generator(report)));
    rows
}

fn connections(report: &Report) -> String {
    let connect = &report.connect;
    let mut text = format!(
        "{} opened in {} ({}/s)",
        count(connect.opened),
        time(connect.seconds * 1e6),
        grouped(connect.per_second)
    );
    if let Some(latency) = &connect.latency {
        text += &format!(" · p50 {} · p99 {}", time(latency.p50), time(latency.p99));
    }
    if connect.failed > 0 {
        text += &format!(" · {} failed", count(connect.failed));
    }
    text
}

fn traffic_rows(report: &Report, traffic: &Traffic, rows: &mut Vec<(&'static str, String)>) {
    rows.push((
        "throughput",
        format!(
            "{} deliveries/s · {} messages/s over {}",
            grouped(traffic.deliveries_per_s),
            grouped(traffic.messages_per_s),
            time(traffic.seconds * 1e6)
        ),
    ));
    if let Some(latency) = &traffic.latency {
        let points = [
            ("p50", latency.p50),
            ("p90", latency.p90),
            ("p99", latency.p99),
            ("p99.9", latency.p999),
            ("max", latency.max),
        ];
        rows.push(("latency", points.map(|(name, us)| format!("{name} {}", time(us))).join(" · ")));
        rows.push((
            "",
            match traffic.pacing {
                Pacing::Open => "from the intended send time (open loop)".to_owned(),
                Pacing::Closed => "closed loop: each message waited for an earlier one".to_owned(),
            },
        ));
    }
    let integrity = &report.integrity;
    rows.push((
        "integrity",
        format!("{} of {} delivered", count(integrity.delivered), count(integrity.expected)),
    ));
    let faults = [
        ("lost", integrity.lost),
        ("duplicated", integrity.duplicated),
        ("reordered", integrity.reordered),
        ("misrouted", integrity.misrouted),
        ("foreign", integrity.foreign),
        ("refused", integrity.refused),
    ];
    rows.push(("", faults.map(|(name, value)| format!("{name} {}", count(value))).join(" · ")));
}

fn server_rows(server: &Server, rows: &mut Vec<(&'static str, String)>) {
    let mut cpu = vec![format!("{} of a core", percent(server.utilisation))];
    cpu.extend(server.cpu_us_per_delivery.map(|us| format!("{} µs CPU per delivery", significant(us))));
    cpu.extend(server.cpu_us_per_handshake.map(|us| format!("{} µs CPU per handshake", significant(us))));
    rows.push(("server", cpu.join(" · ")));
    let mut memory = vec![format!("RSS {} at start", bytes(server.rss_before as f64))];
    memory.extend(server.rss_connected.map(|rss| format!("{} connected", bytes(rss as f64))));
    memory.extend(server.rss_loaded.map(|rss| format!("{} loaded", bytes(rss as f64))));
    memory.extend(server.rss_left.map(|rss| format!("{} after all left", bytes(rss as f64))));
    rows.push(("", memory.join(" · ")));
    rows.extend(
        server
            .rss_bytes_per_connection
            .map(|each| ("", format!("{} B of RSS per connection", grouped(each)))),
    );
}

fn generator(report: &Report) -> String {
    let generator = &report.generator;
    let mut text = format!("{} of a core", percent(generator.utilisation));
    if let (Some(p99), Some(max)) = (generator.behind_p99_us, generator.behind_max_us) {
        text += &format!(" · behind its schedule p99 {} · max {}", time(p99), time(max));
    }
    if generator.was_limit {
        text += " · IT WAS THE LIMIT";
    }
    text
}
