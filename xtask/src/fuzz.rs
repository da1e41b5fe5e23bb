//! `cargo xtask fuzz`: runs the fuzz targets on stable Rust, and counts what they did.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    process,
    workspace::{self, Metadata},
};

/// How much longer than asked a target may run: it reads its corpus first, and finishes what it is at.
const MARGIN: Duration = Duration::from_secs(300);

/// Options of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only this target; without it, all in turn
    target: Option<String>,
    /// Length of each run, in seconds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

/// What a run came to.
#[derive(Debug, Default, Eq, PartialEq)]
struct Tally {
    executions: u64,
    /// Edges of the code that were reached.
    coverage: u64,
    /// Inputs that the corpus holds.
    corpus: u64,
}

/// One target's run.
struct Row {
    target: String,
    took: Duration,
    tally: Tally,
    /// Files with inputs that broke a rule.
    findings: Vec<PathBuf>,
}

/// Builds the targets, runs them, and prints a table.
///
/// # Errors
///
/// When one does not compile or finds something.
pub(crate) fn run(args: &Args) -> Result<()> {
    let directory = workspace::root().join("fuzz");
    let targets = targets(&directory)?;
    let wanted: Vec<_> = match &args.target {
        None => targets,
        Some(target) if targets.contains(target) => vec![target.clone()],
        Some(target) => bail!("there is no fuzz target {target}; there are {}", targets.join(", ")),
    };
    // In its directory, so that its configuration with the flags for coverage is found.
    let mut build = workspace::cargo();
    build.args(["build", "--release"]).current_dir(&directory).env_remove("CARGO_TARGET_DIR");
    build.args(wanted.iter().flat_map(|target| ["--bin", target.as_str()]));
    process::run(&mut build)?;
    let mut rows = Vec::new();
    for target in wanted {
        println!("fuzz: {target}, {} s", args.seconds);
        rows.push(fuzz(&directory, target, args.seconds)?);
    }
    print!("{}", table(&rows));
    let findings: Vec<_> = rows.iter().flat_map(|row| &row.findings).collect();
    ensure!(findings.is_empty(), "{} input(s) broke a rule: {findings:?}", findings.len());
    Ok(())
}

/// The names of all targets, in order.
fn targets(directory: &Path) -> Result<Vec<String>> {
    let metadata = Metadata::read(&directory.join("Cargo.toml"))?;
    Ok(metadata.targets("bin").into_iter().map(str::to_owned).collect())
}

fn fuzz(directory: &Path, target: String, seconds: u64) -> Result<Row> {
    let (corpus, artifacts) =
        (directory.join("corpus").join(&target), directory.join("artifacts").join(&target));
    for directory in [&corpus, &artifacts] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let before = files(&artifacts)?;
    let log = artifacts.with_extension("log");
    let binary = directory.join("target").join(host()?).join("release").join(&target);
    let mut command = Command::new(binary);
    command
        .arg(format!("-max_total_time={seconds}"))
        // An input takes milliseconds; one that takes so long hangs.
        .args(["-print_final_stats=1", "-timeout=20", "-rss_limit_mb=4096"])
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([&corpus, &directory.join("seeds").join(&target)])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log)?);
    let began = Instant::now();
    let mut running = process::Running::start(&target, &mut command)?;
    let status = running.wait(Duration::from_secs(seconds) + MARGIN)?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let findings: Vec<_> = files(&artifacts)?.into_iter().filter(|file| !before.contains(file)).collect();
    if !status.success() && findings.is_empty() {
        bail!("{target} ended with {status}; its log is {}", log.display());
    }
    let tally = Tally { corpus: files(&corpus)?.len() as u64, ..tally(&text) };
    Ok(Row { target, took: began.elapsed(), tally, findings })
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

/// The machine that the targets are built for: the one that builds them.
fn host() -> Result<String> {
    let version = process::output(Command::new("rustc").arg("-vV").current_dir(workspace::root()))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not name its host")
}

/// What libFuzzer says that it did.
fn tally(log: &str) -> Tally {
    let number = |text: &str| text.split_whitespace().next().and_then(|number| number.parse().ok());
    let executions =
        log.lines().find_map(|line| number(line.strip_prefix("stat::number_of_executed_units:")?));
    let coverage = log.lines().rev().find_map(|line| number(line.split_once(" cov: ")?.1));
    // After a finding there are no final numbers; the last status line has them.
    let last = || log.lines().rev().find_map(|line| number(line.strip_prefix('#')?));
    Tally { executions: executions.or_else(last).unwrap_or(0), coverage: coverage.unwrap_or(0), corpus: 0 }
}

/// The rows as a table of Markdown, so that it can be put into a document.
fn table(rows: &[Row]) -> String {
    let mut text =
        "\n| target | time | executions | coverage | corpus | findings |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for Row { target, took, tally: Tally { executions, coverage, corpus }, findings } in rows {
        text += &format!(
            "| `{target}` | {} s | {executions} | {coverage} | {corpus} | {} |\n",
            took.as_secs(),
            findings.len()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_libfuzzer_are_read() {
        let log = "#2\tINITED cov: 5 ft: 6 corp: 1/1b\n#4096\tpulse  cov: 77 ft: 90 corp: 5/9b exec/s: 2048\n\
                   #9000\tDONE   cov: 80 ft: 99 corp: 6/10b\nstat::number_of_executed_units: 9001\n";
        assert_eq!(tally(log), Tally { executions: 9_001, coverage: 80, corpus: 0 });
        let crashed = "#4096\tpulse  cov: 77 ft: 90\nthread panicked at x\n";
        assert_eq!(tally(crashed), Tally { executions: 4_096, coverage: 77, corpus: 0 });
    }

    #[test]
    fn every_target_has_seeds() {
        let directory = workspace::root().join("fuzz");
        for target in targets(&directory).unwrap() {
            let seeds = files(&directory.join("seeds").join(&target)).unwrap();
            assert!(!seeds.is_empty(), "{target}");
        }
    }

    #[test]
    fn a_finding_stands_in_the_table() {
        let row = Row {
            target: "frame".into(),
            took: Duration::from_secs(60),
            tally: Tally { executions: 7, coverage: 8, corpus: 9 },
            findings: vec!["artifacts/frame/crash-1".into()],
        };
        assert!(table(&[row]).ends_with("| `frame` | 60 s | 7 | 8 | 9 | 1 |\n"));
    }
}
