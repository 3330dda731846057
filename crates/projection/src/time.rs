//! Points in time as events carry them: microseconds in UTC.
//!
//! There is no clock here; the caller passes the current time.

use std::fmt;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::excerpt::excerpt;

/// Longest text that is parsed: a complete timestamp takes 35 bytes.
const TIMESTAMP_BYTES_MAX: usize = 64;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A point in time in UTC, in whole microseconds, in the years 0001 to 9999.
///
/// Written as RFC 3339 with `Z`: with six digits of a second, or none if the microseconds are 0.
///
/// ```
/// use projection::Timestamp;
///
/// let moment = Timestamp::parse("2026-11-22T13:38:55.5+02:00")?;
/// assert_eq!(moment.to_string(), "2026-11-22T11:38:55.500000Z");
/// # Ok::<(), projection::TimestampError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Error for a text that is not a timestamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 date and time in the years 0001 to 9999: `{excerpt}`")]
pub struct TimestampError {
    excerpt: String,
}

impl Timestamp {
    /// 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800 * MICROS_PER_SECOND);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_800 * MICROS_PER_SECOND - 1);

    /// Microseconds since the Unix epoch, UTC; negative before it.
    ///
    /// Clamped into [`Timestamp::MIN`] to [`Timestamp::MAX`], so that no clock and no broker can
    /// produce a time that cannot be written.
    pub const fn from_unix_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// Microseconds since the Unix epoch, UTC; negative before it.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339. Offsets are converted, a missing offset means UTC, and fractions below a
    /// microsecond are cut off. A leap second is read as the first second of the next minute.
    ///
    /// # Errors
    ///
    /// [`TimestampError`] for any other text, and for years outside 0001 to 9999 in UTC.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let error = || TimestampError { excerpt: excerpt(text) };
        if text.len() > TIMESTAMP_BYTES_MAX {
            return Err(error());
        }
        let moment = DateTime::parse_from_rfc3339(text)
            // Some producers omit the offset and mean UTC.
            .or_else(|_| DateTime::parse_from_rfc3339(&format!("{text}Z")))
            .map_err(|_| error())?;
        let micros = moment.timestamp_micros();
        let read = Self::from_unix_micros(micros);
        if read.0 == micros { Ok(read) } else { Err(error()) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = match self.0 % MICROS_PER_SECOND {
            0 => SecondsFormat::Secs,
            _ => SecondsFormat::Micros,
        };
        // Never the default: every value lies within chrono's years.
        let moment = DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        formatter.write_str(&moment.to_rfc3339_opts(fraction, true))
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}

impl ToSchema for Timestamp {}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_round_trips_through_text() {
        #[track_caller]
        fn check(text: &str, want: &str) {
            let moment = Timestamp::parse(text).unwrap();
            assert_eq!(moment.to_string(), want, "{text}");
            assert_eq!(Timestamp::parse(want), Ok(moment), "{text}, back");
        }

        check("2026-11-22T11:38:55.124887Z", "2026-11-22T11:38:55.124887Z");
        check("2026-11-22T11:38:55Z", "2026-11-22T11:38:55Z");
        check("2026-11-22T11:38:55.000000Z", "2026-11-22T11:38:55Z");
        check("2026-11-22T11:38:55.1Z", "2026-11-22T11:38:55.100000Z");
        check("2026-11-22T11:38:55.1248879Z", "2026-11-22T11:38:55.124887Z");
        check("2026-11-22T11:38:55.0000009Z", "2026-11-22T11:38:55Z");
        check("2026-11-22T11:38:55.123456789123Z", "2026-11-22T11:38:55.123456Z");
        check("2026-11-22T11:38:55", "2026-11-22T11:38:55Z");
        check("2026-11-22T11:38:55.5", "2026-11-22T11:38:55.500000Z");
        check("2026-11-22t11:38:55z", "2026-11-22T11:38:55Z");
        check("2026-11-22 11:38:55Z", "2026-11-22T11:38:55Z");
        check("2026-11-22T00:30:00+01:00", "2026-11-21T23:30:00Z");
        check("2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00Z");
        check("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z");
        check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z");
        check("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z");
        check("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z");
        check("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z");
        check("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn timestamp_rejects_other_texts() {
        for text in [
            "",
            "now",
            "2026-11-22",
            "11:38:55Z",
            "2026-11-22T11:38Z",
            "2026-11-22T11:38:55+01",
            "2026-11-22T11:38:55ZZ",
            "2026-11-22T11:38:55.Z",
            "2026-11-22T11:38:55,5Z",
            " 2026-11-22T11:38:55Z",
            "2026-11-22T11:38:55Z ",
            "2026-11-22T11:38:55 UTC",
            "2026-11-22T24:00:00Z",
            "2026-11-22T11:60:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "26-11-22T11:38:55Z",
            "+2026-11-22T11:38:55Z",
            "12026-11-22T11:38:55Z",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "1763811535",
            "２０２６-11-22T11:38:55Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text:?}");
        }
        let long = format!("2026-11-22T11:38:55.{}Z", "1".repeat(TIMESTAMP_BYTES_MAX));
        let error = Timestamp::parse(&long).unwrap_err().to_string();
        assert!(error.len() < 150, "only an excerpt: {error}");
    }

    #[test]
    fn timestamp_is_read_from_a_string_only() {
        let moment = Timestamp::parse("2026-11-22T11:38:55Z").unwrap();
        assert_eq!(serde_json::to_string(&moment).unwrap(), r#""2026-11-22T11:38:55Z""#);
        for json in ["1763811535", "1763811535.5", "null", "true", "[]", r#"["2026"]"#] {
            assert!(serde_json::from_str::<Timestamp>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn timestamp_from_micros_is_clamped_to_the_years() {
        assert_eq!(Timestamp::from_unix_micros(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_unix_micros(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_unix_micros(i64::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::from_unix_micros(i64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
    }
}
