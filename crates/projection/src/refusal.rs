//! Why a record is not applied. A refusal is final: the same record is refused again.
//!
//! What can succeed later (a database that is away) is never a refusal and has no place here.

use crate::excerpt::shorten;
use crate::names::named_values;

/// Longest [`Refusal::detail`] in characters: a line that an operator can read.
pub const DETAIL_CHARS_MAX: usize = 300;

/// A record that is not applied, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// What kind of fault it is; stable, for counting and sorting.
    pub code: RefusalCode,
    /// What was wrong and what is allowed, with the JSON path. For people; may change.
    pub detail: String,
}

impl Refusal {
    /// A refusal whose detail is cut to [`DETAIL_CHARS_MAX`] and free of control characters:
    /// details go to logs, and to databases that cannot hold U+0000.
    pub fn new(code: RefusalCode, detail: impl AsRef<str>) -> Self {
        let detail =
            shorten(detail.as_ref(), DETAIL_CHARS_MAX).replace(char::is_control, "\u{fffd}");
        Self { code, detail }
    }
}

named_values! {
    /// The kinds of refusal.
    #[non_exhaustive]
    pub enum RefusalCode {
        /// More bytes than one record may have.
        TooLarge = "too_large",
        /// Not a text.
        NotUtf8 = "not_utf8",
        /// A text, but not JSON; or nested too deep, or with a number or a character that does not
        /// exist.
        NotJson = "not_json",
        /// A field is missing, has the wrong type, or a value that is not allowed.
        InvalidField = "invalid_field",
        /// No kind of event that this service knows.
        UnknownEventType = "unknown_event_type",
        /// A known kind of event, on the topic of another one. Earlier builds refused these; no
        /// record is refused for it any more, but dead letters may still carry it.
        UnexpectedEventType = "unexpected_event_type",
        /// A version of the envelope that this service does not read.
        UnsupportedSchemaVersion = "unsupported_schema_version",
        /// The batch is registered for another user.
        ConflictingOwner = "conflicting_owner",
        /// Well-formed, and still the store cannot take it, however often it is tried.
        Unstorable = "unstorable",
        /// Well-formed, and the database takes longer over it than it is given.
        TooSlow = "too_slow",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_short_and_printable() {
        let refusal = Refusal::new(RefusalCode::InvalidField, "é\0\n".repeat(1_000));
        assert_eq!(refusal.detail.chars().count(), DETAIL_CHARS_MAX);
        assert!(refusal.detail.starts_with("é\u{fffd}\u{fffd}é"));
        assert!(refusal.detail.ends_with('…'));
    }

    #[test]
    fn what_fits_is_left_alone() {
        let refusal = Refusal::new(RefusalCode::NotJson, "expected value");
        assert_eq!(refusal.to_string(), "not_json: expected value");
    }
}
