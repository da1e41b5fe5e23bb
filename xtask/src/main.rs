//! The chores of the workspace as functions: `cargo xtask --help` lists them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to its terminal")]

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod api;
mod attack;
mod bench;
mod browser;
mod checks;
mod ci;
mod clients;
mod compare;
mod conformance;
mod delivery;
mod deny;
mod docs_check;
mod fuzz;
mod layers;
mod loadtest;
mod process;
mod sdk;
mod server;
mod tools;
mod workspace;

/// The chores of the throng workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run the gate: all checks that a change must pass
    Ci(ci::Args),
    /// Prove that crates and modules depend downwards only
    Layers,
    /// Check that what the documents name exists
    DocsCheck,
    /// Check licences, banned crates, sources and advisories
    Deny(deny::Args),
    /// Run the Autobahn cases against the echo endpoint
    Conformance(conformance::Args),
    /// Run the official JavaScript and Python SDKs against the release server
    Sdk(sdk::Args),
    /// Check the delivery contract: real publishers and subscribers under trouble, and a judgement of all they saw
    CheckDelivery(delivery::Args),
    /// Attack the release server, and judge how it stands it
    Attack(attack::Args),
    /// Run the fuzz targets, and count what they did and found
    Fuzz(fuzz::Args),
    /// Run plain WebSocket clients, from Python and Node.js, against the release server
    Clients(clients::Args),
    /// Drive the chat page in headless Chromium
    Browser(browser::Args),
    /// Load the release server, or the one that --url names, and report what it did
    Loadtest(Box<loadtest::Args>),
    /// Measure throng beside the baselines, in turn, and judge the targets
    Compare(compare::Args),
    /// Run the criterion benches
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Ci(args) => ci::run(&args),
        Task::Layers => layers::run(),
        Task::DocsCheck => docs_check::run(command()),
        Task::Deny(args) => deny::run(&args),
        Task::Conformance(args) => conformance::run(&args),
        Task::Sdk(args) => sdk::run(&args),
        Task::CheckDelivery(args) => delivery::run(&args),
        Task::Attack(args) => attack::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Clients(args) => clients::run(&args),
        Task::Browser(args) => browser::run(&args),
        Task::Loadtest(args) => loadtest::run(&args),
        Task::Compare(args) => compare::run(&args),
        Task::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The command line itself, for those who check what documents say of it.
fn command() -> clap::Command {
    Cli::command()
}
