//! `cargo xtask bench`: the criterion benches of the workspace.

use anyhow::{Context, Result, ensure};

use crate::{process, workspace};

/// The package whose manifest registers the files of `benches/`.
const PACKAGE: &str = "throng-bench";

/// Options of `cargo xtask bench`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only these files of benches/, without .rs [default: all]
    #[arg(long = "bench", value_name = "NAME")]
    benches: Vec<String>,
    /// Run each case once, without measuring
    #[arg(long)]
    test: bool,
    /// Only cases whose name contains this
    filter: Option<String>,
    /// More arguments for criterion, after --
    #[arg(last = true)]
    criterion: Vec<String>,
}

/// Runs the benches; their reports go to `criterion` in the target directory.
///
/// # Errors
///
/// When they do not compile or one fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["bench", "--package", PACKAGE]);
    // Named one by one: `--benches` would also run the library's unit tests.
    let all = all()?;
    for bench in if args.benches.is_empty() { &all } else { &args.benches } {
        ensure!(all.contains(bench), "there is no bench {bench:?}; there are {}", all.join(", "));
        command.args(["--bench", bench]);
    }
    command.arg("--").args(args.test.then_some("--test")).args(&args.filter).args(&args.criterion);
    process::run(&mut command)
}

/// Names of all benches.
fn all() -> Result<Vec<String>> {
    let packages = workspace::Metadata::own()?.packages;
    let package =
        packages.into_iter().find(|package| package.name == PACKAGE).context("no package of benches")?;
    let benches = package.targets.into_iter().filter(|target| target.kind.iter().any(|kind| kind == "bench"));
    Ok(benches.map(|target| target.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_bench_is_refused_with_the_known_ones() {
        let args = Args { benches: vec!["speed".to_owned()], ..Args::default() };
        let error = run(&args).unwrap_err().to_string();
        assert!(error.contains("\"speed\"") && error.contains("codec"), "{error}");
    }
}
