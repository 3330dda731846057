//! The parser of AsyncAPI: fetched once with all that it needs, each in one version, into the target directory.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::fetched::Fetched;
use super::{Need, find_or_install};
use crate::report::Report;
use crate::shell::{on_path, run_silently};

/// Where it is, below the target directory.
const DIRECTORY: &str = "tools/asyncapi";
/// Says what was fetched: the versions, and the program that uses them.
const STAMP: &str = "fetched";
const PROGRAM: &str = "validate.js";
/// The files that it is made from.
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("../../asyncapi/package.json")),
    ("package-lock.json", include_str!("../../asyncapi/package-lock.json")),
    (PROGRAM, include_str!("../../asyncapi/validate.js")),
];

const NPM: Need = Need {
    what: "npm, to fetch the parser of AsyncAPI, and Node.js, to run it",
    find: || on_path(&["npm"]).context("no npm"),
    debian: &["nodejs", "npm"],
    fedora: &["nodejs-npm"],
    macos: "brew install node",
};

/// The program that validates a document.
pub(crate) fn asyncapi_validator(report: &Report) -> anyhow::Result<Command> {
    find_or_install(report, &[&NPM])?;
    let stamp = FILES.map(|(_, text)| text).concat();
    let fetched = Fetched::new(Path::new(DIRECTORY), STAMP, stamp.into());
    if !fetched.is_current() {
        report.step("fetch the parser of AsyncAPI (60 MB, once)");
        fetched.fetch(fetch).context("fetch the parser of AsyncAPI")?;
    }
    let mut node = Command::new("node");
    node.arg(fetched.directory().join(PROGRAM));
    Ok(node)
}

fn fetch(directory: &Path) -> anyhow::Result<()> {
    for (name, text) in FILES {
        fs::write(directory.join(name), text).with_context(|| format!("write {name}"))?;
    }
    let mut install = Command::new("npm");
    // No program of a package is run.
    install.args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]);
    run_silently(install.current_dir(directory)).map(drop)
}
