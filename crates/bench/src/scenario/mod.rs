//! The scenarios: what a run does, phase by phase.

mod churn;
mod echo;
mod hold;
mod traffic;

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{
    clock::{nanos, thread_cpu},
    limits::{TooFewFiles, reserve_files},
    link::{LinkError, Wire},
    net::{Handler, Net, Ramp},
    plan::{Plan, Scenario},
    progress::Observer,
    report::{BEHIND_US, BUSY, Connect, Generator, Integrity, Latency, Report, Server, number},
    usage::{Probe, ProbeError},
    wire::{dialect::Room, upgrade::Upgrade},
};

/// Longest sleep of a loop, so that stopping and progress are noticed.
const LONGEST_TURN: Duration = Duration::from_millis(50);
/// Time between the last open connection and the first message: many servers answer the handshake before they have taken
/// the client into its room, and what is published in between is nobody's loss.
const SETTLE: Duration = Duration::from_millis(100);
/// Time between two messages to the observer.
const SHOW_EVERY_NS: u64 = 200_000_000;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Too few file descriptors.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// The server's process cannot be measured.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A socket could not be made, or the server refused it at once.
    #[error("cannot connect to {target}")]
    Connect {
        /// Address of the server.
        target: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A connection did not get as far as being open.
    #[error("connection {number} of {total} could not be opened")]
    Open {
        /// Which one, from 1.
        number: usize,
        /// Of how many.
        total: usize,
        /// What went wrong.
        #[source]
        source: LinkError,
    },
    /// The kernel refuses to wait for sockets.
    #[error("cannot wait for sockets")]
    Wait(#[source] io::Error),
}

/// Makes one run and reports what it found. It ends by itself; `stop` ends it early with what there is.
///
/// The calling thread generates the load and is busy until the run is over.
///
/// # Errors
///
/// The server cannot be reached, refuses a connection (except in the scenarios `storm` and `handshake`, which count that),
/// or this machine lacks the descriptors.
pub fn run(plan: &Plan, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Report, RunError> {
    let run = Run::new(plan, observer, stop)?;
    match plan.scenario {
        Scenario::Fanout { subscribers, stalled, pace } => traffic::fanout(run, subscribers, stalled, pace),
        Scenario::Chat { rooms, members, deliveries_per_s } => {
            traffic::chat(run, rooms, members, deliveries_per_s)
        }
        Scenario::Echo { connections, depth } => echo::run(run, connections, depth),
        Scenario::Idle { connections, rooms } => hold::idle(run, connections, rooms),
        Scenario::Storm { connections, rooms } => hold::storm(run, connections, rooms),
        Scenario::Handshake => churn::run(run),
    }
}

/// What the phases of a run share.
struct Run<'a> {
    plan: &'a Plan,
    net: Net,
    probe: Option<Probe>,
    rss_before: u64,
    observer: &'a mut dyn Observer,
    stop: &'a AtomicBool,
    shown_ns: u64,
    connect: Connect,
    cpu_us_per_handshake: Option<f64>,
    notes: Vec<String>,
}

/// The counters at one moment; two of them bound the measured time.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at_ns: u64,
    own_cpu: Duration,
    server_cpu: Option<Duration>,
    messages: u64,
}

/// What happened between two marks.
#[derive(Clone, Copy, Debug)]
struct Span {
    seconds: f64,
    own_share: f64,
    server_cpu: Option<Duration>,
    messages: u64,
}

