//! Refused records: what is kept of them, and what may be done with them.
//!
//! Keeping one never fails because of what is in it: that would hold up everything behind it. What
//! a record says, and whether it would be refused again, is not known here.

pub(super) mod rows;

use std::fmt;

use async_trait::async_trait;
use projection::{Refusal, RefusalCode, Timestamp};
use serde::Serialize;

use crate::error::DbError;

/// Where refused records are kept. Ships twice, as [`BatchRepository`](super::BatchRepository) does.
///
/// - **R10** A dead letter is kept with its bytes, and once.
/// - **R25** An id names one dead letter, and is never given again.
/// - **R26** A list has exactly the dead letters that its query selects, by id; pages that begin where the
///   one before says show each once. A page looks at no more than [`DEAD_LETTERS_SCANNED_MAX`].
/// - **R27** A dead letter is read back as it was kept. One that was kept before it was known when it
///   came is taken to have come when it was refused.
/// - **R28** Removing takes one dead letter, once; and none if it was refused again since it was seen.
/// - **R29** A dead letter that is refused again keeps everything but its refusal. One that is gone stays
///   gone.
/// - **R30** Removing old dead letters takes the oldest first, at most as many as asked for, and none that
///   was refused at the given time or later; chunk by chunk it takes each once, also of those that
///   share one time.
/// - **R31** What dead letters take is known after each is kept or removed.
/// - **R33** Records that are kept already are known before any is kept, whatever is in their names.
#[async_trait]
pub trait DeadLetterRepository: Send + Sync + 'static {
    /// Keeps refused records. One that is kept already, by its fingerprint, is left as it is.
    async fn insert_dead_letters(&self, dead_letters: &[DeadLetter]) -> Result<(), DbError>;

    /// Those of `dead_letters` that [`insert_dead_letters`](Self::keep_dead_letters) would add: not kept yet,
    /// by their fingerprints, and each once.
    async fn new_dead_letters<'a>(
        &self,
        dead_letters: &'a [DeadLetter],
    ) -> Result<Vec<&'a DeadLetter>, DbError>;

    /// How many dead letters there are, and how many bytes they take. Costs the same however many.
    async fn dead_letter_usage(&self) -> Result<DeadLetterUsage, DbError>;

    /// The dead letters that `query` selects, without their bytes.
    ///
    /// Costs a look at every dead letter behind `query.after` until there are enough, or until it has
    /// looked at [`DEAD_LETTERS_SCANNED_MAX`].
    async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, DbError>;

    /// One dead letter, whole. `None`: there is none, or none any more.
    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<StoredDeadLetter>, DbError>;

    /// Removes a dead letter, and says whether it did. With `refused_at`, only one that was not refused
    /// again since then.
    async fn delete_dead_letter(
        &self,
        id: DeadLetterId,
        refused_at: Option<Timestamp>,
    ) -> Result<bool, DbError>;

    /// Notes that a dead letter was refused again, and says whether it was still there.
    async fn dead_letter_refused_again(
        &self,
        id: DeadLetterId,
        refusal: &Refusal,
        at: Timestamp,
    ) -> Result<bool, DbError>;

    /// Removes one chunk of the dead letters that were last refused before a time.
    ///
    /// Costs as many as it removes, whatever was removed before it.
    async fn purge_dead_letters(
        &self,
        chunk: ExpiredDeadLetters,
    ) -> Result<PurgedDeadLetters, DbError>;
}

/// A record that was refused, with all that is needed to look into it or to take it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names the record, so that a redelivered one is kept once. At most 1,024 bytes, what every
    /// database can index.
    pub fingerprint: String,
    /// How it came in: `kafka` or `http`.
    pub source: String,
    /// Kafka topic, if it came by one.
    pub topic: Option<String>,
    /// Kafka partition, if it came by one.
    pub partition: Option<i32>,
    /// Kafka offset, if it came by one.
    pub offset: Option<i64>,
    /// Kafka key, as received.
    pub key: Option<Vec<u8>>,
    /// Kafka headers, as received and in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The record, as received.
    pub bytes: Vec<u8>,
    /// When it came: stands in for a time that its sender left out, also when it is taken again.
    pub received_at: Timestamp,
    /// Why it was refused, as a name.
    pub code: RefusalCode,
    /// Why it was refused, as a sentence.
    pub detail: String,
    /// When it was refused.
    pub at: Timestamp,
}

