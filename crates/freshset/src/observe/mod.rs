//! Observation of a cache: an [`Observer`] is given an event for each read, load, fill, invalidation and
//! failure of the backend; `tracing` is given spans and log lines.
//!
//! # Spans
//!
//! At level debug, target `freshset`. The span of a load is inside that of its read.
//!
//! | span | attributes |
//! |---|---|
//! | `cache.get_or_load`, `cache.get` | `cache.name`, `cache.hit`, `cache.source` as [`ReadOutcome::as_str`] |
//! | `cache.invalidate` | `cache.name`, `cache.confirmed`, `cache.entries`, `cache.repetition` |
//!
//! No event, span or log line has an owner's id or a key; only with
//! [`CacheBuilder::trace_keys`](crate::CacheBuilder::trace_keys) spans have `cache.owner` and `cache.key`.
//!
//! # Log lines
//!
//! One at level warn when an invalidation is not confirmed, and one at level info when all are confirmed
//! again; between the two none, whatever else fails and however many owners are concerned.

mod event;
#[cfg(feature = "metrics")]
mod metrics;
mod observer;
pub(crate) mod reporter;
pub(crate) mod span;

pub use event::{
    BackendErrorEvent, FillEvent, InvalidationEvent, LoadEvent, Operation, ReadEvent, ReadOutcome,
};
#[cfg(feature = "metrics")]
pub use metrics::MetricsObserver;
pub use observer::Observer;
