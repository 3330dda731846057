//! The jars of Kafka: fetched once by Maven, into the target directory.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use testkit::programs;

use crate::paths;
use crate::report::Report;
use crate::shell::run_silently;

/// The jars and their versions.
const POM: &str = "xtask/kafka/pom.xml";
/// A network can fail once.
const ATTEMPTS: usize = 3;

/// Whether there is nothing to fetch.
pub(super) fn are_there() -> bool {
    env::var_os(programs::KAFKA_LIBS).is_some() || is_current(&directory())
}

/// The directory with the jars; fetches them if they are missing or of another version.
pub(super) fn ensure(report: &Report) -> anyhow::Result<PathBuf> {
    if env::var_os(programs::KAFKA_LIBS).is_some() {
        return programs::kafka_libs();
    }
    let directory = directory();
    if !is_current(&directory) {
        report.step("fetch the jars of Kafka (45 MB, once)");
        fetch(&directory)?;
    }
    report.step(format_args!("Kafka: {}", directory.display()));
    Ok(directory)
}

fn directory() -> PathBuf {
    paths::target().join(programs::KAFKA_LIBS_IN_TARGET)
}

/// The copy of the pom among the jars, which is made last, says from which versions they are.
fn is_current(directory: &Path) -> bool {
    let made_from = fs::read(directory.join("pom.xml")).ok();
    made_from.is_some() && made_from == fs::read(paths::root().join(POM)).ok()
}

/// Fetches into a temporary directory and renames that, so that the directory never has only a part
/// of the jars, also if two `cargo x` fetch at the same time.
fn fetch(directory: &Path) -> anyhow::Result<()> {
    let parent = directory.parent().unwrap_or(directory);
    fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    let temporary = |prefix: &str| {
        let builder = &mut tempfile::Builder::new();
        builder.prefix(prefix).tempdir_in(parent).context("create a directory for the jars")
    };
    let fetched = temporary("kafka-libs-new-")?;
    let pom = paths::root().join(POM);
    let mut attempts = 1;
    while let Err(error) = copy_dependencies(&pom, fetched.path()) {
        if attempts == ATTEMPTS {
            return Err(error).context("fetch the jars of Kafka");
        }
        attempts += 1;
    }
    fs::copy(&pom, fetched.path().join("pom.xml")).context("copy the pom to the jars")?;
    let old = temporary("kafka-libs-old-")?;
    install(fetched.path(), directory, old.path())
}

/// Puts `fetched` in the place of `directory`, whose old content goes to `old`. If another process was
/// faster, its jars stay.
fn install(fetched: &Path, directory: &Path, old: &Path) -> anyhow::Result<()> {
    if is_current(directory) {
        return Ok(());
    }
    // A rename fails if there is nothing to replace, or if another process has just moved it.
    let _ = fs::rename(directory, old.join("jars"));
    match fs::rename(fetched, directory) {
        Err(_) if is_current(directory) => Ok(()),
        renamed => renamed.context("move the jars of Kafka to the target directory"),
    }
}

fn copy_dependencies(pom: &Path, directory: &Path) -> anyhow::Result<()> {
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file"]).arg(pom);
    maven.arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", directory.display()));
    run_silently(&mut maven).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{POM, fs, install, is_current, paths};

    #[test]
    fn second_fetch_at_the_same_time_keeps_the_jars_of_the_first() {
        let parent = tempfile::tempdir().unwrap();
        let [one, two, old, target] =
            ["one", "two", "old", "target"].map(|name| parent.path().join(name));
        for fetched in [&one, &two] {
            fs::create_dir(fetched).unwrap();
            fs::copy(paths::root().join(POM), fetched.join("pom.xml")).unwrap();
            fs::write(fetched.join("a.jar"), "").unwrap();
        }
        fs::create_dir(&old).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("outdated.jar"), "").unwrap();
        install(&one, &target, &old).unwrap();
        assert!(is_current(&target) && target.join("a.jar").exists());
        assert!(!target.join("outdated.jar").exists());
        install(&two, &target, &old).unwrap();
        assert!(is_current(&target) && target.join("a.jar").exists());
    }
}
