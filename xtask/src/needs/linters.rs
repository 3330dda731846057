//! Programs of the check `packages`: fetched once, into the target directory.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::fetched::Fetched;
use super::servers::{PIP, pip};
use super::{Need, find_or_install};
use crate::report::Report;
use crate::shell::{on_path, run_silently};

/// Where they are, below the target directory.
const DIRECTORY: &str = "tools/linters";
/// Says what was fetched.
const STAMP: &str = "requirements";
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
    fetched: Fetched,
}

impl Linters {
    /// Fetches and installs what is missing.
    pub(crate) fn ensure(report: &Report) -> anyhow::Result<Self> {
        find_or_install(report, &[&SYSTEMD])?;
        let fetched = Fetched::new(Path::new(DIRECTORY), STAMP, REQUIREMENTS.into());
        if !fetched.is_current() {
            find_or_install(report, &[&PIP])?;
            report.step("fetch the linters of packages, once");
            fetched.fetch(fetch).context("fetch the linters of packages")?;
        }
        Ok(Self { fetched })
    }

    /// One of the fetched programs.
    pub(crate) fn command(&self, program: &str) -> Command {
        let directory = self.fetched.directory();
        let mut command = Command::new(directory.join("bin").join(program));
        command.env("PYTHONPATH", directory);
        command
    }
}

fn fetch(directory: &Path) -> anyhow::Result<()> {
    let requirements = directory.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).context("write the requirements")?;
    let mut install = Command::new(pip()?);
    install.args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--upgrade"]);
    install.arg("--target").arg(directory).arg("--requirement").arg(&requirements);
    run_silently(&mut install).map(drop)
}
