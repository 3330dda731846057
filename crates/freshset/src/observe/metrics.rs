//! Observer that counts and measures with the `metrics` facade.

use metrics::{Unit, counter, gauge, histogram};

use crate::cache::answer::Stored;
use crate::error::BackendError;
use crate::observe::event::{
    BackendErrorEvent, FillEvent, InvalidationEvent, LoadEvent, ReadEvent,
};
use crate::observe::observer::Observer;

const READS: &str = "freshset_reads_total";
const READ_DURATION: &str = "freshset_read_duration_seconds";
const LOADS: &str = "freshset_loads_total";
const LOAD_DURATION: &str = "freshset_load_duration_seconds";
const FILLS: &str = "freshset_fills_total";
const FILL_DURATION: &str = "freshset_fill_duration_seconds";
const ENTRY_BYTES: &str = "freshset_entry_bytes";
const INVALIDATIONS: &str = "freshset_invalidations_total";
const INVALIDATION_DURATION: &str = "freshset_invalidation_duration_seconds";
const INVALIDATED_ENTRIES: &str = "freshset_invalidated_entries_total";
const UNCONFIRMED_OWNERS: &str = "freshset_unconfirmed_owners";
const BACKEND_ERRORS: &str = "freshset_backend_errors_total";

/// Counts and measures with the [`metrics`](https://docs.rs/metrics) facade, for any recorder of it.
///
/// | metric | kind | labels beside `cache` |
/// |---|---|---|
/// | `freshset_reads_total` | counter | `owner_kind`; `source`: `hit`, `loaded`, `shared`, `bypass`, `absent`, `failed` |
/// | `freshset_read_duration_seconds` | histogram | `source` |
/// | `freshset_loads_total` | counter | `owner_kind`; `result`: `loaded`, `failed` |
/// | `freshset_load_duration_seconds` | histogram | `result` |
/// | `freshset_fills_total` | counter | `owner_kind`; `result`: `stored`, `refused`, `full`, `too_large`, `failed`, `not_encoded` |
/// | `freshset_fill_duration_seconds` | histogram | `result` |
/// | `freshset_entry_bytes` | histogram of the payloads of stored entries | |
/// | `freshset_invalidations_total` | counter | `owner_kind`; `result`: `confirmed`, `unconfirmed`; `repetition`: `true` in the background |
/// | `freshset_invalidation_duration_seconds` | histogram | `result` |
/// | `freshset_invalidated_entries_total` | counter | `owner_kind` |
/// | `freshset_unconfirmed_owners` | gauge: owners of this process whose invalidation is not confirmed | |
/// | `freshset_backend_errors_total` | counter | `operation`: `read`, `fill`, `invalidate`, `remove`, `maintain`; `error`: a variant of [`BackendError`] |
///
/// `cache` is the [name](crate::CacheBuilder::name) of the cache. Every label has few values: none is an id
/// or a key. The hit ratio is `freshset_reads_total` with `source="hit"` by all of it. Alert on
/// `freshset_unconfirmed_owners` that stays above 0.
///
/// ```
/// use freshset::{Cache, backend::memory::MemoryBackend, observe::MetricsObserver};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // First install the recorder, for example that of `metrics-exporter-prometheus`.
/// let cache = Cache::builder(MemoryBackend::new())
///     .name("catalogue")
///     .observer(MetricsObserver::new())
///     .build();
/// # drop(cache);
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct MetricsObserver;

impl MetricsObserver {
    /// Describes the metrics to the recorder, which must be installed before; later ones get the values
    /// without the descriptions.
    #[expect(clippy::new_without_default, reason = "it describes, which a default does not")]
    pub fn new() -> Self {
        describe();
        Self
    }
}

impl Observer for MetricsObserver {
    fn on_read(&self, event: &ReadEvent<'_>) {
        let (cache, kind) = (event.cache.to_owned(), event.owner_kind.to_owned());
        let source = event.outcome.as_str();
        counter!(READS, "cache" => cache.clone(), "owner_kind" => kind, "source" => source)
            .increment(1);
        histogram!(READ_DURATION, "cache" => cache, "source" => source).record(event.duration);
    }

