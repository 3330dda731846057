//! Broker in memory that refuses records or does not acknowledge them, on demand.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aggregator::publish::{PublishError, Publisher};
use async_trait::async_trait;
use database::OutboxRecord;
use tokio::time::{Instant, sleep};

use crate::publish::world::DELIVERY_TIMEOUT;

/// Reaction to a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reaction {
    /// Acknowledges it after this time.
    Accepts(Duration),
    /// Refuses it at once.
    Refuses,
    /// Has no such topic.
    HasNoTopic,
    /// Does not answer before the delivery timeout.
    TimesOut,
    /// Is unavailable, and fails at once.
    FailsAtOnce,
    /// Stores it, and the acknowledgement is lost.
    LosesAcknowledgement,
    /// Never returns.
    Hangs,
}

/// Reaction unless another is set.
pub(crate) const ACCEPTS: Reaction = Reaction::Accepts(Duration::from_millis(3));

/// Clones are the same broker.
#[derive(Clone)]
pub(crate) struct FakeBroker {
    state: Arc<Mutex<State>>,
    choose: Arc<dyn Fn(&OutboxRecord) -> Reaction + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// Every record that was stored, with repetitions, in order.
    received: Vec<(String, i64)>,
    tried: Vec<(String, i64, Instant)>,
    reactions: HashMap<String, Reaction>,
    in_flight: HashSet<String>,
    in_flight_max: usize,
}

impl FakeBroker {
    /// One that accepts everything.
    pub(crate) fn new() -> Self {
        Self::choosing(|_| ACCEPTS)
    }

    /// One that chooses its reaction to each record.
    pub(crate) fn choosing(
        choose: impl Fn(&OutboxRecord) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        Self { state: Arc::default(), choose: Arc::new(choose) }
    }

    /// Sets the reaction to the records of a key.
    pub(crate) fn set(&self, key: &str, reaction: Reaction) {
        self.lock().reactions.insert(key.into(), reaction);
    }

    /// The positions that were stored, with repetitions, in order.
    pub(crate) fn received(&self) -> Vec<i64> {
        self.lock().received.iter().map(|(_, position)| *position).collect()
    }

    /// The positions of each key that were stored, without repetitions, in order.
    pub(crate) fn first_received(&self) -> HashMap<String, Vec<i64>> {
        let (mut seen, mut keys) = (HashSet::new(), HashMap::<String, Vec<i64>>::new());
        for (key, position) in &self.lock().received {
            if seen.insert(*position) {
                keys.entry(key.clone()).or_default().push(*position);
            }
        }
        keys
    }

    /// When the records of a key were tried.
    pub(crate) fn tried_at(&self, key: &str) -> Vec<Instant> {
        let state = self.lock();
        let tried = state.tried.iter().filter(|(tried, ..)| tried == key);
        tried.map(|(_, _, at)| *at).collect()
    }

    /// How many keys were in flight at the same time, at most.
    pub(crate) fn concurrent_keys_max(&self) -> usize {
        self.lock().in_flight_max
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "the clock of tokio, which the test pauses")]
    fn begin(&self, record: &OutboxRecord) -> Reaction {
        let mut state = self.lock();
        state.tried.push((record.key.clone(), record.position.0, tokio::time::Instant::now()));
        assert!(state.in_flight.insert(record.key.clone()), "two records of {}", record.key);
        state.in_flight_max = state.in_flight_max.max(state.in_flight.len());
        state.reactions.get(&record.key).copied().unwrap_or_else(|| (self.choose)(record))
    }

    fn store(&self, record: &OutboxRecord) {
        self.lock().received.push((record.key.clone(), record.position.0));
    }
}

#[async_trait]
impl Publisher for FakeBroker {
    async fn publish(&self, record: &OutboxRecord) -> Result<(), PublishError> {
        let reaction = self.begin(record);
        let _in_flight = InFlight { broker: self, key: &record.key };
        let unavailable = || PublishError::Unavailable { source: "planted".into() };
        match reaction {
            Reaction::Accepts(after) => {
                sleep(after).await;
                self.store(record);
                Ok(())
            }
            Reaction::Refuses => Err(PublishError::Refused { source: "planted".into() }),
            Reaction::HasNoTopic => Err(PublishError::NoTopic { source: "planted".into() }),
            Reaction::TimesOut => {
                sleep(DELIVERY_TIMEOUT).await;
                Err(unavailable())
            }
            Reaction::FailsAtOnce => Err(unavailable()),
            Reaction::LosesAcknowledgement => {
                self.store(record);
                sleep(DELIVERY_TIMEOUT).await;
                Err(unavailable())
            }
            Reaction::Hangs => std::future::pending().await,
        }
    }
}

/// Ends with the attempt, however that ends.
struct InFlight<'a> {
    broker: &'a FakeBroker,
    key: &'a str,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.broker.lock().in_flight.remove(self.key);
    }
}
