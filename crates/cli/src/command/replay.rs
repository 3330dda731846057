//! `result-aggregator replay`: its arguments and its summary.

use std::path::PathBuf;

use aggregator::print_line;
use clap::Args;

use super::server_args::ServerArgs;
use crate::replay::replay;

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The file, or - for standard input
    file: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

/// Sends the file. Gives the exit code: 1 if a line was refused.
pub(super) async fn run(arguments: ReplayArgs) -> anyhow::Result<u8> {
    let summary = replay(&arguments.file, arguments.server.target()?).await?;
    print_line!("{summary}");
    summary.refused_lines().for_each(|line| print_line!("  {line}"));
    Ok(u8::from(!summary.refused.is_empty()))
}
