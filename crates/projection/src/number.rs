//! Numbers that can be compared, kept and read back as they were.
//!
//! A float has no total order, and a fold needs one. Ranges are the reader's business (`event`).

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize};

/// A finite number. There is one zero: databases keep no other.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Finite(f64);

impl Finite {
    /// None for what is no number or without end.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero makes a negative zero the plain one.
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
    fn only_numbers_with_an_end_are_taken() {
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
    fn a_number_is_read_back_to_the_last_bit() {
        // A fast reader of decimals misses these by one step.
        for value in [0.1, 1.0 / 3.0, 33.333_333_333_333_336, 5e-324, f64::MAX, 8.54e-16] {
            let number = Finite::new(value).unwrap();
            let json = serde_json::to_string(&number).unwrap();
            assert_eq!(serde_json::from_str::<Finite>(&json).unwrap(), number, "{json}");
        }
        assert_eq!(serde_json::from_str::<Finite>("1").unwrap().get(), 1.0);
    }
}
