//! Versions of what the readers of an owner see.

use std::fmt;

/// Number of commits that changed what an owner shows: the lists of a user, or one batch. 0 before the
/// first one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// From a column, which is null where there is no row.
    pub(super) fn from_column(version: Option<i64>) -> Self {
        Self(version.unwrap_or_default().unsigned_abs())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
