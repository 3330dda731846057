//! The programs that the tests need besides Rust: found on this machine, or installed.
//!
//! Installs on Debian and Ubuntu as root or with a passwordless sudo. Anywhere else it says what to
//! install. The jars of Kafka, `schemathesis` and other Redis servers are fetched below the target directory
//! (see `jars`, `schemathesis` and `servers`).

mod asyncapi;
mod fetched;
mod install;
mod jars;
mod linters;
mod pip_programs;
mod promtool;
mod schemathesis;
mod servers;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use testkit::programs;

pub(crate) use self::asyncapi::asyncapi_validator;
pub(crate) use self::linters::Linters;
pub(crate) use self::promtool::promtool;
pub(crate) use self::servers::{REDIS_SERVERS, RedisServer};
use crate::report::Report;
use crate::shell::{on_path, run_silently};

/// The oldest Java that Kafka 4 runs on.
const JAVA_MAJOR_MIN: u32 = 17;

/// A program that the tests need and the package manager of a system has.
pub(crate) struct Need {
    what: &'static str,
    /// Its path, or why it was not found.
    find: fn() -> anyhow::Result<PathBuf>,
    debian: &'static [&'static str],
    fedora: &'static [&'static str],
    macos: &'static str,
}

/// To compile the workspace at all.
const BUILD_TOOLS: Need = Need {
    what: "a C and a C++ compiler and make, for librdkafka and zlib, and the headers of OpenSSL",
    find: build_tools,
    debian: &["gcc", "g++", "make", "pkg-config", "libssl-dev"],
    fedora: &["gcc", "gcc-c++", "make", "pkgconf-pkg-config", "openssl-devel"],
    macos: "xcode-select --install",
};

/// To look at the console.
const CHROMIUM: Need = Need {
    what: "Chromium, for the console",
    find: programs::chromium,
    debian: &["chromium"],
    fedora: &["chromium"],
    macos: "brew install --cask google-chrome; \
            export TESTKIT_CHROMIUM='/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'",
};

/// PostgreSQL, Redis and Kafka.
const SERVERS: [Need; 3] = [
    Need {
        what: "PostgreSQL",
        find: programs::postgres_bin,
        debian: &["postgresql"],
        fedora: &["postgresql-server"],
        macos: "brew install postgresql@17; \
                export TESTKIT_POSTGRES_BIN=$(brew --prefix postgresql@17)/bin",
    },
    Need {
        what: "Redis",
        find: redis,
        debian: &["redis-server"],
        fedora: &["valkey"],
        macos: "brew install redis",
    },
    Need {
        what: "Java 17 or later, for Kafka",
        find: java,
        debian: &["default-jre-headless"],
        fedora: &["java-21-openjdk-headless"],
        macos: "brew install openjdk; export TESTKIT_JAVA=$(brew --prefix openjdk)/bin/java",
    },
];

/// What the tests need beside these servers.
const TEST_PROGRAMS: [Need; 4] = [
    Need {
        what: "PgBouncer",
        find: programs::pgbouncer,
        debian: &["pgbouncer"],
        fedora: &["pgbouncer"],
        macos: "brew install pgbouncer",
    },
    Need {
        what: "NATS, for an example of freshset",
        find: programs::nats_server,
        debian: &["nats-server"],
        fedora: &["nats-server"],
        macos: "brew install nats-server",
    },
    CHROMIUM,
    Need {
        what: "its driver",
        find: programs::chromedriver,
        debian: &["chromium-driver"],
        fedora: &["chromedriver"],
        macos: "brew install --cask chromedriver",
    },
];

/// Only to fetch the jars of Kafka.
const MAVEN: Need = Need {
    what: "Maven, to fetch the jars of Kafka",
    find: maven,
    debian: &["maven"],
    fedora: &["maven"],
    macos: "brew install maven",
};

