//! Consumer: groups of records, in partition order, acknowledged by offset.

use std::collections::{HashSet, VecDeque};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use projection::EventKind;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::group_ahead::GroupAheadCheck;
use super::lost_brokers::LostBrokers;
use super::options::{KafkaOptions, consumer_config};
use super::positions::Positions;
use super::received::record;
use super::topic_watch::{ANSWER_TIMEOUT, IDLE_CHECK_INTERVAL, Partition, TopicWatch};
use crate::apply::GROUP_EVENTS_MAX;
use crate::brokers::BrokerErrors;
use crate::clock::Clock;
use crate::health::{ConsumerState, Health};
use crate::ingest::{IngestPipeline, Origin, Record};
use crate::metrics::Metrics;

/// How long a group may take until the consumer is reported as waiting.
const WAITING_AFTER: Duration = Duration::from_secs(1);
/// How often the consumer polls while a group, or the check of the consumer group, is under way. The broker
/// removes a member that does not poll for minutes, and a rebalance waits for the polls of all members.
const POLL_INTERVAL: Duration = Duration::from_secs(3);
/// How long each of these polls takes at most: longer than a step of a rebalance.
const POLL_MAX: Duration = Duration::from_millis(100);
/// Records that are polled while a group is under way, one by each poll, and wait for their turn. Above
/// this the consumer polls no more, and the broker revokes its partitions: after an outage of hours.
const BUFFERED_MAX: usize = 5_000;
/// Pause after an error. An outage of minutes leaves hundreds of errors in the queue before the next
/// record, so a longer pause would delay that record long after the outage. librdkafka paces what it
/// retries by itself.
const ERROR_PAUSE: Duration = Duration::from_millis(5);
/// How long a stop waits for the attempt under way to apply events. The database may take far longer over
/// a slow event; then the attempt is cancelled and rolled back, and Kafka delivers its events again.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last commit and leaving the consumer group may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The committed offsets, while a thread fetches them.
type FetchingCommitted = JoinHandle<KafkaResult<TopicPartitionList>>;

/// Consumer of all topics that the service can decode.
pub struct KafkaConsumer {
    consumer: Arc<StreamConsumer<Context>>,
    options: KafkaOptions,
    pipeline: IngestPipeline,
    clock: Arc<dyn Clock>,
    errors: BrokerErrors,
    health: Health,
    metrics: Metrics,
    /// Records that were polled while a group was under way.
    buffered: VecDeque<Record>,
    positions: Positions,
    topic_watch: TopicWatch,
    lost_brokers: LostBrokers,
    /// Runs once, before the first record is ingested.
    group_ahead: Option<GroupAheadCheck>,
}

impl KafkaConsumer {
    /// Subscribes. An unavailable broker is waited for in [`run`](Self::run), not here.
    ///
    /// # Errors
    ///
    /// [`KafkaError`] for options that librdkafka rejects.
    pub fn new(
        options: &KafkaOptions,
        pipeline: IngestPipeline,
        clock: Arc<dyn Clock>,
        errors: BrokerErrors,
        health: Health,
        metrics: Metrics,
    ) -> Result<Self, KafkaError> {
        let context = Context::new(errors.clone(), health.clone(), metrics.clone());
        Ok(Self {
            consumer: Arc::new(subscribed(options, context)?),
            options: options.clone(),
            pipeline,
            clock,
            errors,
            health,
            metrics,
            buffered: VecDeque::new(),
            positions: Positions::default(),
            topic_watch: TopicWatch::default(),
            lost_brokers: LostBrokers::default(),
            group_ahead: None,
        })
    }

    /// Runs this check as soon as partitions are assigned, before the first record is ingested.
    #[must_use]
    pub fn with_group_ahead_check(self, group_ahead: GroupAheadCheck) -> Self {
        Self { group_ahead: Some(group_ahead), ..self }
    }

