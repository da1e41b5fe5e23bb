//! The command line of throng: subscribe, publish, chat and relay from a terminal or a pipe.

mod api;
mod args;
mod ask;
mod config;
mod connection;
mod echo;
mod failure;
mod format;
mod input;
mod interrupt;
mod output;
mod pace;
mod pages;
mod ping;
mod publish;
mod relay;
mod show;
mod subscribe;
mod tail;
mod text;
mod tls;
mod watch;

use std::process::ExitCode;

use self::{
    args::{Arguments, Command, Connected},
    ask::Question,
    connection::Connection,
    failure::{End, Failure},
    interrupt::Interrupt,
    output::Output,
};

fn main() -> ExitCode {
    let arguments = Arguments::checked();
    if arguments.output.verbose {
        log_to_stderr();
    }
    let mut output = Output::new(&arguments.output);
    // One worker runs the client, so that it answers pings while this thread waits for a slow reader of stdout.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let end = match runtime {
        Ok(runtime) => {
            let end = runtime.block_on(run(arguments, &mut output));
            // A read of stdin cannot be called off and may never return.
            runtime.shutdown_background();
            end
        }
        Err(error) => Err(Failure::other(format!("cannot start: {error}"))),
    };
    match end {
        Ok(end) => end.exit_code(),
        Err(failure) => {
            if let Some(message) = failure.message() {
                output.error(message);
            }
            failure.exit_code()
        }
    }
}

async fn run(arguments: Arguments, output: &mut Output) -> Result<End, Failure> {
    let Arguments { connection, output: _, command } = arguments;
    let connected = match command {
        Command::Completions(arguments) => return pages::completions(&arguments, output),
        Command::Man(arguments) => return pages::man(&arguments, output),
        Command::Connected(command) => command,
    };
    let connection = &Connection::new(connection)?;
    if connection.insecure && connection.url.is_secure() {
        output.alarm(tls::ALARM);
    }
    let interrupt = &mut Interrupt::new().map_err(|error| Failure::other(format!("no signals: {error}")))?;
    match connected {
        Connected::Sub(command) => subscribe::run(connection, command, output, interrupt).await,
        Connected::Pub(command) => publish::run(connection, command, output, interrupt).await,
        Connected::History(command) => {
            ask::run(connection, Question::History(command), output, interrupt).await
        }
        Connected::Presence(command) => {
            ask::run(connection, Question::Presence(command), output, interrupt).await
        }
        Connected::Stats(command) => ask::run(connection, Question::Stats(command), output, interrupt).await,
        Connected::Rpc(command) => ask::run(connection, Question::Rpc(command), output, interrupt).await,
        Connected::Chat(command) => relay::chat(connection, command, output, interrupt).await,
        Connected::Relay(command) => relay::raw(connection, command, output, interrupt).await,
        Connected::Echo(command) => echo::run(connection, command, output, interrupt).await,
        Connected::Ping(command) => ping::run(connection, command, output, interrupt).await,
        Connected::Tail(command) => tail::run(connection, command, output, interrupt).await,
        Connected::Api(command) => api::run(connection, command, output, interrupt).await,
    }
}

/// The library's debug messages. The WebSocket library stays at `info`, because it would print payloads.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::new("info,throng_client=debug");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(output::colors_on_stderr())
        .init();
}
