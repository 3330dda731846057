//! `result-aggregator settings`: prints every setting, or checks a file of them.

use std::io::{self, Write as _};
use std::path::PathBuf;

use aggregator::config::{Config, DEFAULTS, Overrides};
use aggregator::print_line;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct SettingsArgs {
    /// Check FILE, together with the RAS_ variables of this environment, as `serve --config FILE`
    /// would; list everything that is wrong, with exit code 1
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

/// Prints the settings with their defaults, or that those of the file can be used.
pub(super) fn run(arguments: SettingsArgs) -> anyhow::Result<()> {
    match arguments.check {
        None => {
            // A reader that closes the pipe has read enough.
            let _ = io::stdout().write_all(DEFAULTS.as_bytes());
        }
        Some(file) => {
            Config::load(Overrides { file: Some(file.clone()), ..Overrides::default() })?;
            print_line!("{}: these settings can be used", file.display());
        }
    }
    Ok(())
}