impl DeadLetter {
    /// The bytes that count for the limit of dead letters, roughly: headers are kept in hexadecimal.
    pub fn size_bytes(&self) -> u64 {
        let headers = self.headers.iter().map(|(name, value)| name.len() + 2 * value.len());
        let key = self.key.as_ref().map_or(0, Vec::len);
        (self.bytes.len() + key + headers.sum::<usize>()) as u64
    }
}

/// What dead letters take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeadLetterUsage {
    /// How many there are.
    pub dead_letters: u64,
    /// Their records, keys and headers, in bytes.
    pub bytes: u64,
}

/// The id of a dead letter: 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DeadLetterId(pub(super) i64);

impl DeadLetterId {
    /// Reads decimal digits and nothing else. `None`: no dead letter can have this id.
    pub fn parse(text: &str) -> Option<Self> {
        // `parse` alone would also take a leading plus sign.
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|id| is_digits && *id > 0).map(Self)
    }
}

impl DeadLetterId {
    /// The id before this one; none before the first.
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

/// Dead letters that one list looks at, at most. A filter that nothing passes would look at all of them,
/// and there may be any number; so many take some milliseconds.
pub const DEAD_LETTERS_SCANNED_MAX: u32 = 10_000;

/// Which dead letters to list. What is `None` selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// How they came in.
    pub source: Option<String>,
    /// The Kafka topic they came by.
    pub topic: Option<String>,
    /// Why they were last refused.
    pub code: Option<RefusalCode>,
    /// Last refused at this time or later.
    pub from: Option<Timestamp>,
    /// Last refused before this time.
    pub until: Option<Timestamp>,
    /// Only ids behind this one.
    pub after: Option<DeadLetterId>,
    /// How many at most.
    pub limit: u32,
}

impl DeadLetterQuery {
    /// Whether it passes over any dead letter.
    pub(super) fn is_filtered(&self) -> bool {
        let Self { source, topic, code, from, until, after: _, limit: _ } = self;
        source.is_some() || topic.is_some() || code.is_some() || from.is_some() || until.is_some()
    }
}

/// One page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The dead letters, in the order of their ids.
    pub dead_letters: Vec<DeadLetterSummary>,
    /// The last id that was looked at, if there may be more dead letters behind it.
    pub next_after: Option<DeadLetterId>,
}

/// A dead letter in the order of their last refusals.
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

/// Which dead letters to remove.
#[derive(Debug, Clone, Copy)]
pub struct ExpiredDeadLetters {
    /// Where the chunk before ended.
    pub after: DeadLetterCursor,
    /// Only those that were last refused before this time.
    pub refused_before: Timestamp,
    /// How many at most.
    pub limit: u32,
}

/// What became of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgedDeadLetters {
    /// How many dead letters were removed.
    pub dead_letters: u64,
    /// The youngest of them; none if none was left.
    pub last: Option<DeadLetterCursor>,
}

/// A dead letter as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterSummary {
    /// Its id.
    pub id: DeadLetterId,
    /// How it came in: `kafka` or `http`.
    pub source: String,
    /// Kafka topic, if it came by one.
    pub topic: Option<String>,
    /// Kafka partition, if it came by one.
    pub partition: Option<i32>,
    /// Kafka offset, if it came by one.
    pub offset: Option<i64>,
    /// Length of the record.
    pub size_bytes: u64,
    /// When it came.
    pub received_at: Timestamp,
    /// Why it was last refused, as a name; a newer program may have names that this one has not.
    pub code: String,
    /// Why it was last refused, as a sentence.
    pub detail: String,
    /// When it was last refused.
    pub refused_at: Timestamp,
}

/// A dead letter, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeadLetter {
    /// What a list shows of it.
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
