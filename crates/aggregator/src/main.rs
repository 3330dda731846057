//! The binary: exit codes and the runtime, nothing else.

use std::process::ExitCode;
use std::time::Duration;

use aggregator::cli::Cli;
use clap::Parser as _;

/// How long the process waits for calls that block, after everything has been stopped.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(cli.run());
    // A call that blocks on a broker that is away must not keep the process from ending.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // One line with every cause: what an operator greps for.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
