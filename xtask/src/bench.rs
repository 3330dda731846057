//! `cargo x bench`: the speed of `freshset` beside plain Redis commands and caches inside a process.

use std::process::ExitCode;

use clap::Args;

use crate::measured::{self, Program};
use crate::needs;
use crate::paths;
use crate::report::Report;

/// The document and its chart, below the root of the repository.
const DOCUMENT: &str = "docs/performance.md";
const CHART: &str = "docs/performance.svg";
/// Names to the program the file of the chart.
const CHART_FILE: &str = "FRESHSET_BENCH_CHART";

/// Measure the speed of the cache library
///
/// Starts a Redis of its own and prints how many hits, misses and invalidations a second `freshset`
/// makes, beside plain GET, SET and DEL by the same client, and hits inside the process beside moka
/// and quick_cache. The subjects take turns in seven rounds; the table has medians, the slowest and
/// the fastest round, and the median of the ratios. Takes three minutes once it is built.
///
/// Nothing else should run on the machine meanwhile. What is missing on it is installed first, as for
/// `cargo x test`.
///
/// Examples:
///   cargo x bench           print the tables
///   cargo x bench --write   put them and the chart into docs/performance.md
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct BenchArguments {
    /// Put the tables into docs/performance.md and the chart beside it
    #[arg(long)]
    write: bool,
}

/// Runs it, and writes the document if asked to.
pub(crate) fn run(arguments: &BenchArguments) -> anyhow::Result<ExitCode> {
    let report = Report::start();
    let mut variables = needs::ensure(&report)?.0;
    if arguments.write {
        variables.push((CHART_FILE, paths::root().join(CHART)));
    }
    let program = Program { package: "freshset", example: "bench", variables };
    let measured = measured::run(&report, program)?;
    if arguments.write {
        measured::write(&report, DOCUMENT, &measured)?;
    }
    Ok(ExitCode::SUCCESS)
}
