//! The JSON bodies that the service and its clients share, each declared once.
//!
//! Plain data: fields stand in the order in which they are sent. Times are RFC 3339 texts, and codes
//! are texts, so that a client reads what a newer server sends. The schemas go to the OpenAPI document.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Body of every refusal and failure: `application/problem+json`, as in RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `about:blank`: `title` is no more than the status in words; what exactly happened is in `code`.
    pub r#type: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What about this request was wrong, or what to do.
    pub detail: String,
    /// What went wrong, for programs.
    pub code: String,
    /// What went wrong, for people.
    pub error: String,
}

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// The kind of fault, as a name.
    pub code: String,
    /// What was wrong, and what is allowed.
    pub detail: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.detail)
    }
}

/// Answer of `POST /events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventsReport {
    /// Number of lines with the outcome `applied`.
    pub applied: u64,
    /// Number of lines with the outcome `duplicate`.
    pub duplicate: u64,
    /// Number of lines with the outcome `refused`.
    pub refused: u64,
    /// The lines that were not empty, in order.
    pub results: Vec<LineReport>,
}

/// Outcome of one line of `POST /events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineReport {
    /// Number of the line in the request; the first is 1.
    pub line: u64,
    /// Outcome of the line.
    pub outcome: LineOutcome,
    /// The event in the line; none if it cannot be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Uuid>,
    /// Why it was refused; none unless it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Outcome of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineOutcome {
    /// The event changed something.
    Applied,
    /// The event had been applied before.
    Duplicate,
    /// The record is a dead letter now.
    Refused,
}

/// Answer of `GET /cache/{owner}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CachedAnswers {
    /// Members of the owner's index in the cache. Answers that have expired may be among them.
    pub members: u64,
    /// Answers that a reader would be given now, by their keys. An index may be lost while its answers are
    /// not: then those to the usual queries are here, and to those that were named.
    pub answers: Vec<CachedAnswer>,
}

/// A cached answer, without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CachedAnswer {
    /// Its key among those of the owner.
    pub key: String,
    /// Length of its body.
    pub size_bytes: u64,
    /// When it expires; none if the cache does not say, or the answer was found by its name.
    #[schema(required)]
    pub expires_in_seconds: Option<u64>,
    /// Whether the owner's index has it; none if it was found by its name, and only a part of the index was
    /// looked at.
    #[schema(required)]
    pub indexed: Option<bool>,
    /// Whether the database has the same; none if that was not asked.
    #[schema(required)]
    pub comparison: Option<Comparison>,
}

/// A cached answer compared with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The database has the same.
    Same,
    /// The database has another one, and a second later the cache still had this one.
    Stale,
    /// It differed, and is no longer in the cache: an event was being applied.
    Changed,
    /// It is of a process with other settings, and was not compared.
    Foreign,
}

/// Answer of `GET /stale-answers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StaleAnswers {
    /// The last ones that the auditor of this process found, the newest first.
    pub answers: Vec<StaleAnswer>,
}

/// A cached answer that was found stale. It may be right again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StaleAnswer {
    /// Whose answer it is: `user:ID` or `batch:ID`.
    pub owner: String,
    /// Its key among those of the owner.
    pub key: String,
    /// When it was first found.
    pub first_found_at: String,
    /// When it was last found.
    pub last_found_at: String,
}

/// Answer of `DELETE /cache/{owner}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvalidationReport {
    /// Answers that were in the owner's index, those that had expired included.
    pub entries: u64,
}

/// A dead letter as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterSummary {
    /// Its id.
    pub id: u64,
    /// How the record came in: `kafka` or `http`.
    pub source: String,
    /// Kafka topic; none for a record that came over HTTP.
    #[schema(required)]
    pub topic: Option<String>,
    /// Kafka partition; none for a record that came over HTTP.
    #[schema(required)]
    pub partition: Option<i32>,
    /// Kafka offset; none for a record that came over HTTP.
    #[schema(required)]
    pub offset: Option<i64>,
    /// Length of the record.
    pub size_bytes: u64,
    /// When the record came in.
    pub received_at: String,
    /// Why it was last refused, as a name.
    pub code: String,
    /// Why it was last refused, as a sentence.
    pub detail: String,
    /// When it was last refused.
    pub refused_at: String,
}

