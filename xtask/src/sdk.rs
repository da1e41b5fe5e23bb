//! `cargo xtask sdk`: the official SDKs, npm `centrifuge` and PyPI `centrifuge-python`, against the release server.
//!
//! Four clients take part: each SDK once with JSON and once with Protobuf. Each is a process of its own, driven
//! line by line (`xtask/sdk/`), so that what must hold is written once, in [`cases`], for all of them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{checks::Checks, server, server::Server, tools, workspace};

mod agent;
mod cases;

use agent::Agent;

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Settings under which pings come often enough to be waited for.
const FAST_PINGS: &str = "[client]\nping_interval = \"1s\"\npong_timeout = \"500ms\"\n";
/// SDK and wire format of each client.
const KINDS: &[(Sdk, &str)] =
    &[(Sdk::Js, "json"), (Sdk::Js, "protobuf"), (Sdk::Python, "json"), (Sdk::Python, "protobuf")];

/// Options of `cargo xtask sdk`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: server::Choice,
}

/// Which library a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sdk {
    Js,
    Python,
}

/// What is installed, and where the server's logs go.
struct Installed {
    server: PathBuf,
    node_modules: PathBuf,
    python: PathBuf,
    logs: PathBuf,
}

/// A server and one client of each kind, connected to it.
struct Party<'a> {
    installed: &'a Installed,
    /// Always there, but while it is being restarted.
    server: Option<Server>,
    agents: Vec<Agent>,
}

/// Installs what is needed, runs all checks and prints `N passed, N failed`.
///
/// # Errors
///
/// When a check fails, or something cannot be installed or started.
pub(crate) fn run(args: &Args) -> Result<()> {
    let programs = workspace::root().join("xtask/sdk");
    let installed = Installed {
        node_modules: tools::node_modules("sdk-js", &programs.join("js"))?,
        python: tools::python("sdk-python", &programs.join("python/requirements.txt"))?,
        server: args.choice.binary()?,
        logs: workspace::Metadata::own()?.target_directory.join("sdk"),
    };
    fs::create_dir_all(&installed.logs)?;
    let mut checks = Checks::default();
    let mut party = Party::start(&installed, &[], "server.log")?;
    for (name, case) in cases::ALL {
        checks.check(name, || case(&mut party));
    }
    if checks.any_failed() {
        println!(
            "the server's log ends:\n{}",
            party.server.as_ref().map(Server::log_tail).unwrap_or_default()
        );
    }
    drop(party);
    checks.check("pings keep quiet clients connected", || quiet_clients_stay(&installed));
    checks.finish("sdk")
}

/// With short intervals, a ping that does not come, or a pong that the server does not accept, ends a connection
/// within seconds.
fn quiet_clients_stay(installed: &Installed) -> Result<()> {
    let config = installed.logs.join("fast-pings.toml");
    fs::write(&config, FAST_PINGS)?;
    let config = config.to_str().context("the path of the target directory is no UTF-8")?;
    let mut party = Party::start(installed, &["--config", config], "fast-pings.log")?;
    cases::stays_connected(&mut party)
}

impl<'a> Party<'a> {
    /// Starts a server and connects one client of each kind to it.
    fn start(installed: &'a Installed, arguments: &[&str], log: &str) -> Result<Self> {
        let server = Server::start(&installed.server, ANY_PORT, arguments, &installed.logs.join(log))?;
        let url = server.url("ws", "/connection/websocket");
        let agents: Result<Vec<_>> =
            KINDS.iter().map(|(sdk, format)| installed.agent(*sdk, format, &url)).collect();
        let mut party = Self { installed, server: Some(server), agents: agents? };
        for agent in &mut party.agents {
            agent.call("connect", &[]).with_context(|| format!("{} cannot connect", agent.name()))?;
        }
        Ok(party)
    }

    /// The URL that clients connect to.
    fn url(&self) -> Result<String> {
        Ok(self.running()?.url("ws", "/connection/websocket"))
    }

    fn running(&self) -> Result<&Server> {
        self.server.as_ref().context("the server does not run")
    }

    /// Ends the server, by SIGTERM or at once, and starts it again on the same port.
    fn restart(&mut self, kindly: bool) -> Result<()> {
        let server = self.server.take().context("the server does not run")?;
        let address = server.address();
        if kindly {
            let status = server.stop()?;
            ensure!(status.success(), "after SIGTERM the server ended with {status}");
        } else {
            drop(server);
        }
        let log = self.installed.logs.join("restarted.log");
        self.server = Some(Server::start(&self.installed.server, address, &[], &log)?);
        Ok(())
    }
}

impl Installed {
    /// Starts one client, not yet connected.
    fn agent(&self, sdk: Sdk, format: &str, url: &str) -> Result<Agent> {
        let programs = workspace::root().join("xtask/sdk");
        let mut command = match sdk {
            Sdk::Js => {
                command("node", &programs.join("js/agent.mjs"), &[path(&self.node_modules)?, url, format])
            }
            Sdk::Python => command(&self.python, &programs.join("python/agent.py"), &[url, format]),
        };
        Agent::start(sdk, format, &mut command)
    }
}

fn command(program: impl AsRef<std::ffi::OsStr>, script: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg(script).args(arguments);
    command
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the path of the cache is no UTF-8")
}
