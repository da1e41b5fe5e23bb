//! `cargo xtask ci`: the gate. Every step must pass; the first that fails ends the run.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::{Parser, builder::PossibleValuesParser};

use crate::{
    attack, browser, clients, conformance, delivery, deny, docs_check, layers, loadtest, process, sdk,
    server, workspace,
};

/// One step of the gate.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<()>,
}

/// The steps in their order. All cargo steps use the dev profile, so that dependencies are built once for
/// them, until the release server is needed.
const STEPS: &[Step] = &[
    Step { name: "fmt", what: "the formatter would change nothing", run: fmt },
    Step {
        name: "clippy",
        what: "no warning in libraries, binaries, tests, examples and benches",
        run: clippy,
    },
    Step { name: "features", what: "every feature compiles alone", run: features },
    Step { name: "layers", what: "dependencies point downwards only", run: layers::run },
    Step { name: "test", what: "cargo test --workspace", run: test },
    Step { name: "doc", what: "the documentation builds without a warning", run: doc },
    Step {
        name: "deny",
        what: "licences, banned crates, sources, advisories",
        run: || deny::run(&Default::default()),
    },
    Step {
        name: "docs-check",
        what: "what the documents name exists",
        run: || docs_check::run(crate::command()),
    },
    Step { name: "fuzz", what: "the fuzz targets compile", run: fuzz },
    Step { name: "release", what: "the release server compiles", run: || server::build().map(drop) },
    Step { name: "conformance", what: "Autobahn", run: || conformance::run(&Default::default()) },
    Step { name: "sdk", what: "the official SDKs", run: || sdk::run(&Default::default()) },
    Step {
        name: "delivery",
        what: "nothing acknowledged is lost, doubled or out of order, and the checker of that sees planted faults",
        run: delivery::run_short,
    },
    Step { name: "attack", what: "a hostile client comes to nothing", run: attack::run_short },
    Step { name: "clients", what: "plain WebSocket clients", run: || clients::run(&Default::default()) },
    Step { name: "browser", what: "the chat page in Chromium", run: || browser::run(&Default::default()) },
    Step { name: "loadtest", what: "short loads: nothing is lost, doubled or out of order", run: loads },
];

/// Short loads, each with what must hold after it. Their rates are such that a slow machine keeps up: what they prove is
/// that nothing goes wrong, not how fast it is.
const LOADS: &[(&str, &[&str])] = &[
    ("fanout --connections 200 --rate 10000 --duration 3s", SOUND),
    ("chat --protocol json --rooms 20 --members 10 --rate 5000 --duration 3s", SOUND),
    ("chat --protocol protobuf --rooms 20 --members 10 --rate 5000 --duration 3s", SOUND),
    ("storm --protocol json --connections 500 --rooms 10 --duration 20s", &["connect_failed==0"]),
];
const SOUND: &[&str] =
    &["lost==0", "duplicated==0", "reordered==0", "misrouted==0", "disconnected==0", "connect_failed==0"];

/// Options of `cargo xtask ci`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these steps
    #[arg(long, value_name = "STEP,…", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
    /// Leave these steps out
    #[arg(long, value_name = "STEP,…", value_delimiter = ',', value_parser = names())]
    skip: Vec<String>,
    /// List the steps and stop
    #[arg(long)]
    list: bool,
}

fn names() -> PossibleValuesParser {
    STEPS.iter().map(|step| step.name).collect::<Vec<_>>().into()
}

/// Runs the steps.
///
/// # Errors
///
/// The first step that fails, by name.
pub(crate) fn run(args: &Args) -> Result<()> {
    let steps: Vec<_> = STEPS.iter().filter(|step| args.wants(step.name)).collect();
    if args.list {
        for step in &steps {
            println!("{:<12} {}", step.name, step.what);
        }
        return Ok(());
    }
    let begin = Instant::now();
    let mut times = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n=== {}/{} {}: {}", index + 1, steps.len(), step.name, step.what);
        let began = Instant::now();
        (step.run)()
            .with_context(|| format!("step `{}` failed after {}", step.name, shown(began.elapsed())))?;
        println!("--- {}: ok, {}", step.name, shown(began.elapsed()));
        times.push(format!("{} {}", step.name, shown(began.elapsed())));
    }
    println!("\nci: all {} steps passed in {} ({})", steps.len(), shown(begin.elapsed()), times.join(", "));
    Ok(())
}

