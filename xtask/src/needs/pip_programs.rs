//! Programs that pip has: fetched once with what they need, each in one version, into the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::fetched::Fetched;
use super::find_or_install;
use super::servers::{PIP, pip};
use crate::report::Report;
use crate::shell::run_silently;

/// Says what was fetched.
const STAMP: &str = "requirements";

/// A directory with such programs in `bin`, and their libraries, which `PYTHONPATH` must name.
pub(super) struct PipPrograms {
    fetched: Fetched,
    requirements: &'static str,
}

impl PipPrograms {
    /// `requirements` has everything that they need, as `pip install --no-deps` reads it.
    pub(super) fn new(below_target: &str, requirements: &'static str) -> Self {
        let fetched = Fetched::new(Path::new(below_target), STAMP, requirements.into());
        Self { fetched, requirements }
    }

    /// Fetches them if they are missing or of other versions. `what` they are is said then.
    pub(super) fn ensure(&self, report: &Report, what: &str) -> anyhow::Result<()> {
        if self.fetched.is_current() {
            return Ok(());
        }
        find_or_install(report, &[&PIP])?;
        report.step(format_args!("fetch {what}, once"));
        let fetch = |directory: &Path| fetch(directory, self.requirements);
        self.fetched.fetch(fetch).with_context(|| format!("fetch {what}"))
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.fetched.directory().join("bin").join(name)
    }

    /// One of them, as it can be run.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name));
        command.env("PYTHONPATH", self.fetched.directory());
        command
    }
}

fn fetch(directory: &Path, requirements: &str) -> anyhow::Result<()> {
    let file = directory.join("requirements.txt");
    fs::write(&file, requirements).context("write the requirements")?;
    let mut install = Command::new(pip()?);
    install.args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--upgrade"]);
    install.arg("--target").arg(directory).arg("--requirement").arg(&file);
    run_silently(&mut install).map(drop)
}
