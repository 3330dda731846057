//! Component health, as reported by `/readyz`.
//!
//! A module that detects a fault reports a [`Finding`] and clears it once the fault is over. Nothing here
//! decides what a finding means, except for one flag: whether it makes the process not ready.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use projection::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// State of the Kafka consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerState {
    /// No partitions are assigned yet, or not again since a rebalance.
    Starting,
    /// It reads, or waits for records.
    Running,
    /// It retries events that cannot be applied now.
    Waiting,
    /// The brokers do not answer.
    Unavailable,
    /// It has left its group.
    Stopped,
}

/// State of the outbox relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublisherState {
    /// The brokers were not probed yet.
    Starting,
    /// The brokers answer.
    Running,
    /// The brokers do not answer.
    Unavailable,
}

/// State of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheState {
    /// The start waits for the database first.
    NotStarted,
    /// It was never connected since the start.
    NeverReached,
    /// It is connected.
    Connected,
    /// It was connected, and is not now; reads bypass it.
    Unavailable,
}

/// Component of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
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
    /// The HTTP server.
    Http,
}

/// Fault of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    component: Component,
    code: &'static str,
    detail: Cow<'static, str>,
    since: Timestamp,
    blocks_readiness: bool,
}

impl Finding {
    /// A finding that leaves the process ready. `code` is snake_case and stable; `detail` names the fault
    /// and its remedy for operators, without secrets or ids of persons.
    pub fn new(
        component: Component,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
        since: Timestamp,
    ) -> Self {
        Self { component, code, detail: detail.into(), since, blocks_readiness: false }
    }

    /// The name of its component.
    pub fn component_name(&self) -> &'static str {
        match self.component {
            Component::Database => "database",
            Component::Cache => "cache",
            Component::Consumer => "consumer",
            Component::Publisher => "publisher",
            Component::Clock => "clock",
            Component::Http => "http",
        }
    }

    /// Its stable name.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The fault and its remedy.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Since when it is known.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Whether it makes the process not ready.
    pub fn blocks_readiness(&self) -> bool {
        self.blocks_readiness
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
    /// Whether its partitions were revoked and none were assigned since.
    consumer_is_revoked: bool,
    publishes: bool,
    /// Whether the brokers answered the last probe; none before the first one.
    brokers_answer: Option<bool>,
    cache_was_reached: bool,
    /// Whether the database did not answer the last probe.
    database_is_silent: bool,
    findings: BTreeMap<(Component, &'static str), Finding>,
    is_stopping: bool,
}

impl Health {
    /// Notes that this process stops. It cannot be taken back.
    pub fn set_stopping(&self) {
        self.lock().is_stopping = true;
    }

    /// Whether this process stops, and no new request should be sent to it.
    pub fn is_stopping(&self) -> bool {
        self.lock().is_stopping
    }

    /// Sets the state of the consumer.
    pub fn set_consumer(&self, state: ConsumerState) {
        self.lock().consumer = Some(state);
    }

    /// Notes that partitions, perhaps none, are assigned to the consumer. A more specific state stays.
    pub fn consumer_assigned(&self) {
        let mut shared = self.lock();
        shared.consumer_is_revoked = false;
        if shared.consumer == Some(ConsumerState::Starting) {
            shared.consumer = Some(ConsumerState::Running);
        }
    }

    /// Notes that all partitions are revoked, until some are assigned. A more specific state stays.
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

    /// Notes that this process publishes the outbox.
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

    /// Notes whether the Kafka brokers answered a probe.
    pub fn set_brokers_answer(&self, answer: bool) {
        self.lock().brokers_answer = Some(answer);
    }

    /// Whether the Kafka brokers answered the last probe.
    pub fn brokers_answer(&self) -> bool {
        self.lock().brokers_answer == Some(true)
    }

    /// Notes whether the database answered a probe. True if that has changed: the moment to log it.
    pub fn set_database_answers(&self, answers: bool) -> bool {
        std::mem::replace(&mut self.lock().database_is_silent, !answers) == answers
    }

    /// Notes whether the cache is connected; the state of the cache.
    pub fn cache(&self, is_connected: bool) -> CacheState {
        let mut shared = self.lock();
        shared.cache_was_reached |= is_connected;
        match (is_connected, shared.cache_was_reached) {
            (true, _) => CacheState::Connected,
            (false, true) => CacheState::Unavailable,
            (false, false) => CacheState::NeverReached,
        }
    }

    /// Reports a finding. One of the same component and code is replaced, except for its `since`.
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
        assert_eq!((health.consumer(), health.publisher()), (None, None), "there is neither");
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
    fn database_answer_is_a_change_when_an_outage_begins_and_when_it_ends() {
        let health = Health::default();
        let changes =
            [true, false, false, true, true].map(|answers| health.set_database_answers(answers));
        assert_eq!(changes, [false, true, false, true, false]);
    }

    #[test]
    fn consumer_is_starting_from_revocation_until_assignment() {
        let health = Health::default();
        health.set_consumer(ConsumerState::Starting);
        health.consumer_assigned();
        health.consumer_revoked();
        assert_eq!(health.consumer(), Some(ConsumerState::Starting));
        health.set_consumer(ConsumerState::Running);
        assert_eq!(
            health.consumer(),
            Some(ConsumerState::Starting),
            "records from before the rebalance"
        );
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
    fn repeated_report_keeps_since_and_is_not_new() {
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
