//! Connect and hang up, again and again: the scenario `handshake`.

use std::time::Duration;

use super::{LONGEST_TURN, Run, RunError, Scene, Span, millis};
use crate::{
    clock::nanos,
    limits::reserve_files,
    link::LinkError,
    net::{Handler, Reply},
    report::{Generator, Integrity, Latency, Report},
    wire::{dialect::Refusal, stamp::Stamp},
};

/// Failures in a row, without one success, after which there is no server to measure.
const HOPELESS: u64 = 100;

/// Slots whose connection is done with.
#[derive(Default)]
struct Churn {
    integrity: Integrity,
    opened: Vec<usize>,
    free: Vec<usize>,
    failed: u64,
    failure: Option<(usize, LinkError)>,
}

pub(super) fn run(run: Run<'_>) -> Result<Report, RunError> {
    let mut run = run;
    let slots = run.plan.connect.concurrency;
    // A socket that was hung up may still be counted while the next one is made.
    reserve_files(slots * 2)?;
    let mut churn = Churn { free: (0..slots).rev().collect(), ..Churn::default() };
    let start_ns = run.net.clock.now_ns();
    let measured_from_ns = start_ns + nanos(run.plan.warm_up);
    let measured_until_ns = measured_from_ns + nanos(run.plan.duration);
    run.phase("connecting", millis(run.plan.warm_up + run.plan.duration));
    let (mut begin, mut failed_before) = (None, 0);
    let end = loop {
        let now_ns = run.net.clock.now_ns();
        if begin.is_none() && now_ns >= measured_from_ns {
            begin = Some(run.mark(run.net.opened)?);
            failed_before = churn.failed;
            run.net.open_ns.reset();
        }
        if now_ns >= measured_until_ns || run.stopped() {
            break run.mark(run.net.opened)?;
        }
        for id in churn.opened.drain(..) {
            run.net.close(id);
            churn.free.push(id);
        }
        while let Some(id) = churn.free.pop() {
            run.net.connect(id, 0, true).map_err(|source| run.refused(source))?;
        }
        run.turn(LONGEST_TURN.min(Duration::from_nanos(measured_until_ns - now_ns)), &mut churn)?;
        if run.net.opened == 0 && churn.failed > HOPELESS {
            let (id, source) = churn.failure.take().unwrap_or((0, LinkError::HungUp));
            return Err(RunError::Open { number: id + 1, total: slots, source });
        }
        let opened = run.net.opened;
        run.show((now_ns - start_ns) / 1_000_000, || format!("{opened} opened"));
    };
    let span = Span::between(begin.unwrap_or(end), end);
    run.took_connections(span.messages, &span);
    run.connect.failed = churn.failed - failed_before;
    run.connect.latency = Latency::of(&run.net.open_ns);
    let mut generator = Generator { utilisation: span.own_share, ..Generator::default() };
    run.judge_limits(&span, &mut generator);
    let load = format!("connect and hang up, {slots} at a time");
    let mut report = run.report(load, churn.integrity, generator);
    if let Some(server) = &mut report.server {
        server.utilisation = span.server_share().unwrap_or_default();
    }
    Ok(report)
}

impl Scene for Churn {
    fn failure(&mut self) -> Option<(usize, LinkError)> {
        self.failure.take()
    }
}

impl Handler for Churn {
    fn opened(&mut self, id: usize, _reply: &mut Reply<'_>) {
        self.opened.push(id);
    }

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
            // Its slot is still on the list of the opened ones and is freed from there.
            self.integrity.disconnected += 1;
        } else {
            self.failed += 1;
            self.failure.get_or_insert((id, error));
            self.free.push(id);
        }
    }
}
