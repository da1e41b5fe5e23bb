//! Messages from publishers to the subscribers of their rooms: the scenarios `fanout` and `chat`.

mod receiver;
mod sender;
mod window;

use self::{
    receiver::Receiver,
    sender::{Pacer, Sender},
    window::Window,
};
use super::{LONGEST_TURN, Mark, Run, RunError, Span, count, millis};
use crate::{
    clock::nanos,
    plan::Pace,
    report::{Generator, Latency, Pacing, Report, Traffic, number},
};

/// One publisher and many subscribers, and some that do not read; the publisher itself receives nothing.
pub(super) fn fanout(
    run: Run<'_>,
    subscribers: usize,
    stalled: usize,
    pace: Pace,
) -> Result<Report, RunError> {
    let mut members = vec![Member { room: 0, publisher: Some(0), stream: None }];
    members.extend((0..subscribers).map(|stream| Member { room: 0, publisher: None, stream: Some(stream) }));
    let layout = Layout { members, rooms: 1, publishers: 1, receivers: subscribers, own_too: false, stalled };
    let (load, driver) = match pace {
        Pace::Deliveries { per_second } => (
            format!(
                "1 publisher, {} subscribers, {} deliveries/s scheduled",
                count(subscribers),
                number::grouped(per_second)
            ),
            Driver::Clock { messages_per_s: per_second / subscribers as f64 },
        ),
        Pace::Window { messages } => (
            format!(
                "1 publisher, {} subscribers, {} messages in flight",
                count(subscribers),
                count(messages)
            ),
            Driver::Window { messages },
        ),
    };
    let idlers = if stalled > 0 { format!(", {} that do not read", count(stalled)) } else { String::new() };
    drive(run, layout, driver, load + &idlers)
}

/// Rooms whose members all publish in turn and receive each other.
pub(super) fn chat(
    run: Run<'_>,
    rooms: usize,
    members: usize,
    deliveries_per_s: f64,
) -> Result<Report, RunError> {
    let own_too = run.plan.protocol.hears_itself();
    let receivers = members - usize::from(!own_too);
    // Neighbours in this order are in different rooms, so that consecutive messages are too.
    let all = (0..members).flat_map(|member| (0..rooms).map(move |room| (room, member)));
    let layout = Layout {
        members: all
            .enumerate()
            .map(|(id, (room, member))| Member {
                room: narrow(room),
                publisher: Some(narrow(member)),
                stream: Some(id * members),
            })
            .collect(),
        rooms,
        publishers: members,
        receivers,
        own_too,
        stalled: 0,
    };
    let load = format!(
        "{} rooms of {} members, {} deliveries/s scheduled",
        count(rooms),
        count(members),
        number::grouped(deliveries_per_s)
    );
    drive(run, layout, Driver::Clock { messages_per_s: deliveries_per_s / receivers as f64 }, load)
}

/// Who is where.
struct Layout {
    /// By connection.
    members: Vec<Member>,
    rooms: usize,
    /// Publishers of each room.
    publishers: usize,
    /// Subscribers that each message reaches.
    receivers: usize,
    /// Whether a publisher receives its own messages.
    own_too: bool,
    /// Further subscribers, of the first room, that read nothing once all are there. Their connections come last.
    stalled: usize,
}

struct Member {
    room: u32,
    publisher: Option<u32>,
    /// Its first stream, one per publisher of the room; `None` does not subscribe.
    stream: Option<usize>,
}

enum Driver {
    Clock { messages_per_s: f64 },
    Window { messages: usize },
}

fn drive(run: Run<'_>, layout: Layout, driver: Driver, load: String) -> Result<Report, RunError> {
    let mut run = run;
    let streams = layout.members.iter().filter(|member| member.stream.is_some()).count() * layout.publishers;
    let window = match driver {
        Driver::Clock { .. } => None,
        Driver::Window { messages } => Some(Window::new(messages, layout.receivers)),
    };
    let members = layout.members.len();
    let places: Vec<(u32, bool)> = layout
        .members
        .iter()
        .map(|member| (member.room, member.stream.is_some()))
        .chain((0..layout.stalled).map(|_| (0, true)))
        .collect();
    let mut receiver = Receiver::new(layout, streams, window);
    run.open_all(places.len(), &mut receiver, |id| places[id])?;
    run.settle(&mut receiver)?;
    (members..places.len()).try_for_each(|id| run.net.stall(id)).map_err(RunError::Wait)?;
    let rss_connected = run.rss()?;
    let start_ns = run.net.clock.now_ns();
    let mut sender = Sender::new(&run, &driver, &receiver.layout, start_ns);
    let (begin, end) = load_phases(&mut run, &mut receiver, &mut sender, start_ns)?;
    let rss_loaded = run.rss()?;
    drain(&mut run, &mut receiver)?;
    receiver.settle();
    let load = format!("{load}, {} bytes", count(run.plan.size));
    let mut report = report(run, receiver, &sender, Span::between(begin, end), load);
    if let Some(server) = &mut report.server {
        server.rss_connected = rss_connected;
        server.rss_loaded = rss_loaded;
        let added = rss_connected.map(|rss| rss.saturating_sub(server.rss_before));
        server.rss_bytes_per_connection = added.map(|added| added as f64 / places.len() as f64);
    }
    Ok(report)
}

