//! Where in the bytes of a record a refusal points, for people who have to look at it.
//!
//! The decoder says what it tripped over in its own terms; here that becomes a range of bytes. It
//! happens only when somebody asks, so refusing costs no more than before.

use std::ops::Range;

use serde_path_to_error::{Path, Segment};

use super::walk::{Step, value_at};
use super::{EventKind, decode::decode_or_fault};
use crate::refusal::{Refusal, RefusalCode};
use crate::time::Timestamp;

/// A refusal, and what of the record it is about.
pub(super) struct Fault {
    pub(super) refusal: Refusal,
    pub(super) place: Place,
}

/// What of a record is at fault.
pub(super) enum Place {
    /// These bytes.
    Bytes(Range<usize>),
    /// The character before which the parser stopped.
    Character(Stop),
    /// The value at this path.
    Value(Vec<Step>, Stop),
}

/// How far the parser had come.
pub(super) enum Stop {
    /// To the end.
    End,
    /// Through so many bytes of this line. Lines count from 1; 0 bytes: through the one before.
    Within { line: usize, bytes: usize },
}

impl Place {
    /// The value of a field of the envelope.
    pub(super) fn field(name: &str) -> Self {
        Self::Value(vec![Step::Key(name.to_owned())], Stop::End)
    }

    /// The value at a path, or what of the path there is.
    pub(super) fn value(path: &Path, error: &serde_json::Error) -> Self {
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(Step::Item(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        Self::Value(path.iter().map_while(step).collect(), Stop::of(error))
    }

    fn range(&self, record: &[u8]) -> Range<usize> {
        match self {
            Self::Bytes(range) => range.clone(),
            Self::Character(Stop::End) => record.len()..record.len(),
            Self::Character(stop) => character_at(record, stop.bytes(record).saturating_sub(1)),
            Self::Value(path, stop) => value_at(record, path, stop.bytes(record)),
        }
    }
}

impl Stop {
    pub(super) fn of(error: &serde_json::Error) -> Self {
        match error.line() {
            // An error that the parser did not place, or that the text ended too early.
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

/// The whole character that the byte at `at` is part of; nothing behind the end.
fn character_at(record: &[u8], at: usize) -> Range<usize> {
    let is_inside = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    let Some(up_to) = record.get(..=at) else { return record.len()..record.len() };
    let start = at - up_to.iter().rev().take_while(|byte| is_inside(byte)).count().min(at);
    let rest = record[start + 1..].iter().take_while(|byte| is_inside(byte)).count();
    start..start + 1 + rest
}

/// Where in `record` the refusal with this code points: at the value that is not allowed, at the
/// object that lacks a field, at the character where the JSON breaks off.
///
/// `expected` is the kind that its topic promises, as for [`decode`](crate::decode). If the record
/// would be refused for another reason today, it is that reason's place. None if there is no such
/// place: the record is well-formed, and was refused for what is known otherwise.
///
/// The range lies within the record. It is empty, at the end, if the record ends too early; in a
/// text it begins and ends between characters.
///
/// # Cost
///
/// Linear in the record's length, about that of decoding it.
pub fn locate(
    record: &[u8],
    expected: Option<EventKind>,
    code: RefusalCode,
) -> Option<Range<usize>> {
    // What time it came decides nothing about whether it is refused.
    match decode_or_fault(record, expected, Timestamp::MIN) {
        Err(fault) => Some(fault.place.range(record)),
        Ok(_) if code == RefusalCode::ConflictingOwner => {
            let owner = ["data", "user_id"].map(|key| Step::Key(key.to_owned()));
            Some(value_at(record, &owner, record.len()))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Stop, character_at};

    #[test]
    fn lines_count_from_1_and_bytes_within_them() {
        #[track_caller]
        fn check(text: &[u8], line: usize, bytes: usize, want: usize) {
            assert_eq!(Stop::Within { line, bytes }.bytes(text), want);
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
    fn a_character_is_whole() {
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
