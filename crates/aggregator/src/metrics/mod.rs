//! Metrics of the service: one registry, built once, cloned into the modules.
//!
//! There is no global: two servers in one process count separately. Label values come
//! from small fixed sets (route templates, topics, codes), never from a request, because each new
//! value is a time series that is kept for ever.

mod exposition;
mod instruments;
mod labels;
mod preset;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use projection::{EventKind, RefusalCode, Timestamp};
use prometheus_client::encoding::text;

pub use self::exposition::Exposition;
pub use self::labels::{AuditDrop, BYPASS_REASONS, CacheType, Purged, SEND_FAILURE_REASONS};
pub use self::preset::{NO_ROUTE, NO_TOPIC};

use self::instruments::{Instruments, mismatch};
use self::labels::{
    AuditDropLabels, BypassLabels, CacheLabels, FindingLabels, PartitionLabels, ProcessedLabels,
    PurgedLabels, RefusedLabels, ReplayedLabels, RequestLabels, RouteLabels, SendFailureLabels,
    TopicLabels,
};

/// The metrics of the service. Cloning is cheap, and clones count together.
#[derive(Clone)]
pub struct Metrics {
    instruments: Arc<Instruments>,
    /// Every finding since the start: one that is over stays, with 0.
    findings: Arc<Mutex<BTreeSet<FindingLabels>>>,
}

impl Metrics {
    /// A registry in which every counter of a fixed set of labels stands at zero.
    #[must_use]
    pub fn new() -> Self {
        let instruments = Instruments::register();
        preset::preset(&instruments);
        Self { instruments: Arc::new(instruments), findings: Arc::default() }
    }

    /// Counts one answered request. `endpoint` is the route's template, never the path that was
    /// asked for; `method` is a method of the route or `OTHER`.
    pub fn request(
        &self,
        endpoint: &str,
        method: &'static str,
        status_code: u16,
        duration: Duration,
    ) {
        let endpoint = endpoint.to_owned();
        let route = RouteLabels { endpoint: endpoint.clone(), method };
        let histogram = self.instruments.api_request_duration.get_or_create(&route);
        histogram.observe(duration.as_secs_f64());
        let labels = RequestLabels { endpoint, method, status_code };
        self.instruments.api_requests.get_or_create(&labels).inc();
    }

    /// Counts one event that was applied or is a duplicate. `topic` is the topic of its kind.
    pub fn message_processed(&self, topic: &'static str, outcome: &'static str) {
        let labels = ProcessedLabels { topic, outcome };
        self.instruments.messages_processed.get_or_create(&labels).inc();
    }

    /// Counts one record that was refused.
    pub fn invalid_message(&self, topic: &'static str, code: RefusalCode) {
        let labels = RefusedLabels { topic, error_type: code.as_str() };
        self.instruments.invalid_messages.get_or_create(&labels).inc();
    }

    /// Counts one record whose `event_type` names another kind than its topic. The topic counted.
    pub fn event_type_mismatch(&self, topic: EventKind, named: EventKind) {
        self.instruments.event_type_mismatches.get_or_create(&mismatch(topic, named)).inc();
    }

    /// Counts one refused record that is now stored as a dead letter.
    pub fn dead_letter(&self, topic: &'static str, code: RefusalCode) {
        let labels = RefusedLabels { topic, error_type: code.as_str() };
        self.instruments.dead_letters_total.get_or_create(&labels).inc();
    }

