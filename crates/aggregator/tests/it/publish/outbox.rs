//! Outbox in memory that counts claims and fails on demand. The real ones have tests of the same rules.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use database::{
    ClaimRequest, DbError, OutboxClaim, OutboxDepth, OutboxNotifier, OutboxPosition, OutboxRecord,
    OutboxRepository,
};
use projection::{BatchId, CorrelationId, EventId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use uuid::Uuid;

/// Topic of records, unless a test names one.
pub(crate) const TOPIC: &str = "topic";

/// Far more than any test needs. In a busy loop paused time stands still, so no timeout would end it.
const CLAIMS_MAX: usize = 200_000;

/// Clones stand for other processes on one outbox.
#[derive(Clone)]
pub(crate) struct FakeOutbox {
    state: Arc<Mutex<State>>,
    claim_permit: Arc<Semaphore>,
    written: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    records: Vec<OutboxRecord>,
    /// Number of claims, granted or not.
    claims: usize,
    fails_to_claim: bool,
    fails_to_mark: bool,
}

impl FakeOutbox {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            claim_permit: Arc::new(Semaphore::new(1)),
            written: watch::Sender::new(()),
        }
    }

    /// Writes a record for each key, and notifies.
    pub(crate) fn write(&self, keys: &[&str]) {
        self.write_without_notification(keys);
        self.written.send_replace(());
    }

    /// The same without a notification.
    pub(crate) fn write_without_notification(&self, keys: &[&str]) {
        self.write_to(TOPIC, keys);
    }

    /// The same for another topic, without a notification.
    pub(crate) fn write_to(&self, topic: &str, keys: &[&str]) {
        let mut state = self.lock();
        for key in keys {
            let number = state.records.len() + 1;
            state.records.push(record(number, topic, key));
        }
    }

    /// As if another process had published them.
    pub(crate) fn publish_all(&self) {
        for record in &mut self.lock().records {
            record.published_at = Some(Timestamp::MIN);
        }
    }

    pub(crate) fn fail_to_claim(&self, fails: bool) {
        self.lock().fails_to_claim = fails;
    }

    pub(crate) fn fail_to_mark(&self, fails: bool) {
        self.lock().fails_to_mark = fails;
    }

    /// Holds the claim, as another process would.
    pub(crate) fn hold(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.claim_permit).try_acquire_owned().unwrap()
    }

    /// Number of claims, granted or not.
    pub(crate) fn claims(&self) -> usize {
        self.lock().claims
    }

    /// The positions that are not published.
    pub(crate) fn unpublished(&self) -> Vec<i64> {
        let state = self.lock();
        let unpublished = state.records.iter().filter(|record| record.published_at.is_none());
        unpublished.map(|record| record.position.0).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn record(number: usize, topic: &str, key: &str) -> OutboxRecord {
    OutboxRecord {
        position: OutboxPosition(i64::try_from(number).unwrap()),
        event_id: EventId(Uuid::from_u128(number as u128)),
        topic: topic.into(),
        key: key.into(),
        batch_id: BatchId::parse("batch").unwrap(),
        correlation_id: CorrelationId(Uuid::nil()),
        value: b"{}".to_vec(),
        written_at: Timestamp::from_unix_micros(0),
        published_at: None,
    }
}

fn unavailable() -> DbError {
    DbError::Unavailable { source: "planted".into() }
}

#[async_trait]
impl OutboxRepository for FakeOutbox {
    async fn claim(
        &self,
        request: ClaimRequest<'_>,
    ) -> Result<Option<Box<dyn OutboxClaim>>, DbError> {
        let mut state = self.lock();
        state.claims += 1;
        assert!(state.claims < CLAIMS_MAX, "busy loop");
        if state.fails_to_claim {
            return Err(unavailable());
        }
        let Ok(permit) = Arc::clone(&self.claim_permit).try_acquire_owned() else {
            return Ok(None);
        };
        let wanted = state.records.iter().filter(|record| {
            record.published_at.is_none()
                && !request.skipped_keys.contains(&record.key)
                && !request.skipped_topics.contains(&record.topic)
        });
        let records = wanted.take(request.records_max as usize).cloned().collect();
        Ok(Some(Box::new(FakeClaim { outbox: self.clone(), records, _permit: permit })))
    }

    async fn outbox_after(&self, _: OutboxPosition, _: u32) -> Result<Vec<OutboxRecord>, DbError> {
        unreachable!("the relay claims")
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth, DbError> {
        unreachable!("the relay claims")
    }

    async fn remove_published(&self, _: Timestamp, _: u32) -> Result<u64, DbError> {
        unreachable!("the relay removes nothing")
    }

    async fn remove_written(&self, _: Timestamp, _: u32) -> Result<u64, DbError> {
        unreachable!("the relay removes nothing")
    }

    fn outbox_notifier(&self) -> OutboxNotifier {
        OutboxNotifier::new(self.written.subscribe(), None)
    }
}

struct FakeClaim {
    outbox: FakeOutbox,
    records: Vec<OutboxRecord>,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl OutboxClaim for FakeClaim {
    fn records(&self) -> &[OutboxRecord] {
        &self.records
    }

    async fn mark_published(
        self: Box<Self>,
        positions: &[OutboxPosition],
        at: Timestamp,
    ) -> Result<(), DbError> {
        let mut state = self.outbox.lock();
        if state.fails_to_mark {
            return Err(unavailable());
        }
        for record in &mut state.records {
            if positions.contains(&record.position) {
                record.published_at = Some(at);
            }
        }
        Ok(())
    }
}
