//! `result-aggregator completions`: a script with which a shell completes commands and flags.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::Cli;

/// Examples at the end of the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  bash, for this user:
    result-aggregator completions bash \\
      > ~/.local/share/bash-completion/completions/result-aggregator
  zsh, in a directory of its fpath:
    result-aggregator completions zsh > ~/.zfunc/_result-aggregator
  fish:
    result-aggregator completions fish > ~/.config/fish/completions/result-aggregator.fish";

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(arguments: &CompletionsArgs) {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    generate(arguments.shell, &mut command, name, &mut script);
    // A reader that closes the pipe has read enough.
    let _ = io::stdout().write_all(&script);
}
