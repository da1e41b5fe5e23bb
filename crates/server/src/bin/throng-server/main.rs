//! `throng-server`: reads its settings, starts the server, and stops it on a signal.

mod args;
mod banner;
mod commands;
mod logging;

use std::{
    env,
    fmt::{Display, Write as _},
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use throng_server::{
    Running, Server,
    config::{Faults, Settings},
};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    args::Args,
    banner::Banner,
    commands::{Command, check_config},
};

/// As shells report a program that an interrupt ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(status) => status,
        Err(error) => {
            // Nothing is left to be told if even the standard error stream is gone.
            let _ = writeln!(io::stderr(), "throng-server: {}", complaint(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(command) = &args.command {
        let text = obey(command, args)?;
        if !text.is_empty() {
            say(text.trim_end());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = args.sources(env::vars_os()).load()?;
    if args.print_config {
        say(loaded.to_toml().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let settings = loaded.into_settings();
    let _log = logging::install(&settings.log);
    let runtime = Builder::new_multi_thread()
        .thread_name("front")
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let status = runtime.block_on(serve(settings));
    // After a second signal nothing is waited for.
    runtime.shutdown_background();
    status
}

/// Does what the command asks for, and gives what is to be printed.
fn obey(command: &Command, args: &Args) -> anyhow::Result<String> {
    let load = || args.sources(env::vars_os()).load();
    match command {
        Command::CheckConfig => Ok(check_config(&load()?)),
        // Keys can be made before there are good settings.
        Command::GenKey(command) => command.run(),
        Command::GenToken(command) => command.run(load()?.settings()),
        Command::CheckToken(command) => command.run(load()?.settings()),
    }
}

/// Serves until a signal, then stops in order unless a second signal comes.
async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    // From here on a signal is kept, so that one during the start stops the server as well.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let mut running = Server::builder().settings(settings.clone()).start().await?;
    say(Banner {
        settings: &settings,
        address: running.local_addr(),
        internal: running.internal_addr(),
        connection_limit: running.connection_limit(),
        under_cargo: env::var_os("CARGO").is_some(),
    });

    let signal = loop {
        let signal = tokio::select! {
            signal = signals.next() => signal,
            failure = running.failure() => return Err(failure.into()),
        };
        if signal != HANG_UP || !running.speaks_tls() {
            break signal;
        }
        renew_certificates(&running).await;
    };
    say(format_args!("{signal}: stopping; a second signal ends at once"));
    tokio::select! {
        report = running.shutdown() => {
            say(format_args!("stopped; clients that left in time: {}, that were cut: {}", report.closed, report.cut));
            Ok(ExitCode::SUCCESS)
        }
        signal = signals.next() => {
            say(format_args!("{signal}: ended at once; whoever was still connected is cut"));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// Reads the certificates again, and says what came of it.
async fn renew_certificates(running: &Running) {
    match running.renew_certificates().await {
        Ok(true) => say(format_args!("{HANG_UP}: new TLS certificates are in use")),
        Ok(false) => say(format_args!("{HANG_UP}: the TLS certificates have not changed")),
        // The log says what is wrong.
        Err(_) => {
            say(format_args!("{HANG_UP}: the TLS certificates cannot be used; the old ones stay in use"))
        }
    }
}

/// The signal that stops a server without TLS, and has one with TLS read its certificates again.
const HANG_UP: &str = "SIGHUP";

/// The signals that a server obeys.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal. Cancel safe.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => HANG_UP,
        }
    }
}

/// Writes to the standard output stream, where it is no error if nobody reads.
fn say(text: impl Display) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// An error with its causes and the remedy: one line, or the list of faults in the settings.
fn complaint(error: &anyhow::Error) -> String {
    if let Some(faults) = error.downcast_ref::<Faults>() {
        return match faults.iter().len() {
            1 => faults.to_string(),
            count => {
                format!("the settings have {count} faults\n  {}", faults.to_string().replace('\n', "\n  "))
            }
        };
    }
    let mut complaint = format!("{error:#}");
    if let Some(remedy) = error.chain().find_map(remedy) {
        let _ = write!(complaint, "; {remedy}");
    }
    complaint
}

/// What to do about an error of the operating system when the server starts.
fn remedy(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::AddrInUse => {
            Some("another program listens there: stop it, or choose another port with --listen ADDR:PORT")
        }
        io::ErrorKind::AddrNotAvailable => {
            Some("this machine does not have that address: choose another with --listen ADDR:PORT")
        }
        io::ErrorKind::PermissionDenied => {
            Some("ports below 1024 are privileged: choose a higher one with --listen ADDR:PORT")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_fault_is_one_line_and_several_are_a_list() {
        use throng_server::config::Sources;
        let complaint =
            |text| complaint(&Sources::new().text("throng.toml", text).load().unwrap_err().into());
        assert_eq!(
            complaint("prot = 1"),
            "throng.toml:1: prot: there is no such key; remove it; docs/configuration.md lists every key"
        );
        let list = complaint("a = 1\nb = 1");
        assert!(list.starts_with("the settings have 2 faults\n  throng.toml:1: a: "), "{list}");
        assert!(list.contains("\n  throng.toml:2: b: "), "{list}");
    }

    #[test]
    fn an_error_of_the_system_is_one_line_with_its_causes_and_the_remedy() {
        let error = anyhow::Error::from(io::Error::from(io::ErrorKind::AddrInUse))
            .context("cannot listen on 127.0.0.1:80");
        assert_eq!(
            complaint(&error),
            "cannot listen on 127.0.0.1:80: address in use; another program listens there: stop it, or choose another \
             port with --listen ADDR:PORT"
        );
    }
}
