//! `schemathesis`, which makes requests of the OpenAPI document: fetched once, into the target directory.

use std::env;
use std::path::PathBuf;

use testkit::programs;

use super::pip_programs::PipPrograms;
use crate::report::Report;

/// Its version, and those of what it needs.
const REQUIREMENTS: &str = include_str!("../../schemathesis/requirements.txt");

/// The program; fetches it if it is missing or of another version.
pub(super) fn ensure(report: &Report) -> anyhow::Result<PathBuf> {
    if env::var_os(programs::SCHEMATHESIS).is_some() {
        return programs::schemathesis();
    }
    let fetched = PipPrograms::new(programs::SCHEMATHESIS_IN_TARGET, REQUIREMENTS);
    fetched.ensure(report, "schemathesis")?;
    let program = fetched.program("schemathesis");
    report.step(format_args!("schemathesis: {}", program.display()));
    Ok(program)
}
