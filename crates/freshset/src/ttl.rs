//! Lifetimes of entries, indexes and generations.

use std::time::Duration;

/// Longest entry TTL: 30 days. It bounds how long an entry stays readable whose invalidation a Redis
/// lost by going back to older data.
pub const ENTRY_TTL_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Shortest entry TTL: the resolution of Redis is one millisecond, and an entry must outlive its fill.
pub const ENTRY_TTL_MIN: Duration = Duration::from_millis(10);

/// Lifetimes of the keys of one fill. Derived from one entry TTL, so that they cannot contradict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lifetimes {
    /// The entry itself.
    pub entry: Duration,
    /// The index SET, when it has to be extended. Outlives every entry in it.
    pub index: Duration,
    /// The generation, when it has to be extended. When it expires, all entries of the owner become
    /// unreadable.
    pub generation: Duration,
}

impl Lifetimes {
    /// Index twice, generation four times the entry TTL: far enough apart that most fills leave
    /// both alone, because they extend a key only when it would end before the new entry.
    pub fn of_entry(entry: Duration) -> Self {
        Self { entry, index: entry * 2, generation: entry * 4 }
    }
}

/// Shortens `ttl` by up to `share_percent` of itself, so that entries written together do not all
/// expire together.
///
/// Only ever shortens: a lengthened entry would be older than the TTL its owner chose.
///
/// # Units
///
/// `share_percent` is capped at 100. `draw` is uniform over the whole range of `u32`; it is a
/// parameter so that this function stays pure. The result is at least one millisecond, the
/// resolution of Redis `PEXPIRE`.
pub(crate) fn shortened_ttl(ttl: Duration, share_percent: u8, draw: u32) -> Duration {
    let share = u128::from(share_percent.min(100));
    let cut = ttl.as_nanos() * share * u128::from(draw) / (100 * u128::from(u32::MAX));
    let cut = Duration::from_nanos(u64::try_from(cut).unwrap_or(u64::MAX));
    ttl.saturating_sub(cut).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_is_shortened_by_the_drawn_part_of_its_share_at_most() {
        let ttl = Duration::from_secs(300);
        assert_eq!(shortened_ttl(ttl, 10, 0), ttl);
        assert_eq!(shortened_ttl(ttl, 10, u32::MAX / 2).as_secs(), 285);
        assert_eq!(shortened_ttl(ttl, 10, u32::MAX), Duration::from_secs(270));
        assert_eq!(shortened_ttl(ttl, 200, u32::MAX), Duration::from_millis(1));
    }
}
