//! Finite floats with a total order.
//!
//! The fold needs a total order, which `f64` lacks. Ranges are checked by the decoder (`event`).

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A finite number. Negative zero becomes zero, because databases do not keep it.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Finite(f64);

impl Finite {
    /// None for NaN and the infinities.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns negative zero into zero.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Ord for Finite {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Finite {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Finite {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Finite {}

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        Self::new(value).ok_or_else(|| serde::de::Error::custom("a number is finite"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finite_rejects_nan_and_infinities() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Finite::new(value), None);
        }
        assert_eq!(serde_json::to_string(&Finite::new(-0.0)).unwrap(), "0.0");
        assert!(Finite::new(-1.0) < Finite::new(0.0) && Finite::new(0.0) < Finite::new(1e-300));
        for json in ["\"1\"", "true", "null", "[1.0]"] {
            assert!(serde_json::from_str::<Finite>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn finite_round_trips_through_json_to_the_last_bit() {
        // A fast but inexact decimal parser is off by one bit for these.
        for value in [0.1, 1.0 / 3.0, 33.333_333_333_333_336, 5e-324, f64::MAX, 8.54e-16] {
            let number = Finite::new(value).unwrap();
            let json = serde_json::to_string(&number).unwrap();
            assert_eq!(serde_json::from_str::<Finite>(&json).unwrap(), number, "{json}");
        }
        assert_eq!(serde_json::from_str::<Finite>("1").unwrap().get(), 1.0);
    }
}
