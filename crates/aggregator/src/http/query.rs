//! The query of a list: strict about the parameters it knows, blind to the others.
//!
//! It reads text only; what a page holds is decided in the store.

use std::ops::RangeInclusive;

use projection::{BatchStatus, StatusFilter};

use crate::http::parameters::{Parameters, Unknown};
use crate::http::problem::Problem;

/// Pages a client may ask for: the largest is what one screen or one export step needs, and keeps
/// a page of batches with many essays within a few megabytes.
const LIMIT_RANGE: RangeInclusive<u32> = 0..=100;
/// Batches per page unless the client says otherwise.
const LIMIT_DEFAULT: u32 = 20;
/// How far a client may skip. Further than any teacher has batches; a larger skip would only make
/// the database count.
const OFFSET_RANGE: RangeInclusive<u32> = 0..=1_000_000;

/// What a list request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListParameters {
    pub(super) limit: u32,
    pub(super) offset: u32,
    /// Empty means all.
    pub(super) statuses: Vec<BatchStatus>,
    pub(super) include_essays: bool,
}

/// Reads the query of a list request.
pub(super) fn parse(query: &str) -> Result<ListParameters, Problem> {
    const KNOWN: [&str; 4] = ["limit", "offset", "status", "include"];
    let sent = Parameters::read(query, &KNOWN, Unknown::Ignored)?;
    Ok(ListParameters {
        limit: sent.number("limit", LIMIT_RANGE, LIMIT_DEFAULT)?,
        offset: sent.number("offset", OFFSET_RANGE, 0)?,
        statuses: sent.get("status").map_or(Ok(Vec::new()), statuses)?,
        include_essays: sent.get("include").map_or(Ok(true), include_essays)?,
    })
}

fn statuses(text: &str) -> Result<Vec<BatchStatus>, Problem> {
    // An empty word, which a form that was left blank sends, is no filter.
    StatusFilter::parse(text).map_err(|unknown| Problem::invalid_parameter("status", unknown))
}

fn include_essays(text: &str) -> Result<bool, Problem> {
    match text {
        "full" => Ok(true),
        "summary" => Ok(false),
        _ => Err(Problem::invalid_parameter("include", "unknown value, allowed: full, summary")),
    }
}
