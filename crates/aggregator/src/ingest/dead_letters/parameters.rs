//! The query parameters of the dead letters: strict about all of them.
//!
//! A filter that is misspelt would select every letter; so one that is not known is an error that
//! names those that are.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use results::{RefusalCode, Timestamp};

use crate::problem::Problem;
use crate::store::{DeadLetterId, LetterQuery};

/// Letters in a list unless the client says otherwise.
pub const LIMIT_DEFAULT: u32 = 50;
/// Most letters in one list. Without their bytes they are some hundred kilobytes.
pub const LIMIT_MAX: u32 = 500;
/// How records come in.
pub const SOURCES: [&str; 2] = ["http", "kafka"];

/// Names and values as sent.
pub(super) type Pairs = Vec<(String, String)>;

/// Reads which letters to list.
pub(super) fn query(sent: Result<Query<Pairs>, QueryRejection>) -> Result<LetterQuery, Problem> {
    const NAMES: [&str; 7] = ["source", "topic", "code", "from", "until", "after", "limit"];
    let mut query = LetterQuery { limit: LIMIT_DEFAULT, ..LetterQuery::default() };
    for (name, value) in each_once(sent, &NAMES)? {
        match name.as_str() {
            "source" => query.source = Some(source(value)?),
            "topic" => query.topic = Some(value),
            "code" => query.code = Some(code(&value)?),
            "from" => query.from = Some(time("from", &value)?),
            "until" => query.until = Some(time("until", &value)?),
            "after" => query.after = after(&value)?,
            _ => query.limit = limit(&value)?,
        }
    }
    Ok(query)
}

/// Reads when the letter to drop was refused, as far as its client knows.
pub(super) fn refused_at(
    sent: Result<Query<Pairs>, QueryRejection>,
) -> Result<Option<Timestamp>, Problem> {
    const NAME: &str = "refused_at";
    let sent = each_once(sent, &[NAME])?;
    sent.first().map(|(_, value)| time(NAME, value)).transpose()
}

/// The pairs, if every name is one of `names` and comes once.
fn each_once(sent: Result<Query<Pairs>, QueryRejection>, names: &[&str]) -> Result<Pairs, Problem> {
    let Query(sent) =
        sent.map_err(|_| Problem::invalid_parameter("query", "is not an encoded form"))?;
    for (at, (name, _)) in sent.iter().enumerate() {
        if !names.contains(&name.as_str()) {
            let allowed = names.join(", ");
            let detail = format!("an unknown parameter, allowed: {allowed}");
            return Err(Problem::invalid_parameter("query", detail));
        }
        if sent[..at].iter().any(|(earlier, _)| earlier == name) {
            // Taking the first or the last would make two programs see two different lists.
            return Err(Problem::invalid_parameter(name, "is given more than once"));
        }
    }
    Ok(sent)
}

fn source(value: String) -> Result<String, Problem> {
    if SOURCES.contains(&value.as_str()) {
        return Ok(value);
    }
    let allowed = SOURCES.join(", ");
    Err(Problem::invalid_parameter("source", format!("an unknown value, allowed: {allowed}")))
}

fn code(value: &str) -> Result<RefusalCode, Problem> {
    RefusalCode::parse(value).ok_or_else(|| {
        let allowed: Vec<_> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
        let detail = format!("an unknown value, allowed: {}", allowed.join(", "));
        Problem::invalid_parameter("code", detail)
    })
}

fn time(name: &str, value: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse(value).map_err(|error| Problem::invalid_parameter(name, error))
}

fn after(value: &str) -> Result<Option<DeadLetterId>, Problem> {
    let id = DeadLetterId::parse(value);
    if id.is_none() && value != "0" {
        return Err(Problem::invalid_parameter("after", "not a whole number from 0 on"));
    }
    Ok(id)
}

fn limit(value: &str) -> Result<u32, Problem> {
    let is_digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let limit = value.parse().ok().filter(|limit| is_digits && (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| {
        Problem::invalid_parameter("limit", format!("not a whole number from 1 to {LIMIT_MAX}"))
    })
}
