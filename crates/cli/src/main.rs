//! Binary `result-aggregator`: exit codes and the runtime, nothing else.

use std::process::ExitCode;
use std::time::Duration;

use aggregator::output::{FLUSH_MAX, LineWriter};
use clap::Parser as _;
use cli::command::Cli;
use tokio::runtime::Runtime;

/// How long the process waits for blocking calls after everything else has been stopped.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&anyhow::Error::new(error).context("start the runtime"));
        }
    };
    let outcome = runtime.block_on(cli.run());
    // A call that blocks on an unavailable broker must not keep the process from ending.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => failed(&error),
    }
}

/// Prints the error with all its causes on one line, which operators search for. Does not block if
/// nobody reads standard error.
fn failed(error: &anyhow::Error) -> ExitCode {
    if let Ok(stderr) = LineWriter::stderr() {
        stderr.line(format_args!("error: {error:#}"));
        stderr.flush_within(FLUSH_MAX);
    }
    ExitCode::FAILURE
}
