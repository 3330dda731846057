//! A broker in memory that refuses, is silent or forgets to answer, on demand.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aggregator::publish::{PublishError, Publisher};
use async_trait::async_trait;
use database::OutboxRecord;
use tokio::time::{Instant, sleep};

use crate::publish::world::DELIVERY_TIMEOUT;

/// What it does with a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// Acknowledges it after so long.
    Takes(Duration),
    /// Refuses it at once.
    Refuses,
    /// Has no such topic.
    HasNoTopic,
    /// Says nothing, until the producer gives up.
    IsSilent,
    /// Cannot take it now, and says so at once.
    IsFull,
    /// Takes it, and the acknowledgement is lost.
    TakesAndIsSilent,
    /// Makes the producer wait for ever.
    Hangs,
}

/// What it does unless told otherwise.
pub(crate) const TAKES: Mood = Mood::Takes(Duration::from_millis(3));

/// Clones are the same broker.
#[derive(Clone)]
pub(crate) struct FakeBroker {
    state: Arc<Mutex<State>>,
    choose: Arc<dyn Fn(&OutboxRecord) -> Mood + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// Every record that arrived, also again, in order.
    received: Vec<(String, i64)>,
    tried: Vec<(String, i64, Instant)>,
    moods: HashMap<String, Mood>,
    under_way: HashSet<String>,
    under_way_max: usize,
}

impl FakeBroker {
    /// One that takes everything.
    pub(crate) fn new() -> Self {
        Self::choosing(|_| TAKES)
    }

    /// One that does with each record what `choose` says.
    pub(crate) fn choosing(choose: impl Fn(&OutboxRecord) -> Mood + Send + Sync + 'static) -> Self {
        Self { state: Arc::default(), choose: Arc::new(choose) }
    }

    /// What it does with the records of a key from now on.
    pub(crate) fn set(&self, key: &str, mood: Mood) {
        self.lock().moods.insert(key.into(), mood);
    }

    /// The positions that arrived, also again, in order.
    pub(crate) fn received(&self) -> Vec<i64> {
        self.lock().received.iter().map(|(_, position)| *position).collect()
    }

    /// The positions of each key that arrived, without repetitions, in order.
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

    /// How many keys were under way at the same time, at most.
    pub(crate) fn keys_beside_each_other(&self) -> usize {
        self.lock().under_way_max
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "the clock of tokio, which the test pauses")]
    fn begin(&self, record: &OutboxRecord) -> Mood {
        let mut state = self.lock();
        state.tried.push((record.key.clone(), record.position.0, tokio::time::Instant::now()));
        assert!(state.under_way.insert(record.key.clone()), "two records of {}", record.key);
        state.under_way_max = state.under_way_max.max(state.under_way.len());
        state.moods.get(&record.key).copied().unwrap_or_else(|| (self.choose)(record))
    }

    fn take(&self, record: &OutboxRecord) {
        self.lock().received.push((record.key.clone(), record.position.0));
    }
}

#[async_trait]
impl Publisher for FakeBroker {
    async fn publish(&self, record: &OutboxRecord) -> Result<(), PublishError> {
        let mood = self.begin(record);
        let _under_way = UnderWay { broker: self, key: &record.key };
        let unavailable = || PublishError::Unavailable { source: "planted".into() };
        match mood {
            Mood::Takes(after) => {
                sleep(after).await;
                self.take(record);
                Ok(())
            }
            Mood::Refuses => Err(PublishError::Refused { source: "planted".into() }),
            Mood::HasNoTopic => Err(PublishError::NoTopic { source: "planted".into() }),
            Mood::IsSilent => {
                sleep(DELIVERY_TIMEOUT).await;
                Err(unavailable())
            }
            Mood::IsFull => Err(unavailable()),
            Mood::TakesAndIsSilent => {
                self.take(record);
                sleep(DELIVERY_TIMEOUT).await;
                Err(unavailable())
            }
            Mood::Hangs => std::future::pending().await,
        }
    }
}

/// Ends with the attempt, however that ends.
struct UnderWay<'a> {
    broker: &'a FakeBroker,
    key: &'a str,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.broker.lock().under_way.remove(self.key);
    }
}
