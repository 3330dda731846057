//! `cargo x measure`: the figures of docs/active-invalidation.md, the events a second that are applied,
//! and the cost of a list in PostgreSQL.
//!
//! Each is measured by an example of a crate. This file runs it, and puts the tables of the first into
//! the document.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::report::Report;
use crate::shell::{self, cargo};
use crate::{needs, paths};

/// The document, below the root of the repository.
const DOCUMENT: &str = "docs/active-invalidation.md";
/// The lines that begin and end a block, both in the output of the program and in the document.
const BEGIN: &str = "<!-- measured:";
const END: &str = "<!-- /measured -->";

/// Measure on real servers what the documents say
///
/// `cache`: starts a Redis of its own, fills it with a million keys, and prints the tables of
/// docs/active-invalidation.md: KEYS and SCAN against the index, what a crash leaves behind, and stale
/// reads of a naive cache and of ours. Takes two minutes once it is built.
///
/// `events`: starts PostgreSQL, Redis, Kafka and the service, and prints how many events a second
/// they apply together. Takes half a minute once it is built.
///
/// `list`: starts PostgreSQL, and prints the CPU time that an uncached list takes of it, beside the same
/// facts in plain columns. Linux only. Takes some seconds once it is built.
///
/// Nothing else should run on the machine meanwhile. What is missing on it is installed first, as for
/// `cargo x test`. TESTKIT_SEED repeats the random choices.
///
/// Examples:
///   cargo x measure           print the tables of the cache
///   cargo x measure --write   put them into the document, too
///   cargo x measure events    print the events a second
///   cargo x measure list      print what a list costs PostgreSQL
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct MeasureArguments {
    /// What to measure
    #[arg(default_value = "cache")]
    what: Subject,
    /// Put the tables into docs/active-invalidation.md
    #[arg(long)]
    write: bool,
}

/// The measurements, each a program.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    Cache,
    Events,
    List,
}

impl Subject {
    /// The crate and its example.
    fn program(self) -> [&'static str; 2] {
        match self {
            Self::Cache => ["freshset", "measure"],
            Self::Events => ["cli", "throughput"],
            Self::List => ["cli", "list"],
        }
    }
}

/// Runs the measurement, and writes the document if asked to.
pub(crate) fn run(arguments: &MeasureArguments) -> anyhow::Result<ExitCode> {
    if arguments.write && arguments.what != Subject::Cache {
        bail!("--write: only the tables of `cache` are in a document");
    }
    let report = Report::start();
    let found = needs::ensure(&report)?;
    let measured = measure(&report, found, arguments.what)?;
    if arguments.write {
        let path = paths::root().join(DOCUMENT);
        let document = fs::read_to_string(&path).with_context(|| format!("read {DOCUMENT}"))?;
        fs::write(&path, splice(&document, &measured)?)
            .with_context(|| format!("write {DOCUMENT}"))?;
        report.step(format_args!("wrote {DOCUMENT}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the output of the program, and returns it.
fn measure(report: &Report, found: needs::Found, what: Subject) -> anyhow::Result<String> {
    let [package, example] = what.program();
    let mut program = cargo();
    program.args(["run", "--release", "--package", package, "--example", example]);
    program.envs(found.0).stdout(Stdio::piped());
    report.step(shell::line(&program));
    let mut running = program.spawn().context("run cargo")?;
    let output = running.stdout.take().context("the output of cargo")?;
    let mut measured = String::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("read the output of cargo")?;
        println!("{line}");
        measured.push_str(&line);
        measured.push('\n');
    }
    let status = running.wait().context("wait for cargo")?;
    if !status.success() {
        bail!("`{}` failed ({status})", shell::line(&program));
    }
    Ok(measured)
}

/// The document with each of its blocks replaced by the measured one of the same name.
fn splice(document: &str, measured: &str) -> anyhow::Result<String> {
    let mut spliced = String::new();
    let mut rest = document;
    while let Some(start) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(start);
        let (old, after) = block.split_once(END).context("a block without its end")?;
        let head = old.lines().next().unwrap_or_default();
        let new = measured
            .split_once(head)
            .and_then(|(_, after)| after.split_once(END))
            .with_context(|| format!("nothing measured for {head}"))?;
        spliced.extend([before, head, new.0, END]);
        rest = after;
    }
    spliced.push_str(rest);
    let names = measured.lines().filter(|line| line.starts_with(BEGIN));
    for name in names {
        if !document.contains(name) {
            bail!("{DOCUMENT} has no place for {name}");
        }
    }
    Ok(spliced)
}

#[cfg(test)]
mod tests {
    use super::splice;

    const DOCUMENT: &str = "a\n<!-- measured:x -->\n\nold\n\n<!-- /measured -->\nb\n";

    #[test]
    fn splice_replaces_blocks_only() {
        let measured = "seed\n<!-- measured:x -->\n\n| new |\n\n<!-- /measured -->\n";
        let expected = DOCUMENT.replace("old", "| new |");
        assert_eq!(splice(DOCUMENT, measured).unwrap(), expected);
        assert_eq!(splice(&expected, measured).unwrap(), expected, "again");
    }

    #[test]
    fn block_that_only_one_side_has_is_an_error() {
        let error = splice(DOCUMENT, "").unwrap_err().to_string();
        assert!(error.contains("nothing measured for <!-- measured:x -->"), "{error}");
        let measured = "<!-- measured:y -->\n1\n<!-- /measured -->\n";
        let error = splice("no block", measured).unwrap_err().to_string();
        assert!(error.contains("no place for <!-- measured:y -->"), "{error}");
    }
}
