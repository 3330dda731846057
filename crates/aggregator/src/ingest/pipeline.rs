//! The way every record takes: decode, apply, keep what is refused.

use std::sync::Arc;

use database::backoff::Backoff;
use database::outage;
use database::{
    DbError, DeadLetter, DeadLetterId, DeadLetterRepository, KafkaOffset, StoredDeadLetter,
};
use projection::{EventId, EventKind, Refusal, Timestamp, decode};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::dead_letter_limit::DeadLetterLimit;
use super::type_mismatches::TypeMismatches;
use crate::apply::{ApplyOutcome, Delivery, EventProcessor, GROUP_EVENTS_MAX, ProcessError};
use crate::clock::Clock;
use crate::metrics::{Metrics, NO_TOPIC};

/// Names the fingerprints of records without an address of their own.
const FINGERPRINTS: Uuid = Uuid::from_u128(0x6a1f_2f0e_3a55_4b0e_9d3c_7a52_11c0_f5a7);

/// A record as it came in.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where it came from.
    pub origin: Origin,
    /// When it came, or when the broker took it: stands in for a time the sender left out.
    pub received_at: Timestamp,
}

/// The record of a dead letter, as it came in at first.
impl From<StoredDeadLetter> for Record {
    fn from(dead_letter: StoredDeadLetter) -> Self {
        let StoredDeadLetter { summary, key, headers, bytes } = dead_letter;
        let origin = match (summary.topic, summary.partition, summary.offset) {
            (Some(topic), Some(partition), Some(offset)) => {
                Origin::Kafka(KafkaAddress { topic, partition, offset, key, headers })
            }
            _ => Origin::Http,
        };
        Self { bytes, origin, received_at: summary.received_at }
    }
}

/// Where a record came from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A client sent it.
    Http,
    /// A Kafka record.
    Kafka(KafkaAddress),
}

/// A Kafka record's place, and what came with it.
#[derive(Clone, Debug)]
pub struct KafkaAddress {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key, as received.
    pub key: Option<Vec<u8>>,
    /// Headers, as received.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOutcome {
    /// The event in it; none if it could not be decoded.
    pub event_id: Option<EventId>,
    /// What became of it.
    pub outcome: ApplyOutcome,
}

