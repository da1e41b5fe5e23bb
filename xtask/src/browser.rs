//! `cargo xtask browser`: the chat page in headless Chromium, against the release server.
//!
//! What is checked stands in `xtask/browser/page.mjs`; here the browser is found, and the server is stopped and
//! started when the checks ask for it.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{checks::Checks, ci, server, server::Server, tools, workspace};

/// Names under which Chromium is installed.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Options of `cargo xtask browser`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: server::Choice,
    /// Put screenshots into this directory, instead of one in the target directory
    #[arg(long, value_name = "DIR")]
    screenshots: Option<PathBuf>,
}

/// Runs the checks and prints `N passed, N failed`. Without Chromium it says that it skips them, unless `CI` is set.
///
/// # Errors
///
/// When a check fails, or something cannot be installed or started.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(chromium) = tools::debian(NAMES, "chromium")? else {
        ensure!(!ci::unattended(), "Chromium is neither installed nor can it be installed by us");
        println!("browser: skipped: there is no Chromium, and only root can install it (Debian: chromium)");
        return Ok(());
    };
    let programs = workspace::root().join("xtask/browser");
    let modules = tools::node_modules("browser", &programs)?;
    let output = workspace::Metadata::own()?.target_directory.join("browser");
    let screenshots = args.screenshots.clone().unwrap_or_else(|| output.clone());
    fs::create_dir_all(&output)?;
    fs::create_dir_all(&screenshots)?;
    let mut host = Host {
        binary: args.choice.binary()?,
        log: output.join("server.log"),
        address: ANY_PORT,
        server: None,
    };
    host.start()?;
    let mut command = Command::new("node");
    command.arg(programs.join("page.mjs")).arg(&modules).arg(&chromium);
    command.arg(host.running()?.url("http", "")).arg(&screenshots);
    let mut checks = Checks::default();
    checks.follow(&mut command, |need| match need {
        "stop" => host.stop(),
        "start" => host.start(),
        other => bail!("the page's checks need {other:?}"),
    })?;
    println!("screenshots: {}", screenshots.display());
    if checks.any_failed() {
        println!("the server's log ends:\n{}", host.running()?.log_tail());
    }
    checks.finish("browser")
}

/// The server, which comes and goes on one address.
struct Host {
    binary: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    server: Option<Server>,
}

impl Host {
    fn start(&mut self) -> Result<()> {
        let server = Server::start(&self.binary, self.address, &[], &self.log)?;
        self.address = server.address();
        self.server = Some(server);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let status = self.server.take().context("the server does not run")?.stop()?;
        ensure!(status.success(), "after SIGTERM the server ended with {status}");
        Ok(())
    }

    fn running(&self) -> Result<&Server> {
        self.server.as_ref().context("the server does not run")
    }
}
