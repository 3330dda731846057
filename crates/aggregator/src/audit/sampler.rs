//! Takes hits at a bounded rate and queues them for the auditor. No read waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use database::PageQuery;
use freshset::Source;
use projection::BatchId;
use tokio::sync::mpsc;

use super::AuditOptions;
use crate::answers::AnswerQuery;
use crate::cache::{AnswerName, CachedAnswer, Digest};
use crate::clock::Clock;
use crate::metrics::{AuditDrop, Metrics};

/// Sampled hits that wait for the auditor. Some seconds of them at the default rate: a database that is
/// slower than that must not be read more.
const QUEUE_MAX: usize = 16;

/// A hit that was given to a client.
#[derive(Clone, Debug)]
pub(super) struct SampledHit {
    pub(super) name: AnswerName,
    pub(super) query: AnswerQuery,
    pub(super) digest: Digest,
}

/// Takes hits for the auditor. Clones share the rate.
#[derive(Clone, Debug)]
pub struct HitSampler {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    queue: mpsc::Sender<SampledHit>,
    pages: Rate,
    states: Rate,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// Sampled hits, in the order of their reads.
pub struct SampledHits(pub(super) mpsc::Receiver<SampledHit>);

/// A sampler, and what it samples; none with a rate of 0.
pub fn sampler(
    options: AuditOptions,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> (HitSampler, Option<SampledHits>) {
    let Some(interval) = Duration::from_secs(1).checked_div(options.hits_per_second) else {
        return (HitSampler::off(), None);
    };
    let (queue, sampled) = mpsc::channel(QUEUE_MAX);
    let shared = Shared {
        queue,
        pages: Rate::one_in(interval),
        states: Rate::one_in(interval),
        clock: Arc::clone(clock),
        metrics: metrics.clone(),
    };
    (HitSampler { shared: Some(Arc::new(shared)) }, Some(SampledHits(sampled)))
}

impl HitSampler {
    /// Samples nothing.
    pub fn off() -> Self {
        Self { shared: None }
    }

    /// Perhaps takes a page that was answered.
    pub fn page(&self, query: &PageQuery, answer: &CachedAnswer) {
        if let Some(shared) = &self.shared {
            shared.take(&shared.pages, answer, || AnswerQuery::Page(query.clone()));
        }
    }

    /// Perhaps takes a status that was answered.
    pub fn status(&self, id: &BatchId, answer: &CachedAnswer) {
        if let Some(shared) = &self.shared {
            shared.take(&shared.states, answer, || AnswerQuery::Status(id.clone()));
        }
    }
}

impl Shared {
    fn take(&self, rate: &Rate, answer: &CachedAnswer, query: impl FnOnce() -> AnswerQuery) {
        if answer.source != Source::Hit || !rate.is_due(self.clock.monotonic()) {
            return;
        }
        let hit = SampledHit { name: answer.name.clone(), query: query(), digest: answer.digest };
        if let Err(error) = self.queue.try_send(hit) {
            let cache_type = error.into_inner().query.cache_type();
            self.metrics.audit_dropped(cache_type, AuditDrop::QueueFull);
        }
    }
}

/// At most one in an interval.
#[derive(Debug)]
struct Rate {
    interval_micros: u64,
    due_micros: AtomicU64,
}

impl Rate {
    fn one_in(interval: Duration) -> Self {
        Self { interval_micros: micros(interval), due_micros: AtomicU64::new(0) }
    }

    /// Whether the next one is due; true for one of all that ask at the same time.
    fn is_due(&self, now: Duration) -> bool {
        let (now, due) = (micros(now), self.due_micros.load(Ordering::Relaxed));
        let next = now.saturating_add(self.interval_micros);
        now >= due
            && self
                .due_micros
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_takes_the_first_of_each_interval() {
        let rate = Rate::one_in(Duration::from_millis(500));
        let due = [0, 1, 499, 500, 501, 2_000, 2_499, 2_500];
        let due = due.map(|millis| rate.is_due(Duration::from_millis(millis)));
        assert_eq!(due, [true, false, false, true, false, true, false, true]);
    }
}
