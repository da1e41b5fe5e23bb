//! `cargo xtask compare`: throng beside baselines, in turn, each server alone on one core and the generator on another.
//!
//! One binary's figures vary by a quarter and more on a shared machine, so nothing is judged by a figure alone: every
//! round runs all contenders one after the other, and a target is judged by the median of the rounds' ratios.

use std::{fs, path::PathBuf, process::Command, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use throng_bench::{Report, options::parse_duration};

use crate::{loadtest, process, server, server::Server, tools, workspace};

mod cases;
mod result;

use cases::{Case, Contender, Group, Program};
use result::{CaseResult, Outcome};

/// Options of `cargo xtask compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these comparisons; may be repeated [default: all]
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Group>,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Measured time of each run
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = parse_duration)]
    duration: Duration,
    /// Core of the servers
    #[arg(long, value_name = "N", default_value_t = 0)]
    server_core: usize,
    /// Core of the generator
    #[arg(long, value_name = "N", default_value_t = 1)]
    load_core: usize,
    /// Leave out npm ws even if Node.js is present
    #[arg(long)]
    no_node: bool,
    /// Write everything as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail when a target is missed
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    choice: server::Choice,
}

/// What is run, and where its logs go.
struct Programs {
    throng: PathBuf,
    baseline: PathBuf,
    generator: PathBuf,
    /// The script and the modules of npm `ws`; absent where it cannot be run.
    node: Option<(PathBuf, PathBuf)>,
    logs: PathBuf,
}

/// Runs the comparisons and prints figures, ratios and verdicts.
///
/// # Errors
///
/// When something does not compile or start, a run cannot be made, or, with `--strict`, a target is missed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cores = thread::available_parallelism()?.get();
    ensure!(cores > 1, "a comparison needs two cores: one for the server, one for the generator");
    ensure!(args.server_core != args.load_core, "the server and the generator need a core each");
    let programs = Programs::prepare(args)?;
    let mut outcome = Outcome::new(args.rounds, args.duration);
    for case in cases::all(args.duration) {
        if !args.only.is_empty() && !args.only.contains(&case.group) {
            continue;
        }
        let result = compare(&case, args, &programs)?;
        println!("\n{}", result.to_text());
        outcome.cases.push(result);
    }
    println!("\n{}", outcome.summary());
    if let Some(file) = &args.json {
        let json = serde_json::to_string_pretty(&outcome)?;
        fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    ensure!(!args.strict || outcome.all_met(), "a target is missed");
    Ok(())
}

/// All rounds of one case.
fn compare(case: &Case, args: &Args, programs: &Programs) -> Result<CaseResult> {
    let contenders: Vec<&Contender> = case
        .contenders
        .iter()
        .filter(|contender| contender.program != Program::NodeWs || programs.node.is_some())
        .collect();
    let mut result = CaseResult::new(case, &contenders);
    for round in 0..args.rounds {
        for (index, contender) in contenders.iter().enumerate() {
            let report = measure(contender, args, programs)
                .with_context(|| format!("{}: {} could not be measured", case.name, contender.name))?;
            println!(
                "round {} of {} · {} · {}",
                round + 1,
                args.rounds,
                case.name,
                result.line(index, &report)
            );
            result.add(index, report);
        }
    }
    result.judge(case);
    Ok(result)
}

/// One run against a server of its own.
fn measure(contender: &Contender, args: &Args, programs: &Programs) -> Result<Report> {
    let mut command = Command::new(&programs.baseline);
    command.arg("pin").arg(args.server_core.to_string()).args(programs.command(contender)?);
    command.envs(contender.environment.iter().copied());
    let mut server = Server::spawn(command, &programs.logs.join("server.log"))?;
    let mut load = contender.load.clone();
    load.url = Some(format!("ws://{}", server.address()));
    load.pid = Some(server.pid());
    load.core = Some(args.load_core);
    let file = programs.logs.join("report.json");
    load.json = Some(file.clone());
    let mut generator = Command::new(&programs.generator);
    generator.arg("--options-json").arg(serde_json::to_string(&load)?);
    process::output(&mut generator)?;
    // The baselines have no manners to show when they are stopped, so how the server ends is not judged here.
    server.stop()?;
    let text = fs::read_to_string(&file).context("the generator left no report")?;
    serde_json::from_str(&text).context("the generator's report is not readable")
}

impl Programs {
    fn prepare(args: &Args) -> Result<Self> {
        let generator = loadtest::generator()?;
        let logs = workspace::Metadata::own()?.target_directory.join("compare");
        fs::create_dir_all(&logs)?;
        Ok(Self {
            throng: args.choice.binary()?,
            baseline: server::release_binary("throng-baseline")?,
            generator,
            node: if args.no_node { None } else { node() },
            logs,
        })
    }

    /// The program of a contender with its arguments.
    fn command(&self, contender: &Contender) -> Result<Vec<String>> {
        let path = |path: &PathBuf| path.to_str().map(str::to_owned).context("a path is no UTF-8");
        let mut words = match contender.program {
            Program::Throng => vec![path(&self.throng)?],
            Program::Tutorial => vec![path(&self.baseline)?, "tutorial".to_owned()],
            Program::Floor => vec![path(&self.baseline)?, "floor".to_owned()],
            Program::NodeWs => {
                let (script, modules) = self.node.as_ref().context("Node.js is not there")?;
                vec!["node".to_owned(), path(script)?, path(modules)?]
            }
        };
        words.extend(["--listen", "127.0.0.1:0"].map(str::to_owned));
        words.extend(contender.arguments.iter().map(|argument| (*argument).to_owned()));
        Ok(words)
    }
}

/// The script and the modules of npm `ws`, or a line that says why it is left out.
fn node() -> Option<(PathBuf, PathBuf)> {
    let directory = workspace::root().join("xtask/compare");
    match tools::node_modules("compare-ws", &directory) {
        Ok(modules) => Some((directory.join("server.mjs"), modules)),
        Err(error) => {
            println!("npm ws is left out: {error:#}");
            None
        }
    }
}