/// A handler that can say which connection did not get open.
trait Scene: Handler {
    /// The first connection that failed to open since the last call.
    fn failure(&mut self) -> Option<(usize, LinkError)>;
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, observer: &'a mut dyn Observer, stop: &'a AtomicBool) -> Result<Self, RunError> {
        let probe = plan.pid.map(Probe::new).transpose()?;
        let rss_before = probe.map_or(Ok(0), |probe| probe.rss_bytes())?;
        // Two runs against one server must not meet in a room.
        let name = format!("load-{:08x}", rand::random::<u32>());
        let rooms = (0..plan.scenario.rooms()).map(|number| Room::new(format!("{name}-{number}")));
        let wire = Wire {
            protocol: plan.protocol,
            upgrade: Upgrade::new(plan.target.authority.clone(), plan.protocol.subprotocol()),
            rooms: rooms.collect(),
            path_template: plan.path_template.clone(),
            size: plan.size,
        };
        let net = Net::new(wire, plan.target.address, plan.tls.clone(), plan.connect.deadline)
            .map_err(RunError::Wait)?;
        Ok(Self {
            plan,
            net,
            probe,
            rss_before,
            observer,
            stop,
            shown_ns: 0,
            connect: Connect::default(),
            cpu_us_per_handshake: None,
            notes: Vec::new(),
        })
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn phase(&mut self, name: &'static str, total: u64) {
        self.observer.phase(name, total);
        self.shown_ns = 0;
    }

    /// Tells the observer, a few times per second.
    fn show(&mut self, done: u64, detail: impl FnOnce() -> String) {
        let now_ns = self.net.clock.now_ns();
        if now_ns >= self.shown_ns {
            self.shown_ns = now_ns + SHOW_EVERY_NS;
            self.observer.advance(done, &detail());
        }
    }

    fn turn(&mut self, timeout: Duration, scene: &mut impl Scene) -> Result<(), RunError> {
        self.net.turn(timeout, scene).map_err(RunError::Wait)
    }

    fn mark(&self, messages: u64) -> Result<Mark, RunError> {
        Ok(Mark {
            at_ns: self.net.clock.now_ns(),
            own_cpu: thread_cpu(),
            server_cpu: self.probe.map(|probe| probe.cpu()).transpose()?,
            messages,
        })
    }

    fn rss(&self) -> Result<Option<u64>, RunError> {
        Ok(self.probe.map(|probe| probe.rss_bytes()).transpose()?)
    }

    fn refused(&self, source: io::Error) -> RunError {
        RunError::Connect { target: self.plan.target.address, source }
    }

    /// Opens all connections and takes note of how that went. Ends early, with fewer, when the run is stopped.
    fn open_all(
        &mut self,
        total: usize,
        scene: &mut impl Scene,
        place: impl Fn(usize) -> (u32, bool),
    ) -> Result<(), RunError> {
        reserve_files(total)?;
        self.phase("connecting", total as u64);
        let begin = self.mark(0)?;
        let mut ramp = Ramp::new(total, &self.plan.connect);
        while self.net.opened < total as u64 && !self.stopped() {
            ramp.advance(&mut self.net, &place).map_err(|source| self.refused(source))?;
            let timeout = if ramp.is_done() { LONGEST_TURN } else { Duration::from_millis(1) };
            self.turn(timeout, scene)?;
            if let Some((id, source)) = scene.failure() {
                return Err(RunError::Open { number: id + 1, total, source });
            }
            let opened = self.net.opened;
            self.show(opened, || format!("{} started", ramp.started()));
        }
        let span = Span::between(begin, self.mark(0)?);
        self.took_connections(self.net.opened, &span);
        Ok(())
    }

    /// Gives the server a moment to be done with the connections.
    fn settle(&mut self, scene: &mut impl Scene) -> Result<(), RunError> {
        let until_ns = self.net.clock.now_ns() + nanos(SETTLE);
        while self.net.clock.now_ns() < until_ns && !self.stopped() {
            self.turn(SETTLE, scene)?;
        }
        Ok(())
    }

    /// Notes what opening `opened` connections cost.
    fn took_connections(&mut self, opened: u64, span: &Span) {
        self.connect.opened = opened;
        self.connect.seconds = span.seconds;
        self.connect.per_second = opened as f64 / span.seconds.max(1e-9);
        self.connect.latency = Latency::of(&self.net.open_ns);
        self.cpu_us_per_handshake = span.cpu_us_per(opened);
    }

    /// The report with everything that does not depend on the scenario.
    fn report(self, load: String, integrity: Integrity, generator: Generator) -> Report {
        let server = self.probe.map(|probe| Server {
            pid: probe.pid(),
            rss_before: self.rss_before,
            cpu_us_per_handshake: self.cpu_us_per_handshake,
            ..Server::default()
        });
        let mut notes = self.notes;
        let interrupted = self.stop.load(Ordering::Relaxed);
        if interrupted {
            notes.push("the run was interrupted: these are the figures up to then".to_owned());
        }
        Report {
            scenario: self.plan.scenario.name(),
            url: self.plan.url.clone(),
            protocol: self.plan.protocol,
            load,
            interrupted,
            connect: self.connect,
            traffic: None,
            integrity,
            storm: None,
            server,
            generator,
            notes,
            verdicts: Vec::new(),
        }
    }

    /// Says in words whether the generator or the server had no more to give.
    fn judge_limits(&mut self, span: &Span, generator: &mut Generator) {
        let busy = generator.utilisation >= BUSY;
        let server_busy = span.server_share().is_some_and(|share| share >= BUSY);
        let behind = generator.behind_p99_us.is_some_and(|us| us > BEHIND_US);
        generator.was_limit = behind || (busy && !server_busy);
        let utilisation = generator.utilisation * 100.0;
        match (busy, server_busy) {
            (true, false) => self.notes.push(format!(
                "the generator was the limit: its thread was {utilisation:.0} % busy, so the server may be able to do more"
            )),
            (true, true) => self.notes.push(format!(
                "the server used a whole core and the generator {utilisation:.0} % of one: both were at their limit"
            )),
            (false, true) => self.notes.push("the server used a whole core: it was the limit".to_owned()),
            (false, false) => {}
        }
        if behind {
            self.notes.push(
                "the generator did not keep its schedule: latencies hold its own lateness too; give it a core of its own"
                    .to_owned(),
            );
        }
    }
}

impl Span {
    fn between(begin: Mark, end: Mark) -> Self {
        let seconds = (end.at_ns - begin.at_ns) as f64 / 1e9;
        let own = end.own_cpu.saturating_sub(begin.own_cpu).as_secs_f64();
        Self {
            seconds,
            own_share: if seconds > 0.0 { own / seconds } else { 0.0 },
            server_cpu: end.server_cpu.zip(begin.server_cpu).map(|(end, begin)| end.saturating_sub(begin)),
            messages: end.messages - begin.messages,
        }
    }

    fn server_share(&self) -> Option<f64> {
        self.server_cpu.filter(|_| self.seconds > 0.0).map(|cpu| cpu.as_secs_f64() / self.seconds)
    }

    /// Server CPU per thing done, in microseconds; `None` when nothing was done or the process is unknown.
    fn cpu_us_per(&self, count: u64) -> Option<f64> {
        self.server_cpu.filter(|_| count > 0).map(|cpu| cpu.as_secs_f64() * 1e6 / count as f64)
    }
}

/// A count as people read it.
fn count(value: usize) -> String {
    number::count(value as u64)
}

fn millis(duration: Duration) -> u64 {
    nanos(duration) / 1_000_000
}
