//! `result-aggregator dead-letters`: its subcommands, and the server that they talk to.

use clap::Args;

use super::server_args::ServerArgs;
use crate::dead_letters::{self, Command};

#[derive(Debug, Args)]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the subcommand. Gives the exit code.
pub(super) async fn run(arguments: DeadLettersArgs) -> anyhow::Result<u8> {
    dead_letters::run(arguments.command, arguments.server.target()?).await
}
