//! The auditor: measures in production whether cached answers are stale.
//!
//! It samples hits of the two cached reads, reads the database past the cache, and compares. So it finds
//! what no protocol between cache and database can: processes with different Redis databases, a Redis that
//! came back with older data, an entry that was altered, a forgotten invalidation.
//!
//! # When is a hit stale?
//!
//! The promise is: no read that starts after the acknowledgement of a change is older than it. A hit that
//! differs from the database does not break it, because
//!
//! - the change may have been committed after the hit: it has overtaken the audit;
//! - the change may be committed and not acknowledged yet: it still waits for its invalidation.
//!
//! Therefore an answer that differs is watched. It is *stale* if, from the read of the database that first
//! differed until `audit.stale_after_seconds` later, each look finds both: the cache still gives the sampled
//! bytes, and the database, read after that, still differs from them. The change was committed before this
//! time began, and within it each change is acknowledged. The first look that finds anything else ends the
//! watch without an alarm: no hit, other bytes, or a database that agrees.
//!
//! The time is longer than any acknowledgement takes: with Kafka that of a killed process, whose events
//! another one applies after the session timeout. One case looks like staleness and is none: a change that
//! waits longer for its acknowledgement, while this process reaches the cache. Its process shows
//! `ras_cache_pending_drops`, or its sender never repeated a request that had failed.
//!
//! A stale answer is watched on, and each further look that finds it counts again, until it is no longer
//! given.
//!
//! # What it costs
//!
//! A hit that is not sampled reads a clock. Each part has a limit: samples a second (`audit.hits_per_second`),
//! their queue, the answers that are watched, and the looks at each. What is beyond one is dropped and
//! counted. One task does it all, so that at most one statement of the database runs for it.

mod auditor;
mod sampler;
mod staleness;
#[cfg(test)]
mod unit_tests;
mod watch;

pub use self::auditor::Auditor;
pub use self::sampler::{HitSampler, sampler};

use std::time::Duration;

/// What is sampled, and how long a change may take to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditOptions {
    /// Hits of each cached read that are sampled in a second, at most; 0: none.
    pub hits_per_second: u32,
    /// How long an answer must differ from the database before it is stale.
    pub stale_after: Duration,
}
