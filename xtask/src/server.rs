//! The release server as a child process, for the checks that run software from elsewhere against it.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::Receiver,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};

use crate::{process, workspace};

/// Time in which the server must say where it listens.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Time in which it must end after SIGTERM; longer than its own grace period.
const STOP_LIMIT: Duration = Duration::from_secs(45);
/// What the line of the banner that names the address holds.
const BANNER: &str = "listening on http";

/// Which server is run.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Choice {
    /// Run this server binary instead of building the release server
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

impl Choice {
    /// The path of the server binary; the release server is built first.
    ///
    /// # Errors
    ///
    /// When it does not compile.
    pub(crate) fn binary(&self) -> Result<PathBuf> {
        self.server.clone().map_or_else(build, Ok)
    }
}

/// Builds the release server as `cargo run --release --bin throng-server` would, and returns its path.
///
/// # Errors
///
/// When it does not compile.
pub(crate) fn build() -> Result<PathBuf> {
    process::run(workspace::cargo().args(["build", "--release", "--bin", "throng-server"]))?;
    release_binary("throng-server")
}

/// Where cargo puts a binary of the release profile.
pub(crate) fn release_binary(name: &str) -> Result<PathBuf> {
    let directory = workspace::Metadata::own()?.target_directory.join("release");
    Ok(directory.join(format!("{name}{}", env::consts::EXE_SUFFIX)))
}

/// A server that runs until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: process::Running,
    address: SocketAddr,
    log: PathBuf,
    /// Kept, so that the thread behind it goes on reading what the server prints.
    _output: Receiver<String>,
}

impl Server {
    /// Starts `binary` on `listen` (port 0: any free one) with more `arguments`; its log goes to the file `log`.
    ///
    /// The variables `THRONG_*` of our own environment are not passed on.
    ///
    /// # Errors
    ///
    /// When it does not say within 30 seconds where it listens; the error holds the end of its log.
    pub(crate) fn start(binary: &Path, listen: SocketAddr, arguments: &[&str], log: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg("--listen").arg(listen.to_string()).args(arguments);
        Self::spawn(command, log)
    }

    /// Starts `command`, which must say where it listens as the server does.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let log_file = fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THRONG_")) {
            command.env_remove(name);
        }
        let mut process = process::Running::start("the server", &mut command)?;
        let output = process::lines(process.child().stdout.take().context("the server's output is piped")?);
        match address(&output) {
            Some(address) => Ok(Self { process, address, log: log.to_owned(), _output: output }),
            None => Err(anyhow!("the server did not say where it listens; its log:\n{}", tail(log))),
        }
    }

    /// Its process id.
    pub(crate) fn pid(&mut self) -> u32 {
        self.process.child().id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When it does not run any more.
    pub(crate) fn signal(&mut self, signal: rustix::process::Signal) -> Result<()> {
        let pid = rustix::process::Pid::from_child(self.process.child());
        rustix::process::kill_process(pid, signal)
            .with_context(|| format!("cannot send {signal:?} to the server"))
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path on it, with this scheme, such as `http` or `wss`.
    pub(crate) fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    ///
    /// When it still runs after 45 seconds (it is killed then).
    pub(crate) fn stop(mut self) -> Result<ExitStatus> {
        self.process.terminate()?;
        self.process.wait(STOP_LIMIT).with_context(|| format!("its log:\n{}", self.log_tail()))
    }
}

/// Reads what the server prints up to the line with its address.
fn address(output: &Receiver<String>) -> Option<SocketAddr> {
    while let Ok(line) = output.recv_timeout(START_LIMIT) {
        if let Some((_, rest)) = line.split_once(BANNER) {
            let (_, rest) = rest.split_once("://")?;
            return rest.split([' ', '/']).next()?.parse().ok();
        }
    }
    None
}

/// The last 20 lines of a file.
fn tail(path: &Path) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a shell script in the server's place.
    fn started(script: &str) -> Result<Server> {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Server::spawn(command, &directory.path().join("log"))
    }

    #[test]
    fn the_address_is_read_from_the_banner() {
        let server =
            started("echo throng; echo '  listening on http://127.0.0.1:4321  (WebSocket)'; exec sleep 600");
        let server = server.unwrap();
        assert_eq!(server.url("ws", "/echo"), "ws://127.0.0.1:4321/echo");
        assert!(!server.stop().unwrap().success(), "sleep ends by the signal");
    }

    #[test]
    fn the_address_of_a_server_with_tls_is_read_as_well() {
        let server = started("echo 'listening on https://127.0.0.1:4321'; exec sleep 600").unwrap();
        assert_eq!(server.url("wss", ""), "wss://127.0.0.1:4321");
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported_with_its_log() {
        let error = started("echo the port is taken >&2; exit 1").unwrap_err().to_string();
        assert!(error.contains("the port is taken"), "{error}");
    }
}
