//! Reads the numbers of the pages from the text of `/metrics`, so that both always say the same.

/// Totals since the start of the process, and gauges.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::console) struct Reading {
    pub(in crate::console) applied: f64,
    pub(in crate::console) duplicate: f64,
    pub(in crate::console) refused: f64,
    pub(in crate::console) hits: f64,
    pub(in crate::console) misses: f64,
    pub(in crate::console) bypasses: f64,
    pub(in crate::console) refused_fills: f64,
    pub(in crate::console) invalidations: f64,
    pub(in crate::console) unconfirmed_invalidations: f64,
    pub(in crate::console) audited_hits: f64,
    pub(in crate::console) stale_hits: f64,
    pub(in crate::console) dead_letters: f64,
    pub(in crate::console) dead_letter_bytes: f64,
    pub(in crate::console) published: f64,
    pub(in crate::console) outbox_unpublished: f64,
    pub(in crate::console) outbox_oldest_age_seconds: f64,
    pub(in crate::console) failed_answers: f64,
    pub(in crate::console) consumer_lag: f64,
    /// Partitions that this process consumes, as far as their lag is known.
    pub(in crate::console) partitions: f64,
    /// Bounds in seconds, each with the number of events up to it.
    pub(in crate::console) event_lag: Vec<(f64, f64)>,
}

impl Reading {
    /// Reads an exposition.
    pub(in crate::console) fn of(exposition: &str) -> Self {
        let mut reading = Self::default();
        for line in exposition.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let Ok(value) = value.parse::<f64>() else { continue };
            reading.take(name, labels, value);
        }
        reading
    }

    fn take(&mut self, name: &str, labels: &str, value: f64) {
        if name == "ras_event_lag_seconds_bucket" {
            let bound = labels.split('"').nth(1).unwrap_or_default();
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(0.0) };
            self.event_lag.push((bound, value));
            return;
        }
        if name == "ras_consumer_lag_records" {
            self.partitions += 1.0;
        }
        let total = match name {
            "ras_messages_processed_total" if labels.contains("outcome=\"applied\"") => {
                &mut self.applied
            }
            "ras_messages_processed_total" => &mut self.duplicate,
            "ras_invalid_messages_total" => &mut self.refused,
            "ras_cache_hits_total" => &mut self.hits,
            "ras_cache_misses_total" => &mut self.misses,
            "ras_cache_bypasses_total" => &mut self.bypasses,
            "ras_cache_refused_fills_total" => &mut self.refused_fills,
            "ras_cache_drops_total" => &mut self.invalidations,
            "ras_cache_pending_drops" => &mut self.unconfirmed_invalidations,
            "ras_audited_hits_total" => &mut self.audited_hits,
            "ras_stale_hits_total" => &mut self.stale_hits,
            "ras_dead_letters" => &mut self.dead_letters,
            "ras_dead_letters_bytes" => &mut self.dead_letter_bytes,
            "ras_outbox_published_total" => &mut self.published,
            "ras_outbox_unpublished" => &mut self.outbox_unpublished,
            "ras_outbox_oldest_age_seconds" => &mut self.outbox_oldest_age_seconds,
            "ras_consumer_lag_records" => &mut self.consumer_lag,
            "ras_api_requests_total" if labels.contains("status_code=\"5") => {
                &mut self.failed_answers
            }
            _ => return,
        };
        *total += value;
    }

    /// Reads of the two cached answers.
    pub(in crate::console) fn reads(&self) -> f64 {
        self.hits + self.misses + self.bypasses
    }

    /// Events by how long they took, each bound with the number of events between it and the one before.
    pub(in crate::console) fn event_lag_parts(&self) -> Vec<(f64, f64)> {
        let mut before = 0.0;
        let parts = self.event_lag.iter().map(|(bound, up_to)| {
            let part = up_to - before;
            before = *up_to;
            (*bound, part)
        });
        parts.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Reading;
    use crate::metrics::{CacheType, Exposition, Metrics};

    /// A metric that was renamed would stand at 0 for ever.
    #[test]
    fn everything_that_is_counted_is_read() {
        let metrics = Metrics::new();
        metrics.message_processed("t", "applied");
        metrics.message_processed("t", "duplicate");
        metrics.invalid_message("t", projection::RefusalCode::NotJson);
        metrics.cache_hit(CacheType::UserBatches);
        metrics.cache_hit(CacheType::BatchStatus);
        metrics.cache_miss(CacheType::UserBatches);
        metrics.cache_bypass(CacheType::UserBatches, "store_away");
        metrics.cache_fill_refused(CacheType::UserBatches);
        metrics.cache_invalidated(3);
        metrics.set_unconfirmed_invalidations(4);
        metrics.hit_audited(CacheType::UserBatches);
        metrics.stale_hit(CacheType::UserBatches, Duration::from_secs(30));
        metrics.set_dead_letters(5, 6);
        metrics.outbox_published("t", Duration::ZERO);
        metrics.set_outbox_depth(7, Duration::from_secs(8));
        metrics.set_consumer_lag("t", 0, Some(9));
        metrics.set_consumer_lag("t", 1, Some(1));
        metrics.request("/a", "GET", 503, Duration::ZERO);
        metrics.request("/a", "GET", 200, Duration::ZERO);
        metrics.event_lag(Duration::from_millis(300));
        for format in [Exposition::OpenMetrics, Exposition::Text] {
            let reading = Reading::of(&metrics.encode(format).unwrap());
            assert_eq!(reading.reads(), 4.0);
            let lags = reading.event_lag_parts();
            let lags: Vec<_> = lags.into_iter().filter(|(_, events)| *events > 0.0).collect();
            assert_eq!(lags, [(0.5, 1.0)]);
            let numbers = Reading { event_lag: Vec::new(), ..reading };
            let expected = Reading {
                applied: 1.0,
                duplicate: 1.0,
                refused: 1.0,
                hits: 2.0,
                misses: 1.0,
                bypasses: 1.0,
                refused_fills: 1.0,
                invalidations: 1.0,
                unconfirmed_invalidations: 4.0,
                audited_hits: 1.0,
                stale_hits: 1.0,
                consumer_lag: 10.0,
                partitions: 2.0,
                dead_letters: 5.0,
                dead_letter_bytes: 6.0,
                published: 1.0,
                outbox_unpublished: 7.0,
                outbox_oldest_age_seconds: 8.0,
                failed_answers: 1.0,
                event_lag: Vec::new(),
            };
            assert_eq!(numbers, expected);
        }
    }
}
