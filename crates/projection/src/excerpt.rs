//! Truncation of long texts for messages.

/// Longest part of a refused value that a detail repeats, in characters: enough to recognise it,
/// too little to copy a payload into logs.
const EXCERPT_CHARS_MAX: usize = 40;

/// The start of a value, for messages.
pub(crate) fn excerpt(value: &str) -> String {
    shorten(value, EXCERPT_CHARS_MAX)
}

/// At most `chars_max` characters of `text`; the last one is `…` if there were more.
pub(crate) fn shorten(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorten_counts_characters() {
        assert_eq!(shorten("", 0), "");
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
        assert_eq!(excerpt(&"é".repeat(1_000)).chars().count(), EXCERPT_CHARS_MAX);
    }
}