    /// Consumes until `stop`; then completes the attempt under way, for a limited time, commits, and
    /// leaves the consumer group.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(group) = self.next_group(&stop).await {
            self.check_group_ahead(&stop).await;
            let positions = Positions::after(&group);
            let committed = self.fetch_committed();
            if !self.ingest(group, &stop).await {
                break;
            }
            let recreated = match committed {
                // An error: the runtime is ending.
                Some(fetching) => fetching.await.map(|it| self.recreated(it)).unwrap_or_default(),
                None => HashSet::new(),
            };
            self.acknowledge(positions.without(&recreated));
            self.read_from_beginning(&recreated).await;
        }
        self.close().await;
    }

    /// The next records: waits for one, then takes those that are there already. `None` after a stop.
    async fn next_group(&mut self, stop: &CancellationToken) -> Option<Vec<Record>> {
        if stop.is_cancelled() {
            return None;
        }
        while self.buffered.is_empty() {
            let received = tokio::select! {
                () = stop.cancelled() => return None,
                received = self.consumer.recv() => received.map(|message| record(&message, &*self.clock)),
                () = self.consumer.context().assigned(), if self.group_ahead.is_some() => {
                    self.check_group_ahead(stop).await;
                    continue;
                }
                () = sleep(IDLE_CHECK_INTERVAL) => {
                    self.check_brokers().await;
                    continue;
                }
            };
            match received {
                Ok(record) => self.buffered.push_back(record),
                Err(error) => {
                    self.note(&error);
                    sleep(ERROR_PAUSE).await;
                }
            }
        }
        while self.buffered.len() < GROUP_EVENTS_MAX {
            let Some(received) = self.consumer.recv().now_or_never() else { break };
            match received.map(|message| record(&message, &*self.clock)) {
                Ok(record) => self.buffered.push_back(record),
                Err(error) => {
                    self.note(&error);
                    break;
                }
            }
        }
        self.health.set_consumer(ConsumerState::Running);
        let count = self.buffered.len().min(GROUP_EVENTS_MAX);
        Some(self.buffered.drain(..count).collect())
    }

    /// Ingests a group, and reports if that takes long. False: stopped before the end.
    async fn ingest(&mut self, group: Vec<Record>, stop: &CancellationToken) -> bool {
        // A clone, because the records that are polled meanwhile are put into `self`.
        let pipeline = self.pipeline.clone();
        let mut work = pin!(ingest_or_cancel(&pipeline, group, stop));
        if let Ok(is_done) = timeout(WAITING_AFTER, &mut work).await {
            return is_done;
        }
        self.health.set_consumer(ConsumerState::Waiting);
        let is_done = self.poll_during(work).await;
        self.health.set_consumer(ConsumerState::Running);
        is_done
    }

    /// Polls during this work, to stay a member of the consumer group.
    ///
    /// Partitions are not paused for that. librdkafka loses a resume that comes before it has carried out
    /// the pause, as during a rebalance, and the partition stays paused for ever. It stops fetching by
    /// itself once enough is fetched ahead.
    async fn poll_during<T>(&mut self, mut work: Pin<&mut impl Future<Output = T>>) -> T {
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(POLL_INTERVAL), if self.buffered.len() < BUFFERED_MAX => {
                    self.poll_once().await;
                }
            }
        }
    }

    /// Polls once, which serves a rebalance and returns one record at most. Errors do not end it: a
    /// rebalance may be queued behind many of them.
    async fn poll_once(&mut self) {
        let next_record = async {
            loop {
                match self.consumer.recv().await {
                    Ok(message) => break record(&message, &*self.clock),
                    Err(error) => self.note(&error),
                }
            }
        };
        if let Ok(record) = timeout(POLL_MAX, next_record).await {
            self.buffered.push_back(record);
        }
    }

    /// Runs the check, if it is still to be run.
    async fn check_group_ahead(&mut self, stop: &CancellationToken) {
        let Some(group_ahead) = self.group_ahead.take() else { return };
        let check = pin!(stop.run_until_cancelled(group_ahead.run()));
        self.poll_during(check).await;
    }

    /// Looks for topics that were created anew, and whether the brokers answer, while no group is under way.
    async fn check_brokers(&mut self) {
        let Some(committed) = self.fetch_committed() else { return };
        // An error: the runtime is ending.
        let Ok(committed) = committed.await else { return };
        let is_answered = !committed.as_ref().is_err_and(is_timeout);
        let (brokers_answer, now) = (self.health.brokers_answer(), self.clock.monotonic());
        if self.lost_brokers.must_replace(is_answered, brokers_answer, now) {
            return self.replace_client();
        }
        let recreated = self.recreated(committed);
        self.read_from_beginning(&recreated).await;
    }

    /// Replaces the client by a new one. What it has read and was not ingested is delivered again.
    fn replace_client(&mut self) {
        let context = Context::new(self.errors.clone(), self.health.clone(), self.metrics.clone());
        let new = match subscribed(&self.options, context) {
            Ok(new) => Arc::new(new),
            Err(error) => return self.note(&error),
        };
        let old = std::mem::replace(&mut self.consumer, new);
        old.context().replaced();
        self.buffered.clear();
        self.positions = Positions::default();
        self.topic_watch = TopicWatch::default();
        // To close it blocks, and nobody waits for it.
        tokio::task::spawn_blocking(move || drop(old));
    }

    /// Begins to fetch the committed offsets, if it is time.
    fn fetch_committed(&mut self) -> Option<FetchingCommitted> {
        let consumer = Arc::clone(&self.consumer);
        // The call blocks.
        let fetch = || tokio::task::spawn_blocking(move || consumer.committed(ANSWER_TIMEOUT));
        self.topic_watch.is_due(self.clock.monotonic()).then(fetch)
    }

    /// The partitions whose log is a new one, by the committed offsets if they are known.
    fn recreated(&mut self, committed: KafkaResult<TopicPartitionList>) -> HashSet<Partition> {
        match committed {
            Ok(committed) => self.topic_watch.recreated(&committed),
            Err(error) => {
                tracing::debug!(%error, "committed offsets unknown, asking again");
                HashSet::new()
            }
        }
    }

    /// Reads these partitions from the beginning of their new log. Records of it that were read already
    /// are delivered again, as duplicates.
    async fn read_from_beginning(&mut self, recreated: &HashSet<Partition>) {
        if recreated.is_empty() {
            return;
        }
        self.positions.remove(recreated);
        self.buffered.retain(|record| match &record.origin {
            Origin::Kafka(address) => {
                !recreated.contains(&(address.topic.clone(), address.partition))
            }
            Origin::Http => true,
        });
        for (topic, partition) in recreated.clone() {
            tracing::warn!(
                topic,
                partition,
                "kafka topic was created anew, reading it from its start"
            );
            let consumer = Arc::clone(&self.consumer);
            let seek = tokio::task::spawn_blocking(move || {
                consumer.seek(&topic, partition, Offset::Beginning, ANSWER_TIMEOUT)
            });
            if let Ok(Err(error)) = seek.await {
                self.note(&error);
            }
        }
    }

    /// Commits these positions, without waiting for the broker.
    fn acknowledge(&mut self, positions: Positions) {
        let committed = self.consumer.assignment().and_then(|assigned| {
            let list = positions.of(&assigned);
            if list.count() == 0 { Ok(()) } else { self.consumer.commit(&list, CommitMode::Async) }
        });
        if let Err(error) = committed {
            self.note(&error);
        }
        self.positions.advance(positions);
    }

    /// Commits the positions, waits for that, and leaves the consumer group.
    async fn close(self) {
        self.health.set_consumer(ConsumerState::Stopped);
        let consumer = self.consumer;
        let positions = self.positions;
        // These calls block; the timeout keeps an unavailable broker from holding up the stop. The rest of
        // them then ends with the process, which does not wait for it (`main.rs`).
        let closed = tokio::task::spawn_blocking(move || {
            let committed = consumer.assignment().and_then(|assigned| {
                let list = positions.of(&assigned);
                if list.count() == 0 { Ok(()) } else { consumer.commit(&list, CommitMode::Sync) }
            });
            if let Err(error) = committed {
                tracing::info!(%error, "last offsets not committed, their records are delivered again");
            }
            consumer.unsubscribe();
            drop(consumer);
        });
        if timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            tracing::warn!(
                "timed out closing the kafka consumer, its partitions are free after the session timeout"
            );
        }
    }

    fn note(&self, error: &KafkaError) {
        self.errors.note(error);
    }
}

/// A client that reads all topics.
fn subscribed(options: &KafkaOptions, context: Context) -> KafkaResult<StreamConsumer<Context>> {
    let topics: Vec<_> = EventKind::ALL.iter().map(|kind| kind.topic()).collect();
    let consumer: StreamConsumer<Context> =
        consumer_config(options).create_with_context(context)?;
    consumer.subscribe(&topics)?;
    Ok(consumer)
}

/// Whether nobody has answered; a refusal is an answer.
fn is_timeout(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut)
}

/// Ingests a group. False: stopped before the end, after [`DRAIN_TIMEOUT`] at the latest.
async fn ingest_or_cancel(
    pipeline: &IngestPipeline,
    group: Vec<Record>,
    stop: &CancellationToken,
) -> bool {
    let drained = async {
        stop.cancelled().await;
        sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        outcomes = pipeline.ingest(group, stop) => outcomes.is_ok(),
        () = drained => {
            tracing::warn!("drain timeout reached, events under way are delivered again");
            false
        }
    }
}
