//! A refusal together with its location in the record.
//!
//! The decoder notes the location in its own terms; `locate` turns it into a range of bytes. That
//! happens only on request, so that refusing a record costs no more than decoding it.

use std::ops::Range;

use serde_path_to_error::{Path, Segment};

use super::json_path::{Step, value_at};
use crate::refusal::Refusal;

/// A refusal, and the part of the record that it is about.
pub(super) struct Fault {
    pub(super) refusal: Refusal,
    pub(super) location: Location,
}

/// The part of a record that is refused.
pub(super) enum Location {
    /// These bytes.
    Bytes(Range<usize>),
    /// The character before which the parser stopped.
    Character(ParserPosition),
    /// The value at this path.
    Value(Vec<Step>, ParserPosition),
}

/// Position in the record up to which the parser had read.
pub(super) enum ParserPosition {
    /// The end of the record.
    End,
    /// After this number of bytes of a line. Lines count from 1; 0 bytes is the end of the line
    /// before.
    Within { line: usize, bytes: usize },
}

impl Location {
    /// The value of a field of the envelope.
    pub(super) fn field(name: &str) -> Self {
        Self::Value(vec![Step::Key(name.to_owned())], ParserPosition::End)
    }

    /// The value at a path, or the deepest value on that path that exists.
    pub(super) fn value(path: &Path, error: &serde_json::Error) -> Self {
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(Step::Item(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        Self::Value(path.iter().map_while(step).collect(), ParserPosition::of(error))
    }

    /// The same as bytes of the record.
    pub(super) fn range(&self, record: &[u8]) -> Range<usize> {
        match self {
            Self::Bytes(range) => range.clone(),
            Self::Character(ParserPosition::End) => record.len()..record.len(),
            Self::Character(position) => {
                character_at(record, position.bytes(record).saturating_sub(1))
            }
            Self::Value(path, position) => value_at(record, path, position.bytes(record)),
        }
    }
}

impl ParserPosition {
    pub(super) fn of(error: &serde_json::Error) -> Self {
        match error.line() {
            // The error has no position, or the text ended too early.
            0 => Self::End,
            _ if error.is_eof() => Self::End,
            line => Self::Within { line, bytes: error.column() },
        }
    }

    /// How many bytes of the record the parser had read.
    fn bytes(&self, record: &[u8]) -> usize {
        let Self::Within { line, bytes } = self else { return record.len() };
        let mut ends = (1..).zip(record).filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end);
        let line_start = line.checked_sub(2).map_or(Some(0), |before| ends.nth(before));
        line_start.unwrap_or(record.len()).saturating_add(*bytes).min(record.len())
    }
}

/// The whole character that the byte at `at` is part of; empty beyond the end.
fn character_at(record: &[u8], at: usize) -> Range<usize> {
    let is_continuation = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    let Some(up_to) = record.get(..=at) else { return record.len()..record.len() };
    let start = at - up_to.iter().rev().take_while(|byte| is_continuation(byte)).count().min(at);
    let rest = record[start + 1..].iter().take_while(|byte| is_continuation(byte)).count();
    start..start + 1 + rest
}

#[cfg(test)]
mod tests {
    use super::{ParserPosition, character_at};

    #[test]
    fn parser_position_counts_lines_from_1_and_bytes_within_them() {
        #[track_caller]
        fn check(text: &[u8], line: usize, bytes: usize, want: usize) {
            assert_eq!(ParserPosition::Within { line, bytes }.bytes(text), want);
        }
        check(b"ab", 1, 1, 1);
        check(b"ab\ncd", 2, 0, 3);
        check(b"ab\ncd", 2, 2, 5);
        check(b"\n\n\nx", 4, 1, 4);
        check(b"ab", 1, 9, 2);
        check(b"ab", 9, 9, 2);
        check(b"", 1, 0, 0);
    }

    #[test]
    fn character_range_covers_all_its_bytes() {
        #[track_caller]
        fn check(bytes: &[u8], at: usize, want: std::ops::Range<usize>) {
            assert_eq!(character_at(bytes, at), want);
        }
        let text = "aé😀".as_bytes();
        check(text, 0, 0..1);
        check(text, 2, 1..3);
        check(text, 3, 3..7);
        check(text, 6, 3..7);
        check(text, 7, 7..7);
        check(b"\x80\x80", 1, 0..2);
        check(b"", 0, 0..0);
    }
}