/// The variables by which tests find the programs, all set.
pub(crate) struct Found(pub(crate) Vec<(&'static str, PathBuf)>);

/// Finds what the tests need, and installs what is missing if it can.
pub(crate) fn ensure(report: &Report) -> anyhow::Result<Found> {
    let jars = ensure_servers_and(report, &TEST_PROGRAMS)?;
    let schemathesis = schemathesis::ensure(report)?;
    Ok(Found(vec![
        (programs::POSTGRES_BIN, programs::postgres_bin()?),
        (programs::PGBOUNCER, programs::pgbouncer()?),
        (programs::REDIS_SERVER, programs::redis_server()?),
        (programs::NATS_SERVER, programs::nats_server()?),
        (programs::CHROMIUM, programs::chromium()?),
        (programs::CHROMEDRIVER, programs::chromedriver()?),
        (programs::JAVA, programs::java()?),
        (programs::KAFKA_LIBS, jars),
        (programs::SCHEMATHESIS, schemathesis),
    ]))
}

/// Finds PostgreSQL, Redis and Kafka, and what it takes to compile the service, or installs them. The directory of the
/// jars of Kafka.
pub(crate) fn ensure_servers(report: &Report) -> anyhow::Result<PathBuf> {
    ensure_servers_and(report, &[])
}

/// The same with these programs.
fn ensure_servers_and(report: &Report, programs: &[Need]) -> anyhow::Result<PathBuf> {
    let mut needs: Vec<&Need> = vec![&BUILD_TOOLS];
    needs.extend(SERVERS.iter().chain(programs));
    if !jars::are_there() {
        needs.push(&MAVEN);
    }
    find_or_install(report, &needs)?;
    jars::ensure(report)
}

/// Finds what it takes to compile the workspace, or installs it.
pub(crate) fn ensure_build_tools(report: &Report) -> anyhow::Result<()> {
    find_or_install(report, &[&BUILD_TOOLS])
}

/// Finds what the pictures of the console are made with, or installs it.
pub(crate) fn ensure_chromium(report: &Report) -> anyhow::Result<()> {
    find_or_install(report, &[&CHROMIUM])
}

fn find_or_install(report: &Report, needs: &[&Need]) -> anyhow::Result<()> {
    let missing: Vec<&Need> = needs.iter().copied().filter(|need| (need.find)().is_err()).collect();
    if !missing.is_empty() {
        install::packages(report, &missing)?;
    }
    for need in needs {
        let place = (need.find)().with_context(|| {
            format!("{} is still missing\n{}", need.what, install::by_hand(&[need]))
        })?;
        report.step(format_args!("{}: {}", need.what, place.display()));
    }
    Ok(())
}

fn build_tools() -> anyhow::Result<PathBuf> {
    on_path(&["cc", "gcc", "clang"]).context("no C compiler")?;
    on_path(&["c++", "g++", "clang++"]).context("no C++ compiler")?;
    let make = on_path(&["make", "gmake"]).context("no make")?;
    // Elsewhere the system itself has what `native-tls` uses.
    if cfg!(target_os = "linux") {
        let pkg_config = on_path(&["pkg-config"]).context("no pkg-config")?;
        run_silently(Command::new(pkg_config).args(["--exists", "openssl"]))
            .context("no headers of OpenSSL")?;
    }
    Ok(make)
}

fn redis() -> anyhow::Result<PathBuf> {
    programs::redis_cli()?;
    programs::redis_server()
}

fn maven() -> anyhow::Result<PathBuf> {
    on_path(&["mvn"]).context("no mvn")
}

fn java() -> anyhow::Result<PathBuf> {
    let java = programs::java()?;
    let output = run_silently(Command::new(&java).arg("-version"))?;
    match java_major(&output) {
        Some(major) if major >= JAVA_MAJOR_MIN => Ok(java),
        _ => bail!("{} is no Java {JAVA_MAJOR_MIN} or later:\n{output}", java.display()),
    }
}

/// From a first line like `openjdk version "17.0.15" 2025-04-15`.
fn java_major(output: &str) -> Option<u32> {
    let version = output.split('"').nth(1)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::java_major;

    #[test]
    fn major_version_of_java_is_read() {
        #[track_caller]
        fn check(output: &str, major: Option<u32>) {
            assert_eq!(java_major(output), major, "{output}");
        }
        check("openjdk version \"17.0.15\" 2025-04-15\nmore", Some(17));
        check("openjdk version \"21\" 2023-09-19", Some(21));
        check("java version \"1.8.0_202\"", Some(1));
        check("openjdk version \"24-ea\"", Some(24));
        check("unable to locate a Java Runtime", None);
    }
}
