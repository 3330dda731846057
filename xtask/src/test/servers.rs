//! The same tests on several Redis servers, and a table of the results.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use testkit::programs;

use crate::needs::{REDIS_SERVERS, RedisServer};
use crate::report::Report;
use crate::shell;

/// Stands for all servers.
const ALL: &str = "all";

/// What the command line takes.
pub(super) fn names() -> PossibleValuesParser {
    let servers = REDIS_SERVERS.iter().map(|server| server.name);
    PossibleValuesParser::new([ALL].into_iter().chain(servers))
}

/// Each named server once, in the order of the list.
pub(super) fn named(names: &[String]) -> Vec<&'static RedisServer> {
    let is_named = |server: &&RedisServer| {
        names.iter().any(|name| [ALL, server.name].contains(&name.as_str()))
    };
    REDIS_SERVERS.iter().filter(is_named).collect()
}

/// Runs the tests on each server; successful if they all passed on all.
pub(super) fn run(
    report: &Report,
    servers: &[&RedisServer],
    command: impl Fn() -> Command,
) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for server in servers {
        report.step(format_args!("test on {}", server.name));
        rows.push(run_on(report, server, command()).unwrap_or_else(|error| {
            report.step(format_args!("{} is not tested: {error:#}", server.name));
            Row::not_run(server)
        }));
    }
    println!("\n{}", Table(&rows));
    let all_passed = rows.iter().all(|row| row.passed);
    report.step(if all_passed { "all tests passed on all" } else { "not all tests passed on all" });
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_on(report: &Report, server: &RedisServer, mut tests: Command) -> anyhow::Result<Row> {
    let program = server.ensure(report)?;
    let version = programs::redis_version_of(&program)?;
    let tls = programs::redis_tls_server_for(&program)
        .and_then(|program| programs::redis_version_of(&program));
    let tls = tls.unwrap_or_else(|_| "none".to_owned());
    report.step(format_args!("{version}: {}", program.display()));
    tests.env(programs::REDIS_SERVER, &program);
    let (success, counts) = run_counting(&mut tests)?;
    // A filter that selects nothing proves nothing.
    let passed = success && counts.passed > 0;
    Ok(Row { server: server.name, version, tls, result: counts.to_string(), passed })
}

/// What test binaries print at their end, added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
}

impl Counts {
    /// From a line like `test result: FAILED. 3 passed; 1 failed; 0 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|l| l.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse::<usize>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs the tests and shows what they print. Gives whether they were successful.
fn run_counting(tests: &mut Command) -> anyhow::Result<(bool, Counts)> {
    let line = shell::line(tests);
    let mut running =
        tests.stdout(Stdio::piped()).spawn().with_context(|| format!("run {line}"))?;
    let stdout = running.stdout.take().context("the tests have no output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("read the output of the tests")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.add(&line);
    }
    let status = running.wait().with_context(|| format!("wait for {line}"))?;
    Ok((status.success(), counts))
}

/// A line of the table.
struct Row {
    server: &'static str,
    version: String,
    /// What served the tests over TLS.
    tls: String,
    result: String,
    passed: bool,
}

impl Row {
    fn not_run(server: &RedisServer) -> Self {
        let [version, tls, result] = ["-", "-", "not run"].map(str::to_owned);
        Self { server: server.name, version, tls, result, passed: false }
    }
}

/// As in Markdown, so that it can be copied into a document.
struct Table<'a>(&'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| server | version | over TLS | tests |\n|---|---|---|---|")?;
        for Row { server, version, tls, result, passed } in self.0 {
            let verdict = if *passed { "passed" } else { "FAILED" };
            writeln!(f, "| {server} | {version} | {tls} | {verdict}: {result} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, REDIS_SERVERS, Row, Table, named};

    #[test]
    fn each_named_server_is_run_once() {
        #[track_caller]
        fn check(names: &[&str], expected: &[&str]) {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let servers: Vec<&str> = named(&names).iter().map(|server| server.name).collect();
            assert_eq!(servers, expected);
        }
        check(&["valkey-9", "redis-8", "redis-8"], &["redis-8", "valkey-9"]);
        check(&["valkey-9", "all"], &["redis-7", "redis-8", "valkey-8", "valkey-9"]);
    }

    #[test]
    fn results_of_all_test_binaries_are_added_up() {
        let mut counts = Counts::default();
        for line in [
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
            "test prints::test_result ... ok",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            counts.add(line);
        }
        assert_eq!(counts, Counts { passed: 7, failed: 2 });
    }

    #[test]
    fn table_shows_a_server_that_was_not_run_as_failed() {
        let table = Table(&[Row::not_run(&REDIS_SERVERS[0])]).to_string();
        assert!(table.ends_with("| redis-7 | - | - | FAILED: not run |\n"), "{table}");
    }
}
