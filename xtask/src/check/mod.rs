//! `cargo x check`: everything that must hold besides the tests.

mod asyncapi;
mod features;
mod monitoring;
mod packages;
mod public_api;

use std::process::{Command, ExitCode};

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::report::Report;
use crate::shell::{self, cargo, run_shown};
use crate::tools::{CARGO_DENY, CARGO_MACHETE, Tool};
use crate::{needs, paths, rules};

/// Check form, lints, docs, licences, dependencies and repository rules
///
/// Runs every check, even if one fails, and says at the end which did. Two tools are built on the
/// first run, which takes some minutes, and linters are fetched; they are kept in target/tools.
///
/// Examples:
///   cargo x check                all of them
///   cargo x check rules clippy   only these
///   UPDATE_GOLDEN=1 cargo x check public-api
///                                write the list of public items anew
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CheckArguments {
    /// Which checks to run; all, if none is named
    checks: Vec<Check>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Check {
    /// The form of the code: rustfmt changes nothing
    Format,
    /// Lints: clippy has no warning, in any target and feature
    Clippy,
    /// Docs: rustdoc has no warning, such as a broken link
    Doc,
    /// The library freshset compiles without warnings with each of its features alone, and with none
    Features,
    /// The public items of the library freshset are those of crates/freshset/public-api.txt
    PublicApi,
    /// Licences, sources and duplicates of dependencies, as deny.toml allows
    Deny,
    /// No dependency is declared that nothing uses
    Unused,
    /// The alert rules in monitoring/ are right, and their unit tests pass
    Monitoring,
    /// docs/asyncapi.json is valid for the parser of AsyncAPI
    Asyncapi,
    /// The repository rules: layers, cycles, imports, words, tests, documents, Redis commands, Lua
    Rules,
    /// The Dockerfile, compose.yaml, the manifests of Kubernetes and the unit of systemd pass their linters
    Packages,
}

/// Runs the checks; fails if one does.
pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let report = Report::start();
    let checks = match arguments.checks.as_slice() {
        [] => Check::value_variants(),
        named => named,
    };
    let mut failed = Vec::new();
    for check in checks {
        let name =
            check.to_possible_value().map_or_else(String::new, |it| it.get_name().to_owned());
        report.step(format_args!("check {name}"));
        if let Err(error) = check.run(&report) {
            eprintln!("{error:#}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        report.step("every check holds");
        return Ok(ExitCode::SUCCESS);
    }
    report.step(format_args!("failed: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

impl Check {
    fn run(self, report: &Report) -> anyhow::Result<()> {
        if matches!(self, Self::Clippy | Self::Doc | Self::Features | Self::PublicApi) {
            needs::ensure_build_tools(report)?;
        }
        match self {
            Self::Format => pass(cargo().args(["fmt", "--all", "--", "--check"])),
            Self::Clippy => pass(cargo().args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--",
                "--deny=warnings",
            ])),
            Self::Doc => pass(
                cargo()
                    .args(["doc", "--workspace", "--all-features", "--no-deps"])
                    .arg("--document-private-items")
                    .env("RUSTDOCFLAGS", "--deny=warnings"),
            ),
            Self::Features => features::check(),
            Self::PublicApi => public_api::check(),
            Self::Deny => pass(tool(report, &CARGO_DENY)?.args([
                "--workspace",
                "--all-features",
                "check",
                "bans",
                "licenses",
                "sources",
            ])),
            Self::Unused => pass(tool(report, &CARGO_MACHETE)?.arg("--with-metadata")),
            Self::Monitoring => monitoring::check(report),
            Self::Asyncapi => asyncapi::check(report),
            Self::Rules => rules_hold(),
            Self::Packages => packages::check(report),
        }
    }
}

fn tool(report: &Report, tool: &Tool) -> anyhow::Result<Command> {
    let mut command = Command::new(tool.ensure(report)?);
    command.current_dir(paths::root());
    Ok(command)
}

fn pass(command: &mut Command) -> anyhow::Result<()> {
    let status = run_shown(command)?;
    if !status.success() {
        bail!("`{}` failed ({status})", shell::line(command));
    }
    Ok(())
}

fn rules_hold() -> anyhow::Result<()> {
    let broken = rules::inspect(&paths::root())?;
    for finding in &broken {
        eprintln!("{finding}");
    }
    if !broken.is_empty() {
        bail!("{} repository rules broken", broken.len());
    }
    Ok(())
}
