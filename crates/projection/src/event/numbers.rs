//! Numbers in records, each with its range.
//!
//! A whole number is written without a point: `2.0` is refused as a count.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::finite::Finite;

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy)]
pub(super) struct Whole<const MIN: u32, const MAX: u32>(pub(super) u32);

/// A count.
pub(super) type Count = Whole<0, { u32::MAX }>;

/// A rank; the first is 1.
pub(super) type Rank = Whole<1, { u32::MAX }>;

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeVisitor<const MIN: u32, const MAX: u32>;

        impl<const MIN: u32, const MAX: u32> Visitor<'_> for WholeVisitor<MIN, MAX> {
            type Value = Whole<MIN, MAX>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "an integer from {MIN} to {MAX}")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                u32::try_from(number)
                    .ok()
                    .filter(|number| (MIN..=MAX).contains(number))
                    .map(Whole)
                    .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
            }
        }

        deserializer.deserialize_u32(WholeVisitor)
    }
}

/// The version of an envelope. It may also be written as a string or with a point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Version(pub(super) i64);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionVisitor;

        impl Visitor<'_> for VersionVisitor {
            type Value = Version;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an integer")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Version, E> {
                Ok(Version(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Version, E> {
                // No version is so large, and none of these is a supported one.
                Ok(Version(i64::try_from(number).unwrap_or(i64::MAX)))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Version, E> {
                /// Up to this number every whole number is exactly one float.
                const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
                if number.fract() != 0.0 || number.abs() > WHOLE_MAX {
                    return Err(E::invalid_value(Unexpected::Float(number), &self));
                }
                Ok(Version(number as i64))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Version, E> {
                let number = text.parse().map(Version);
                number.map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(VersionVisitor)
    }
}

/// A fraction from 0 to 1.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "Finite")]
pub(super) struct Fraction(pub(super) Finite);

impl TryFrom<Finite> for Fraction {
    type Error = &'static str;

    fn try_from(number: Finite) -> Result<Self, &'static str> {
        let in_range = (0.0..=1.0).contains(&number.get());
        in_range.then_some(Self(number)).ok_or("a share is a number from 0 to 1")
    }
}

/// A duration in seconds.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "Finite")]
pub(super) struct Seconds(pub(super) Finite);

impl TryFrom<Finite> for Seconds {
    type Error = &'static str;

    fn try_from(number: Finite) -> Result<Self, &'static str> {
        let in_range = number.get() >= 0.0;
        in_range.then_some(Self(number)).ok_or("a duration is a number of seconds, 0 or more")
    }
}