/// Answer of `GET /dead-letters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterList {
    /// The dead letters, in the order of their ids.
    pub dead_letters: Vec<DeadLetterSummary>,
    /// The value of `after` for the next page; none on the last page.
    #[schema(required)]
    pub next_after: Option<u64>,
}

/// Answer of `GET /dead-letters/{id}`: the whole dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// What a list shows of it.
    #[serde(flatten)]
    pub summary: DeadLetterSummary,
    /// Kafka key, in hexadecimal.
    #[schema(required)]
    pub key_hex: Option<String>,
    /// Kafka headers, in their order.
    pub headers: Vec<Header>,
    /// Why this build refuses the bytes by themselves; none if it can decode them.
    #[schema(required)]
    pub refused_today: Option<Reason>,
    /// The bytes that are at fault, if there are such.
    #[schema(required)]
    pub place: Option<ByteRange>,
    /// The record, in hexadecimal. The last field: the server streams it.
    pub bytes_hex: String,
}

/// A Kafka header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value, in hexadecimal.
    pub value_hex: String,
}

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ByteRange {
    /// The first byte, counted from 0.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// Answer of `POST /dead-letters/{id}/replay`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayReport {
    /// Outcome of the replay.
    pub outcome: ReplayOutcome,
    /// The event in the record; none if it cannot be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Uuid>,
    /// Why it was refused again; none unless it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Outcome of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayOutcome {
    /// The event changed something, and the dead letter is removed.
    Applied,
    /// The event had been applied before, and the dead letter is removed.
    Duplicate,
    /// The record was refused again, and the dead letter stays.
    Refused,
    /// There is no such dead letter any more.
    Gone,
}

/// Answer of `DELETE /dead-letters/{id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiscardReport {
    /// Outcome of the discard.
    pub outcome: DiscardOutcome,
}

/// Outcome of a discard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiscardOutcome {
    /// The dead letter is removed.
    #[serde(rename = "dropped")]
    Discarded,
    /// There is no such dead letter any more.
    Gone,
    /// The record was refused again since the given time, and the dead letter stays.
    Changed,
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    /// Reads a body and writes it again: clients depend on every byte, the order of fields included.
    #[track_caller]
    fn check<T: Serialize + DeserializeOwned>(json: &str) {
        let body: T = serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(serde_json::to_string(&body).unwrap_or_default(), json);
    }

    #[test]
    fn bodies_keep_their_fields_in_order() {
        check::<ProblemBody>(
            r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"d","code":"c","error":"e"}"#,
        );
        let event_id = "00000000-0000-0000-0000-000000000001";
        let reason = r#""reason":{"code":"not_json","detail":"d"}"#;
        check::<EventsReport>(&format!(
            r#"{{"applied":1,"duplicate":1,"refused":1,"results":[{{"line":1,"outcome":"applied","event_id":"{event_id}"}},{{"line":2,"outcome":"duplicate"}},{{"line":4,"outcome":"refused","event_id":"{event_id}",{reason}}}]}}"#
        ));
        let summary = r#""id":1,"source":"kafka","topic":"t","partition":3,"offset":7,"size_bytes":1,"received_at":"r","code":"c","detail":"d","refused_at":"a""#;
        check::<DeadLetterList>(&format!(
            r#"{{"dead_letters":[{{{summary}}}],"next_after":null}}"#
        ));
        check::<DeadLetter>(&format!(
            r#"{{{summary},"key_hex":null,"headers":[{{"name":"n","value_hex":"00"}}],"refused_today":{{"code":"c","detail":"d"}},"place":{{"start":1,"end":2}},"bytes_hex":""}}"#
        ));
        check::<ReplayReport>(&format!(
            r#"{{"outcome":"refused","event_id":"{event_id}",{reason}}}"#
        ));
        check::<ReplayReport>(r#"{"outcome":"gone"}"#);
        check::<DiscardReport>(r#"{"outcome":"dropped"}"#);
        check::<DiscardReport>(r#"{"outcome":"changed"}"#);
    }
}
