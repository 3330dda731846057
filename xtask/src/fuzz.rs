//! `cargo x fuzz`: feeds inputs of any bytes to what reads them, with libFuzzer.
//!
//! The flags are those of `cargo fuzz`, without a sanitizer: there is no unsafe code to watch, and without it
//! a stable compiler does.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use crate::paths;
use crate::report::Report;
use crate::shell::{cargo, run_shown};
use crate::test::remove_strays;

/// Counts which edges of the program an input reaches, and shows libFuzzer what is compared with what.
const FLAGS: &str = "--cfg=fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 \
                     -Cdebug-assertions";
/// Longest input in bytes: longer than any limit that the targets have, bodies apart.
const INPUT_BYTES_MAX: u32 = 32 * 1024;

/// Feed inputs of any bytes to what reads them
///
/// Builds the programs in fuzz/, which takes minutes at first, and runs each for a time, one after the
/// other. It begins with fuzz/corpus and keeps what it finds in target/fuzz/corpus, so that a later run
/// goes on there. The end of each run says how many inputs it tried. An input that fails is kept in
/// target/fuzz/failures: run the program that is named with it to see why. `cargo fuzz` runs the same
/// programs, with a sanitizer and a nightly compiler.
///
/// Examples:
///   cargo x fuzz                       all, ten minutes each
///   cargo x fuzz event --seconds 60    one of them for a minute
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct FuzzArguments {
    /// What reads the inputs; all, if nothing is named
    targets: Vec<Target>,
    /// How long each of them runs
    #[arg(long, default_value_t = 600)]
    seconds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Records: decoding, the fold, outgoing events
    Event,
    /// Payloads of the cache, in each format
    CachedEntry,
    /// Names of owners and entries, and their escaping
    Key,
    /// Queries of the list
    Query,
    /// Whatever comes on a connection
    HttpHead,
}

impl Target {
    /// Its program, and its directory in the corpus.
    fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::CachedEntry => "cached_entry",
            Self::Key => "key",
            Self::Query => "query",
            Self::HttpHead => "http_head",
        }
    }
}

/// Runs them; fails at the first input that fails.
pub(crate) fn run(arguments: &FuzzArguments) -> anyhow::Result<ExitCode> {
    let report = Report::start();
    let targets = match arguments.targets.as_slice() {
        [] => Target::value_variants(),
        named => named,
    };
    for target in targets {
        report.step(format_args!("build {}", target.name()));
        let program = build(*target)?;
        report.step(format_args!("run {} for {} s", target.name(), arguments.seconds));
        fuzz(*target, &program, arguments.seconds)?;
    }
    report.step("no input failed");
    Ok(ExitCode::SUCCESS)
}

fn build(target: Target) -> anyhow::Result<PathBuf> {
    let (host, directory) = (host()?, directory());
    let mut build = cargo();
    build.args(["build", "--release", "--manifest-path"]).arg(root().join("Cargo.toml"));
    // With a target, so that the flags are not for build scripts.
    build.args(["--bin", target.name(), "--target", &host, "--target-dir"]).arg(&directory);
    if !run_shown(build.env("RUSTFLAGS", FLAGS))?.success() {
        bail!("{} was not built", target.name());
    }
    Ok(directory.join(host).join("release").join(target.name()))
}

fn fuzz(target: Target, program: &PathBuf, seconds: u32) -> anyhow::Result<()> {
    let found = directory().join("corpus").join(target.name());
    let failures = directory().join("failures").join(target.name());
    for directory in [&found, &failures] {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("make {}", directory.display()))?;
    }
    let mut run = Command::new(program);
    remove_strays(&mut run);
    run.arg(&found).arg(root().join("corpus").join(target.name()));
    run.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
    run.arg(format!("-artifact_prefix={}/", failures.display())).arg("-print_final_stats=1");
    if !run_shown(&mut run)?.success() {
        bail!("an input failed: {} has it", failures.display());
    }
    Ok(())
}

/// The platform of the compiler, as cargo names it.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("run rustc")?;
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = output.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc says no host")?.to_owned())
}

fn root() -> PathBuf {
    paths::root().join("fuzz")
}

fn directory() -> PathBuf {
    paths::target().join("fuzz")
}
