//! Instruments of the registry: names, help texts and bounds of histograms.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use projection::EventKind;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry};

use super::labels::{
    AuditDropLabels, BypassLabels, CacheLabels, FindingLabels, PartitionLabels, ProcessedLabels,
    PurgedLabels, RefusedLabels, ReplayedLabels, RequestLabels, RouteLabels, SendFailureLabels,
    TopicLabels, TypeMismatchLabels,
};

/// Bounds of the request histogram in seconds: a cached answer takes some tens of microseconds, and
/// a read times out after ten seconds.
const REQUEST_BOUNDS_SECONDS: [f64; 11] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// Bounds of the apply histogram in seconds: one transaction and one invalidation, from a local file to
/// a busy server.
const APPLY_BOUNDS_SECONDS: [f64; 10] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// Bounds of the histogram of groups: from one event by itself to the largest group.
const GROUP_BOUNDS: [f64; 7] = [1.0, 2.0, 8.0, 32.0, 64.0, 128.0, 256.0];

/// Bounds of the histogram of the outbox's delays in seconds: from an outgoing event that is sent at once
/// to one that waited for an outage of hours to end.
const OUTBOX_BOUNDS_SECONDS: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0, 3_600.0];

/// Bounds of the histogram of events' lags in seconds. Fine where most events are, up to the one in ten
/// thousand that waits for a database or a cache to come back.
const EVENT_LAG_BOUNDS_SECONDS: [f64; 20] = [
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0, 600.0, 3_600.0, 86_400.0,
];

/// Bounds of the histogram of hits' staleness in seconds: fresh ones, then from the shortest that is counted as
/// stale to the longest life of an entry, 30 days.
const STALENESS_BOUNDS_SECONDS: [f64; 11] =
    [0.0, 1.0, 5.0, 20.0, 40.0, 60.0, 120.0, 300.0, 3_600.0, 86_400.0, 2_592_000.0];

/// Every instrument, and the registry that encodes them.
pub(super) struct Instruments {
    pub(super) registry: Registry,
    pub(super) api_requests: Family<RequestLabels, Counter>,
    pub(super) api_request_duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
    pub(super) messages_processed: Family<ProcessedLabels, Counter>,
    pub(super) invalid_messages: Family<RefusedLabels, Counter>,
    pub(super) event_type_mismatches: Family<TypeMismatchLabels, Counter>,
    pub(super) cache_hits: Family<CacheLabels, Counter>,
    pub(super) cache_misses: Family<CacheLabels, Counter>,
    pub(super) cache_bypasses: Family<BypassLabels, Counter>,
    pub(super) streams_open: Gauge,
    pub(super) stream_messages: Counter,
    pub(super) consumer_errors: Counter,
    pub(super) consumer_lag: Family<PartitionLabels, Gauge>,
    pub(super) cache_invalidations: Counter,
    pub(super) cache_invalidated_entries: Counter,
    pub(super) cache_invalidation_failures: Counter,
    pub(super) cache_unconfirmed_invalidations: Gauge,
    pub(super) cache_refused_fills: Family<CacheLabels, Counter>,
    pub(super) audited_hits: Family<CacheLabels, Counter>,
    pub(super) audits_dropped: Family<AuditDropLabels, Counter>,
    pub(super) stale_hits: Family<CacheLabels, Counter>,
    pub(super) hit_staleness: Histogram,
    pub(super) dead_letters: Gauge,
    pub(super) dead_letters_bytes: Gauge,
    pub(super) dead_letters_total: Family<RefusedLabels, PlainCounter>,
    pub(super) dead_letters_replayed: Family<ReplayedLabels, Counter>,
    pub(super) apply: Histogram,
    pub(super) apply_stalled_since: Gauge<f64, AtomicU64>,
    pub(super) group: Histogram,
    pub(super) event_lag: Histogram,
    pub(super) purged: Family<PurgedLabels, Counter>,
    pub(super) outbox_published: Family<TopicLabels, Counter>,
    pub(super) publish_skipped: Counter,
    pub(super) held_assessments_discarded: Counter,
    pub(super) outbox_send_failures: Family<SendFailureLabels, Counter>,
    pub(super) outbox_unpublished: Gauge,
    pub(super) outbox_oldest_age: Gauge<f64, AtomicU64>,
    pub(super) outbox_delay: Histogram,
    pub(super) findings: Family<FindingLabels, Gauge>,
    pub(super) log_lines_lost: Counter,
    pub(super) spans_lost: Counter,
    pub(super) previous_key_requests: Counter,
}

