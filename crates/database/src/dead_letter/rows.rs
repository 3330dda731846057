//! Conversion between the columns of dead letters and their types, the same for both databases. No
//! SQL here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use projection::Timestamp;
use serde_json::Value;

use super::{
    DeadLetter, DeadLetterCursor, DeadLetterGroup, DeadLetterId, DeadLetterPage, DeadLetterSummary,
    DeadLetterUsage, PurgedDeadLetters, StoredDeadLetter,
};
use crate::error::{BoxError, DbError};

/// Most bytes of records in one statement, unless a single record is larger. Far below what the
/// databases accept, and written well within the time limit of a statement.
pub(crate) const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A row of `dead_letters.sql`: id, source, topic, partition, offset, length of the record, time of
/// receipt, code, detail, time of refusal.
pub(crate) type SummaryRow =
    (i64, String, Option<String>, Option<i32>, Option<i64>, i64, i64, String, String, i64);

/// A row of a purge: number of purged dead letters, then time of refusal and id of the last one.
pub(crate) type PurgedRow = (i64, i64, i64);

/// A row of `dead_letter_groups.sql`.
pub(crate) type GroupRow = (String, Option<String>, String, i64, i64);

/// A row of `dead_letter.sql`: the same, then key, headers, record.
#[rustfmt::skip]
pub(crate) type WholeRow =
    (i64, String, Option<String>, Option<i32>, Option<i64>, i64, i64, String, String, i64,
     Option<Vec<u8>>, String, Vec<u8>);

impl DeadLetter {
    /// The headers as JSON: `[[name, value in hexadecimal], ...]`.
    pub(crate) fn headers_json(&self) -> Value {
        self.headers
            .iter()
            .map(|(name, value)| [without_nul(name), hex::encode(value).into()])
            .collect()
    }
}

/// Replaces U+0000, which PostgreSQL does not accept in text or JSON.
pub(crate) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Splits `dead_letters` into chunks of at most [`STATEMENT_BYTES_MAX`], or of one dead letter.
pub(crate) fn statement_chunks(dead_letters: &[DeadLetter]) -> impl Iterator<Item = &[DeadLetter]> {
    let mut bytes = 0_usize;
    dead_letters.chunk_by(move |dead_letter, next| {
        bytes += dead_letter.size_bytes() as usize;
        let fits = bytes + next.size_bytes() as usize <= STATEMENT_BYTES_MAX;
        if !fits {
            bytes = 0;
        }
        fits
    })
}

/// Those of `dead_letters` whose fingerprint is not known, each once.
pub(crate) fn new_dead_letters(
    dead_letters: &[DeadLetter],
    known: impl IntoIterator<Item = String>,
) -> Vec<&DeadLetter> {
    let mut known: BTreeSet<Cow<'_, str>> = known.into_iter().map(Cow::Owned).collect();
    dead_letters
        .iter()
        .filter(|dead_letter| known.insert(without_nul(&dead_letter.fingerprint)))
        .collect()
}

/// Converts the row of `dead_letter_usage.sql`: number and bytes.
pub(crate) fn usage(row: Option<(i64, i64)>) -> DeadLetterUsage {
    let (dead_letters, bytes) = row.unwrap_or_default();
    DeadLetterUsage { dead_letters: dead_letters.unsigned_abs(), bytes: bytes.unsigned_abs() }
}

/// Converts a row of `dead_letters.sql`.
pub(crate) fn summary(row: SummaryRow) -> DeadLetterSummary {
    let (id, source, topic, partition, offset, length, received_at, code, detail, at) = row;
    DeadLetterSummary {
        id: DeadLetterId(id),
        source,
        topic,
        partition,
        offset,
        size_bytes: length.unsigned_abs(),
        received_at: Timestamp::from_unix_micros(received_at),
        code,
        detail,
        refused_at: Timestamp::from_unix_micros(at),
    }
}

/// Converts a row of `dead_letter_groups.sql`.
pub(crate) fn group((source, topic, code, count, refused_at): GroupRow) -> DeadLetterGroup {
    let refused_at = Timestamp::from_unix_micros(refused_at);
    DeadLetterGroup { source, topic, code, dead_letters: count.unsigned_abs(), refused_at }
}

