//! Programs of the check `packages`: fetched once, into the target directory.

use std::process::Command;

use anyhow::Context;

use super::pip_programs::PipPrograms;
use super::{Need, find_or_install};
use crate::report::Report;
use crate::shell::on_path;

/// Where they are, below the target directory.
const DIRECTORY: &str = "tools/linters";
/// Their versions.
const REQUIREMENTS: &str = include_str!("../../packages/requirements.txt");

/// To check a unit of systemd, for which systemd need not run.
const SYSTEMD: Need = Need {
    what: "systemd-analyze, to check the unit of systemd",
    find: || on_path(&["systemd-analyze"]).context("no systemd-analyze"),
    debian: &["systemd"],
    fedora: &["systemd"],
    macos: "(there is none: run this check on Linux)",
};

/// The programs, there and of the right versions.
pub(crate) struct Linters {
    programs: PipPrograms,
}

impl Linters {
    /// Fetches and installs what is missing.
    pub(crate) fn ensure(report: &Report) -> anyhow::Result<Self> {
        find_or_install(report, &[&SYSTEMD])?;
        let programs = PipPrograms::new(DIRECTORY, REQUIREMENTS);
        programs.ensure(report, "the linters of packages")?;
        Ok(Self { programs })
    }

    /// One of the fetched programs.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.programs.command(program)
    }
}
