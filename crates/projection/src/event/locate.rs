//! The bytes of a record that a refusal points at, for operators.

use std::ops::Range;

use super::decode::decode_or_fault;
use super::json_path::{Step, value_at};
use crate::event_kind::EventKind;
use crate::refusal::RefusalCode;
use crate::time::Timestamp;

/// The bytes of `record` that the refusal with this code points at: the value that is not allowed,
/// the object that lacks a field, or the character at which the JSON breaks off.
///
/// `expected` is the kind of the record's topic, as for [`decode`](crate::decode). If this build
/// refuses the record for another reason, it is the location of that reason. None if the record is
/// well-formed and was refused for something that is not in it.
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
    // The time of receipt never decides whether a record is refused.
    match decode_or_fault(record, expected, Timestamp::MIN) {
        Err(fault) => Some(fault.location.range(record)),
        Ok(_) if code == RefusalCode::ConflictingOwner => {
            let owner = ["data", "user_id"].map(|key| Step::Key(key.to_owned()));
            Some(value_at(record, &owner, record.len()))
        }
        Ok(_) => None,
    }
}
