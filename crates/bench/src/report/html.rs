//! The report as one page that needs nothing from elsewhere.

use super::{Report, svg, text};

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1c2024;--soft:#60646c;--line:#d9d9e0;--back:#fcfcfd;--curve:#0b68cb;--bad:#c62a2f}\
@media(prefers-color-scheme:dark){:root{--text:#edeef0;--soft:#b0b4ba;--line:#363a3f;--back:#111113;--curve:#70b8ff;--bad:#ff9592}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back);max-width:44rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin:0}h2{font-size:1rem;margin:2rem 0 .5rem}p{color:var(--soft);margin:.25rem 0}\
table{border-collapse:collapse;width:100%;margin-top:1.5rem;font-variant-numeric:tabular-nums}\
th{text-align:left;font-weight:600;white-space:nowrap;vertical-align:top}td,th{padding:.3rem .75rem .3rem 0;border-top:1px solid var(--line)}\
th:empty,th:empty+td{border-top:0;padding-top:0}.fails{color:var(--bad);font-weight:600}\
svg{width:100%;height:auto}svg text{font-size:12px;fill:var(--soft)}.grid{stroke:var(--line)}.curve{fill:none;stroke:var(--curve);stroke-width:2}";

pub(super) fn render(report: &Report) -> String {
    let title = format!("{} · {} · {}", report.scenario.name(), report.protocol, escape(&report.url));
    let load = escape(&report.load);
    let rows: String = text::rows(report)
        .into_iter()
        .map(|(label, value)| format!("<tr><th>{label}</th><td>{}</td></tr>", escape(&value)))
        .collect();
    let notes: String = report.notes.iter().map(|note| format!("<p>Note: {}</p>", escape(note))).collect();
    let verdicts = verdicts(report);
    let charts = charts(report);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\
         <h1>{title}</h1><p>{load}</p><table>{rows}</table>{notes}{verdicts}{charts}</body></html>\n"
    )
}

fn verdicts(report: &Report) -> String {
    if report.verdicts.is_empty() {
        return String::new();
    }
    let rows: String = report
        .verdicts
        .iter()
        .map(|verdict| {
            let (class, word) = if verdict.holds { ("holds", "holds") } else { ("fails", "FAILS") };
            let (assertion, shown) = (escape(&verdict.assertion), escape(&verdict.shown));
            format!("<tr><th>{assertion}</th><td class=\"{class}\">{word} (measured: {shown})</td></tr>")
        })
        .collect();
    format!("<h2>Assertions</h2><table>{rows}</table>")
}

fn charts(report: &Report) -> String {
    let Some(traffic) = &report.traffic else { return String::new() };
    let mut out = String::new();
    if let Some(latency) = &traffic.latency {
        out += "<h2>Latency by share of deliveries</h2>";
        out += &svg::latency_curve(&latency.curve);
    }
    if !traffic.timeline.is_empty() {
        out += "<h2>Deliveries per second over time</h2>";
        out += &svg::throughput(&traffic.timeline);
    }
    out
}

/// URLs and notes hold what others wrote.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
