//! Servers to compare with. See `throng-baseline --help`.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    sync::atomic::AtomicBool,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use rustix::thread::{CpuSet, sched_setaffinity};
use throng_bench::baseline::{
    floor::{self, Floor},
    raise_file_limit, tutorial,
};

/// Servers to compare with: what tutorials teach, and what the kernel alone charges.
#[derive(Parser)]
#[command(version)]
struct CommandLine {
    #[command(subcommand)]
    server: Server,
}

#[derive(Subcommand)]
enum Server {
    /// tokio-tungstenite, a locked map of unbounded senders, two tasks per connection, defaults.
    Tutorial(Common),
    /// epoll, no WebSocket library, frames encoded once.
    Floor {
        #[command(flatten)]
        common: Common,
        /// One write per socket and turn instead of one per delivery.
        #[arg(long)]
        merge: bool,
    },
    /// Run a command on one processor core.
    Pin {
        /// The core, from 0.
        core: usize,
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

#[derive(Args)]
struct Common {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Send each message back to its sender instead of to the others.
    #[arg(long)]
    echo: bool,
}

fn main() -> ExitCode {
    let result = match CommandLine::parse().server {
        Server::Tutorial(common) => serve_tutorial(&common),
        Server::Floor { common, merge } => serve_floor(&common, merge),
        Server::Pin { core, command } => pin(core, &command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn serve_tutorial(common: &Common) -> anyhow::Result<()> {
    let listener = listen(common)?;
    listener.set_nonblocking(true)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        tutorial::serve(tokio::net::TcpListener::from_std(listener)?, common.echo)
            .await
            .context("serving failed")
    })
}

fn serve_floor(common: &Common, merge: bool) -> anyhow::Result<()> {
    let listener = listen(common)?;
    floor::serve(listener, Floor { merge, echo: common.echo }, &AtomicBool::new(false))
        .context("serving failed")
}

#[expect(clippy::print_stdout, reason = "tools that start a baseline read its address")]
fn listen(common: &Common) -> anyhow::Result<TcpListener> {
    raise_file_limit();
    let listener =
        TcpListener::bind(common.listen).with_context(|| format!("cannot listen on {}", common.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(listener)
}

/// Replaces this process, so that the command keeps the id that the caller knows.
fn pin(core: usize, command: &[String]) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    anyhow::ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("cannot run on core {core}"))?;
    let (program, arguments) = command.split_first().context("no command")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {program}"))
}

#[expect(clippy::print_stderr, reason = "this is the program's error output")]
fn complain(error: &anyhow::Error) {
    eprintln!("throng-baseline: {error:#}");
}
