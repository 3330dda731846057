//! Random ids, choices and times.

use std::ops::RangeInclusive;
use std::time::Duration;

use projection::Timestamp;
use rand::RngExt as _;
use rand::rngs::StdRng;
use uuid::{Builder, Uuid};

/// A new UUID.
pub(crate) fn uuid(random: &mut StdRng) -> Uuid {
    Builder::from_random_bytes(random.random()).into_uuid()
}

/// A new id with a prefix.
pub(crate) fn named_id(random: &mut StdRng, prefix: &str) -> String {
    format!("{prefix}-{}", uuid(random).simple())
}

/// One item of a slice, which must not be empty.
pub(crate) fn one_of<T: Copy>(random: &mut StdRng, all: &[T]) -> T {
    all[random.random_range(0..all.len())]
}

/// Some value, or None in one case of four: for optional fields.
pub(crate) fn usually<T>(random: &mut StdRng, make: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    random.random_ratio(3, 4).then(|| make(random))
}

/// A time later by a random duration in the range.
pub(crate) fn after(
    time: Timestamp,
    wait: RangeInclusive<Duration>,
    random: &mut StdRng,
) -> Timestamp {
    later(time, random.random_range(wait))
}

/// A time later by a duration, in whole microseconds.
pub(crate) fn later(time: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(time.unix_micros().saturating_add(micros))
}

/// A time earlier by a duration, in whole microseconds.
pub(crate) fn earlier(time: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(time.unix_micros().saturating_sub(micros))
}
