//! `cargo xtask sdk`: the official SDKs, npm `centrifuge` and PyPI `centrifuge-python`, against the release server.
//!
//! Four clients take part: each SDK once with JSON and once with Protobuf, each as a user of its own. Each is a process,
//! driven line by line (`xtask/sdk/`), so that what must hold is written once, in [`cases`], for all of them. Then
//! PyPI `cent` takes its turn at the HTTP API (`xtask/sdk/python/cent_checks.py`).

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::{api::Api, checks::Checks, server, server::Server, tools, workspace};

mod agent;
mod cases;
mod gate;

use agent::Agent;
use gate::Gate;

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// What the server of most checks is set to.
const CONFIG: &str = include_str!("../sdk/throng.toml");
/// What the server of the checks with tokens is set to.
const TOKENS: &str = include_str!("../sdk/tokens.toml");
/// The secret in it.
const SECRET: &str = "a-secret-for-the-checks-of-the-sdks";
/// Key of its HTTP API.
const API_KEY: &str = "sdk-checks";
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

/// A server and one client of each kind, connected to it through a gate.
struct Party<'a> {
    installed: &'a Installed,
    /// Path of the server's configuration.
    config: String,
    /// Always there, but while it is being restarted.
    server: Option<Server>,
    gate: Gate,
    agents: Vec<Agent>,
    runtime: Runtime,
    api: Api,
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
    let mut party = Party::start(&installed, "server", CONFIG)?;
    for (name, case) in cases::all() {
        checks.check(name, || case(&mut party));
    }
    if checks.any_failed() {
        println!(
            "the server's log ends:\n{}",
            party.server.as_ref().map(Server::log_tail).unwrap_or_default()
        );
    }
    drop(party);
    cases::tokens(&installed, &mut checks)?;
    cent(&installed, &mut checks)?;
    checks.check("pings keep quiet clients connected", || quiet_clients_stay(&installed));
    checks.finish("sdk")
}

/// With short intervals, a ping that does not come, or a pong that the server does not accept, ends a connection
/// within seconds.
fn quiet_clients_stay(installed: &Installed) -> Result<()> {
    cases::stays_connected(&mut Party::start(installed, "fast-pings", FAST_PINGS)?)
}

/// The checks of PyPI `cent`, against a server of their own.
fn cent(installed: &Installed, checks: &mut Checks) -> Result<()> {
    let server = installed.serve("cent", CONFIG)?;
    let mut python = Command::new(&installed.python);
    python.arg(workspace::root().join("xtask/sdk/python/cent_checks.py"));
    python.args([server.address().to_string().as_str(), API_KEY]);
    checks.follow(&mut python, |need| bail!("the checks need {need:?}"))
}

impl<'a> Party<'a> {
    /// Starts a server with that configuration and connects one client of each kind to it.
    fn start(installed: &'a Installed, name: &str, config: &str) -> Result<Self> {
        let server = installed.serve(name, config)?;
        let gate = Gate::before(server.address())?;
        let url = format!("ws://{}/connection/websocket", gate.address());
        let agents: Result<Vec<_>> = (0..)
            .zip(KINDS)
            .map(|(number, (sdk, format)): (u32, _)| {
                installed.agent(*sdk, format, &format!("user{number}"), &url)
            })
            .collect();
        let api = Api::new(server.address(), API_KEY);
        let mut party = Self {
            installed,
            config: installed.config(name)?,
            server: Some(server),
            gate,
            agents: agents?,
            runtime: Builder::new_current_thread().enable_all().build()?,
            api,
        };
        for agent in &mut party.agents {
            agent.call("connect", &[]).with_context(|| format!("{} cannot connect", agent.name()))?;
        }
        Ok(party)
    }

    /// The URL that clients connect to.
    fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.gate.address())
    }

    /// Calls a method of the HTTP API, which must succeed.
    fn api(&mut self, method: &str, parameters: &Value) -> Result<()> {
        let call = self.api.call::<IgnoredAny>(method, parameters.to_string());
        self.runtime.block_on(call).map(drop).map_err(|failure| anyhow!("API {method}: {failure}"))
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
        self.server =
            Some(Server::start(&self.installed.server, address, &["--config", &self.config], &log)?);
        Ok(())
    }
}

impl Installed {
    /// Starts a server; its configuration and its log are files of that name.
    fn serve(&self, name: &str, config: &str) -> Result<Server> {
        let path = self.config(name)?;
        fs::write(&path, config)?;
        let log = self.logs.join(format!("{name}.log"));
        Server::start(&self.server, ANY_PORT, &["--config", &path], &log)
    }

    /// Where the configuration of that name is.
    fn config(&self, name: &str) -> Result<String> {
        let path = self.logs.join(format!("{name}.toml"));
        Ok(path.to_str().context("the path of the target directory is no UTF-8")?.to_owned())
    }

    /// Starts one client, not yet connected, whose user stands in a header.
    fn agent(&self, sdk: Sdk, format: &str, user: &str, url: &str) -> Result<Agent> {
        self.agent_with(sdk, format, user, url, None)
    }

    /// Starts one client, not yet connected; with a secret it brings tokens.
    fn agent_with(
        &self,
        sdk: Sdk,
        format: &str,
        user: &str,
        url: &str,
        secret: Option<&str>,
    ) -> Result<Agent> {
        let programs = workspace::root().join("xtask/sdk");
        let mut command = match sdk {
            Sdk::Js => {
                let modules = path(&self.node_modules)?;
                command("node", &programs.join("js/agent.mjs"), &[modules, url, format, user])
            }
            Sdk::Python => command(&self.python, &programs.join("python/agent.py"), &[url, format, user]),
        };
        command.args(secret);
        Agent::start(sdk, format, user, &mut command)
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