impl Instruments {
    pub(super) fn register() -> Self {
        let mut registry = Registry::with_prefix("ras");
        // Counters are named without `_total`: the text format adds it.
        Self {
            api_requests: add(&mut registry, "api_requests", "Requests answered"),
            api_request_duration: add_as(
                &mut registry,
                "api_request_duration_seconds",
                "Time from the request's head to the answer's head",
                Family::new_with_constructor(|| Histogram::new(REQUEST_BOUNDS_SECONDS)),
            ),
            messages_processed: add(
                &mut registry,
                "messages_processed",
                "Events applied or duplicate",
            ),
            invalid_messages: add(&mut registry, "invalid_messages", "Records refused"),
            event_type_mismatches: add_as(
                &mut registry,
                "event_type_mismatches",
                "Records whose event_type names another kind than their topic",
                every_mismatch(),
            ),
            cache_hits: add(&mut registry, "cache_hits", "Answers from the cache"),
            cache_misses: add(&mut registry, "cache_misses", "Answers the cache did not have"),
            cache_bypasses: add(
                &mut registry,
                "cache_bypasses",
                "Answers loaded without the cache",
            ),
            streams_open: add(&mut registry, "streams_open", "Open streams of versions"),
            stream_messages: add(&mut registry, "stream_messages", "Versions sent to streams"),
            consumer_errors: add(&mut registry, "consumer_errors", "Errors of the consumer"),
            cache_invalidations: add(
                &mut registry,
                "cache_drops",
                "Invalidations of owners confirmed",
            ),
            consumer_lag: add(
                &mut registry,
                "consumer_lag_records",
                "Records after the committed offset of a partition that this process consumes",
            ),
            cache_invalidated_entries: add(
                &mut registry,
                "cache_dropped_pages",
                "Entries invalidated",
            ),
            cache_invalidation_failures: add(
                &mut registry,
                "cache_drop_failures",
                "Invalidations not confirmed",
            ),
            cache_unconfirmed_invalidations: add(
                &mut registry,
                "cache_pending_drops",
                "Owners with an unconfirmed invalidation",
            ),
            cache_refused_fills: add(
                &mut registry,
                "cache_refused_fills",
                "Loaded answers not cached, because their owner was invalidated meanwhile",
            ),
            audited_hits: add(
                &mut registry,
                "audited_hits",
                "Hits that were compared with the database",
            ),
            audits_dropped: add(
                &mut registry,
                "audits_dropped",
                "Sampled hits that were not compared with the database",
            ),
            stale_hits: add(
                &mut registry,
                "stale_hits",
                "Audited hits that were older than an acknowledged change",
            ),
            hit_staleness: add_as(
                &mut registry,
                "hit_staleness_seconds",
                "Time for which a stale hit had differed from the database, at least; 0 for a fresh one",
                Histogram::new(STALENESS_BOUNDS_SECONDS),
            ),
            dead_letters: add(&mut registry, "dead_letters", "Dead letters in the database"),
            dead_letters_bytes: add(
                &mut registry,
                "dead_letters_bytes",
                "Bytes of dead letters in the database",
            ),
            dead_letters_total: add(
                &mut registry,
                "dead_letters_total",
                "Refused records stored as dead letters",
            ),
            dead_letters_replayed: add(
                &mut registry,
                "dead_letters_replayed",
                "Dead letters replayed",
            ),
            apply: add_as(
                &mut registry,
                "apply_seconds",
                "Time to apply one group of events, invalidations included",
                Histogram::new(APPLY_BOUNDS_SECONDS),
            ),
            apply_stalled_since: add(
                &mut registry,
                "apply_stalled_since_timestamp_seconds",
                "Unix time since which events fail to be applied; 0 while they do not",
            ),
            group: add_as(
                &mut registry,
                "group_events",
                "Events applied as one group",
                Histogram::new(GROUP_BOUNDS),
            ),
            event_lag: add_as(
                &mut registry,
                "event_lag_seconds",
                "Age of an event when its effect could be read",
                Histogram::new(EVENT_LAG_BOUNDS_SECONDS),
            ),
            purged: add(&mut registry, "removed", "Rows purged"),
            publish_skipped: add(
                &mut registry,
                "publish_skipped",
                "Pipeline runs and assessments from before publish.skip_before",
            ),
            held_assessments_discarded: add(
                &mut registry,
                "held_assessments_discarded",
                "Assessments never published, because too many came before one registration",
            ),
            outbox_published: add(
                &mut registry,
                "outbox_published",
                "Outgoing events acknowledged",
            ),
            outbox_send_failures: add(
                &mut registry,
                "outbox_send_failures",
                "Attempts to send an outgoing event that failed",
            ),
            outbox_unpublished: add(
                &mut registry,
                "outbox_unpublished",
                "Outgoing events that are not published",
            ),
            outbox_oldest_age: add(
                &mut registry,
                "outbox_oldest_age_seconds",
                "Age of the oldest outgoing event that is not published",
            ),
            outbox_delay: add_as(
                &mut registry,
                "outbox_delay_seconds",
                "Time from writing an outgoing event to its acknowledgement",
                Histogram::new(OUTBOX_BOUNDS_SECONDS),
            ),
            findings: add(
                &mut registry,
                "findings",
                "Whether /readyz reports this finding: 1, or 0 once it does not any more",
            ),
            log_lines_lost: add(
                &mut registry,
                "log_lines_lost",
                "Lines that standard output or standard error did not take",
            ),
            spans_lost: add(
                &mut registry,
                "spans_lost",
                "Spans that the collector did not take, or for which the queue was full",
            ),
            previous_key_requests: add(
                &mut registry,
                "previous_key_requests",
                "Requests with internal_api_key_previous",
            ),
            registry,
        }
    }
}

/// Every pair of different kinds, at zero from the start.
fn every_mismatch() -> Family<TypeMismatchLabels, Counter> {
    let family = Family::default();
    for topic in EventKind::ALL {
        for named in EventKind::ALL.iter().filter(|named| *named != topic) {
            drop(family.get_or_create(&mismatch(*topic, *named)));
        }
    }
    family
}

pub(super) fn mismatch(topic: EventKind, named: EventKind) -> TypeMismatchLabels {
    TypeMismatchLabels { topic: topic.topic(), event_type: named.topic() }
}

fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    add_as(registry, name, help, M::default())
}

fn add_as<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// A counter under exactly the name that it is registered with. Clones count together.
///
/// In OpenMetrics a counter `x` has samples `x_total`, and takes the family name `x` with it. Where `x` is
/// a gauge, the counter beside it is written as a family `x_total` of unknown type, so that the names of
/// the samples are the same in both formats.
#[derive(Clone, Debug, Default)]
pub(super) struct PlainCounter(Arc<AtomicU64>);

impl PlainCounter {
    /// Counts one more.
    pub(super) fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl TypedMetric for PlainCounter {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for PlainCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        // A gauge's sample has the bare name.
        encoder.encode_gauge(&self.0.load(Ordering::Relaxed))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
