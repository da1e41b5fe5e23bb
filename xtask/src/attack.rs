//! `cargo xtask attack`: a hostile client against the release server, and a verdict on each attack.
//!
//! While an attack runs, a publisher and a subscriber that behave well go on, and the server's process is looked at. What must
//! hold is in [`verdict`]; the attacks are in [`mod@list`]. The attackers' threads are less urgent than the server's: a real attacker
//! brings a machine of its own.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::PossibleValuesParser;
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{server, workspace};

mod addresses;
mod answers;
mod arena;
mod commands;
mod crowd;
mod doors;
mod frames;
mod limits;
mod list;
mod logs;
mod pair;
mod proxies;
mod raw;
mod readers;
mod requests;
mod tls;
mod tokens;
mod verdict;

use answers::Answers;
use arena::{Arena, Ground};
use list::STAGES;
use pair::Pair;
use tls::Trust;
use verdict::{Bounds, Complaint, Observation, allowed_p99, judge};

/// Time of the pair alone, before the first attack.
const QUIET: Duration = Duration::from_secs(1);
/// Longest time of one attack beyond its flood, its waits included.
const LIMIT: Duration = Duration::from_secs(60);
/// Longest time in which the server must have given back what an attack took.
const REST: Duration = Duration::from_secs(10);
/// How often a p99 that is too long is measured again.
const SECOND_LOOKS: usize = 2;
/// Descriptors that the attackers need: the largest crowd, and the rest.
const DESCRIPTORS: u64 = 6_000;

/// Options of `cargo xtask attack`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Invent the same bytes again
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Try only these attacks
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
    /// Length of each flood, in seconds
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    choice: server::Choice,
}

/// One attack.
struct Attack {
    name: &'static str,
    what: &'static str,
    bounds: Bounds,
    run: Run,
}

/// Carries an attack out, and tells what was answered.
type Run = fn(Target) -> Pin<Box<dyn Future<Output = Result<Answers>> + Send>>;

/// Attacks on one server.
struct AttackStage {
    name: &'static str,
    ground: Ground,
    attacks: &'static [Attack],
}

/// Whom an attack is aimed at.
#[derive(Clone, Copy, Debug)]
struct Target {
    address: SocketAddr,
    /// How the server is known, if it speaks TLS.
    tls: Option<Trust>,
    /// The server's program, which makes tokens as well.
    binary: &'static Path,
    seed: u64,
    /// Length of a flood.
    length: Duration,
}

/// What became of an attack.
struct Row {
    name: &'static str,
    what: &'static str,
    took: Duration,
    /// The highest that was taken on top of what was there: MiB and descriptors.
    grown: (u64, u64),
    p99: Duration,
    answers: String,
    complaints: Vec<Complaint>,
}

fn names() -> PossibleValuesParser {
    every_attack().map(|attack| attack.name).chain([logs::NAME]).collect::<Vec<_>>().into()
}

fn every_attack() -> impl Iterator<Item = &'static Attack> {
    STAGES.iter().flat_map(|stage| stage.attacks)
}

/// Tries all attacks, or those that were chosen, and prints a table of them.
///
/// # Errors
///
/// When an attack succeeds, or something cannot be started.
pub(crate) fn run(args: &Args) -> Result<()> {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let length = Duration::from_secs(args.seconds);
    println!("attack: seed {seed}, floods of {} s", args.seconds);
    attack(&args.choice.binary()?, seed, length, |name| {
        args.only.is_empty() || args.only.iter().any(|only| only == name)
    })
}

/// A short run of all attacks.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_short() -> Result<()> {
    run(&Args { seed: None, only: Vec::new(), seconds: 1, choice: server::Choice::default() })
}

fn attack(binary: &Path, seed: u64, length: Duration, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let directory = directory()?;
    ensure!(
        raise_files() >= DESCRIPTORS,
        "this takes {DESCRIPTORS} descriptors: raise the hard limit (ulimit -Hn)"
    );
    let runtime =
        Builder::new_multi_thread().worker_threads(2).on_thread_start(step_back).enable_all().build()?;
    let mut rows = Vec::new();
    // One path, for as long as the process lives.
    let binary: &'static Path = Box::leak(binary.to_owned().into_boxed_path());
    for stage in STAGES {
        let attacks: Vec<_> = stage.attacks.iter().filter(|attack| wanted(attack.name)).collect();
        if attacks.is_empty() {
            continue;
        }
        let arena = Arena::start(binary, &directory, stage.name, stage.ground)?;
        let day = Day::begin(
            &arena,
            &runtime,
            Target { address: arena.address(), tls: arena.trust, binary, seed, length },
        )?;
        for attack in attacks {
            let row = day.try_one(attack).with_context(|| format!("attack `{}`", attack.name));
            rows.push(row.with_context(|| format!("the server's log ends:\n{}", arena.log_tail()))?);
        }
        drop(day);
        arena.stop()?;
    }
    if wanted(logs::NAME) {
        rows.push(logs::attack(binary, &directory, &runtime)?);
    }
    println!("{}", table(&rows));
    let failed: Vec<_> = rows.iter().filter(|row| !row.complaints.is_empty()).map(|row| row.name).collect();
    if failed.is_empty() {
        println!("attack: {} withstood", rows.len());
        return Ok(());
    }
    bail!("attack: not withstood: {}; seed {seed}", failed.join(", "))
}

/// A server, a pair that behaves well, and what the pair is like when it is left alone.
struct Day<'d> {
    arena: &'d Arena,
    runtime: &'d Runtime,
    target: Target,
    pair: Pair,
    quiet_p99: Duration,
}

