//! `cargo xtask loadtest`: the load generator against the release server.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use throng_bench::{LoadOptions, interrupt::on_ctrl_c};

use crate::{process, server, server::Server, workspace};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Options of `cargo xtask loadtest`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    load: LoadOptions,
    /// Load the server over TLS, with a certificate that is made for the run (ECDSA, P-256)
    #[arg(long, conflicts_with_all = ["url", "cacert"])]
    tls: bool,
    #[command(flatten)]
    choice: server::Choice,
}

/// Builds the server and the generator, starts the server unless a URL is given, loads it and prints the report.
///
/// # Errors
///
/// When something does not compile or start, the run cannot be made, or an assertion does not hold.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut load = args.load.clone();
    ensure!(load.pid.is_none() || load.url.is_some(), "--pid is of a server that --url names");
    let generator = generator()?;
    // The generator and the server end by themselves; we stay to stop the one when the other is done.
    on_ctrl_c(|| {}).context("cannot wait for Ctrl-C")?;
    if load.url.is_some() {
        return load_server(&generator, &load);
    }
    let logs = workspace::Metadata::own()?.target_directory.join("loadtest");
    fs::create_dir_all(&logs)?;
    let mut command = Command::new(args.choice.binary()?);
    command.arg("--listen").arg(ANY_PORT.to_string());
    if args.tls {
        let (cert, key) = certificate(&logs)?;
        command.arg("--tls-cert").arg(&cert).arg("--tls-key").arg(key);
        load.cacert = Some(cert);
    }
    // In a group of its own, so that Ctrl-C does not reach it before the generator has made its report.
    command.process_group(0);
    let mut server = Server::spawn(command, &logs.join("server.log"))?;
    load.url = Some(server.url(if args.tls { "wss" } else { "ws" }, ""));
    load.pid = Some(server.pid());
    let result = load_server(&generator, &load);
    let stopped = server.stop();
    result?;
    ensure!(stopped?.success(), "the server did not end well; its log is in {}", logs.display());
    Ok(())
}

/// Makes a certificate for 127.0.0.1, and returns the paths of its file and of its key's.
///
/// # Errors
///
/// When they cannot be written.
pub(crate) fn certificate(directory: &Path) -> Result<(PathBuf, PathBuf)> {
    let certified =
        rcgen::generate_simple_self_signed([ANY_PORT.ip().to_string()]).context("no certificate")?;
    let (cert, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    fs::write(&cert, certified.cert.pem())?;
    fs::write(&key, certified.signing_key.serialize_pem())?;
    Ok((cert, key))
}

/// Builds the generator and the baselines, and returns the generator's path.
///
/// # Errors
///
/// When they do not compile.
pub(crate) fn generator() -> Result<PathBuf> {
    process::run(workspace::cargo().args(["build", "--release", "--package", "throng-bench", "--bins"]))?;
    server::release_binary("throng-load")
}

/// Makes one run; the generator's own exit status says what is wrong.
fn load_server(generator: &Path, load: &LoadOptions) -> Result<()> {
    let mut command = Command::new(generator);
    command.arg("--options-json").arg(serde_json::to_string(load)?);
    let status = command.stdin(Stdio::null()).status().context("cannot start the generator")?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => bail!("an assertion does not hold"),
        Some(130) => bail!("interrupted"),
        _ => bail!("the run could not be made"),
    }
}
