//! `cargo xtask clients`: plain WebSocket clients, which know nothing of throng, against the release server.
//!
//! Python `websockets`, npm `ws` and `wscat`; what is checked stands in `xtask/clients/`.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{checks::Checks, ci, server, server::Server, tools, workspace};

/// A connection that says nothing is closed soon enough to be waited for, and one that is never ended by the server
/// is left open longer than the checks wait.
const CONFIG: &str = "[client]\nstale_close_delay = \"1s\"\n[shutdown]\nclose_timeout = \"30s\"\n";
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Options of `cargo xtask clients`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: server::Choice,
}

/// Runs the checks and prints `N passed, N failed`. Without promtool it says that it leaves the check of the metrics'
/// form out, unless `CI` is set.
///
/// # Errors
///
/// When a check fails, or something cannot be installed or started.
pub(crate) fn run(args: &Args) -> Result<()> {
    let programs = workspace::root().join("xtask/clients");
    let python = tools::python("clients-python", &programs.join("requirements.txt"))?;
    let modules = tools::node_modules("clients-js", &programs)?;
    let output = workspace::Metadata::own()?.target_directory.join("clients");
    fs::create_dir_all(&output)?;
    let config = output.join("throng.toml");
    fs::write(&config, CONFIG)?;
    let config = config.to_str().context("the path of the target directory is no UTF-8")?;
    let log = output.join("server.log");
    let server = Server::start(&args.choice.binary()?, ANY_PORT, &["--config", config], &log)?;
    let address = server.address().to_string();
    let nothing = |need: &str| bail!("the checks need {need:?}");
    let mut checks = Checks::default();
    let mut plain = Command::new(python);
    checks.follow(plain.arg(programs.join("plain.py")).arg(&address).args(promtool()?), nothing)?;
    checks
        .follow(Command::new("node").arg(programs.join("plain.mjs")).arg(modules).arg(&address), nothing)?;
    if checks.any_failed() {
        println!("the server's log ends:\n{}", server.log_tail());
    }
    checks.check("the server stops when it is told to", || {
        let status = server.stop()?;
        if status.success() { Ok(()) } else { bail!("it ended with {status}") }
    });
    checks.finish("clients")
}

/// Prometheus' own checker. Its package brings a service along, so that it is installed only where nobody else works.
fn promtool() -> Result<Option<PathBuf>> {
    const NAMES: &[&str] = &["promtool"];
    if ci::unattended() {
        let installed = tools::debian(NAMES, "prometheus")?;
        return installed.map(Some).context("promtool is neither installed nor can it be installed by us");
    }
    let found = tools::find(NAMES);
    if found.is_none() {
        println!(
            "clients: the form of the metrics is not checked: there is no promtool (Debian: prometheus)"
        );
    }
    Ok(found)
}