/// Makes a page of the rows of `dead_letters.sql`. `end` is the first id that was not scanned, if
/// any.
pub(crate) fn page(found: Vec<SummaryRow>, limit: u32, end: Option<i64>) -> DeadLetterPage {
    let dead_letters: Vec<_> = found.into_iter().map(summary).collect();
    let is_full = u32::try_from(dead_letters.len()).is_ok_and(|len| len >= limit);
    let next_after = match dead_letters.last() {
        Some(last) if is_full => Some(last.id),
        _ => end.map(|end| DeadLetterId(end - 1)),
    };
    DeadLetterPage { dead_letters, next_after }
}

/// Converts the row of a purge.
pub(crate) fn purged(row: Option<PurgedRow>) -> PurgedDeadLetters {
    let Some((dead_letters, refused_at, id)) = row else {
        return PurgedDeadLetters { dead_letters: 0, last: None };
    };
    let refused_at = Timestamp::from_unix_micros(refused_at);
    let last = Some(DeadLetterCursor { refused_at, id: DeadLetterId(id) });
    PurgedDeadLetters { dead_letters: dead_letters.unsigned_abs(), last }
}

/// Converts a row of `dead_letter.sql`.
pub(crate) fn whole(row: WholeRow) -> Result<StoredDeadLetter, DbError> {
    let (id, source, topic, partition, offset, length, received_at, code, detail, at, ..) = row;
    let (.., key, headers, bytes) = row;
    let summary =
        summary((id, source, topic, partition, offset, length, received_at, code, detail, at));
    let headers = read_headers(&headers).map_err(|source| DbError::Corrupt {
        what: format!("headers of dead letter {id}"),
        source,
    })?;
    Ok(StoredDeadLetter { summary, key, headers, bytes })
}

/// Parses what [`DeadLetter::headers_json`] wrote.
fn read_headers(json: &str) -> Result<Vec<(String, Vec<u8>)>, BoxError> {
    let pairs: Vec<(String, String)> = serde_json::from_str(json)?;
    let pair = |(name, value): (String, String)| Ok((name, hex::decode(&value)?));
    pairs.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use projection::RefusalCode;

    use super::*;

    fn dead_letter(bytes: usize) -> DeadLetter {
        DeadLetter {
            fingerprint: String::new(),
            source: "kafka".into(),
            topic: None,
            partition: None,
            offset: None,
            key: None,
            headers: vec![("na\0me".into(), vec![0x00, 0xff])],
            bytes: vec![0; bytes],
            received_at: Timestamp::from_unix_micros(0),
            code: RefusalCode::NotJson,
            detail: String::new(),
            at: Timestamp::from_unix_micros(0),
        }
    }

    #[test]
    fn statement_chunks_keep_every_dead_letter_and_the_limit() {
        #[track_caller]
        fn check(name: &str, sizes: &[usize], want: &[usize]) {
            let headers = dead_letter(0).size_bytes() as usize;
            let dead_letters: Vec<_> =
                sizes.iter().map(|&bytes| dead_letter(bytes - headers)).collect();
            let got: Vec<_> = statement_chunks(&dead_letters).map(<[_]>::len).collect();
            assert_eq!(got, want, "{name}");
        }
        const HALF: usize = STATEMENT_BYTES_MAX / 2;
        check("none", &[], &[]);
        check("small ones go together", &[10, 20, 30], &[3]);
        check("exactly the limit", &[HALF, HALF, 10], &[2, 1]);
        check("one over the limit goes alone", &[10, 3 * HALF, 10, 10], &[1, 1, 2]);
        check("each run starts anew", &[HALF, HALF, HALF, HALF], &[2, 2]);
    }

    #[test]
    fn headers_keep_their_bytes_and_lose_nul() {
        let json = dead_letter(0).headers_json().to_string();
        assert_eq!(json, r#"[["na�me","00ff"]]"#);
        assert_eq!(read_headers(&json).unwrap(), [("na\u{fffd}me".to_owned(), vec![0x00, 0xff])]);
    }
}
