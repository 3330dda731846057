//! Refusal of a record. It is final: the same record is refused again.
//!
//! A failure that may pass, such as an unavailable database, is never a refusal.

use crate::excerpt::shorten;
use crate::names::named_values;

/// Longest [`Refusal::detail`] in characters: a line that an operator can read.
pub const DETAIL_CHARS_MAX: usize = 300;

/// Cause for which a record is not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// Kind of the refusal; stable, for metrics and filters.
    pub code: RefusalCode,
    /// The JSON path, the error and the allowed values. For people; may change.
    pub detail: String,
}

impl Refusal {
    /// A refusal with the detail cut to [`DETAIL_CHARS_MAX`] and control characters replaced,
    /// because details go to logs, and to databases that cannot hold U+0000.
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
        /// Not UTF-8.
        NotUtf8 = "not_utf8",
        /// UTF-8, but not JSON; or nested too deep, or with an invalid number or character.
        NotJson = "not_json",
        /// A field is missing, or has the wrong type or a value that is not allowed.
        InvalidField = "invalid_field",
        /// The kind of event is unknown.
        UnknownEventType = "unknown_event_type",
        /// A known kind of event on the topic of another kind. Written by earlier builds only; dead
        /// letters may still have it.
        UnexpectedEventType = "unexpected_event_type",
        /// The version of the envelope is not supported.
        UnsupportedSchemaVersion = "unsupported_schema_version",
        /// The batch is registered for another user.
        ConflictingOwner = "conflicting_owner",
        /// Well-formed, but the database refuses it with a non-transient error.
        Unstorable = "unstorable",
        /// Well-formed, but the database takes longer than the timeout.
        TooSlow = "too_slow",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_is_short_and_printable() {
        let refusal = Refusal::new(RefusalCode::InvalidField, "é\0\n".repeat(1_000));
        assert_eq!(refusal.detail.chars().count(), DETAIL_CHARS_MAX);
        assert!(refusal.detail.starts_with("é\u{fffd}\u{fffd}é"));
        assert!(refusal.detail.ends_with('…'));
    }

    #[test]
    fn short_detail_is_unchanged() {
        let refusal = Refusal::new(RefusalCode::NotJson, "expected value");
        assert_eq!(refusal.to_string(), "not_json: expected value");
    }
}
