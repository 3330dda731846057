//! Dead letters: refused records, stored to be inspected, replayed or discarded.
//!
//! Storing a dead letter never fails because of its content: that would block all records behind
//! it. This module does not decode records.

pub(super) mod rows;

use std::fmt;

use async_trait::async_trait;
use projection::{Refusal, RefusalCode, Timestamp};
use serde::Serialize;

use crate::error::DbError;

/// The stored dead letters. Implemented twice, as [`BatchRepository`](crate::BatchRepository) is.
///
/// - **R10** A dead letter is stored with its bytes, and once.
/// - **R25** An id names one dead letter and is never reused.
/// - **R26** A list has exactly the selected dead letters, in the order of their ids; pages that
///   each start where the previous one says show each once. A page scans at most
///   [`DEAD_LETTERS_SCANNED_MAX`].
/// - **R27** A dead letter is read back unchanged. If an older build stored it without its time of
///   receipt, this is its time of refusal.
/// - **R28** A delete removes one dead letter, once; and none if it was refused again since it was
///   read.
/// - **R29** A dead letter that is refused again keeps everything but its refusal. A deleted one
///   stays deleted.
/// - **R30** A purge takes the oldest first, at most as many as its limit, and none refused at the
///   given time or later; chunk by chunk it takes each once, also those of the same time.
/// - **R31** The usage is exact after each insert, delete and purge.
/// - **R33** Records that are already stored are recognised before an insert, whatever their
///   fingerprint.
/// - **R34** Groups count exactly the newest dead letters, each once, the largest group first.
#[async_trait]
pub trait DeadLetterRepository: Send + Sync + 'static {
    /// Stores refused records. One that is already stored, by its fingerprint, is not changed.
    async fn insert_dead_letters(&self, dead_letters: &[DeadLetter]) -> Result<(), DbError>;

    /// Those of `dead_letters` that [`insert_dead_letters`](Self::insert_dead_letters) would add:
    /// not stored yet, by their fingerprints, and each once.
    async fn new_dead_letters<'a>(
        &self,
        dead_letters: &'a [DeadLetter],
    ) -> Result<Vec<&'a DeadLetter>, DbError>;

    /// Number and bytes of all dead letters. Constant cost.
    async fn dead_letter_usage(&self) -> Result<DeadLetterUsage, DbError>;

    /// The dead letters that `query` selects, without their bytes.
    ///
    /// Cost: a scan of the dead letters after `query.after` until the page is full, or of
    /// [`DEAD_LETTERS_SCANNED_MAX`].
    async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, DbError>;

    /// The newest `counted_max` dead letters, counted by source, topic and code.
    ///
    /// Cost: a scan of these.
    async fn dead_letter_groups(&self, counted_max: u32) -> Result<Vec<DeadLetterGroup>, DbError>;

    /// One dead letter with its bytes. `None`: never existed, or deleted.
    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<StoredDeadLetter>, DbError>;

    /// Deletes a dead letter; returns whether it existed. With `refused_at`, only if it was not
    /// refused again since then.
    async fn delete_dead_letter(
        &self,
        id: DeadLetterId,
        refused_at: Option<Timestamp>,
    ) -> Result<bool, DbError>;

    /// Records that a dead letter was refused again; returns whether it still exists.
    async fn dead_letter_refused_again(
        &self,
        id: DeadLetterId,
        refusal: &Refusal,
        at: Timestamp,
    ) -> Result<bool, DbError>;

    /// Purges one chunk of the dead letters last refused before a time.
    ///
    /// Cost: the dead letters that it removes, regardless of earlier chunks.
    async fn purge_dead_letters(
        &self,
        chunk: ExpiredDeadLetters,
    ) -> Result<PurgedDeadLetters, DbError>;
}

/// A refused record, with all that is needed to inspect or replay it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Identifies the record, so that a redelivered one is stored once. At most 1,024 bytes, which
    /// every database can index.
    pub fingerprint: String,
    /// Source: `kafka` or `http`.
    pub source: String,
    /// Kafka topic, if from Kafka.
    pub topic: Option<String>,
    /// Kafka partition, if from Kafka.
    pub partition: Option<i32>,
    /// Kafka offset, if from Kafka.
    pub offset: Option<i64>,
    /// Kafka key, as received.
    pub key: Option<Vec<u8>>,
    /// Kafka headers, as received, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The record, as received.
    pub bytes: Vec<u8>,
    /// When it was received. Used when the record has no time of its own, also in a replay.
    pub received_at: Timestamp,
    /// Reason of the refusal: its code.
    pub code: RefusalCode,
    /// Reason of the refusal, as text.
    pub detail: String,
    /// When it was refused.
    pub at: Timestamp,
}

impl DeadLetter {
    /// The approximate bytes that count for the limit of dead letters; headers are stored in
    /// hexadecimal.
    pub fn size_bytes(&self) -> u64 {
        let headers = self.headers.iter().map(|(name, value)| name.len() + 2 * value.len());
        let key = self.key.as_ref().map_or(0, Vec::len);
        (self.bytes.len() + key + headers.sum::<usize>()) as u64
    }
}