    fn on_load(&self, event: &LoadEvent<'_>) {
        let (cache, kind) = (event.cache.to_owned(), event.owner_kind.to_owned());
        let result = if event.failed { "failed" } else { "loaded" };
        counter!(LOADS, "cache" => cache.clone(), "owner_kind" => kind, "result" => result)
            .increment(1);
        histogram!(LOAD_DURATION, "cache" => cache, "result" => result).record(event.duration);
    }

    fn on_fill(&self, event: &FillEvent<'_>) {
        let (cache, kind) = (event.cache.to_owned(), event.owner_kind.to_owned());
        let result = fill_result(event.stored);
        counter!(FILLS, "cache" => cache.clone(), "owner_kind" => kind, "result" => result)
            .increment(1);
        histogram!(FILL_DURATION, "cache" => cache.clone(), "result" => result)
            .record(event.duration);
        if event.stored == Stored::Yes {
            histogram!(ENTRY_BYTES, "cache" => cache).record(event.bytes as f64);
        }
    }

    fn on_invalidation(&self, event: &InvalidationEvent<'_>) {
        let (cache, kind) = (event.cache.to_owned(), event.owner_kind.to_owned());
        let result = if event.result.is_ok() { "confirmed" } else { "unconfirmed" };
        counter!(
            INVALIDATIONS,
            "cache" => cache.clone(),
            "owner_kind" => kind.clone(),
            "result" => result,
            "repetition" => if event.is_repetition { "true" } else { "false" },
        )
        .increment(1);
        histogram!(INVALIDATION_DURATION, "cache" => cache.clone(), "result" => result)
            .record(event.duration);
        if let Ok(invalidated) = event.result {
            counter!(INVALIDATED_ENTRIES, "cache" => cache.clone(), "owner_kind" => kind)
                .increment(invalidated.entries);
        }
        gauge!(UNCONFIRMED_OWNERS, "cache" => cache).set(event.unconfirmed_owners as f64);
    }

    fn on_backend_error(&self, event: &BackendErrorEvent<'_>) {
        counter!(
            BACKEND_ERRORS,
            "cache" => event.cache.to_owned(),
            "operation" => event.operation.as_str(),
            "error" => error_kind(event.error),
        )
        .increment(1);
    }
}

fn describe() {
    let count = |name, help| metrics::describe_counter!(name, Unit::Count, help);
    let seconds = |name, help| metrics::describe_histogram!(name, Unit::Seconds, help);
    count(READS, "Reads, by the source of their answer");
    seconds(READ_DURATION, "Time of a read, its load included");
    count(LOADS, "Calls of loaders");
    seconds(LOAD_DURATION, "Time of a loader");
    count(FILLS, "Loaded entries, by whether they were stored");
    seconds(FILL_DURATION, "Time to store an entry");
    metrics::describe_histogram!(ENTRY_BYTES, Unit::Bytes, "Payload of a stored entry");
    count(INVALIDATIONS, "Invalidations, by whether the backend confirmed them");
    seconds(INVALIDATION_DURATION, "Time of an invalidation");
    count(INVALIDATED_ENTRIES, "Entries invalidated");
    let unconfirmed = "Owners whose invalidation is not confirmed";
    metrics::describe_gauge!(UNCONFIRMED_OWNERS, Unit::Count, unconfirmed);
    count(BACKEND_ERRORS, "Failures of the backend");
}

fn fill_result(stored: Stored) -> &'static str {
    match stored {
        Stored::Yes => "stored",
        Stored::Refused => "refused",
        Stored::Full => "full",
        Stored::TooLarge => "too_large",
        Stored::Failed => "failed",
        Stored::NotEncoded => "not_encoded",
        Stored::ByAnother => "by_another",
    }
}

fn error_kind(error: &BackendError) -> &'static str {
    match error {
        BackendError::Timeout { .. } => "timeout",
        BackendError::Unreachable { .. } => "unreachable",
        BackendError::NotPrimary { .. } => "not_primary",
        BackendError::NotReady { .. } => "not_ready",
        BackendError::Unauthorized { .. } => "unauthorized",
        BackendError::OutOfMemory { .. } => "out_of_memory",
        BackendError::Rejected { .. } => "rejected",
        BackendError::KeysMoving { .. } => "keys_moving",
        BackendError::Unexpected { .. } => "unexpected",
        BackendError::Random(_) => "random",
    }
}
