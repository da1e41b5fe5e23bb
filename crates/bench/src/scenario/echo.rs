//! Every connection gets its own messages back: the scenario `echo`.

use super::{LONGEST_TURN, Run, RunError, Scene, Span, count, millis};
use crate::{
    clock::nanos,
    link::LinkError,
    measure::Ledger,
    net::{Handler, Reply},
    report::{Generator, Latency, Pacing, Report, Traffic},
    wire::{dialect::Refusal, stamp::Stamp},
};

/// Each connection is alone in its room, and each answer makes room for the next message.
struct Echo {
    ledger: Ledger,
    /// Messages sent, by connection.
    sent: Vec<u32>,
    messages: u64,
    limit: u64,
    sending: bool,
    failure: Option<(usize, LinkError)>,
}

pub(super) fn run(run: Run<'_>, connections: usize, depth: usize) -> Result<Report, RunError> {
    let mut run = run;
    let mut echo = Echo {
        ledger: Ledger::new(connections),
        sent: vec![0; connections],
        messages: 0,
        limit: run.plan.messages.unwrap_or(u64::MAX),
        sending: true,
        failure: None,
    };
    run.open_all(connections, &mut echo, |id| (u32::try_from(id).unwrap_or(u32::MAX), true))?;
    let rss_connected = run.rss()?;
    let start_ns = run.net.clock.now_ns();
    for id in (0..connections).flat_map(|id| std::iter::repeat_n(id, depth)) {
        let now_ns = run.net.clock.now_ns();
        if let Some(stamp) = echo.next(id, now_ns) {
            run.net.publish(id, &stamp);
        }
    }
    let span = exchange(&mut run, &mut echo, start_ns)?;
    for (id, sent) in echo.sent.iter().enumerate() {
        echo.ledger.settle(id, *sent);
    }
    let load = format!(
        "{} connections, {} outstanding on each, {} bytes",
        count(connections),
        count(depth),
        count(run.plan.size)
    );
    let mut generator = Generator { utilisation: span.own_share, ..Generator::default() };
    run.judge_limits(&span, &mut generator);
    let ledger = echo.ledger;
    let each_second = |count: u64| if span.seconds > 0.0 { count as f64 / span.seconds } else { 0.0 };
    let traffic = Traffic {
        pacing: Pacing::Closed,
        seconds: span.seconds,
        messages: span.messages,
        deliveries: ledger.measured,
        messages_per_s: each_second(span.messages),
        deliveries_per_s: each_second(ledger.measured),
        latency: Latency::of(&ledger.latency_ns),
        timeline: ledger.timeline,
    };
    let mut report = run.report(load, ledger.integrity, generator);
    if let Some(server) = &mut report.server {
        server.utilisation = span.server_share().unwrap_or_default();
        server.cpu_us_per_delivery = span.cpu_us_per(traffic.deliveries);
        server.rss_connected = rss_connected;
    }
    report.traffic = Some(traffic);
    Ok(report)
}

/// Warm-up, measured time and drain.
fn exchange(run: &mut Run<'_>, echo: &mut Echo, start_ns: u64) -> Result<Span, RunError> {
    let measured_from_ns = start_ns + nanos(run.plan.warm_up);
    let measured_until_ns = measured_from_ns + nanos(run.plan.duration);
    run.phase("measuring", millis(run.plan.warm_up + run.plan.duration));
    let mut begin = None;
    let mut progress = (0, start_ns);
    let end = loop {
        let now_ns = run.net.clock.now_ns();
        if begin.is_none() && now_ns >= measured_from_ns {
            begin = Some(run.mark(echo.messages)?);
            echo.ledger.measure_from(measured_from_ns);
        }
        let delivered = echo.ledger.integrity.delivered;
        if delivered != progress.0 {
            progress = (delivered, now_ns);
        }
        let still = now_ns - progress.1 > nanos(run.plan.drain);
        let done = echo.messages >= echo.limit && delivered == echo.messages;
        if now_ns >= measured_until_ns || done || still || run.stopped() {
            let end = run.mark(echo.messages)?;
            echo.ledger.measure_until(end.at_ns);
            break end;
        }
        run.turn(LONGEST_TURN, echo)?;
        run.show((now_ns - start_ns) / 1_000_000, || format!("{delivered} messages"));
    };
    echo.sending = false;
    let until_ns = end.at_ns + nanos(run.plan.drain);
    while echo.ledger.integrity.delivered < echo.messages
        && run.net.clock.now_ns() < until_ns
        && !run.stopped()
    {
        run.turn(LONGEST_TURN, echo)?;
    }
    Ok(Span::between(begin.unwrap_or(end), end))
}

impl Echo {
    /// The next message of a connection, unless there are to be no more.
    fn next(&mut self, id: usize, now_ns: u64) -> Option<Stamp> {
        if !self.sending || self.messages >= self.limit {
            return None;
        }
        let sequence = self.sent[id];
        self.sent[id] += 1;
        self.messages += 1;
        Some(Stamp { room: u32::try_from(id).unwrap_or(u32::MAX), publisher: 0, sequence, due_ns: now_ns })
    }
}

impl Scene for Echo {
    fn failure(&mut self) -> Option<(usize, LinkError)> {
        self.failure.take()
    }
}

impl Handler for Echo {
    fn opened(&mut self, _id: usize, _reply: &mut Reply<'_>) {}

    fn message(&mut self, id: usize, stamp: &Stamp, now_ns: u64, reply: &mut Reply<'_>) {
        if stamp.room as usize != id || stamp.publisher != 0 || stamp.sequence >= self.sent[id] {
            self.ledger.integrity.misrouted += 1;
            return;
        }
        if self.ledger.take(id, stamp, now_ns)
            && let Some(next) = self.next(id, now_ns)
        {
            reply.publish(&next);
        }
    }

    fn foreign(&mut self, _id: usize) {
        self.ledger.integrity.foreign += 1;
    }

    fn refused(&mut self, _id: usize, _refusal: Refusal) {
        self.ledger.integrity.refused += 1;
    }

    fn ended(&mut self, id: usize, was_open: bool, error: LinkError) {
        if was_open {
            self.ledger.integrity.disconnected += 1;
        } else {
            self.failure.get_or_insert((id, error));
        }
    }
}
