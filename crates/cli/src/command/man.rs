//! `result-aggregator man`: writes the manual pages, one for each command.

use std::fs;
use std::path::PathBuf;

use aggregator::print_line;
use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use super::Cli;

/// Examples at the end of the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  For this user, then read one:
    result-aggregator man ~/.local/share/man/man1
    man result-aggregator-doctor
  Without installing them:
    result-aggregator man /tmp/pages && man /tmp/pages/result-aggregator.1";

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Where to write them; created if it does not exist
    directory: PathBuf,
}

/// Writes the pages.
pub(super) fn run(arguments: &ManArgs) -> anyhow::Result<()> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    clap_mangen::generate_to(Cli::command(), directory)
        .with_context(|| format!("write manual pages to {}", directory.display()))?;
    print_line!("manual pages written to {}", directory.display());
    Ok(())
}
