//! Program under test, as a shell starts it.

use testkit::{Process, ProcessBuilder};

use super::common::TIMEOUT;

/// The program with these arguments, without a key in its environment.
pub(crate) fn program(arguments: &[&str]) -> ProcessBuilder {
    Process::builder(env!("CARGO_BIN_EXE_result-aggregator"))
        .args(arguments)
        .env_remove("RAS_INTERNAL_API_KEY")
}

/// Runs the program to its end. Gives the exit code and the output.
pub(crate) async fn run(builder: ProcessBuilder) -> (i32, String) {
    let process = builder.start().await;
    let status = process.wait(TIMEOUT).await;
    (status.code().unwrap_or(-1), process.lines().join("\n"))
}