impl Args {
    fn wants(&self, name: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|only| only == name))
            && !self.skip.iter().any(|skip| skip == name)
    }
}

/// Whether this runs where nobody can help (`CI=true`): what would be skipped on a desk fails there.
pub(crate) fn unattended() -> bool {
    env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

fn fmt() -> Result<()> {
    process::run(workspace::cargo().args(["fmt", "--all", "--check"]))?;
    match fuzz_manifest() {
        Some(manifest) => {
            process::run(workspace::cargo().args(["fmt", "--check", "--manifest-path", &manifest]))
        }
        None => Ok(()),
    }
}

fn clippy() -> Result<()> {
    // --all-targets includes the benches, so that they are compiled here and need no step of their own.
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny=warnings"];
    process::run(workspace::cargo().args(arguments))
}

/// Checks each package without its default features, and with each feature alone.
fn features() -> Result<()> {
    for package in workspace::Metadata::own()?.packages {
        let alone = package.features.keys().filter(|feature| *feature != "default");
        let sets: Vec<&str> = std::iter::once("").chain(alone.map(String::as_str)).collect();
        if sets.len() == 1 && !package.features.contains_key("default") {
            continue;
        }
        for set in sets {
            let mut check = workspace::cargo();
            check.args(["check", "--quiet", "--locked", "--no-default-features", "--package", &package.name]);
            println!("{} with {}", package.name, if set.is_empty() { "no features" } else { set });
            process::run(check.args(["--features", set]))?;
        }
    }
    Ok(())
}

fn test() -> Result<()> {
    process::run(workspace::cargo().args(["test", "--workspace", "--locked"]))
}

fn doc() -> Result<()> {
    let mut doc = workspace::cargo();
    process::run(doc.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// The fuzz targets are a workspace of their own; it shares our target directory. Their seeds are replayed by the tests.
fn fuzz() -> Result<()> {
    let manifest = fuzz_manifest().context("there is no fuzz/Cargo.toml")?;
    let target = workspace::Metadata::own()?.target_directory;
    let mut clippy = workspace::cargo();
    clippy.args(["clippy", "--all-targets", "--manifest-path", &manifest, "--", "--deny=warnings"]);
    // The server shows its inside to the fuzz targets only.
    process::run(clippy.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", "--cfg fuzzing"))
}

fn loads() -> Result<()> {
    LOADS.iter().try_for_each(|(load, holds)| loadtest::run(&parse_load(load, holds)?))
}

/// The options of a load, from what one would type after `cargo xtask loadtest`, and what must hold.
fn parse_load(load: &str, holds: &[&str]) -> Result<loadtest::Args> {
    #[derive(clap::Parser)]
    #[command(no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        args: loadtest::Args,
    }
    let asserts = holds.iter().flat_map(|holds| ["--assert", holds]);
    Ok(Line::try_parse_from(load.split(' ').chain(["--quiet"]).chain(asserts))?.args)
}

fn fuzz_manifest() -> Option<String> {
    let manifest = workspace::root().join("fuzz/Cargo.toml");
    fs::exists(&manifest).is_ok_and(|exists| exists).then(|| manifest.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn wanted(line: &[&str]) -> Vec<&'static str> {
        let args = Line::try_parse_from([&["ci"], line].concat()).unwrap().args;
        STEPS.iter().map(|step| step.name).filter(|name| args.wants(name)).collect()
    }

    #[test]
    fn steps_can_be_chosen_and_left_out_by_name() {
        assert_eq!(wanted(&["--only", "test,fmt", "--skip", "test"]), ["fmt"]);
        assert_eq!(wanted(&[]).len(), STEPS.len());
        let unknown = Line::try_parse_from(["ci", "--only", "tset"]).unwrap_err().to_string();
        assert!(unknown.contains("tset") && unknown.contains("docs-check"), "{unknown}");
    }

    #[test]
    fn every_load_can_be_parsed() {
        LOADS.iter().for_each(|(load, holds)| drop(parse_load(load, holds).unwrap()));
    }

    #[test]
    fn no_two_steps_have_one_name() {
        assert_eq!(STEPS.iter().map(|step| step.name).collect::<BTreeSet<_>>().len(), STEPS.len());
    }
}
