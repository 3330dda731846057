//! Dead letters as the server tells of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a list has of a dead letter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Its id.
    pub id: u64,
    /// `kafka` or `http`.
    pub source: String,
    /// Kafka topic, partition and offset, if it came by Kafka.
    pub topic: Option<String>,
    /// See `topic`.
    pub partition: Option<i32>,
    /// See `topic`.
    pub offset: Option<i64>,
    /// Length of the record.
    pub size_bytes: u64,
    /// When it came.
    pub received_at: String,
    /// Why it was last refused, as a name.
    pub code: String,
    /// Why it was last refused, as a sentence.
    pub detail: String,
    /// When it was last refused.
    pub refused_at: String,
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) dead_letters: Vec<Summary>,
    pub(super) next_after: Option<u64>,
}

/// A dead letter, whole.
#[derive(Clone, Debug, Deserialize)]
pub struct DeadLetter {
    /// What a list has of it.
    #[serde(flatten)]
    pub summary: Summary,
    /// Kafka key, in hexadecimal.
    pub key_hex: Option<String>,
    /// Kafka headers.
    pub headers: Vec<Header>,
    /// Why its bytes alone are refused, today.
    pub refused_today: Option<Reason>,
    /// What of its bytes is at fault.
    pub place: Option<Place>,
    /// The record, in hexadecimal.
    pub bytes_hex: String,
}

/// A Kafka header.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value, in hexadecimal.
    pub value_hex: String,
}

/// A range of bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Place {
    /// The first of them, counted from 0.
    pub start: usize,
    /// The first that is not one of them any more.
    pub end: usize,
}

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reason {
    /// As a name.
    pub code: String,
    /// As a sentence.
    pub detail: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.detail)
    }
}

/// What became of a dead letter that was taken again.
#[derive(Deserialize)]
pub(super) struct Replayed {
    pub(super) outcome: String,
    pub(super) reason: Option<Reason>,
}

/// What became of a dead letter that was to be dropped.
#[derive(Deserialize)]
pub(super) struct Dropped {
    pub(super) outcome: String,
}
