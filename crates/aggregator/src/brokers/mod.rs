//! Watch over the Kafka brokers: a probe every few seconds, and one log line for each outage.
//!
//! librdkafka reports each failed attempt, tens of times a second, and never the end of an outage. Here an
//! outage is logged when it begins and when it ends, and counted once; the rest is at debug. A connection that
//! is refused is a finding, too, with what to correct.

mod connection;
pub(crate) mod missing_topics;
mod quiet;
mod refusal;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use database::backoff::Backoff;
use projection::EventKind;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::sleep;

pub use self::connection::KafkaConnection;
use self::missing_topics::MissingTopics;
pub(crate) use self::quiet::empty_queue;
pub use self::quiet::{Quiet, Refused};
pub use self::refusal::Refusal;
use crate::clock::Clock;
use crate::health::{Component, Finding, Health};
use crate::metrics::Metrics;

/// How long brokers may take to answer before they count as unavailable.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// How often they are probed while they answer.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// First and longest wait between probes while they do not.
const PROBE_WAIT_MIN: Duration = Duration::from_millis(250);
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);
/// An error that comes again within this time is not logged again. Errors of an outage that is over may be
/// queued behind records for as long.
const REPEATED_WITHIN: Duration = Duration::from_secs(60);

/// Errors of the brokers, deduplicated for log and metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct BrokerErrors {
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    health: Health,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    outage: Option<Outage>,
    ended_at: Option<Duration>,
    /// By code: when it was logged.
    logged: BTreeMap<i32, Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    last_error: Duration,
    /// Whether no broker answers; else one of several may be down.
    is_total: bool,
    /// What was refused, as far as it is known.
    refusal: Option<Refusal>,
}

impl BrokerErrors {
    /// No outage yet.
    pub fn new(clock: Arc<dyn Clock>, metrics: Metrics, health: Health) -> Self {
        Self { clock, metrics, health, state: Arc::default() }
    }

    /// Notes an error that librdkafka reports.
    pub fn note(&self, error: &KafkaError) {
        self.note_with(error, "");
    }

    /// Notes an error with the text that librdkafka gives as its reason.
    pub fn note_with(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let now = self.clock.monotonic();
        if is_connection_failure(code) {
            if self.is_of_past_outage(now) {
                tracing::debug!(%error, "kafka connection failed");
                return;
            }
            let failure = Outage {
                last_error: now,
                is_total: code == RDKafkaErrorCode::AllBrokersDown,
                refusal: Refusal::of(error, reason),
            };
            return self.connection_failed(error, reason, failure);
        }
        let logged = self.lock().logged.insert(code as i32, now);
        if logged.is_some_and(|at| now.saturating_sub(at) < REPEATED_WITHIN) {
            tracing::debug!(%error, "kafka error again");
            return;
        }
        self.metrics.consumer_error();
        tracing::warn!(%error, "kafka error, librdkafka retries; repeats within a minute are at debug");
    }

    /// Notes a probe that no broker answered in time.
    fn unanswered(&self, error: &KafkaError) {
        let now = self.clock.monotonic();
        let failure = Outage { last_error: now, is_total: true, refusal: None };
        self.connection_failed(error, "", failure);
    }

    /// Whether the error may have been queued in librdkafka since an outage that the probe saw end.
    fn is_of_past_outage(&self, now: Duration) -> bool {
        let state = self.lock();
        state.outage.is_none()
            && state.ended_at.is_some_and(|at| now.saturating_sub(at) < REPEATED_WITHIN)
    }

