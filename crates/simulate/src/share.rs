//! A part of a whole, as options state it: `2.5%`.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt as _};

/// How many parts a whole has. Whole numbers, so that equal shares draw equal lots everywhere.
const WHOLE: u32 = 1_000_000;
/// Parts in one percent.
const PERCENT: u32 = WHOLE / 100;

/// A part of a whole, 0 % to 100 %, in steps of a ten-thousandth of a percent.
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

/// A text that is not a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is a number of percent from 0% to 100%, for example 2.5%")]
pub struct ShareError;

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(WHOLE);

    /// So many of a hundred; more than all is all.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self::of(percent, PERCENT)
    }

    /// So many of a thousand; more than all is all.
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

    /// Draws a lot that wins with this share of all draws.
    pub(super) fn draw(self, random: &mut impl Rng) -> bool {
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
        // In range, so the cast cuts nothing off but what is finer than a part.
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
    fn a_share_is_read_and_written_in_percent() {
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
