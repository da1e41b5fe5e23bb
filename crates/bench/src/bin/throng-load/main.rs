//! The load generator. See `throng-load --help`.

mod show;

use std::{
    fs,
    io::{IsTerminal, Write, stderr, stdout},
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use clap::{CommandFactory, Parser, error::ErrorKind};
use rustix::thread::{CpuSet, sched_setaffinity};
use throng_bench::{
    LoadOptions, Plan, Report,
    interrupt::on_ctrl_c,
    progress::{Observer, Silent},
};

use self::show::{Bar, Lines};

/// The run was made and an assertion does not hold.
const ASSERTION_FAILED: u8 = 1;
/// The run could not be made.
const NO_RUN: u8 = 3;
/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Loads a WebSocket server and reports what it did, measured from the intended send times.
///
/// Exit status: 0 when all assertions hold, 1 when one does not, 2 for a faulty command line, 3 when the run could not be
/// made, 130 when it was interrupted (with a report of what there was).
#[derive(Parser)]
#[command(name = "throng-load", version)]
struct CommandLine {
    #[command(flatten)]
    options: LoadOptions,
    /// Take all options from this JSON text, as other tools of the workspace give them.
    #[arg(long, hide = true, value_name = "JSON")]
    options_json: Option<String>,
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let options = match command_line.options_json.as_deref().map(serde_json::from_str) {
        None => command_line.options,
        Some(Ok(options)) => options,
        Some(Err(error)) => CommandLine::command().error(ErrorKind::InvalidValue, error).exit(),
    };
    let plan = match Plan::check(&options) {
        Ok(plan) => plan,
        Err(errors) => CommandLine::command().error(ErrorKind::ValueValidation, errors).exit(),
    };
    match load(&options, &plan) {
        Ok(report) if report.interrupted => INTERRUPTED.into(),
        Ok(report) if report.passes() => ExitCode::SUCCESS,
        Ok(_) => ASSERTION_FAILED.into(),
        Err(error) => {
            // There is nobody left to tell when the error output is gone.
            let _ = writeln!(stderr(), "throng-load: {error:#}");
            NO_RUN.into()
        }
    }
}

fn load(options: &LoadOptions, plan: &Plan) -> anyhow::Result<Report> {
    if let Some(core) = options.core {
        let mut cores = CpuSet::new();
        anyhow::ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
        cores.set(core);
        sched_setaffinity(None, &cores).with_context(|| format!("cannot run on core {core}"))?;
    }
    // Checked before the run, or a minute of load would end in an unwritable file.
    for file in options.json.iter().chain(&options.html) {
        write(file, "")?;
    }
    let stop = stop_on_ctrl_c()?;
    let mut observer: Box<dyn Observer> = match (options.quiet, stderr().is_terminal()) {
        (true, _) => Box::new(Silent),
        (false, true) => Box::new(Bar::new()),
        (false, false) => Box::new(Lines::default()),
    };
    let mut report = throng_bench::run(plan, observer.as_mut(), &stop)?;
    drop(observer);
    report.judge(&options.assertions);
    stdout().write_all(report.to_text().as_bytes()).context("cannot write the report")?;
    if let Some(file) = &options.json {
        write(file, &serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(file) = &options.html {
        write(file, &report.to_html())?;
    }
    Ok(report)
}

fn write(file: &Path, content: &str) -> anyhow::Result<()> {
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}

/// The first Ctrl-C ends the run with a report, the second one ends the program.
fn stop_on_ctrl_c() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    on_ctrl_c(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
    })
    .context("cannot wait for Ctrl-C")?;
    Ok(stop)
}
