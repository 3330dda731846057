//! The jars of Kafka: fetched once by Maven, into the target directory.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use testkit::programs;

use super::fetched::Fetched;
use crate::paths;
use crate::report::Report;
use crate::shell::run_silently;

/// The jars and their versions.
const POM: &str = "xtask/kafka/pom.xml";
/// A network can fail once.
const ATTEMPTS: usize = 3;

/// Whether there is nothing to fetch.
pub(super) fn are_there() -> bool {
    env::var_os(programs::KAFKA_LIBS).is_some() || jars().is_ok_and(|jars| jars.is_current())
}

/// The directory with the jars; fetches them if they are missing or of another version.
pub(super) fn ensure(report: &Report) -> anyhow::Result<PathBuf> {
    if env::var_os(programs::KAFKA_LIBS).is_some() {
        return programs::kafka_libs();
    }
    let jars = jars()?;
    if !jars.is_current() {
        report.step("fetch the jars of Kafka (45 MB, once)");
        jars.fetch(fetch).context("fetch the jars of Kafka")?;
    }
    report.step(format_args!("Kafka: {}", jars.directory().display()));
    Ok(jars.directory().to_owned())
}

/// They are of the versions that the pom says.
fn jars() -> anyhow::Result<Fetched> {
    let pom = fs::read(paths::root().join(POM)).with_context(|| format!("read {POM}"))?;
    Ok(Fetched::new(Path::new(programs::KAFKA_LIBS_IN_TARGET), "pom.xml", pom))
}

fn fetch(directory: &Path) -> anyhow::Result<()> {
    let pom = paths::root().join(POM);
    let mut attempts = 1;
    while let Err(error) = copy_dependencies(&pom, directory) {
        if attempts == ATTEMPTS {
            return Err(error);
        }
        attempts += 1;
    }
    Ok(())
}

fn copy_dependencies(pom: &Path, directory: &Path) -> anyhow::Result<()> {
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file"]).arg(pom);
    maven.arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", directory.display()));
    run_silently(&mut maven).map(drop)
}
