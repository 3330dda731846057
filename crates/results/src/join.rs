//! The building blocks of the fold: values that take in facts in any order, any number of times.
//!
//! Every `join` is the maximum or minimum of a total order, or a union. That alone makes it
//! commutative, associative and idempotent; there is no rule here that looks at what came first.

use serde::{Deserialize, Serialize};

use crate::ids::EventId;
use crate::time::Timestamp;

/// Which event says something, and when that happened. Ordered by time, then by event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    pub(crate) by: EventId,
}

/// A value of which the latest one counts.
///
/// Ordered by time, then by event id, so the larger one is the one to keep. The value comes last in
/// the order: it decides only between two events that claim the same id, and then still the same
/// way everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Latest<T> {
    at: Timestamp,
    by: EventId,
    value: T,
}

impl<T: Ord> Latest<T> {
    pub(crate) fn new(value: T, stamp: Stamp) -> Self {
        Self { at: stamp.at, by: stamp.by, value }
    }

    pub(crate) fn value(&self) -> &T {
        &self.value
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { at: self.at, by: self.by }
    }

    pub(crate) fn join(&mut self, other: Self) {
        if other > *self {
            *self = other;
        }
    }

    /// Joins what may be missing on either side. A missing value never erases one.
    pub(crate) fn join_option(this: &mut Option<Self>, other: Option<Self>) {
        match (this.as_mut(), other) {
            (Some(this), Some(other)) => this.join(other),
            (None, other @ Some(_)) => *this = other,
            (_, None) => {}
        }
    }
}

/// The earlier of two moments that may be missing on either side.
pub(crate) fn earliest(this: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    this.into_iter().chain(other).min()
}
