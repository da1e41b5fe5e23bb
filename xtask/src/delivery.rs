//! `cargo xtask check-delivery`: a history checker for the delivery contract.
//!
//! A real server, publishers at both doors, and subscribers of all kinds, under trouble that one seed plans: cut
//! connections, readers that stop, a server that stands still or is killed. All that is acknowledged and all that arrives is
//! written down ([`log`]), and when everybody has come to rest, judged ([`mod@analyse`]).

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{runtime::Builder, sync::watch};

use crate::{server, workspace};

mod analyse;
mod cast;
mod log;
mod namespace;
mod plan;
mod plant;
mod publisher;
mod stage;
mod standing;
mod subscriber;
mod summary;
mod wire;
mod world;

use analyse::{Kind, analyse};
use cast::Cast;
use log::Log;
use plan::{Plan, Weather};
use plant::{Fault, Proxy};
use stage::{Phase, Stage};
use summary::Summary;
use world::World;

/// Options of `cargo xtask check-delivery`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Plan this run again
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    choice: server::Choice,
}

/// What a run is planned from.
#[derive(Clone, Debug, clap::Args)]
struct Options {
    #[arg(skip)]
    seed: u64,
    /// Length of the run, before it settles
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=3_600))]
    seconds: u64,
    /// Number of subscribers
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    subscribers: u16,
    /// Number of channels, of all namespaces in turn
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u16).range(1..=100))]
    channels: u16,
    /// Number of publishers
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=100))]
    publishers: u16,
    /// Publications a second, of all publishers together
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Never kill the server
    #[arg(long)]
    no_kill: bool,
    /// Cut nothing, stall nothing, kill nothing
    #[arg(long)]
    calm: bool,
    /// Commit a fault between the server and its subscribers, so that it must be found
    #[arg(long, value_name = "FAULT", hide = true)]
    plant: Option<Fault>,
}

/// Runs and judges; prints the seed, then a summary, then the first violation of each kind.
///
/// # Errors
///
/// When a promise was broken, when the run proves nothing, or when something cannot be started.
pub(crate) fn run(args: &Args) -> Result<()> {
    let seed = args.seed.unwrap_or_else(random_seed);
    check(&Options { seed, ..args.options.clone() }, &args.choice.binary()?, &directory()?)
}

/// A short run, and then the checker itself: each fault, committed between the server and its subscribers, must be found.
///
/// # Errors
///
/// As [`run`], and when a fault is not found.
pub(crate) fn run_short() -> Result<()> {
    let (binary, directory) = (server::build()?, directory()?);
    let seed = random_seed();
    check(&Options { seed, seconds: 8, ..Options::usual() }, &binary, &directory)?;
    for (fault, expected) in
        [(Fault::Drop, Kind::SilentGap), (Fault::Double, Kind::Doubled), (Fault::Swap, Kind::Reordered)]
    {
        // With one channel, everybody is in the one in which faults are committed.
        let plant = Some(fault);
        let options = Options { seed, seconds: 2, channels: 1, calm: true, plant, ..Options::usual() };
        let (log, summary) = perform(&options, &binary, &directory)?;
        let found = analyse(&log);
        ensure!(
            summary.planted > 0 && found.violations.iter().any(|violation| violation.kind == expected),
            "{} planted fault(s) ({fault:?}), and no {expected:?} found among {} violation(s), seed {seed}",
            summary.planted,
            found.count()
        );
        println!("check-delivery: {fault:?} planted {} time(s) and found", summary.planted);
    }
    Ok(())
}

fn random_seed() -> u64 {
    u64::from(rand::random::<u32>())
}

/// One run from its plan to its judgement.
fn check(options: &Options, binary: &Path, directory: &Path) -> Result<()> {
    println!("check-delivery: seed {}, {} s", options.seed, options.seconds);
    let (log, summary) = perform(options, binary, directory)?;
    let findings = analyse(&log);
    println!("{summary}");
    if findings.count() > 0 {
        let file = directory.join(format!("{}.log", options.seed));
        fs::write(&file, write_out(&log)).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{}", findings.show(&log));
        bail!(
            "{} violation(s) of the delivery contract; all events are in {}, and `{}` plans the run again",
            findings.count(),
            file.display(),
            options.command_line()
        );
    }
    match summary.missing(options.calm) {
        Some(missing) => bail!("the run proves nothing: {missing}"),
        None => Ok(()),
    }
}