/// Number and size of all dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeadLetterUsage {
    /// Their number.
    pub dead_letters: u64,
    /// Their records, keys and headers, in bytes.
    pub bytes: u64,
}

/// The id of a dead letter: 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DeadLetterId(pub(super) i64);

impl DeadLetterId {
    /// Parses decimal digits only. `None`: no dead letter can have this id.
    pub fn parse(text: &str) -> Option<Self> {
        // `parse` alone would also take a leading plus sign.
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|id| is_digits && *id > 0).map(Self)
    }

    /// The previous id; `None` for the first.
    pub fn previous(self) -> Option<Self> {
        (self.0 > 1).then(|| Self(self.0 - 1))
    }
}

impl From<DeadLetterId> for u64 {
    fn from(id: DeadLetterId) -> Self {
        // Never negative.
        id.0.unsigned_abs()
    }
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Most dead letters that one page scans, some milliseconds of work. Without a limit, a filter with
/// no match would scan all of them.
pub const DEAD_LETTERS_SCANNED_MAX: u32 = 10_000;

/// Which dead letters to list. `None` selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// Source: `kafka` or `http`.
    pub source: Option<String>,
    /// Kafka topic.
    pub topic: Option<String>,
    /// Code of the last refusal.
    pub code: Option<RefusalCode>,
    /// A part of the sentence of the last refusal, in the same case.
    pub detail: Option<String>,
    /// Last refused at this time or later.
    pub from: Option<Timestamp>,
    /// Last refused before this time.
    pub until: Option<Timestamp>,
    /// Only ids greater than this one.
    pub after: Option<DeadLetterId>,
    /// Page size.
    pub limit: u32,
}

impl DeadLetterQuery {
    /// Whether it filters, and so may scan more than it returns.
    pub(super) fn is_filtered(&self) -> bool {
        let Self { source, topic, code, detail, from, until, after: _, limit: _ } = self;
        let is_text = source.is_some() || topic.is_some() || detail.is_some();
        is_text || code.is_some() || from.is_some() || until.is_some()
    }
}

/// Dead letters that came in in the same way and were last refused for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterGroup {
    /// Source: `kafka` or `http`.
    pub source: String,
    /// Kafka topic, if from Kafka.
    pub topic: Option<String>,
    /// Code of the last refusal, as text.
    pub code: String,
    /// Their number.
    pub dead_letters: u64,
    /// When one of them was last refused.
    pub refused_at: Timestamp,
}

/// One page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The dead letters, in the order of their ids.
    pub dead_letters: Vec<DeadLetterSummary>,
    /// The last scanned id, if there may be more after it.
    pub next_after: Option<DeadLetterId>,
}

/// Position in the order of last refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetterCursor {
    /// When it was last refused.
    pub refused_at: Timestamp,
    /// Its id.
    pub id: DeadLetterId,
}

impl DeadLetterCursor {
    /// Before every dead letter.
    pub const START: Self = Self { refused_at: Timestamp::MIN, id: DeadLetterId(0) };
}

/// Which dead letters to purge.
#[derive(Debug, Clone, Copy)]
pub struct ExpiredDeadLetters {
    /// Where the previous chunk ended.
    pub after: DeadLetterCursor,
    /// Only those last refused before this time.
    pub refused_before: Timestamp,
    /// Most dead letters to purge.
    pub limit: u32,
}

/// Result of purging one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgedDeadLetters {
    /// Number of purged dead letters.
    pub dead_letters: u64,
    /// The newest of them; `None` if there was none.
    pub last: Option<DeadLetterCursor>,
}

/// A dead letter as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterSummary {
    /// Its id.
    pub id: DeadLetterId,
    /// Source: `kafka` or `http`.
    pub source: String,
    /// Kafka topic, if from Kafka.
    pub topic: Option<String>,
    /// Kafka partition, if from Kafka.
    pub partition: Option<i32>,
    /// Kafka offset, if from Kafka.
    pub offset: Option<i64>,
    /// Length of the record.
    pub size_bytes: u64,
    /// When it was received.
    pub received_at: Timestamp,
    /// Code of the last refusal, as text: a newer build may have codes that this one does not know.
    pub code: String,
    /// Reason of the last refusal, as text.
    pub detail: String,
    /// When it was last refused.
    pub refused_at: Timestamp,
}

/// A stored dead letter with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeadLetter {
    /// What lists show of it.
    pub summary: DeadLetterSummary,
    /// Kafka key, as received.
    pub key: Option<Vec<u8>>,
    /// Kafka headers in their order, as received; U+0000 in a name is U+FFFD.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The record, as received.
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::DeadLetterId;

    #[test]
    fn id_is_digits_and_not_zero() {
        #[track_caller]
        fn check(text: &str, want: bool) {
            let id = DeadLetterId::parse(text).map(|id| id.to_string());
            assert_eq!(id, want.then(|| text.to_owned()), "{text:?}");
        }
        check("1", true);
        check("9223372036854775807", true);
        for wrong in ["", "0", "-1", "+1", " 1", "1 ", "1.0", "9223372036854775808", "١"] {
            check(wrong, false);
        }
    }
}
