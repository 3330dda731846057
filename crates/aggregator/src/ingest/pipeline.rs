//! Pipeline of every record: decode, apply, store refused records as dead letters.

use std::error::Error;
use std::sync::Arc;

use database::backoff::Backoff;
use database::outage;
use database::{DbError, DeadLetter, DeadLetterId, DeadLetterRepository};
use projection::{EventId, EventKind, Refusal, decode};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::dead_letter_limit::DeadLetterLimit;
use super::record::Record;
use super::record_spans::RecordSpans;
use super::type_mismatches::TypeMismatches;
use crate::apply::{ApplyOutcome, Delivery, EventProcessor, GROUP_EVENTS_MAX, ProcessError};
use crate::clock::Clock;
use crate::metrics::{Metrics, NO_TOPIC};

/// Outcome of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOutcome {
    /// The event in it; none if it could not be decoded.
    pub event_id: Option<EventId>,
    /// The outcome of that event, or the refusal of the record.
    pub outcome: ApplyOutcome,
}

/// Decodes and applies records, and stores those that are refused. Clones share everything.
#[derive(Clone)]
pub struct IngestPipeline {
    processor: EventProcessor,
    dead_letters: Arc<dyn DeadLetterRepository>,
    limit: DeadLetterLimit,
    type_mismatches: TypeMismatches,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl IngestPipeline {
    /// A pipeline without a limit of dead letters.
    pub fn new(
        processor: EventProcessor,
        dead_letters: Arc<dyn DeadLetterRepository>,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let type_mismatches = TypeMismatches::new(metrics.clone());
        let limit = DeadLetterLimit {
            dead_letters: Arc::clone(&dead_letters),
            bytes_max: u64::MAX,
            metrics: metrics.clone(),
        };
        Self { processor, dead_letters, limit, type_mismatches, metrics, clock }
    }

    /// Limits the bytes of all dead letters: the setting `retention.dead_letters_megabytes`.
    #[must_use]
    pub fn with_dead_letter_bytes_max(mut self, dead_letter_bytes_max: u64) -> Self {
        self.limit.bytes_max = dead_letter_bytes_max;
        self
    }

    /// Applies or refuses every record, in order, in groups, retrying for as long as it takes.
    ///
    /// `Ok` means: each record is applied and visible to every read that starts now, or is stored as a
    /// dead letter. So it may be acknowledged.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Stopped`] once `stop` fires during an outage.
    pub async fn ingest(
        &self,
        records: Vec<Record>,
        stop: &CancellationToken,
    ) -> Result<Vec<RecordOutcome>, ProcessError> {
        let mut outcomes = Vec::with_capacity(records.len());
        for group in records.chunks(GROUP_EVENTS_MAX) {
            outcomes.extend(self.ingest_group(group, stop).await?);
        }
        Ok(outcomes)
    }

    /// Replays a dead letter through the same steps. `None`: there is no such dead letter.
    ///
    /// `Ok` means: it is applied and visible, and then removed; or it was refused again, and stays
    /// with that refusal. To end anywhere in between, and to repeat, is safe: the inbox has the
    /// event, and the dead letter stays until it is done.
    ///
    /// # Errors
    ///
    /// As [`ingest`](Self::ingest).
    pub async fn replay(
        &self,
        id: DeadLetterId,
        stop: &CancellationToken,
    ) -> Result<Option<RecordOutcome>, ProcessError> {
        let dead_letter = self.with_retry(stop, || self.dead_letters.dead_letter(id)).await?;
        let Some(dead_letter) = dead_letter else { return Ok(None) };
        let outcomes = self.apply_group(&[Record::from(dead_letter)], stop).await?;
        let replayed = outcomes.into_iter().next().ok_or(ProcessError::Incomplete)?;
        self.metrics.dead_letter_replayed(replayed.outcome.name());
        let existed = self.with_retry(stop, || self.finish_replay(id, &replayed.outcome)).await?;
        // A concurrent replay has applied and removed it.
        let is_gone = !existed && matches!(replayed.outcome, ApplyOutcome::Refused(_));
        Ok((!is_gone).then_some(replayed))
    }

    async fn ingest_group(
        &self,
        records: &[Record],
        stop: &CancellationToken,
    ) -> Result<Vec<RecordOutcome>, ProcessError> {
        let outcomes = self.apply_group(records, stop).await?;
        let dead_letters: Vec<_> = records
            .iter()
            .zip(&outcomes)
            .filter_map(|(record, RecordOutcome { outcome, .. })| match outcome {
                ApplyOutcome::Refused(refusal) => Some(self.dead_letter(record, refusal)),
                ApplyOutcome::Applied | ApplyOutcome::Duplicate => None,
            })
            .collect();
        self.store_dead_letters(&dead_letters, stop).await?;
        Ok(outcomes)
    }

    /// Decodes records and applies their events. Refused records are not stored yet.
    async fn apply_group(
        &self,
        records: &[Record],
        stop: &CancellationToken,
    ) -> Result<Vec<RecordOutcome>, ProcessError> {
        let mut decoded: Vec<Result<Delivery, Refusal>> =
            records.iter().map(decode_record).collect();
        let spans = RecordSpans::begin(records, &mut decoded);
        let deliveries: Vec<Delivery> = decoded.iter().flatten().cloned().collect();
        deliveries.iter().for_each(|delivery| self.type_mismatches.note(&delivery.event));
        let applying = self.processor.process(&deliveries, stop).instrument(spans.of_work());
        let mut applied = match applying.await {
            Ok(applied) => applied.into_iter(),
            Err(error) => {
                spans.stop();
                return Err(error);
            }
        };
        let mut outcome = |decoded| match decoded {
            Ok(Delivery { event, .. }) => {
                let outcome = applied.next().ok_or(ProcessError::Incomplete)?;
                self.processor.count(&event, &outcome);
                Ok(RecordOutcome { event_id: Some(event.id), outcome })
            }
            Err(refusal) => {
                Ok(RecordOutcome { event_id: None, outcome: ApplyOutcome::Refused(refusal) })
            }
        };
        let outcomes = decoded.into_iter().map(&mut outcome).collect::<Result<Vec<_>, _>>()?;
        spans.end(outcomes.iter().map(|record| &record.outcome));
        Ok(outcomes)
    }

    /// Removes a replayed dead letter, or updates its refusal; whether it still existed.
    async fn finish_replay(
        &self,
        id: DeadLetterId,
        outcome: &ApplyOutcome,
    ) -> Result<bool, DbError> {
        match outcome {
            ApplyOutcome::Applied | ApplyOutcome::Duplicate => {
                self.dead_letters.delete_dead_letter(id, None).await
            }
            ApplyOutcome::Refused(refusal) => {
                let now = self.clock.now();
                self.dead_letters.dead_letter_refused_again(id, refusal, now).await
            }
        }
    }

    /// Stores refused records, retrying until the database has them.
    async fn store_dead_letters(
        &self,
        dead_letters: &[DeadLetter],
        stop: &CancellationToken,
    ) -> Result<(), ProcessError> {
        if dead_letters.is_empty() {
            return Ok(());
        }
        // The records of one group have the same origin.
        if dead_letters.iter().all(|dead_letter| dead_letter.topic.is_some()) {
            self.with_retry(stop, || self.limit.make_room(dead_letters)).await?;
        } else if !self.with_retry(stop, || self.limit.has_room(dead_letters)).await? {
            return Err(ProcessError::NoRoom);
        }
        self.with_retry(stop, || self.dead_letters.insert_dead_letters(dead_letters)).await?;
        for dead_letter in dead_letters {
            let kind = dead_letter.topic.as_deref().and_then(EventKind::from_topic);
            self.metrics.dead_letter(kind.map_or(NO_TOPIC, EventKind::topic), dead_letter.code);
        }
        Ok(())
    }

    /// Retries a call of the database until it succeeds. The records behind it wait meanwhile, which is
    /// reported as for events that are not applied.
    async fn with_retry<T, F>(
        &self,
        stop: &CancellationToken,
        mut call: impl FnMut() -> F,
    ) -> Result<T, ProcessError>
    where
        F: Future<Output = Result<T, DbError>>,
    {
        let progress = self.processor.begin_progress();
        let mut backoff = Backoff::new();
        loop {
            let error = match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            log_not_stored(&error, progress.failed(&error));
            tokio::select! {
                () = stop.cancelled() => return Err(ProcessError::Stopped),
                () = sleep(backoff.next_wait()) => {}
            }
        }
    }

    fn dead_letter(&self, record: &Record, refusal: &Refusal) -> DeadLetter {
        let topic = record.topic_kind().map_or(NO_TOPIC, EventKind::topic);
        self.metrics.invalid_message(topic, refusal.code);
        let fingerprint = record.fingerprint();
        // The detail quotes the record, which may hold names: it is in the dead letter.
        tracing::info!(code = %refusal.code, record = fingerprint, "record refused");
        let kafka = record.kafka_address();
        DeadLetter {
            fingerprint,
            source: if kafka.is_some() { "kafka" } else { "http" }.to_owned(),
            topic: kafka.map(|address| address.topic.clone()),
            partition: kafka.map(|address| address.partition),
            offset: kafka.map(|address| address.offset),
            key: kafka.and_then(|address| address.key.clone()),
            headers: kafka.map(|address| address.headers.clone()).unwrap_or_default(),
            bytes: record.bytes.clone(),
            received_at: record.received_at,
            code: refusal.code,
            detail: refusal.detail.clone(),
            at: self.clock.now(),
        }
    }
}

/// One line when dead letters cannot be stored, unless the log has the outage already.
fn log_not_stored(error: &DbError, is_first: bool) {
    let cause = error as &dyn Error;
    if is_first && !outage::is_reported(error) {
        tracing::warn!(error = cause, "dead letters not stored, retrying");
    } else {
        tracing::debug!(error = cause, "dead letters still not stored, retrying");
    }
}

fn decode_record(record: &Record) -> Result<Delivery, Refusal> {
    let event = decode(&record.bytes, record.topic_kind(), record.received_at)?;
    Ok(Delivery { event, offset: record.offset() })
}