    /// Sets how many dead letters the database has, and their bytes.
    pub fn set_dead_letters(&self, count: u64, bytes: u64) {
        self.instruments.dead_letters.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.instruments.dead_letters_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts one replayed dead letter, by the name of its outcome. Refused again, it is no second dead
    /// letter.
    pub fn dead_letter_replayed(&self, outcome: &'static str) {
        self.instruments.dead_letters_replayed.get_or_create(&ReplayedLabels { outcome }).inc();
    }

    /// Counts one answer that came from the cache.
    pub fn cache_hit(&self, cache_type: CacheType) {
        self.instruments.cache_hits.get_or_create(&CacheLabels { cache_type }).inc();
    }

    /// Counts one answer that had to be loaded because the cache did not have it.
    pub fn cache_miss(&self, cache_type: CacheType) {
        self.instruments.cache_misses.get_or_create(&CacheLabels { cache_type }).inc();
    }

    /// Counts one answer that was loaded without the cache, and why.
    pub fn cache_bypass(&self, cache_type: CacheType, reason: &'static str) {
        let labels = BypassLabels { cache_type, reason };
        self.instruments.cache_bypasses.get_or_create(&labels).inc();
    }

    /// Counts one loaded answer that the cache refused, because its owner was invalidated while it was
    /// loaded.
    pub fn cache_fill_refused(&self, cache_type: CacheType) {
        self.instruments.cache_refused_fills.get_or_create(&CacheLabels { cache_type }).inc();
    }

    /// Counts one hit whose audit has a result.
    pub fn hit_audited(&self, cache_type: CacheType) {
        self.instruments.audited_hits.get_or_create(&CacheLabels { cache_type }).inc();
    }

    /// Counts one hit whose audit has the result that it was as fresh as promised.
    pub fn fresh_hit(&self, cache_type: CacheType) {
        self.hit_audited(cache_type);
        self.instruments.hit_staleness.observe(0.0);
    }

    /// Counts one sampled hit that is not audited, and why.
    pub fn audit_dropped(&self, cache_type: CacheType, reason: AuditDrop) {
        let labels = AuditDropLabels { cache_type, reason };
        self.instruments.audits_dropped.get_or_create(&labels).inc();
    }

    /// Counts one stale hit. The change that it lacks was committed at least `age` before.
    pub fn stale_hit(&self, cache_type: CacheType, age: Duration) {
        self.instruments.stale_hits.get_or_create(&CacheLabels { cache_type }).inc();
        self.instruments.hit_staleness.observe(age.as_secs_f64());
    }

    /// A stream of versions was opened.
    pub fn stream_opened(&self) {
        self.instruments.streams_open.inc();
    }

    /// A stream of versions has ended.
    pub fn stream_closed(&self) {
        self.instruments.streams_open.dec();
    }

    /// A version was sent to a stream.
    pub fn stream_message(&self) {
        self.instruments.stream_messages.inc();
    }

    /// Counts one outage of the brokers, or one other error of the consumer.
    pub fn consumer_error(&self) {
        self.instruments.consumer_errors.inc();
    }

    /// Counts one confirmed invalidation of an owner, and its entries.
    pub fn cache_invalidated(&self, entries: u64) {
        self.instruments.cache_invalidations.inc();
        self.instruments.cache_invalidated_entries.inc_by(entries);
    }

    /// Counts one invalidation that was not confirmed.
    pub fn cache_invalidation_failed(&self) {
        self.instruments.cache_invalidation_failures.inc();
    }

    /// Sets how many owners have an unconfirmed invalidation.
    pub fn set_unconfirmed_invalidations(&self, owners: usize) {
        self.instruments
            .cache_unconfirmed_invalidations
            .set(i64::try_from(owners).unwrap_or(i64::MAX));
    }

    /// Records how long one group of so many events took, from its first read to its confirmed
    /// invalidations.
    pub fn applied_in(&self, duration: Duration, events: usize) {
        self.instruments.apply.observe(duration.as_secs_f64());
        self.instruments.group.observe(events as f64);
    }

    /// Sets since when events fail to be applied; none: they do not.
    pub fn set_apply_stalled_since(&self, since: Option<Timestamp>) {
        let seconds = since.map_or(0.0, |since| since.unix_micros() as f64 / 1e6);
        self.instruments.apply_stalled_since.set(seconds);
    }

    /// Records how old an event was, by its own timestamp, when its effect could be read.
    pub fn event_lag(&self, lag: Duration) {
        self.instruments.event_lag.observe(lag.as_secs_f64());
    }

    /// Counts what was purged because of its age or the limit of dead letters.
    pub fn purged(&self, what: Purged, count: u64) {
        self.instruments.purged.get_or_create(&PurgedLabels { what }).inc_by(count);
    }

    /// Counts one outgoing event that a broker acknowledged, `delay` after it was written.
    pub fn outbox_published(&self, topic: &str, delay: Duration) {
        let labels = TopicLabels { topic: topic.to_owned() };
        self.instruments.outbox_published.get_or_create(&labels).inc();
        self.instruments.outbox_delay.observe(delay.as_secs_f64());
    }

    /// Counts pipeline runs and assessment jobs that are not published, because they are too old.
    pub fn publish_skipped(&self, count: u64) {
        self.instruments.publish_skipped.inc_by(count);
    }

    /// Counts assessments that are never published, because too many came before one registration.
    pub fn held_assessments_discarded(&self, count: u64) {
        self.instruments.held_assessments_discarded.inc_by(count);
    }

    /// Counts one attempt to send an outgoing event that failed, and why.
    pub fn outbox_send_failed(&self, topic: &str, reason: &'static str) {
        let labels = SendFailureLabels { topic: topic.to_owned(), reason };
        self.instruments.outbox_send_failures.get_or_create(&labels).inc();
    }

    /// Sets how many records of a partition are not acknowledged; none: it is not known here.
    pub fn set_consumer_lag(&self, topic: &str, partition: i32, records: Option<u64>) {
        let labels = PartitionLabels { topic: topic.to_owned(), partition };
        let Some(records) = records else {
            self.instruments.consumer_lag.remove(&labels);
            return;
        };
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        self.instruments.consumer_lag.get_or_create(&labels).set(records);
    }

    /// Sets the findings that are reported now, each by its component and code.
    pub fn set_findings(&self, reported: impl IntoIterator<Item = (&'static str, &'static str)>) {
        let labels = |(component, code)| FindingLabels { component, code };
        let reported: BTreeSet<_> = reported.into_iter().map(labels).collect();
        // A panic while the lock was held leaves a whole set.
        let mut known = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(reported.iter().cloned());
        for labels in &*known {
            let is_reported = i64::from(reported.contains(labels));
            self.instruments.findings.get_or_create(labels).set(is_reported);
        }
    }

    /// Sets how many outgoing events are not published, and how old the oldest of them is.
    pub fn set_outbox_depth(&self, unpublished: u64, oldest_age: Duration) {
        let unpublished = i64::try_from(unpublished).unwrap_or(i64::MAX);
        self.instruments.outbox_unpublished.set(unpublished);
        self.instruments.outbox_oldest_age.set(oldest_age.as_secs_f64());
    }

    /// Counts lines of the log that were lost.
    pub fn log_lines_lost(&self, count: u64) {
        self.instruments.log_lines_lost.inc_by(count);
    }

    /// Counts spans that were lost.
    pub fn spans_lost(&self, count: u64) {
        self.instruments.spans_lost.inc_by(count);
    }

    /// Counts one request with the previous API key.
    pub fn previous_key_request(&self) {
        self.instruments.previous_key_requests.inc();
    }

    /// All metrics, as text.
    ///
    /// # Errors
    ///
    /// If the encoder of a metric fails, which none here does.
    pub fn encode(&self, format: Exposition) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.instruments.registry)?;
        Ok(match format {
            Exposition::OpenMetrics => page,
            Exposition::Text => exposition::text_of(&page),
        })
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_what_dashboards_expect() {
        let metrics = Metrics::new();
        let topic = "huleedu.batch.essays.registered.v1";
        let outgoing = "huleedu.ras.batch.results.ready.v1";
        let counting = metrics.clone();
        counting.request("/a/{id}", "GET", 200, Duration::from_millis(2));
        counting.message_processed(topic, "applied");
        counting.message_processed(topic, "duplicate");
        counting.message_processed(topic, "duplicate");
        counting.invalid_message(topic, RefusalCode::NotJson);
        counting.event_type_mismatch(EventKind::SpellcheckResult, EventKind::EssaySlotAssigned);
        counting.dead_letter(topic, RefusalCode::NotJson);
        counting.dead_letter_replayed("refused");
        counting.cache_hit(CacheType::BatchStatus);
        counting.cache_miss(CacheType::UserBatches);
        counting.cache_bypass(CacheType::UserBatches, "store_away");
        counting.cache_fill_refused(CacheType::UserBatches);
        counting.hit_audited(CacheType::UserBatches);
        counting.fresh_hit(CacheType::UserBatches);
        counting.audit_dropped(CacheType::BatchStatus, AuditDrop::QueueFull);
        counting.stale_hit(CacheType::UserBatches, Duration::from_secs(25));
        counting.set_dead_letters(9, 512);
        counting.consumer_error();
        counting.cache_invalidated(7);
        counting.cache_invalidation_failed();
        counting.set_unconfirmed_invalidations(3);
        counting.applied_in(Duration::from_millis(4), 7);
        counting.set_apply_stalled_since(Some(Timestamp::from_unix_micros(1_500_000)));
        counting.event_lag(Duration::from_secs(30));
        counting.purged(Purged::Inbox, 5);
        counting.outbox_published(outgoing, Duration::from_millis(3));
        counting.publish_skipped(2);
        counting.held_assessments_discarded(3);
        counting.outbox_send_failed(outgoing, "refused");
        counting.set_outbox_depth(4, Duration::from_millis(1_500));
        counting.set_findings([("cache", "unauthorized"), ("clock", "differs_from_database")]);
        counting.set_findings([("clock", "differs_from_database")]);
        counting.log_lines_lost(2);
        counting.spans_lost(6);
        counting.previous_key_request();
        counting.stream_opened();
        counting.stream_opened();
        counting.stream_closed();
        counting.stream_message();

        let page = metrics.encode(Exposition::Text).unwrap();
        let open_metrics = metrics.encode(Exposition::OpenMetrics).unwrap();
        let untouched = Metrics::new().encode(Exposition::Text).unwrap();
        let route = r#"endpoint="/a/{id}",method="GET""#;
        for line in [
            &*format!(r#"ras_api_requests_total{{{route},status_code="200"}} 1"#),
            &format!("ras_api_request_duration_seconds_count{{{route}}} 1"),
            &format!(r#"ras_messages_processed_total{{topic="{topic}",outcome="applied"}} 1"#),
            &format!(r#"ras_messages_processed_total{{topic="{topic}",outcome="duplicate"}} 2"#),
            &format!(r#"ras_invalid_messages_total{{topic="{topic}",error_type="not_json"}} 1"#),
            r#"ras_event_type_mismatches_total{topic="huleedu.essay.spellcheck.results.v1",event_type="huleedu.els.essay.slot.assigned.v1"} 1"#,
            r#"ras_event_type_mismatches_total{topic="huleedu.batch.essays.registered.v1",event_type="huleedu.els.essay.slot.assigned.v1"} 0"#,
            &format!(r#"ras_dead_letters_total{{topic="{topic}",error_type="not_json"}} 1"#),
            "ras_dead_letters 9",
            "ras_dead_letters_bytes 512",
            r#"ras_cache_refused_fills_total{cache_type="user_batches"} 1"#,
            r#"ras_dead_letters_replayed_total{outcome="refused"} 1"#,
            r#"ras_cache_hits_total{cache_type="batch_status"} 1"#,
            r#"ras_cache_misses_total{cache_type="user_batches"} 1"#,
            r#"ras_cache_bypasses_total{cache_type="user_batches",reason="store_away"} 1"#,
            r#"ras_audited_hits_total{cache_type="user_batches"} 2"#,
            r#"ras_audits_dropped_total{cache_type="batch_status",reason="queue_full"} 1"#,
            r#"ras_stale_hits_total{cache_type="user_batches"} 1"#,
            "ras_hit_staleness_seconds_sum 25.0",
            r#"ras_hit_staleness_seconds_bucket{le="0.0"} 1"#,
            "ras_hit_staleness_seconds_count 2",
            r#"ras_findings{component="cache",code="unauthorized"} 0"#,
            r#"ras_findings{component="clock",code="differs_from_database"} 1"#,
            "ras_consumer_errors_total 1",
            "ras_cache_drops_total 1",
            "ras_cache_dropped_pages_total 7",
            "ras_cache_drop_failures_total 1",
            "ras_cache_pending_drops 3",
            "ras_apply_seconds_count 1",
            "ras_apply_stalled_since_timestamp_seconds 1.5",
            "ras_group_events_sum 7.0",
            "ras_event_lag_seconds_count 1",
            r#"ras_removed_total{what="inbox"} 5"#,
            &format!(r#"ras_outbox_published_total{{topic="{outgoing}"}} 1"#),
            &format!(r#"ras_outbox_send_failures_total{{topic="{outgoing}",reason="refused"}} 1"#),
            "ras_publish_skipped_total 2",
            "ras_held_assessments_discarded_total 3",
            "ras_outbox_unpublished 4",
            "ras_outbox_oldest_age_seconds 1.5",
            "ras_outbox_delay_seconds_count 1",
            "ras_log_lines_lost_total 2",
            "ras_spans_lost_total 6",
            "ras_previous_key_requests_total 1",
            "ras_streams_open 1",
            "ras_stream_messages_total 1",
        ] {
            assert!(page.lines().any(|got| got == line), "no line {line}\n{page}");
            assert!(open_metrics.lines().any(|got| got == line), "no line {line}\n{open_metrics}");
            let (series, _) = line.rsplit_once(' ').unwrap();
            let is_counter = series.split('{').next().unwrap().ends_with("_total");
            let zero = format!("{series} 0");
            // The route of this test is none of ours.
            let is_preset = series.contains("/a/") || untouched.lines().any(|got| got == zero);
            assert!(!is_counter || is_preset, "not there from the start: {series}");
        }
    }
}
