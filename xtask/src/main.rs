//! `cargo x`: the tasks of a developer or a CI that take more than one cargo command.

mod bench;
mod check;
mod fuzz;
mod measure;
mod measured;
mod needs;
mod paths;
mod report;
mod rules;
mod screenshots;
mod services;
mod shell;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::BenchArguments;
use crate::check::CheckArguments;
use crate::fuzz::FuzzArguments;
use crate::measure::MeasureArguments;
use crate::test::TestArguments;

/// Tests, checks and servers of this repository
///
/// Start here: `cargo x test` runs every test on a machine that has nothing but Rust, and
/// `cargo x check` checks form, lints, docs, licences and the rules of this repository.
#[derive(Parser)]
#[command(name = "cargo x", bin_name = "cargo x", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Test(TestArguments),
    Check(CheckArguments),
    Measure(MeasureArguments),
    Bench(BenchArguments),
    Fuzz(FuzzArguments),
    /// Start PostgreSQL, Redis and Kafka to try the service by hand
    ///
    /// Prints the variables that point the service to them, and the command that starts it. The
    /// servers are empty, run as you, on free ports, and end with Ctrl-C. What is missing on
    /// this machine is installed first, as for `cargo x test`.
    Services,
    /// Make the pictures of the console and the demo in docs/pictures anew, by a real Chromium
    Screenshots,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Test(arguments) => test::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Measure(arguments) => measure::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Services => services::run().map(|()| ExitCode::SUCCESS),
        Command::Screenshots => screenshots::run().map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
