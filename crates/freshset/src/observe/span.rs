//! Spans of a cache, with the attributes that tracing back ends know of caches.

use tracing::Span;
use tracing::field::Empty;

use crate::backend::Invalidated;
use crate::error::InvalidateError;
use crate::observe::event::ReadOutcome;

/// Target of the spans, for filters.
const TARGET: &str = "freshset";

/// Makes the span of a read, given the name of the cache.
pub(crate) type MakeReadSpan = fn(&str, Option<(&str, &str)>) -> Span;

/// Span of a read that may load. `shown` is the home owner and the key, if they may be shown.
pub(crate) fn get_or_load(cache: &str, shown: Option<(&str, &str)>) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "cache.get_or_load",
        cache.name = cache,
        cache.owner = shown.map(|(owner, _)| owner),
        cache.key = shown.map(|(_, key)| key),
        cache.hit = Empty,
        cache.source = Empty,
    )
}

/// Span of a read that does not load.
pub(crate) fn get(cache: &str, shown: Option<(&str, &str)>) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "cache.get",
        cache.name = cache,
        cache.owner = shown.map(|(owner, _)| owner),
        cache.key = shown.map(|(_, key)| key),
        cache.hit = Empty,
        cache.source = Empty,
    )
}

pub(super) fn record_read(span: &Span, outcome: ReadOutcome) {
    span.record("cache.hit", outcome.is_hit());
    span.record("cache.source", outcome.as_str());
}

/// Span of an invalidation.
pub(super) fn invalidate(cache: &str, is_repetition: bool, owner: Option<&str>) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "cache.invalidate",
        cache.name = cache,
        cache.owner = owner,
        cache.repetition = is_repetition,
        cache.confirmed = Empty,
        cache.entries = Empty,
    )
}

pub(super) fn record_invalidation(span: &Span, result: &Result<Invalidated, InvalidateError>) {
    span.record("cache.confirmed", result.is_ok());
    if let Ok(invalidated) = result {
        span.record("cache.entries", invalidated.entries);
    }
}
