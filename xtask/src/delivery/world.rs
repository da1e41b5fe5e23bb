//! The checked server, and what is done to it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::namespace;
use crate::server::Server;

/// The server as a child process, and what it takes to start it again.
#[derive(Debug)]
pub(super) struct World {
    binary: PathBuf,
    config: String,
    directory: PathBuf,
    address: SocketAddr,
    /// Always there, but while it is being started again.
    server: Option<Server>,
    pub(super) stalls: usize,
    pub(super) kills: usize,
}

impl World {
    /// Starts the server on a free port; its configuration and its logs go to `directory`.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) fn start(binary: &Path, directory: &Path) -> Result<Self> {
        let config = directory.join("throng.toml");
        fs::write(&config, namespace::config())
            .with_context(|| format!("cannot write {}", config.display()))?;
        let config = config.to_str().context("the path of the target directory is no UTF-8")?.to_owned();
        let mut world = Self {
            binary: binary.to_owned(),
            config,
            directory: directory.to_owned(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            server: None,
            stalls: 0,
            kills: 0,
        };
        world.run()?;
        Ok(world)
    }

    /// Where the server listens, and will listen again.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets the server stand still.
    ///
    /// # Errors
    ///
    /// When it cannot be signalled.
    pub(super) fn stall(&mut self, time: Duration) -> Result<()> {
        let server = self.server.as_mut().context("the server does not run")?;
        server.signal(rustix::process::Signal::STOP)?;
        thread::sleep(time);
        self.stalls += 1;
        server.signal(rustix::process::Signal::CONT)
    }

    /// Kills the server and starts it again on the same port.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) fn kill(&mut self) -> Result<()> {
        // Dropping it is a SIGKILL.
        drop(self.server.take());
        self.kills += 1;
        self.run()
    }

    /// Ends the server with SIGTERM.
    ///
    /// # Errors
    ///
    /// When it does not end, or ends with a failure.
    pub(super) fn stop(mut self) -> Result<()> {
        let status = self.server.take().context("the server does not run")?.stop()?;
        ensure!(status.success(), "after SIGTERM the server ended with {status}");
        Ok(())
    }

    /// The end of the server's log.
    pub(super) fn log_tail(&self) -> String {
        self.server.as_ref().map(Server::log_tail).unwrap_or_default()
    }

    fn run(&mut self) -> Result<()> {
        let log = self.directory.join(format!("server-{}.log", self.kills));
        let server = Server::start(&self.binary, self.address, &["--config", &self.config], &log)?;
        self.address = server.address();
        self.server = Some(server);
        Ok(())
    }
}