    fn connection_failed(&self, error: &KafkaError, reason: &str, failure: Outage) {
        let mut state = self.lock();
        let before = state.outage.replace(failure);
        if let (Some(before), Some(outage)) = (before, &mut state.outage) {
            outage.is_total |= before.is_total;
            outage.refusal = outage.refusal.or(before.refusal);
        }
        let known = before.and_then(|before| before.refusal);
        let refusal = failure.refusal.filter(|refusal| known != Some(*refusal));
        if let Some(refusal) = refusal {
            self.report(refusal);
        }
        drop(state);
        if before.is_none() {
            self.metrics.consumer_error();
        }
        match refusal {
            Some(refusal) => tracing::warn!(reason, "{}, retrying", refusal.problem()),
            None if before.is_none() => {
                tracing::warn!(%error, reason, "kafka unavailable, retrying");
            }
            None => tracing::debug!(%error, reason, "kafka still unavailable, retrying"),
        }
    }

    /// Reports what only an operator can correct. The reason quotes addresses, so it is in the log alone. The
    /// caller holds the lock, or the end of the outage could come in between.
    fn report(&self, refusal: Refusal) {
        let detail = format!("{}: {}. The log has the reason", refusal.problem(), refusal.fix());
        let finding = Finding::new(Component::Consumer, refusal.code(), detail, self.clock.now());
        self.health.report(finding);
    }

    /// Notes a probe that was answered.
    fn answered(&self) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let Some(outage) = state.outage else { return };
        // While one broker is down, the others answer.
        if !outage.is_total && now.saturating_sub(outage.last_error) < REPEATED_WITHIN {
            return;
        }
        state.outage = None;
        state.ended_at = Some(now);
        for refusal in Refusal::ALL {
            self.health.clear(Component::Consumer, refusal.code());
        }
        drop(state);
        tracing::info!("kafka available again");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves whole values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_connection_failure(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, Authentication, BrokerNotAvailable, BrokerTransportFailure,
        NetworkException, OperationTimedOut, Resolve, SSL, SaslAuthenticationFailed,
    };
    matches!(
        code,
        AllBrokersDown
            | Authentication
            | BrokerNotAvailable
            | BrokerTransportFailure
            | NetworkException
            | OperationTimedOut
            | Resolve
            | SSL
            | SaslAuthenticationFailed
    )
}

/// Probes the brokers again and again, and reports to `health` whether they answer. A probe that fails ends its
/// client, which may know no broker any more.
///
/// # Errors
///
/// [`KafkaError`] for brokers that librdkafka rejects.
pub async fn watch_brokers(
    config: ClientConfig,
    health: Health,
    errors: BrokerErrors,
) -> Result<(), KafkaError> {
    let mut client: Option<BaseConsumer<Quiet>> = None;
    let mut missing_topics = MissingTopics::new(Arc::clone(&errors.clock), health.clone());
    let mut backoff = Backoff::between(PROBE_WAIT_MIN, PROBE_WAIT_MAX);
    loop {
        let probing = match client.take() {
            Some(client) => client,
            None => config.create_with_context(Quiet::default())?,
        };
        // The call blocks.
        let wait = match tokio::task::spawn_blocking(move || probe(probing)).await {
            Ok(Ok(Probed { client: probed, missing })) => {
                client = Some(probed);
                missing_topics.note(missing);
                backoff = Backoff::between(PROBE_WAIT_MIN, PROBE_WAIT_MAX);
                health.set_brokers_answer(true);
                errors.answered();
                PROBE_INTERVAL
            }
            Ok(Err(error)) => {
                health.set_brokers_answer(false);
                errors.unanswered(&error);
                backoff.next_wait()
            }
            // The runtime is ending.
            Err(_) => return Ok(()),
        };
        sleep(wait).await;
    }
}

/// An answered probe.
struct Probed {
    client: BaseConsumer<Quiet>,
    /// Topics to read that do not exist.
    missing: Vec<&'static str>,
}

/// Asks for every topic that is read. Blocks.
fn probe(client: BaseConsumer<Quiet>) -> Result<Probed, KafkaError> {
    let mut missing = Vec::new();
    for topic in EventKind::ALL.iter().map(|kind| kind.topic()) {
        let metadata = client.fetch_metadata(Some(topic), ANSWER_TIMEOUT);
        // Nobody else empties its queue of errors.
        empty_queue(&client);
        let error = metadata?.topics().first().and_then(|topic| topic.error());
        if error.map(RDKafkaErrorCode::from) == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
            missing.push(topic);
        }
    }
    Ok(Probed { client, missing })
}

