//! `cargo x test`: installs what the tests need, then runs them.

use std::env;
use std::process::ExitCode;

use clap::Args;

use crate::needs;
use crate::report::Report;
use crate::shell::{self, cargo, exit_code, run_shown};

/// Variables of the caller that would point the tests, or the clients in them, to other servers.
const STRAY_PREFIXES: [&str; 2] = ["RAS_", "PG"];
const STRAY_NAMES: [&str; 2] = ["DATABASE_URL", "REDISCLI_AUTH"];

/// Run all tests, on real PostgreSQL, Redis and Kafka
///
/// Finds the programs, or installs them: from packages on Debian and Ubuntu as root or with a
/// passwordless sudo, the jars of Kafka through Maven into target/testkit. Elsewhere it says what
/// to install. Then it runs `cargo test --workspace --all-features`, whose exit code it ends with.
/// Each test starts the servers that it needs and ends them.
///
/// Examples:
///   cargo x test                                   everything
///   cargo x test -- -p freshset                    one crate
///   cargo x test -- -p freshset invalidate -- --nocapture  some tests of one crate, with their output
///
/// To use other programs, name them: TESTKIT_POSTGRES_BIN (directory), TESTKIT_PGBOUNCER,
/// TESTKIT_REDIS_SERVER, TESTKIT_JAVA (programs), TESTKIT_KAFKA_LIBS (directory of jars).
/// TESTKIT_SEED repeats a random test.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TestArguments {
    /// Passed to `cargo test`
    #[arg(last = true)]
    cargo_arguments: Vec<String>,
}

/// Runs it; the exit code is that of `cargo test`.
pub(crate) fn run(arguments: &TestArguments) -> anyhow::Result<ExitCode> {
    let report = Report::start();
    let found = needs::ensure(&report)?;
    let mut tests = cargo();
    tests.arg("test");
    if !selects_packages(&arguments.cargo_arguments) {
        tests.arg("--workspace");
    }
    tests.arg("--all-features").args(&arguments.cargo_arguments);
    for (name, _) in env::vars_os().filter(|(name, _)| is_stray(&name.to_string_lossy())) {
        tests.env_remove(name);
    }
    tests.envs(found.0);
    report.step(shell::line(&tests));
    let status = run_shown(&mut tests)?;
    report.step(if status.success() { "all tests passed" } else { "not all tests passed" });
    Ok(exit_code(status))
}

/// `--workspace` would override a selection.
fn selects_packages(cargo_arguments: &[String]) -> bool {
    cargo_arguments.iter().take_while(|argument| *argument != "--").any(|argument| {
        ["-p", "--package", "--manifest-path"].iter().any(|option| argument.starts_with(option))
    })
}

fn is_stray(name: &str) -> bool {
    STRAY_NAMES.contains(&name) || STRAY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::{is_stray, selects_packages};

    #[test]
    fn selection_of_packages_is_recognised() {
        #[track_caller]
        fn check(line: &str, selects: bool) {
            let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(selects_packages(&arguments), selects, "{line}");
        }
        check("", false);
        check("invalidate -- --nocapture", false);
        check("-p freshset", true);
        check("-pfreshset", true);
        check("--package=freshset", true);
        check("name -- -p", false);
    }

    #[test]
    fn variables_that_point_to_other_servers_are_removed() {
        for name in ["RAS_DATABASE_URL", "PGHOST", "DATABASE_URL"] {
            assert!(is_stray(name), "{name}");
        }
        for name in ["PATH", "TESTKIT_SEED", "CARGO_HOME"] {
            assert!(!is_stray(name), "{name}");
        }
    }
}
