//! The binary: exit codes and the runtime, nothing else.

use std::process::ExitCode;
use std::time::Duration;

use aggregator::output::{FLUSH_MAX, LineWriter};
use clap::Parser as _;
use cli::command::Cli;

/// How long the process waits for calls that block, after everything has been stopped.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&anyhow::Error::new(error).context("start the runtime"));
        }
    };
    let outcome = runtime.block_on(cli.run());
    // A call that blocks on a broker that is away must not keep the process from ending.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => failed(&error),
    }
}

/// Prints one line with every cause: what an operator greps for. Nobody need be there to read it.
fn failed(error: &anyhow::Error) -> ExitCode {
    if let Ok(stderr) = LineWriter::stderr() {
        stderr.line(format_args!("error: {error:#}"));
        stderr.flush_within(FLUSH_MAX);
    }
    ExitCode::FAILURE
}
