//! `cargo x measure`: the figures of docs/active-invalidation.md, the events a second that are applied,
//! the cost of a list in PostgreSQL, and what streams, audits and traces cost the reads.
//!
//! Each is measured by an example of a crate. The tables of the first can be put into the document.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::measured::{self, Program};
use crate::needs;
use crate::report::Report;

/// The document, below the root of the repository.
const DOCUMENT: &str = "docs/active-invalidation.md";

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
/// `reads`: starts PostgreSQL, Redis and four processes of the service, and prints how fast lists are read
/// from each: with 500 open streams, with 100 audits a second, with traces, as shares of the speed with none
/// of them. Takes five minutes once it is built.
///
/// Nothing else should run on the machine meanwhile. What is missing on it is installed first, as for
/// `cargo x test`. TESTKIT_SEED repeats the random choices.
///
/// Examples:
///   cargo x measure           print the tables of the cache
///   cargo x measure --write   put them into the document, too
///   cargo x measure events    print the events a second
///   cargo x measure list      print what a list costs PostgreSQL
///   cargo x measure reads     print what streams, audits and traces cost the reads
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
    Reads,
}

impl Subject {
    /// The crate and its example.
    fn program(self) -> [&'static str; 2] {
        match self {
            Self::Cache => ["freshset", "measure"],
            Self::Events => ["cli", "throughput"],
            Self::List => ["cli", "list"],
            Self::Reads => ["cli", "reads"],
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
    let [package, example] = arguments.what.program();
    let program = Program { package, example, variables: found.0 };
    let measured = measured::run(&report, program)?;
    if arguments.write {
        measured::write(&report, DOCUMENT, &measured)?;
    }
    Ok(ExitCode::SUCCESS)
}
