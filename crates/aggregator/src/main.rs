//! The binary: exit codes and the runtime, nothing else.

use std::process::ExitCode;

use aggregator::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli.run()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // One line with every cause: what an operator greps for.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
