//! `cargo xtask browser`: the chat page in headless Chromium, against the release server.
//!
//! What is checked stands in `xtask/browser/page.mjs`; here the browser is found, and the server is stopped and
//! started when the checks ask for it.

use std::{
    env, fs,
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::{checks::Checks, ci, process, server, server::Server, tools, workspace};

/// Longest silence of the checks: each of their own waits is shorter.
const LIMIT: Duration = Duration::from_secs(120);
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

/// A line that the checks write.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Check { check: String, ms: u64, error: Option<String> },
    Need { need: Need },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Need {
    Stop,
    Start,
}

/// Runs the checks and prints `N passed, N failed`. Without Chromium it says that it skips them, unless `CI` is set.
///
/// # Errors
///
/// When a check fails, or something cannot be installed or started.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(chromium) = chromium()? else {
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
    drive(&mut command, &mut host, &mut checks)?;
    println!("screenshots: {}", screenshots.display());
    if checks.any_failed() {
        println!("the server's log ends:\n{}", host.running()?.log_tail());
    }
    checks.finish("browser")
}

/// Runs the checks to their end.
fn drive(command: &mut Command, host: &mut Host, checks: &mut Checks) -> Result<()> {
    let mut node =
        process::Running::start("the page's checks", command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let mut input = node.child().stdin.take().context("the input is piped")?;
    let lines = process::lines(node.child().stdout.take().context("the output is piped")?);
    loop {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        let line = match lines.recv_timeout(LIMIT) {
            Ok(line) => line,
            Err(Disconnected) => break,
            Err(Timeout) => bail!("the page's checks said nothing for {} s", LIMIT.as_secs()),
        };
        match serde_json::from_str(&line).with_context(|| format!("the page's checks wrote {line:?}"))? {
            Line::Check { check, ms, error } => {
                let result = error.map_or(Ok(()), |error| Err(anyhow!(error)));
                checks.record(&check, Duration::from_millis(ms), result);
            }
            Line::Need { need } => {
                match need {
                    Need::Stop => host.stop()?,
                    Need::Start => host.start()?,
                }
                writeln!(input, "done").context("the page's checks have ended")?;
            }
        }
    }
    let status = node.wait(LIMIT)?;
    ensure!(status.success(), "the page's checks ended with {status}");
    Ok(())
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

/// Finds Chromium, or installs it where we are root and apt-get is there. `None`: there is none.
fn chromium() -> Result<Option<PathBuf>> {
    if let Some(path) = find(NAMES) {
        return Ok(Some(path));
    }
    if !rustix::process::geteuid().is_root() || find(&["apt-get"]).is_none() {
        return Ok(None);
    }
    println!("installing Debian's chromium");
    let apt = |arguments: &[&str]| {
        process::run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "--quiet=2"])?;
    apt(&["install", "--yes", "--quiet=2", "--no-install-recommends", "chromium"])?;
    Ok(find(NAMES))
}

/// The first of these programs that is on the path.
fn find(names: &[&str]) -> Option<PathBuf> {
    let directories: Vec<_> = env::split_paths(&env::var_os("PATH")?).collect();
    let candidates =
        names.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    candidates.into_iter().find(|path| Path::is_file(path))
}