impl Options {
    /// What stands on an empty command line.
    fn usual() -> Self {
        Self {
            seed: 0,
            seconds: 30,
            subscribers: 16,
            channels: 11,
            publishers: 6,
            rate: 1_000,
            no_kill: false,
            calm: false,
            plant: None,
        }
    }

    /// What plans the same run again.
    fn command_line(&self) -> String {
        let Self { seed, seconds, subscribers, channels, publishers, rate, .. } = self;
        let mut line = format!(
            "cargo xtask check-delivery --seed {seed} --seconds {seconds} --subscribers {subscribers} \
             --channels {channels} --publishers {publishers} --rate {rate}"
        );
        for (flag, is_set) in [(" --no-kill", self.no_kill), (" --calm", self.calm)] {
            line += if is_set { flag } else { "" };
        }
        line
    }
}

fn directory() -> Result<PathBuf> {
    let directory = workspace::Metadata::own()?.target_directory.join("delivery");
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Carries a plan out, and gives what was written down.
fn perform(options: &Options, binary: &Path, directory: &Path) -> Result<(Log, Summary)> {
    let plan = Plan::new(options);
    let mut world = World::start(binary, directory)?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let proxy =
        options.plant.map(|fault| runtime.block_on(Proxy::start(world.address(), fault))).transpose()?;
    let address = proxy.as_ref().map_or(world.address(), |proxy| proxy.address);
    let (phase, receiver) = watch::channel(Phase::Running);
    let stage = Stage::new(world.address(), address, &plan.channels, plan.length, receiver);
    let mut cast = Cast::enter(&plan, &stage, &runtime);
    weather(&plan, &mut world).with_context(|| format!("the server's log ends:\n{}", world.log_tail()))?;
    phase.send_replace(Phase::Settling);
    let log = runtime
        .block_on(cast.settle(&plan, &stage))
        .with_context(|| format!("the server's log ends:\n{}", world.log_tail()))?;
    let mut summary = Summary::of(&log);
    (summary.stalls, summary.kills) = (world.stalls, world.kills);
    summary.planted = proxy.as_ref().map_or(0, Proxy::planted);
    world.stop()?;
    Ok((log, summary))
}

/// Does to the server what is planned, each thing at its time, until the plan is over.
fn weather(plan: &Plan, world: &mut World) -> Result<()> {
    let began = Instant::now();
    for (time, weather) in &plan.weather {
        thread::sleep(time.saturating_sub(began.elapsed()));
        match weather {
            Weather::Stall(time) => world.stall(*time)?,
            Weather::Kill => world.kill()?,
        }
    }
    thread::sleep(plan.length.saturating_sub(began.elapsed()));
    Ok(())
}

/// Everything that was written down, as text.
fn write_out(log: &Log) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    for attempt in &log.attempts {
        let name = &log.channels[attempt.channel].name;
        let _ = writeln!(
            text,
            "{:>11.6} s  {} to {name}, connection {}: {:?}",
            attempt.sent.as_secs_f64(),
            attempt.id,
            attempt.connection,
            attempt.outcome
        );
    }
    for (number, events) in log.subscribers.iter().enumerate() {
        let _ = writeln!(text, "\nsubscriber {number}");
        for (event, seen) in events.iter().enumerate() {
            let name = seen.what.channel().map_or("", |channel| log.channels[channel].name.as_str());
            let _ = writeln!(text, "{event:>6} {name:<14} {seen}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(line: &str) -> Args {
        Line::try_parse_from(line.split_whitespace()).unwrap().args
    }

    #[test]
    fn an_empty_command_line_is_the_usual_run() {
        assert_eq!(format!("{:?}", parsed("check-delivery").options), format!("{:?}", Options::usual()));
        assert_eq!(usize::from(Options::usual().channels), namespace::NAMESPACES.len());
    }

    #[test]
    fn the_command_line_that_is_printed_plans_the_same_run() {
        let options = Options { seed: 7, seconds: 5, rate: 50, no_kill: true, ..Options::usual() };
        let args = parsed(options.command_line().strip_prefix("cargo xtask ").unwrap());
        let again = Options { seed: args.seed.unwrap(), ..args.options };
        assert_eq!(format!("{:?}", Plan::new(&again)), format!("{:?}", Plan::new(&options)));
    }
}
