//! The query parameters of the dead letters: strict about all of them.
//!
//! A filter that is misspelt would select every dead letter; so one that is not known is an error that
//! names those that are.

use std::ops::RangeInclusive;

use projection::{RefusalCode, Timestamp};

use crate::http::parameters::{Parameters, Unknown};
use crate::http::problem::Problem;
use database::{DeadLetterId, DeadLetterQuery};

/// Dead letters in a list unless the client says otherwise.
const LIMIT_DEFAULT: u32 = 50;
/// Dead letters that a client may ask for. The most, without their bytes, are some hundred kilobytes.
const LIMIT_RANGE: RangeInclusive<u32> = 1..=500;
/// How records come in.
const SOURCES: [&str; 2] = ["http", "kafka"];

/// Reads which dead letters to list.
pub(super) fn query(sent: &str) -> Result<DeadLetterQuery, Problem> {
    const KNOWN: [&str; 7] = ["source", "topic", "code", "from", "until", "after", "limit"];
    let sent = Parameters::read(sent, &KNOWN, Unknown::Refused)?;
    Ok(DeadLetterQuery {
        source: sent.get("source").map(source).transpose()?,
        topic: sent.get("topic").map(str::to_owned),
        code: sent.get("code").map(code).transpose()?,
        from: time(&sent, "from")?,
        until: time(&sent, "until")?,
        after: sent.get("after").map_or(Ok(None), after)?,
        limit: sent.number("limit", LIMIT_RANGE, LIMIT_DEFAULT)?,
    })
}

/// Reads when the dead letter to drop was refused, as far as its client knows.
pub(super) fn refused_at(sent: &str) -> Result<Option<Timestamp>, Problem> {
    const NAME: &str = "refused_at";
    time(&Parameters::read(sent, &[NAME], Unknown::Refused)?, NAME)
}

fn source(text: &str) -> Result<String, Problem> {
    if SOURCES.contains(&text) {
        return Ok(text.to_owned());
    }
    let allowed = SOURCES.join(", ");
    Err(Problem::invalid_parameter("source", format!("unknown value, allowed: {allowed}")))
}

fn code(text: &str) -> Result<RefusalCode, Problem> {
    RefusalCode::parse(text).ok_or_else(|| {
        let allowed: Vec<_> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
        let allowed = allowed.join(", ");
        Problem::invalid_parameter("code", format!("unknown value, allowed: {allowed}"))
    })
}

fn time(sent: &Parameters<'_>, name: &str) -> Result<Option<Timestamp>, Problem> {
    let time = sent.get(name).map(Timestamp::parse).transpose();
    time.map_err(|error| Problem::invalid_parameter(name, error))
}

/// 0 is before the first.
fn after(text: &str) -> Result<Option<DeadLetterId>, Problem> {
    let id = DeadLetterId::parse(text);
    if id.is_none() && text != "0" {
        return Err(Problem::invalid_parameter("after", "not a whole number from 0 on"));
    }
    Ok(id)
}
