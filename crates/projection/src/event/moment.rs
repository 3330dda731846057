//! Points in time as producers write them: RFC 3339, or Unix time in seconds or milliseconds.
//!
//! The reference implementation accepts numbers too, and what it accepts is not refused here. The
//! value kept is the same for every notation.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::time::Timestamp;

/// A number whose absolute value is at most this is in seconds, any other in milliseconds. So
/// seconds cover the time to the year 2603, and milliseconds the time from August 1970.
const SECONDS_MAX: f64 = 2e10;

const MICROS_PER_SECOND: f64 = 1e6;
const MICROS_PER_MILLISECOND: f64 = 1e3;

/// A point in time in a record.
#[derive(Clone, Copy)]
pub(super) struct Moment(Timestamp);

impl From<Moment> for Timestamp {
    fn from(moment: Moment) -> Self {
        moment.0
    }
}

impl Moment {
    /// A number as the reference implementation reads it. None outside the years 0001 to 9999.
    fn of_unix_time(number: f64) -> Option<Self> {
        let micros_each =
            if number.abs() <= SECONDS_MAX { MICROS_PER_SECOND } else { MICROS_PER_MILLISECOND };
        // The cast saturates, so that a number out of range stays out of range.
        let micros = (number * micros_each).round() as i64;
        let moment = Timestamp::from_unix_micros(micros);
        (moment.unix_micros() == micros).then_some(Self(moment))
    }

    /// A number in a string: digits, signs and points only.
    fn of_number_text(text: &str) -> Option<Self> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
        text.parse().ok().filter(|_| is_number).and_then(Self::of_unix_time)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MomentVisitor;

        impl Visitor<'_> for MomentVisitor {
            type Value = Moment;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an RFC 3339 date and time, or a number of Unix seconds")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Moment, E> {
                Timestamp::parse(text)
                    .map(Moment)
                    .or_else(|error| Moment::of_number_text(text).ok_or(error))
                    .map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Moment, E> {
                self.visit_f64(number as f64)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Moment, E> {
                self.visit_f64(number as f64)
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Moment, E> {
                Moment::of_unix_time(number).ok_or_else(|| {
                    E::custom(
                        "a number of Unix seconds or milliseconds within the years 0001 to 9999",
                    )
                })
            }
        }

        deserializer.deserialize_any(MomentVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moment_from_number_is_unix_seconds_or_milliseconds() {
        #[track_caller]
        fn check(json: &str, want: &str) {
            let moment: Moment = serde_json::from_str(json).unwrap();
            assert_eq!(Timestamp::from(moment).to_string(), want, "{json}");
            let quoted: Moment = serde_json::from_str(&format!("\"{json}\"")).unwrap();
            assert_eq!(quoted.0, moment.0, "{json} as a text");
        }
        check("1763811535", "2025-11-22T11:38:55Z");
        check("1763811535.25", "2025-11-22T11:38:55.250000Z");
        check("1763811535124", "2025-11-22T11:38:55.124000Z");
        check("1763811535124.887", "2025-11-22T11:38:55.124887Z");
        check("0", "1970-01-01T00:00:00Z");
        check("-1", "1969-12-31T23:59:59Z");
        check("20000000000", "2603-10-11T11:33:20Z");
        check("20000000001", "1970-08-20T11:33:20.001000Z");
        check("-62135596800000", "0001-01-01T00:00:00Z");
    }

    #[test]
    fn moment_rejects_other_values() {
        for json in [
            "253402300800000",
            "-62135596800001",
            "1e300",
            "true",
            "[]",
            "{}",
            "\"\"",
            "\"1e9\"",
            "\"inf\"",
            "\"NaN\"",
            "\"now\"",
            "\" 1\"",
            "\"1_000\"",
            "\"2026-11-22\"",
        ] {
            assert!(serde_json::from_str::<Moment>(json).is_err(), "{json}");
        }
    }
}