#[cfg(test)]
mod tests {
    use projection::Timestamp;

    use super::*;
    use crate::clock::ManualClock;
    use crate::metrics::Exposition;

    fn errors() -> (BrokerErrors, Arc<ManualClock>, Metrics) {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-11-22T10:00:00Z").unwrap()));
        let metrics = Metrics::new();
        let errors = BrokerErrors::new(clock.clone(), metrics.clone(), Health::default());
        (errors, clock, metrics)
    }

    fn counted(metrics: &Metrics) -> String {
        let page = metrics.encode(Exposition::Text).unwrap();
        let line = page.lines().find(|line| line.starts_with("ras_consumer_errors_total"));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    }

    fn global(code: RDKafkaErrorCode) -> KafkaError {
        KafkaError::Global(code)
    }

    #[test]
    fn outage_is_counted_once_however_many_errors_it_has() {
        let (errors, clock, metrics) = errors();
        for outage in ["1", "2"] {
            for _ in 0..1_000 {
                errors.note(&global(RDKafkaErrorCode::BrokerTransportFailure));
                errors.note(&global(RDKafkaErrorCode::AllBrokersDown));
                errors.unanswered(&global(RDKafkaErrorCode::OperationTimedOut));
                clock.advance(Duration::from_millis(25));
            }
            errors.answered();
            // Errors that were queued behind records.
            errors.note(&global(RDKafkaErrorCode::BrokerTransportFailure));
            errors.note(&global(RDKafkaErrorCode::AllBrokersDown));
            errors.answered();
            assert_eq!(counted(&metrics), outage);
            clock.advance(REPEATED_WITHIN);
        }
    }

    #[test]
    fn refused_connection_is_a_finding_until_the_brokers_answer() {
        let (errors, _, metrics) = errors();
        let codes = || -> Vec<_> {
            errors.health.findings().iter().map(|finding| finding.code()).collect()
        };
        errors.note(&global(RDKafkaErrorCode::AllBrokersDown));
        assert!(codes().is_empty(), "the reason is not known");
        for _ in 0..10 {
            errors.note_with(&global(RDKafkaErrorCode::SSL), "certificate verify failed");
            errors.note(&global(RDKafkaErrorCode::AllBrokersDown));
            errors.unanswered(&global(RDKafkaErrorCode::OperationTimedOut));
            assert_eq!(codes(), ["tls_refused"]);
        }
        assert_eq!(counted(&metrics), "1", "all of it is one outage");
        errors.answered();
        assert!(codes().is_empty());
    }

    #[test]
    fn single_broker_outage_is_counted_once_while_the_others_answer() {
        let (errors, clock, metrics) = errors();
        for _ in 0..100 {
            errors.note(&global(RDKafkaErrorCode::BrokerTransportFailure));
            clock.advance(Duration::from_secs(30));
            errors.answered();
        }
        assert_eq!(counted(&metrics), "1");
        assert!(errors.lock().outage.is_some());
        clock.advance(REPEATED_WITHIN);
        errors.answered();
        assert!(errors.lock().outage.is_none());
    }

    #[test]
    fn other_errors_are_counted_once_per_minute_and_code() {
        let (errors, clock, metrics) = errors();
        for _ in 0..100 {
            errors.note(&global(RDKafkaErrorCode::UnknownTopicOrPartition));
            errors.note(&global(RDKafkaErrorCode::TopicAuthorizationFailed));
        }
        assert_eq!(counted(&metrics), "2");
        clock.advance(REPEATED_WITHIN);
        errors.note(&global(RDKafkaErrorCode::TopicAuthorizationFailed));
        assert_eq!(counted(&metrics), "3");
    }
}