/// Warm-up and measured time; gives the marks that bound the latter.
fn load_phases(
    run: &mut Run<'_>,
    receiver: &mut Receiver,
    sender: &mut Sender,
    start_ns: u64,
) -> Result<(Mark, Mark), RunError> {
    let measured_from_ns = start_ns + nanos(run.plan.warm_up);
    let measured_until_ns = measured_from_ns + nanos(run.plan.duration);
    run.phase("warming up", millis(run.plan.warm_up));
    let mut begin = None;
    loop {
        let now_ns = run.net.clock.now_ns();
        if begin.is_none() && now_ns >= measured_from_ns {
            begin = Some(run.mark(receiver.messages)?);
            receiver.ledger.measure_from(measured_from_ns);
            run.phase("measuring", millis(run.plan.duration));
        }
        if now_ns >= measured_until_ns
            || run.stopped()
            || receiver.publisher_gone
            || sender.is_over(receiver, now_ns)
        {
            let end = run.mark(receiver.messages)?;
            receiver.ledger.measure_until(end.at_ns);
            return Ok((begin.unwrap_or(end), end));
        }
        let timeout = sender.send_due(&mut run.net, receiver);
        run.turn(timeout, receiver)?;
        let since_ns = begin.map_or(start_ns, |_| measured_from_ns);
        let (delivered, lost) = (receiver.ledger.integrity.delivered, receiver.ledger.integrity.disconnected);
        run.show(now_ns.saturating_sub(since_ns) / 1_000_000, || {
            format!("{delivered} deliveries{}", if lost > 0 { ", connections lost" } else { "" })
        });
    }
}

/// Waits for what is outstanding.
fn drain(run: &mut Run<'_>, receiver: &mut Receiver) -> Result<(), RunError> {
    run.phase("draining", millis(run.plan.drain));
    let start_ns = run.net.clock.now_ns();
    let until_ns = start_ns + nanos(run.plan.drain);
    while receiver.outstanding() > 0 && run.net.clock.now_ns() < until_ns && !run.stopped() {
        run.turn(LONGEST_TURN, receiver)?;
        let outstanding = receiver.outstanding();
        let done = (run.net.clock.now_ns() - start_ns) / 1_000_000;
        run.show(done, || format!("{outstanding} deliveries outstanding"));
    }
    Ok(())
}

fn report(run: Run<'_>, receiver: Receiver, sender: &Sender, span: Span, load: String) -> Report {
    let mut run = run;
    let mut generator = Generator { utilisation: span.own_share, ..Generator::default() };
    let mut pacing = Pacing::Closed;
    if let Pacer::Clock(schedule) = &sender.pacer {
        pacing = Pacing::Open;
        let behind = &schedule.behind_ns;
        generator.behind_p99_us = Some(behind.value_at_quantile(0.99) as f64 / 1e3);
        generator.behind_max_us = Some(behind.max() as f64 / 1e3);
    }
    run.judge_limits(&span, &mut generator);
    if sender.held_up > 0 {
        run.notes.push(format!("the server stopped reading: {} messages had to wait for it", sender.held_up));
    }
    if sender.stalled {
        run.notes.push("the window stood still: messages in flight never reached all subscribers".to_owned());
    }
    if receiver.publisher_gone {
        run.notes.push("the server ended a publisher's connection: the run stopped there".to_owned());
    }
    let ledger = receiver.ledger;
    let traffic = Traffic {
        pacing,
        seconds: span.seconds,
        messages: span.messages,
        deliveries: ledger.measured,
        messages_per_s: per_second(span.messages, span.seconds),
        deliveries_per_s: per_second(ledger.measured, span.seconds),
        latency: Latency::of(&ledger.latency_ns),
        timeline: ledger.timeline,
    };
    let mut report = run.report(load, ledger.integrity, generator);
    if let Some(server) = &mut report.server {
        server.utilisation = span.server_share().unwrap_or_default();
        server.cpu_us_per_delivery = span.cpu_us_per(traffic.deliveries);
    }
    report.traffic = Some(traffic);
    report
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// Counts of members and rooms are bounded far below this.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