/// Takes records to their end. Clones share everything.
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
    /// Takes what it needs; does nothing yet.
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

    /// Lets dead letters take so many bytes: the setting `retention.dead_letters_megabytes`.
    #[must_use]
    pub fn with_dead_letter_bytes_max(mut self, dead_letter_bytes_max: u64) -> Self {
        self.limit.bytes_max = dead_letter_bytes_max;
        self
    }

    /// Brings every record to its end, in order, in groups, trying again for as long as it takes.
    ///
    /// `Ok` means: each is applied and visible to every read that starts now, or is kept as a dead
    /// dead letter. So it may be acknowledged.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Stopped`] once `stop` fires while something is away.
    pub async fn ingest(
        &self,
        records: Vec<Record>,
        stop: &CancellationToken,
    ) -> Result<Vec<RecordOutcome>, ProcessError> {
        let mut taken = Vec::with_capacity(records.len());
        for group in records.chunks(GROUP_EVENTS_MAX) {
            taken.extend(self.take_group(group, stop).await?);
        }
        Ok(taken)
    }

    /// Takes a dead letter again, the way that every record goes. `None`: it is gone.
    ///
    /// `Ok` means: it is applied and visible, and then removed; or it was refused again, and stays
    /// with that refusal. To end anywhere in between, and to repeat, is safe: the inbox knows the
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
        let taken = self.apply_group(&[Record::from(dead_letter)], stop).await?.into_iter().next();
        let taken = taken.ok_or(ProcessError::Incomplete)?;
        self.metrics.dead_letter_replayed(taken.outcome.name());
        let was_there = self.with_retry(stop, || self.settle(id, &taken.outcome)).await?;
        // Somebody else took it at the same time, to the end.
        let is_gone = !was_there && matches!(taken.outcome, ApplyOutcome::Refused(_));
        Ok((!is_gone).then_some(taken))
    }

    async fn take_group(
        &self,
        records: &[Record],
        stop: &CancellationToken,
    ) -> Result<Vec<RecordOutcome>, ProcessError> {
        let taken = self.apply_group(records, stop).await?;
        let dead_letter = |(record, taken): (_, &RecordOutcome)| match &taken.outcome {
            ApplyOutcome::Refused(refusal) => Some(self.dead_letter(record, refusal)),
            ApplyOutcome::Applied | ApplyOutcome::Duplicate => None,
        };
        let dead_letters: Vec<_> = records.iter().zip(&taken).filter_map(dead_letter).collect();
        self.keep(&dead_letters, stop).await?;
        Ok(taken)
    }

    /// Decodes records and applies what they say. What is refused is not kept yet.
    async fn apply_group(
        &self,
        records: &[Record],
        stop: &CancellationToken,
    ) -> Result<Vec<RecordOutcome>, ProcessError> {
        let decoded: Vec<Result<Delivery, Refusal>> = records.iter().map(decode_record).collect();
        let deliveries: Vec<Delivery> = decoded.iter().flatten().cloned().collect();
        deliveries.iter().for_each(|delivery| self.type_mismatches.note(&delivery.event));
        let mut outcomes = self.processor.process(&deliveries, stop).await?.into_iter();
        let mut taken = |decoded| match decoded {
            Ok(Delivery { event, .. }) => {
                let outcome = outcomes.next().ok_or(ProcessError::Incomplete)?;
                self.processor.count(&event, &outcome);
                Ok(RecordOutcome { event_id: Some(event.id), outcome })
            }
            Err(refusal) => {
                Ok(RecordOutcome { event_id: None, outcome: ApplyOutcome::Refused(refusal) })
            }
        };
        decoded.into_iter().map(&mut taken).collect()
    }

    /// Writes down what became of a dead letter that was taken again; whether it was still there.
    async fn settle(&self, id: DeadLetterId, outcome: &ApplyOutcome) -> Result<bool, DbError> {
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

    /// Keeps refused records, trying again until the database has them.
    async fn keep(
        &self,
        dead_letters: &[DeadLetter],
        stop: &CancellationToken,
    ) -> Result<(), ProcessError> {
        if dead_letters.is_empty() {
            return Ok(());
        }
        // Those of one group came the same way.
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

    /// Asks the database until it answers. What comes behind waits meanwhile, and operators see that as
    /// they see events that are not applied.
    async fn with_retry<T, F>(
        &self,
        stop: &CancellationToken,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, ProcessError>
    where
        F: Future<Output = Result<T, DbError>>,
    {
        let progress = self.processor.begin_progress();
        let mut backoff = Backoff::new();
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            log_not_kept(&error, progress.failed(&error));
            tokio::select! {
                () = stop.cancelled() => return Err(ProcessError::Stopped),
                () = sleep(backoff.next_wait()) => {}
            }
        }
    }

    fn dead_letter(&self, record: &Record, refusal: &Refusal) -> DeadLetter {
        let topic = topic_of(record);
        self.metrics.invalid_message(topic.map_or(NO_TOPIC, EventKind::topic), refusal.code);
        // The detail quotes the record, which may hold names: it is in the dead letter.
        tracing::info!(code = %refusal.code, record = fingerprint(record), "record refused");
        let kafka = match &record.origin {
            Origin::Kafka(address) => Some(address),
            Origin::Http => None,
        };
        DeadLetter {
            fingerprint: fingerprint(record),
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

/// One line when dead letters cannot be kept, unless the log has the outage already.
fn log_not_kept(error: &DbError, is_first: bool) {
    let cause = error as &dyn std::error::Error;
    if is_first && !outage::is_reported(error) {
        tracing::warn!(error = cause, "dead letters not kept, retrying");
    } else {
        tracing::debug!(error = cause, "dead letters still not kept, retrying");
    }
}

fn decode_record(record: &Record) -> Result<Delivery, Refusal> {
    let event = decode(&record.bytes, topic_of(record), record.received_at)?;
    Ok(Delivery { event, offset: offset_of(record) })
}

/// The offset of a record in the topic of its kind.
fn offset_of(record: &Record) -> Option<KafkaOffset> {
    match &record.origin {
        Origin::Kafka(KafkaAddress { partition, offset, .. }) => {
            Some(KafkaOffset { partition: *partition, offset: *offset })
        }
        Origin::Http => None,
    }
}

/// The kind that the record's topic promises.
fn topic_of(record: &Record) -> Option<EventKind> {
    match &record.origin {
        Origin::Kafka(address) => EventKind::from_topic(&address.topic),
        Origin::Http => None,
    }
}

/// The same for the same record however often it comes: its address and its bytes. An address alone
/// comes again when a topic is made anew.
fn fingerprint(record: &Record) -> String {
    let bytes = Uuid::new_v5(&FINGERPRINTS, &record.bytes);
    match &record.origin {
        Origin::Kafka(KafkaAddress { topic, partition, offset, .. }) => {
            format!("kafka:{topic}:{partition}:{offset}:{bytes}")
        }
        Origin::Http => format!("http:{bytes}"),
    }
}
