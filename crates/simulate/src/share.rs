//! Shares in percent, such as `2.5%`.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt as _};

/// Parts of a whole. Integers, so that equal shares draw the same on every platform.
const WHOLE: u32 = 1_000_000;
/// Parts in one percent.
const PERCENT: u32 = WHOLE / 100;

/// A share from 0 % to 100 %, in steps of 0.0001 %.
///
/// ```
/// use simulate::Share;
///
/// let share: Share = "2.5%".parse()?;
/// assert_eq!(share, Share::per_thousand(25));
/// assert_eq!(share.to_string(), "2.5%");
/// # Ok::<(), simulate::ShareError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// Error for a text that is not a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is a number of percent from 0% to 100%, for example 2.5%")]
pub struct ShareError;

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(WHOLE);

    /// A number of percent; more than 100 is 100.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self::of(percent, PERCENT)
    }

    /// A number of thousandths; more than 1000 is 1000.
    #[must_use]
    pub const fn per_thousand(thousandths: u32) -> Self {
        Self::of(thousandths, WHOLE / 1000)
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub fn as_fraction(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    const fn of(count: u32, parts: u32) -> Self {
        let parts = count.saturating_mul(parts);
        Self(if parts > WHOLE { WHOLE } else { parts })
    }

    /// Draws true with this share as the probability.
    pub(crate) fn draw(self, random: &mut impl Rng) -> bool {
        random.random_range(0..WHOLE) < self.0
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let number = text.trim().trim_end_matches('%').trim_end();
        let percent: f64 = number.parse().map_err(|_| ShareError)?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(ShareError);
        }
        // In range, so the cast loses only fractions of a part.
        Ok(Self((percent * f64::from(PERCENT)).round() as u32))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / f64::from(PERCENT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_round_trips_as_percent() {
        #[track_caller]
        fn check(text: &str, want: Share, written: &str) {
            assert_eq!(text.parse(), Ok(want), "{text}");
            assert_eq!(want.to_string(), written);
            assert_eq!(written.parse(), Ok(want), "{text}, back");
        }
        check("0", Share::NONE, "0%");
        check("100%", Share::ALL, "100%");
        check(" 2.5 % ", Share::per_thousand(25), "2.5%");
        check("7", Share::percent(7), "7%");
        check("0.0001%", Share(1), "0.0001%");
        for text in ["", "%", "-1%", "100.1%", "NaN", "half", "1e9"] {
            assert_eq!(text.parse::<Share>(), Err(ShareError), "{text:?}");
        }
    }
}