impl<'d> Day<'d> {
    fn begin(arena: &'d Arena, runtime: &'d Runtime, target: Target) -> Result<Self> {
        let pair = Pair::start(target.address, target.tls, "")?;
        pair.begin();
        thread::sleep(QUIET);
        let quiet = pair.end();
        if let Some(trouble) = quiet.trouble {
            bail!("the well-behaved pair, before any attack: {trouble}");
        }
        println!(
            "attack: quiet p99 {:.2?} of {} publications; under attack it may be {:.2?}",
            quiet.p99,
            quiet.sent,
            allowed_p99(quiet.p99)
        );
        Ok(Self { arena, runtime, target, pair, quiet_p99: quiet.p99 })
    }

    /// Tries an attack. Another program may have been in the pair's way: a p99 that is too long is measured again.
    fn try_one(&self, attack: &Attack) -> Result<Row> {
        let mut target = self.target;
        let mut row = self.try_once(attack, target)?;
        for _ in 0..SECOND_LOOKS {
            if !matches!(&row.complaints[..], [complaint] if complaint.is_of_the_p99()) {
                break;
            }
            println!("     {}: {}; again", attack.name, row.complaints[0]);
            // Whoever attacked is known by now.
            target.seed = target.seed.wrapping_add(1 << 12);
            row = self.try_once(attack, target)?;
        }
        row.tell();
        Ok(row)
    }

    fn try_once(&self, attack: &Attack, target: Target) -> Result<Row> {
        let began = Instant::now();
        let (before, panics) = (self.arena.usage()?, self.arena.metric(PANICS)?);
        let watch = self.arena.watch()?;
        self.pair.begin();
        let limit = LIMIT + target.length;
        // On the runtime's own threads, which have stepped back.
        let run = attack.run;
        let task = self.runtime.spawn(async move { timeout(limit, repeat(run, target)).await });
        let answers = self.runtime.block_on(task)?;
        let pair = self.pair.end();
        let ended = answers.with_context(|| format!("it took more than {} s", limit.as_secs()));
        // An attack that cannot be carried out to its end proves nothing; the others are still tried.
        let answers = ended.and_then(|answers| answers).unwrap_or_else(|error| Answers::of_none(&error));
        let after = self.arena.settle(&before, REST)?;
        let peak = watch.peak().max(after);
        let seen = Observation {
            before,
            peak,
            after,
            quiet_p99: self.quiet_p99,
            pair,
            panics: self.arena.metric(PANICS)?.saturating_sub(panics),
            health: self.arena.health(),
            answers,
        };
        Ok(Row {
            name: attack.name,
            what: attack.what,
            took: began.elapsed(),
            grown: (
                (peak.rss.saturating_sub(before.rss)) >> 20,
                peak.descriptors.saturating_sub(before.descriptors),
            ),
            p99: seen.pair.p99,
            answers: seen.answers.to_string(),
            complaints: judge(&seen, &attack.bounds),
        })
    }
}

/// Attacks until the time of a flood is over, and at least once.
async fn repeat(run: Run, target: Target) -> Result<Answers> {
    let end = Instant::now() + target.length;
    let mut answers = run(target).await?;
    let mut seed = target.seed;
    while Instant::now() < end {
        seed = seed.wrapping_add(1);
        answers.add(run(Target { seed, ..target }).await?);
    }
    Ok(answers)
}

const PANICS: &str = "throng_panics_total";

impl Row {
    const fn verdict(&self) -> &'static str {
        if self.complaints.is_empty() { "ok" } else { "FAIL" }
    }

    /// Prints how it went, at once.
    fn tell(&self) {
        println!("{:<4} {}: {} ({:.1} s)", self.verdict(), self.name, self.what, self.took.as_secs_f64());
        self.complaints.iter().for_each(|complaint| println!("     {complaint}"));
    }
}

/// The rows as a table.
fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "\n{:<18} {:<7} {:>7} {:>9} {:>7} {:>9}  {}\n",
        "attack", "verdict", "time", "memory", "files", "pair p99", "answers"
    );
    for row in rows {
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{:<18} {:<7} {:>5.1} s {:>+5} MiB {:>+7} {:>6.2} ms  {}",
            row.name,
            row.verdict(),
            row.took.as_secs_f64(),
            row.grown.0,
            row.grown.1,
            row.p99.as_secs_f64() * 1_000.0,
            row.answers
        );
    }
    text
}

fn directory() -> Result<PathBuf> {
    let directory = workspace::Metadata::own()?.target_directory.join("attack");
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Makes the calling thread less urgent than the server's.
fn step_back() {
    // Where that is not allowed the pair is measured more strictly than it should be.
    let _ = rustix::process::setpriority_process(None, 10);
}

/// Raises the soft limit of open files to the hard one, and gives what then holds.
fn raise_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // A refusal leaves the soft limit as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_attack_has_a_name_of_its_own_and_bounds() {
        let names: BTreeSet<_> = every_attack().map(|attack| attack.name).collect();
        assert_eq!(names.len(), every_attack().count());
        for Attack { name, bounds, .. } in every_attack() {
            assert!(bounds.rss_mib > 0 && bounds.descriptors < DESCRIPTORS, "{name}");
        }
    }

    #[test]
    fn an_attack_that_succeeds_stands_in_the_table() {
        let row = Row {
            name: "x",
            what: "y",
            took: Duration::from_secs(1),
            grown: (3, 4),
            p99: Duration::from_millis(2),
            answers: "1 × end".into(),
            complaints: Vec::new(),
        };
        assert!(table(&[row]).contains("x                  ok"));
    }
}
