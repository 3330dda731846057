//! The query of a list: strict about the parameters it knows, blind to the others.
//!
//! A client that asks for what does not exist is told so, with the values that do, instead of
//! getting a default that looks like an answer. It reads text only; what a page holds is decided in
//! the store.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use percent_encoding::percent_decode_str;
use results::{BatchStatus, StatusFilter};

use crate::problem::Problem;

/// Longest query, in bytes as sent. The longest sensible one is under 200.
pub const QUERY_BYTES_MAX: usize = 4_096;
/// Pages a client may ask for: the largest is what one screen or one export step needs, and keeps
/// a page of batches with many essays within a few megabytes.
pub const LIMIT_RANGE: RangeInclusive<u32> = 0..=100;
/// Batches per page unless the client says otherwise.
pub const LIMIT_DEFAULT: u32 = 20;
/// How far a client may skip. Further than any teacher has batches; a larger skip would only make
/// the database count.
pub const OFFSET_RANGE: RangeInclusive<u32> = 0..=1_000_000;

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
    if query.len() > QUERY_BYTES_MAX {
        let detail = format!("has {} bytes, the limit is {QUERY_BYTES_MAX}", query.len());
        return Err(Problem::invalid_parameter("query", detail));
    }
    let sent = Sent::read(query)?;
    Ok(ListParameters {
        limit: sent.limit.map_or(Ok(LIMIT_DEFAULT), |text| number("limit", &text, LIMIT_RANGE))?,
        offset: sent.offset.map_or(Ok(0), |text| number("offset", &text, OFFSET_RANGE))?,
        statuses: sent.status.map_or(Ok(Vec::new()), |text| statuses(&text))?,
        include_essays: sent.include.map_or(Ok(true), |text| include_essays(&text))?,
    })
}

/// The parameters as sent, each at most once.
#[derive(Default)]
struct Sent<'a> {
    limit: Option<Cow<'a, str>>,
    offset: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
    include: Option<Cow<'a, str>>,
}

impl<'a> Sent<'a> {
    fn read(query: &'a str) -> Result<Self, Problem> {
        let mut sent = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A name that is not UTF-8 is none of ours.
            let Some(name) = decode(name) else { continue };
            let (name, slot) = match name.as_ref() {
                "limit" => ("limit", &mut sent.limit),
                "offset" => ("offset", &mut sent.offset),
                "status" => ("status", &mut sent.status),
                "include" => ("include", &mut sent.include),
                _ => continue,
            };
            if slot.is_some() {
                // Taking the first or the last would make two programs see two different pages.
                return Err(Problem::invalid_parameter(name, "is given more than once"));
            }
            let Some(value) = decode(value) else {
                return Err(Problem::invalid_parameter(name, "is not percent-encoded UTF-8"));
            };
            *slot = Some(value);
        }
        Ok(sent)
    }
}

fn number(name: &str, text: &str, allowed: RangeInclusive<u32>) -> Result<u32, Problem> {
    // `parse` alone would also take a leading plus sign.
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| is_digits && allowed.contains(value));
    value.ok_or_else(|| {
        let (first, last) = (allowed.start(), allowed.end());
        Problem::invalid_parameter(name, format!("not a whole number from {first} to {last}"))
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

/// Undoes the encoding of a form: `+` is a space, `%` starts a byte.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8().ok();
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}
