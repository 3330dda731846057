//! `promtool`, which checks the alert rules. Its package of Debian and Ubuntu would start a server, so the
//! program alone is fetched, once, into the target directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::fetched::Fetched;
use super::servers::{RELEASE_OF_THIS_MACHINE, fetch_packages, keep_program};
use crate::report::Report;
use crate::shell::on_path;

const PROGRAM: &str = "promtool";
const PACKAGE: &str = "prometheus";
/// Where it is, below the target directory.
const DIRECTORY: &str = "testkit/promtool";
/// Says what it was fetched from.
const STAMP: &str = "source";

/// The program: on `PATH`, or fetched.
pub(crate) fn promtool(report: &Report) -> anyhow::Result<PathBuf> {
    if let Some(found) = on_path(&[PROGRAM]) {
        return Ok(found);
    }
    if on_path(&["apt-get"]).is_none() {
        bail!("found no {PROGRAM}; install {PACKAGE} (macOS: brew install {PACKAGE})");
    }
    let fetched = Fetched::new(Path::new(DIRECTORY), STAMP, PACKAGE.into());
    if !fetched.is_current() {
        report.step(format_args!("fetch {PROGRAM} (20 MB, once)"));
        let fetch = |to: &Path| fetch_packages(&[PACKAGE], RELEASE_OF_THIS_MACHINE, to);
        let keep = |directory: &Path| keep_program(PROGRAM, directory, fetch).map(drop);
        fetched.fetch(keep).with_context(|| format!("fetch {PROGRAM}"))?;
    }
    Ok(fetched.directory().join(PROGRAM))
}
