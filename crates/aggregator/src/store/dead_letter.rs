//! Records that were refused, in a form that every database takes.
//!
//! Keeping one never fails because of what is in it: that would hold up everything behind it.

use std::borrow::Cow;

use async_trait::async_trait;
use results::{RefusalCode, Timestamp};

use super::StoreError;

/// The most bytes of records sent in one statement, unless one record alone is larger. Far below
/// what the databases take, and written well within the time limit of a statement.
pub(super) const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where refused records are kept. Ships twice, as [`BatchRepository`](super::BatchRepository) does.
///
/// - **R10** A dead letter is kept with its bytes, and once.
#[async_trait]
pub trait DeadLetterRepository: Send + Sync + 'static {
    /// Keeps refused records. One that is kept already, by its fingerprint, is left as it is.
    async fn keep_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError>;

    /// How many dead letters there are.
    async fn dead_letter_count(&self) -> Result<u64, StoreError>;
}

/// A record that was refused, with all that is needed to look into it or to send it again.
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
    /// Why it was refused, as a name.
    pub code: RefusalCode,
    /// Why it was refused, as a sentence.
    pub detail: String,
    /// When it was refused.
    pub at: Timestamp,
}

impl DeadLetter {
    /// What it adds to a statement, roughly: headers are sent in hexadecimal.
    fn weight_bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + 2 * value.len());
        self.bytes.len() + self.key.as_ref().map_or(0, Vec::len) + headers.sum::<usize>()
    }

    /// The headers as JSON: `[[name, value in hexadecimal], ...]`.
    pub(super) fn headers_json(&self) -> serde_json::Value {
        self.headers
            .iter()
            .map(|(name, value)| [storable(name), hexadecimal(value).into()])
            .collect()
    }
}

/// A text without U+0000, which PostgreSQL has in no text and no JSON.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Cuts `letters` into runs of at most [`STATEMENT_BYTES_MAX`], or of one letter.
pub(super) fn runs(letters: &[DeadLetter]) -> impl Iterator<Item = &[DeadLetter]> {
    let mut bytes = 0_usize;
    letters.chunk_by(move |letter, next| {
        bytes += letter.weight_bytes();
        let fits = bytes + next.weight_bytes() <= STATEMENT_BYTES_MAX;
        if !fits {
            bytes = 0;
        }
        fits
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(bytes: usize) -> DeadLetter {
        DeadLetter {
            fingerprint: String::new(),
            source: "kafka".into(),
            topic: None,
            partition: None,
            offset: None,
            key: None,
            headers: vec![("na\0me".into(), vec![0x00, 0xff])],
            bytes: vec![0; bytes],
            code: RefusalCode::NotJson,
            detail: String::new(),
            at: Timestamp::from_unix_micros(0),
        }
    }

    #[test]
    fn runs_keep_every_letter_and_the_limit() {
        #[track_caller]
        fn check(name: &str, sizes: &[usize], want: &[usize]) {
            let headers = letter(0).weight_bytes();
            let letters: Vec<_> = sizes.iter().map(|&bytes| letter(bytes - headers)).collect();
            let got: Vec<_> = runs(&letters).map(<[_]>::len).collect();
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
    fn headers_keep_their_bytes_and_lose_what_cannot_be_stored() {
        assert_eq!(letter(0).headers_json().to_string(), r#"[["na�me","00ff"]]"#);
    }
}
