//! Small draws that every part of a life needs.

use std::ops::RangeInclusive;
use std::time::Duration;

use projection::Timestamp;
use rand::RngExt as _;
use rand::rngs::StdRng;
use uuid::{Builder, Uuid};

/// A new id.
pub(super) fn uuid(random: &mut StdRng) -> Uuid {
    Builder::from_random_bytes(random.random()).into_uuid()
}

/// A new id with a word before it.
pub(super) fn named_id(random: &mut StdRng, word: &str) -> String {
    format!("{word}-{}", uuid(random).simple())
}

/// One of several. There must be some.
pub(super) fn one_of<T: Copy>(random: &mut StdRng, all: &[T]) -> T {
    all[random.random_range(0..all.len())]
}

/// Something, or in one case of four nothing: for what senders may leave out.
pub(super) fn usually<T>(random: &mut StdRng, make: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    random.random_ratio(3, 4).then(|| make(random))
}

/// A moment later by something in the range.
pub(super) fn after(
    moment: Timestamp,
    wait: RangeInclusive<Duration>,
    random: &mut StdRng,
) -> Timestamp {
    later(moment, random.random_range(wait))
}

/// A moment later by so much, in whole microseconds.
pub(super) fn later(moment: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(moment.unix_micros().saturating_add(micros))
}

/// A moment earlier by so much, in whole microseconds.
pub(super) fn earlier(moment: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(moment.unix_micros().saturating_sub(micros))
}
