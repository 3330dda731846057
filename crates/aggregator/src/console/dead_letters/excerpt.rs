//! The bytes of a record around what is wrong in it, as text and in hexadecimal.

use std::ops::Range;

/// Bytes of text before and after the place, and of the place itself.
const TEXT_BYTES: usize = 600;
/// Bytes in a row of the hexadecimal picture, and rows of it.
const ROW_BYTES: usize = 16;
const ROWS_MAX: usize = 16;

/// An excerpt of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) before: String,
    /// What is wrong; empty if no bytes are.
    pub(super) place: String,
    pub(super) after: String,
    /// Bytes of the record before and after what is shown.
    pub(super) left_out: (usize, usize),
    pub(super) rows: Vec<HexRow>,
}

/// A row of the hexadecimal picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HexRow {
    pub(super) offset: String,
    pub(super) hex: String,
    pub(super) text: String,
    /// Whether it has a byte of the place.
    pub(super) is_place: bool,
}

impl Excerpt {
    pub(super) fn of(bytes: &[u8], place: Option<Range<usize>>) -> Self {
        let has_place = place.is_some();
        let place = place.unwrap_or(0..0);
        let start = place.start.min(bytes.len());
        let end = place.end.clamp(start, bytes.len());
        let shown_end = end.min(start + TEXT_BYTES);
        let first = start.saturating_sub(TEXT_BYTES);
        let last = bytes.len().min(shown_end + TEXT_BYTES);
        let is_place =
            |row: usize| has_place && row < end.max(start + 1) && row + ROW_BYTES > start;
        let first_row = (start / ROW_BYTES).saturating_sub(ROWS_MAX / 4) * ROW_BYTES;
        let rows = bytes[first_row..].chunks(ROW_BYTES).take(ROWS_MAX).enumerate();
        Self {
            before: visible(&bytes[first..start]),
            place: visible(&bytes[start..shown_end]),
            after: visible(&bytes[shown_end..last]),
            left_out: (first, bytes.len() - last),
            rows: rows
                .map(|(row, bytes)| hex_row(first_row + row * ROW_BYTES, bytes, is_place))
                .collect(),
        }
    }
}

fn hex_row(offset: usize, bytes: &[u8], is_place: impl Fn(usize) -> bool) -> HexRow {
    let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let shown =
        |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '·' };
    HexRow {
        offset: format!("{offset:08x}"),
        hex: hex.join(" "),
        text: bytes.iter().map(shown).collect(),
        is_place: is_place(offset),
    }
}

/// Bytes as text in which everything can be seen: what is no text, controls or steers it is escaped.
pub(super) fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' | '\t' => text.push(character),
                _ if is_invisible(character) => text.extend(character.escape_unicode()),
                _ => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Controls, and characters without a width, some of which turn the direction of what follows.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_between_what_is_before_and_after_it() {
        let excerpt = Excerpt::of(b"{\"a\": nul}", Some(6..9));
        assert_eq!((&*excerpt.before, &*excerpt.place, &*excerpt.after), ("{\"a\": ", "nul", "}"));
        assert_eq!(
            (excerpt.left_out, excerpt.rows.len(), excerpt.rows[0].is_place),
            ((0, 0), 1, true)
        );
        assert_eq!(excerpt.rows[0].text, "{\"a\": nul}");
    }

    #[test]
    fn excerpt_of_any_record_is_short() {
        let large = vec![b'x'; 100_000];
        for place in
            [None, Some(0..0), Some(50_000..90_000), Some(99_999..100_000), Some(200_000..300_000)]
        {
            let excerpt = Excerpt::of(&large, place.clone());
            let shown = excerpt.before.len() + excerpt.place.len() + excerpt.after.len();
            assert!(shown <= 3 * TEXT_BYTES && excerpt.rows.len() <= ROWS_MAX, "{place:?}");
            assert_eq!(excerpt.left_out.0 + shown + excerpt.left_out.1, large.len(), "{place:?}");
        }
        assert_eq!(Excerpt::of(&[], Some(0..1)).rows, []);
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        assert_eq!(visible(b"a\xff\x00\n"), "a\\xff\\u{0}\n");
        assert_eq!(visible("\u{202e}é<".as_bytes()), "\\u{202e}é<");
    }
}
