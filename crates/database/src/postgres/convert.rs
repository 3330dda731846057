//! Values as PostgreSQL takes them.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// One column of some rows, as an array for `unnest`.
pub(super) fn column<'a, Row, T>(rows: &'a [Row], value: impl FnMut(&'a Row) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// A time in the type of the driver.
pub(super) fn moment(unix_micros: i64) -> DateTime<Utc> {
    // Never the default: chrono has a far larger range than event times.
    DateTime::from_timestamp_micros(unix_micros).unwrap_or_default()
}

/// A time limit in milliseconds; never 0, which would mean no limit.
pub(super) fn milliseconds(limit: Duration) -> u128 {
    limit.as_millis().max(1)
}
