//! Component health, as reported by `/readyz`.
//!
//! A part of the service that finds something wrong reports a [`Finding`] and clears it once it is
//! over. Nothing here decides what a finding means, but for one flag: whether it makes the process
//! not ready.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use projection::Timestamp;
use serde::Serialize;

/// State of the Kafka consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerState {
    /// The broker has not given it its partitions yet, or not again.
    Starting,
    /// It reads, or waits for something to read.
    Running,
    /// It holds an event that cannot be applied now and tries again.
    Waiting,
    /// The brokers do not answer.
    Unavailable,
    /// It has left its group.
    Stopped,
}

/// State of the outbox relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PublisherState {
    /// The brokers were not asked yet.
    Starting,
    /// The brokers answer.
    Running,
    /// The brokers do not answer.
    Unavailable,
}

/// State of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheState {
    /// No connection has been made since the start.
    NeverReached,
    /// It is used.
    Connected,
    /// It was reached, and is not now; reads go past it.
    Unavailable,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// PostgreSQL or SQLite.
    Database,
    /// Redis, or the cache inside the process.
    Cache,
    /// The Kafka consumer, and the events that it applies.
    Consumer,
    /// The outbox relay and its Kafka producer.
    Publisher,
    /// The clock of this machine.
    Clock,
}

/// Something that is wrong with a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    component: Component,
    code: &'static str,
    detail: Cow<'static, str>,
    since: Timestamp,
    blocks_readiness: bool,
}

impl Finding {
    /// A finding that an operator should see and that leaves the process ready. `code` is snake_case
    /// and stable; `detail` says what is wrong and what to do, without secrets or ids of persons.
    pub fn new(
        component: Component,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
        since: Timestamp,
    ) -> Self {
        Self { component, code, detail: detail.into(), since, blocks_readiness: false }
    }

    /// The same, and `/readyz` answers 503 until it is cleared.
    #[must_use]
    pub fn blocking(self) -> Self {
        Self { blocks_readiness: true, ..self }
    }
}

/// The findings of all components. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Health {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    consumer: Option<ConsumerState>,
    /// Whether its partitions were taken from it and none were given to it since.
    consumer_is_revoked: bool,
    publishes: bool,
    /// Whether the brokers answered the last question; none if they were not asked yet.
    brokers_answer: Option<bool>,
    cache_was_reached: bool,
    /// Whether the database did not answer the last probe.
    database_is_silent: bool,
    findings: BTreeMap<(Component, &'static str), Finding>,
}

impl Health {
    /// Sets the state of the consumer.
    pub fn set_consumer(&self, state: ConsumerState) {
        self.lock().consumer = Some(state);
    }

    /// The consumer has its partitions, perhaps none of them, and reads. A state that says more stays.
    pub fn consumer_assigned(&self) {
        let mut shared = self.lock();
        shared.consumer_is_revoked = false;
        if shared.consumer == Some(ConsumerState::Starting) {
            shared.consumer = Some(ConsumerState::Running);
        }
    }

    /// The consumer has no partitions until it is given some again. A state that says more stays.
    pub fn consumer_revoked(&self) {
        self.lock().consumer_is_revoked = true;
    }

    /// State of the consumer; none if this process has no consumer.
    pub fn consumer(&self) -> Option<ConsumerState> {
        let shared = self.lock();
        match (shared.consumer?, shared.brokers_answer) {
            (ConsumerState::Starting | ConsumerState::Running, Some(false)) => {
                Some(ConsumerState::Unavailable)
            }
            (ConsumerState::Running, _) if shared.consumer_is_revoked => {
                Some(ConsumerState::Starting)
            }
            (state, _) => Some(state),
        }
    }

    /// This process sends what is in the outbox.
    pub fn set_publishes(&self) {
        self.lock().publishes = true;
    }

    /// State of the outbox relay; none if this process has none.
    pub fn publisher(&self) -> Option<PublisherState> {
        let shared = self.lock();
        shared.publishes.then_some(match shared.brokers_answer {
            None => PublisherState::Starting,
            Some(true) => PublisherState::Running,
            Some(false) => PublisherState::Unavailable,
        })
    }

    /// Whether the Kafka brokers answered.
    pub fn set_brokers_answer(&self, answer: bool) {
        self.lock().brokers_answer = Some(answer);
    }

    /// Whether the database answered a probe. True if that is news: the moment to log it.
    pub fn set_database_answers(&self, answers: bool) -> bool {
        std::mem::replace(&mut self.lock().database_is_silent, !answers) == answers
    }

