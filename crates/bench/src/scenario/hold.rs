//! Connections that do nothing: the scenarios `idle` (what does each cost?) and `storm` (all drop and return).

use std::time::Duration;

use super::{LONGEST_TURN, Run, RunError, Scene, Span, count, millis};
use crate::{
    clock::nanos,
    link::LinkError,
    net::{Handler, Reply},
    report::{Generator, Integrity, Latency, Report, Storm},
    wire::{dialect::Refusal, stamp::Stamp},
};

/// Time between two looks at the server's memory after all have left.
const SETTLE_STEP: Duration = Duration::from_millis(200);
/// Looks without a change after which the memory counts as settled.
const SETTLED_AFTER: u32 = 5;
/// Longest wait for that, in looks.
const SETTLE_LOOKS: u32 = 50;
/// Attempts per connection that a storm may take on average.
const ATTEMPTS: usize = 10;

/// Counts what happens to connections that should be quiet.
#[derive(Default)]
pub(super) struct Quiet {
    integrity: Integrity,
    failure: Option<(usize, LinkError)>,
    /// Connections that failed to open and have not been tried again.
    pub(super) retry: Vec<usize>,
    pub(super) failed: u64,
}

/// Holds connections and lets them go.
pub(super) fn idle(run: Run<'_>, connections: usize, rooms: usize) -> Result<Report, RunError> {
    let mut run = run;
    let mut quiet = Quiet::default();
    run.open_all(connections, &mut quiet, |id| (room_of(id, rooms), true))?;
    let duration = run.plan.duration;
    let span = hold(&mut run, &mut quiet, duration)?;
    let rss_connected = run.rss()?;
    let opened = run.connect.opened;
    run.net.close_all();
    let rss_left = settled_rss(&mut run)?;
    let load = format!(
        "{} idle connections in {} {}",
        count(connections),
        count(rooms),
        if rooms == 1 { "room" } else { "rooms" }
    );
    let generator = Generator { utilisation: span.own_share, ..Generator::default() };
    let mut report = run.report(load, quiet.integrity, generator);
    if let Some(server) = &mut report.server {
        server.utilisation = span.server_share().unwrap_or_default();
        server.rss_connected = rss_connected;
        server.rss_left = rss_left;
        let added = rss_connected.map(|rss| rss.saturating_sub(server.rss_before));
        server.rss_bytes_per_connection =
            added.filter(|_| opened > 0).map(|added| added as f64 / opened as f64);
    }
    Ok(report)
}

/// Opens connections, drops all of them at once, and counts the time until all are back.
pub(super) fn storm(run: Run<'_>, connections: usize, rooms: usize) -> Result<Report, RunError> {
    let mut run = run;
    let mut quiet = Quiet::default();
    run.open_all(connections, &mut quiet, |id| (room_of(id, rooms), true))?;
    let warm_up = run.plan.warm_up;
    hold(&mut run, &mut quiet, warm_up)?;
    let rss_connected = run.rss()?;
    run.phase("coming back", connections as u64);
    let before = run.net.opened;
    run.net.open_ns.reset();
    let begin = run.mark(0)?;
    let until_ns = begin.at_ns + nanos(run.plan.duration);
    run.net.close_all();
    let mut waiting: Vec<usize> = (0..connections).rev().collect();
    let mut attempts = connections * ATTEMPTS;
    while run.net.opened - before < connections as u64
        && run.net.clock.now_ns() < until_ns
        && attempts > 0
        && !run.stopped()
    {
        while run.net.opening() < run.plan.connect.concurrency
            && attempts > 0
            && let Some(id) = waiting.pop()
        {
            attempts -= 1;
            let result = run.net.connect(id, room_of(id, rooms), true);
            result.map_err(|source| run.refused(source))?;
        }
        let timeout = if waiting.is_empty() { LONGEST_TURN } else { Duration::from_millis(1) };
        run.turn(timeout, &mut quiet)?;
        waiting.append(&mut quiet.retry);
        let back = run.net.opened - before;
        run.show(back, || format!("{back} back"));
    }
    let span = Span::between(begin, run.mark(0)?);
    let rss_back = run.rss()?;
    let back = run.net.opened - before;
    let storm = Storm {
        connections: connections as u64,
        back,
        all_back_s: span.seconds,
        per_second: back as f64 / span.seconds.max(1e-9),
        retries: quiet.failed,
    };
    if back < storm.connections {
        run.notes.push(format!("{} connections were not back in time", storm.connections - back));
    }
    run.connect.latency = Latency::of(&run.net.open_ns);
    run.connect.failed = quiet.failed;
    run.cpu_us_per_handshake = span.cpu_us_per(back);
    let load = format!("{} connections drop at once and return", count(connections));
    let mut generator = Generator { utilisation: span.own_share, ..Generator::default() };
    run.judge_limits(&span, &mut generator);
    let mut report = run.report(load, quiet.integrity, generator);
    if let Some(server) = &mut report.server {
        server.utilisation = span.server_share().unwrap_or_default();
        server.rss_connected = rss_connected;
        server.rss_loaded = rss_back;
    }
    report.storm = Some(storm);
    Ok(report)
}

/// Serves the connections, pings above all, while nothing else happens.
fn hold(run: &mut Run<'_>, quiet: &mut Quiet, time: Duration) -> Result<Span, RunError> {
    run.phase("holding", millis(time));
    let begin = run.mark(0)?;
    let until_ns = begin.at_ns + nanos(time);
    while run.net.clock.now_ns() < until_ns && !run.stopped() {
        run.turn(LONGEST_TURN, quiet)?;
        let done = (run.net.clock.now_ns() - begin.at_ns) / 1_000_000;
        let ended = quiet.integrity.disconnected;
        run.show(done, || if ended > 0 { format!("{ended} ended by the server") } else { String::new() });
    }
    Ok(Span::between(begin, run.mark(0)?))
}

/// The server's memory once it has stopped changing.
fn settled_rss(run: &mut Run<'_>) -> Result<Option<u64>, RunError> {
    if run.probe.is_none() {
        return Ok(None);
    }
    run.phase("settling", 0);
    let (mut last, mut same) = (None, 0);
    for _ in 0..SETTLE_LOOKS {
        if same == SETTLED_AFTER || run.stopped() {
            break;
        }
        std::thread::sleep(SETTLE_STEP);
        let rss = run.rss()?;
        same = if rss == last { same + 1 } else { 0 };
        last = rss;
    }
    Ok(last)
}

fn room_of(id: usize, rooms: usize) -> u32 {
    u32::try_from(id % rooms).unwrap_or(u32::MAX)
}

impl Scene for Quiet {
    fn failure(&mut self) -> Option<(usize, LinkError)> {
        self.failure.take()
    }
}

impl Handler for Quiet {
    fn opened(&mut self, _id: usize, _reply: &mut Reply<'_>) {}

    fn message(&mut self, _id: usize, _stamp: &Stamp, _now_ns: u64, _reply: &mut Reply<'_>) {
        self.integrity.misrouted += 1;
    }

    fn foreign(&mut self, _id: usize) {
        self.integrity.foreign += 1;
    }

    fn refused(&mut self, _id: usize, _refusal: Refusal) {
        self.integrity.refused += 1;
    }

    fn ended(&mut self, id: usize, was_open: bool, error: LinkError) {
        if was_open {
            self.integrity.disconnected += 1;
        } else {
            self.failed += 1;
            self.retry.push(id);
            self.failure.get_or_insert((id, error));
        }
    }
}
