//! `result-aggregator openapi`: prints the API document, as a server has it at `/openapi.json`.

use std::io::{self, Write as _};

/// Prints the document.
pub(super) fn run() -> anyhow::Result<()> {
    let document = aggregator::http::openapi::document().to_pretty_json()?;
    // A reader that closes the pipe has read enough.
    let _ = io::stdout().write_all(format!("{document}\n").as_bytes());
    Ok(())
}