    /// State of the cache, by whether it is connected now.
    pub fn cache(&self, is_connected: bool) -> CacheState {
        let mut shared = self.lock();
        shared.cache_was_reached |= is_connected;
        match (is_connected, shared.cache_was_reached) {
            (true, _) => CacheState::Connected,
            (false, true) => CacheState::Unavailable,
            (false, false) => CacheState::NeverReached,
        }
    }

    /// Reports a finding. One of the same component and code is replaced, but for its `since`.
    /// True if there was none: the moment to log it.
    pub fn report(&self, mut finding: Finding) -> bool {
        let mut shared = self.lock();
        let key = (finding.component, finding.code);
        let earlier = shared.findings.get(&key).map(|known| known.since);
        finding.since = earlier.unwrap_or(finding.since);
        shared.findings.insert(key, finding);
        earlier.is_none()
    }

    /// Clears a finding. True if there was one: the moment to log that it is over.
    pub fn clear(&self, component: Component, code: &'static str) -> bool {
        self.lock().findings.remove(&(component, code)).is_some()
    }

    /// All findings, by component and code.
    pub fn findings(&self) -> Vec<Finding> {
        self.lock().findings.values().cloned().collect()
    }

    /// Whether any finding makes the process not ready.
    pub fn is_blocked(&self) -> bool {
        self.lock().findings.values().any(|finding| finding.blocks_readiness)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic while the lock was held leaves whole values.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_that_do_not_answer_make_consumer_and_publisher_unavailable() {
        let health = Health::default();
        health.set_brokers_answer(false);
        assert_eq!((health.consumer(), health.publisher()), (None, None), "neither is there");
        health.set_publishes();
        health.set_consumer(ConsumerState::Starting);
        assert_eq!(health.consumer(), Some(ConsumerState::Unavailable));
        assert_eq!(health.publisher(), Some(PublisherState::Unavailable));
        health.consumer_assigned();
        assert_eq!(health.consumer(), Some(ConsumerState::Unavailable));
        health.set_brokers_answer(true);
        assert_eq!(health.consumer(), Some(ConsumerState::Running));
        assert_eq!(health.publisher(), Some(PublisherState::Running));
    }

    #[test]
    fn answer_of_the_database_is_news_when_an_outage_begins_and_when_it_is_over() {
        let health = Health::default();
        let news =
            [true, false, false, true, true].map(|answers| health.set_database_answers(answers));
        assert_eq!(news, [false, true, false, true, false]);
    }

    #[test]
    fn consumer_whose_partitions_were_taken_is_starting_until_it_is_given_some() {
        let health = Health::default();
        health.set_consumer(ConsumerState::Starting);
        health.consumer_assigned();
        health.consumer_revoked();
        assert_eq!(health.consumer(), Some(ConsumerState::Starting));
        health.set_consumer(ConsumerState::Running);
        assert_eq!(health.consumer(), Some(ConsumerState::Starting), "records of before");
        health.set_consumer(ConsumerState::Waiting);
        assert_eq!(health.consumer(), Some(ConsumerState::Waiting));
        health.set_consumer(ConsumerState::Running);
        health.consumer_assigned();
        assert_eq!(health.consumer(), Some(ConsumerState::Running));
    }

    #[test]
    fn cache_is_never_reached_until_it_is_connected_once() {
        let health = Health::default();
        assert_eq!(health.cache(false), CacheState::NeverReached);
        assert_eq!(health.cache(true), CacheState::Connected);
        assert_eq!(health.cache(false), CacheState::Unavailable);
    }

    #[test]
    fn repeated_report_keeps_since_and_is_no_news() {
        let health = Health::default();
        let at = |text| Timestamp::parse(text).unwrap();
        let finding = |detail: &'static str, since| {
            Finding::new(Component::Cache, "no_rights", detail, at(since)).blocking()
        };
        assert!(health.report(finding("first", "2026-11-22T10:00:00Z")));
        assert!(!health.report(finding("second", "2026-11-22T11:00:00Z")));
        assert_eq!(health.findings(), [finding("second", "2026-11-22T10:00:00Z")]);
        assert!(health.is_blocked());

        assert!(health.clear(Component::Cache, "no_rights"));
        assert!(!health.clear(Component::Cache, "no_rights"));
        assert!(!health.is_blocked());
    }
}
