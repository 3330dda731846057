//! The AsyncAPI document, judged by the parser of AsyncAPI. A test of `projection` compares it with the code.

use crate::report::Report;
use crate::shell::run_silently;
use crate::{needs, paths};

const DOCUMENT: &str = "docs/asyncapi.json";

pub(super) fn check(report: &Report) -> anyhow::Result<()> {
    let mut validate = needs::asyncapi_validator(report)?;
    run_silently(validate.arg(DOCUMENT).current_dir(paths::root())).map(drop)
}
