//! The jars of Kafka: fetched once by Maven, kept below the target directory.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use testkit::programs;

use crate::paths;
use crate::report::Report;
use crate::shell::run_silently;

/// Which version, and of what.
const POM: &str = "xtask/kafka/pom.xml";
/// A network can fail once.
const ATTEMPTS: usize = 3;

/// Whether there is nothing to fetch.
pub(super) fn are_there() -> bool {
    env::var_os(programs::KAFKA_LIBS).is_some() || is_current(&folder())
}

/// The folder with the jars; fetches them if they are not there or of another version.
pub(super) fn ensure(report: &Report) -> anyhow::Result<PathBuf> {
    if env::var_os(programs::KAFKA_LIBS).is_some() {
        return programs::kafka_libs();
    }
    let folder = folder();
    if !is_current(&folder) {
        report.step("fetch the jars of Kafka (45 MB, once)");
        fetch(&folder)?;
    }
    report.step(format_args!("Kafka: {}", folder.display()));
    Ok(folder)
}

fn folder() -> PathBuf {
    paths::target().join(programs::KAFKA_LIBS_IN_TARGET)
}

/// A copy of the pom among the jars says what they were made from. It comes last.
fn is_current(folder: &Path) -> bool {
    let made_from = fs::read(folder.join("pom.xml")).ok();
    made_from.is_some() && made_from == fs::read(paths::root().join(POM)).ok()
}

/// Into a folder aside, so that half a set of jars is never taken for a whole one.
fn fetch(folder: &Path) -> anyhow::Result<()> {
    let aside = folder.with_extension("new");
    for old in [&aside, folder] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("remove {}", old.display()))?;
        }
    }
    fs::create_dir_all(&aside).with_context(|| format!("create {}", aside.display()))?;
    let pom = paths::root().join(POM);
    let mut attempts = 1;
    while let Err(error) = copy_dependencies(&pom, &aside) {
        if attempts == ATTEMPTS {
            return Err(error).context("fetch the jars of Kafka");
        }
        attempts += 1;
    }
    fs::copy(&pom, aside.join("pom.xml")).context("note what the jars were made from")?;
    fs::rename(&aside, folder).context("put the jars in their place")
}

fn copy_dependencies(pom: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file"]).arg(pom);
    maven.arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", folder.display()));
    run_silently(&mut maven).map(drop)
}
