//! The Kafka consumer: groups of records, in partition order, acknowledged by offset.
//!
//! The committed offset is the log of undelivered drops: it moves only after a group's rows are
//! committed and its owners dropped. A crash in between delivers the group again, and a duplicate
//! drops again.

mod context;
mod group_ahead;
mod log_starts;
mod positions;
mod topic_watch;

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use projection::{EventKind, RECORD_BYTES_MAX, Timestamp};
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use self::group_ahead::GroupAhead;
pub use self::log_starts::KafkaLogStarts;

use self::context::Context;
use self::positions::Positions;
use self::topic_watch::{ANSWER_TIMEOUT, IDLE_CHECK_INTERVAL, Partition, TopicWatch};
use super::pipeline::{IngestPipeline, KafkaAddress, Origin, Record};
use crate::apply::GROUP_EVENTS_MAX;
use crate::brokers::BrokerErrors;
use crate::clock::Clock;
use crate::health::{ConsumerState, Health};

/// How long a group may take before the service says that it waits.
const SILENT_MAX: Duration = Duration::from_secs(1);
/// How often the consumer takes part in its group's life while a group of records waits. The broker
/// believes a member dead that does not poll for minutes, and who wants to join waits for all.
const POLL_PAUSE: Duration = Duration::from_secs(3);
/// How long it looks for something each time: longer than a step of a rebalance takes.
const POLL_MAX: Duration = Duration::from_millis(100);
/// Records that come meanwhile, one each time at most, and are held until it is their turn. Then it
/// polls no more, and the broker gives its partitions to others: after an outage of hours.
const CARRIED_MAX: usize = 5_000;
/// Pause after an error. They are news, and each is told by itself: an outage of minutes leaves
/// hundreds of them in the queue before the next record, so whoever waits longer for each is late
/// long after it is over. librdkafka sees to the pace of what it tries again.
const ERROR_PAUSE: Duration = Duration::from_millis(5);
/// How long a stop waits for the attempt under way to apply events. The database may take far longer over a
/// slow event; then the attempt is cancelled and rolled back, and Kafka delivers its events again.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last commit and the leaving of the group may take at the end.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// How soon a topic that did not exist is found, in milliseconds.
const METADATA_REFRESH_MS: u32 = 5_000;
/// Records fetched ahead, in kilobytes: what a consumer may hold that waits for an outage to end.
const FETCHED_AHEAD_KB: u32 = 32 * 1024;

/// Where the brokers are, and as whom to consume.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// Consumer group.
    pub group_id: String,
    /// How long the broker waits for a silent member before it gives its partitions away.
    pub session_timeout: Duration,
}

/// The consumer of all topics that are understood.
pub struct KafkaConsumer {
    consumer: Arc<StreamConsumer<Context>>,
    intake: IngestPipeline,
    clock: Arc<dyn Clock>,
    errors: BrokerErrors,
    health: Health,
    /// Records that came while a group was under way.
    carried: VecDeque<Record>,
    positions: Positions,
    topic_watch: TopicWatch,
    /// Still to be asked, before anything is committed.
    group_ahead: Option<GroupAhead>,
}

impl KafkaConsumer {
    /// Subscribes. A broker that is away is waited for in [`run`](Self::run), not here.
    ///
    /// # Errors
    ///
    /// [`KafkaError`] for options that librdkafka does not take.
    pub fn new(
        options: &KafkaOptions,
        intake: IngestPipeline,
        clock: Arc<dyn Clock>,
        errors: BrokerErrors,
        health: Health,
    ) -> Result<Self, KafkaError> {
        let topics: Vec<_> = EventKind::ALL.iter().map(|kind| kind.topic()).collect();
        let context = Context::new(errors.clone(), health.clone());
        health.set_consumer(ConsumerState::Starting);
        let consumer: StreamConsumer<Context> =
            client_config(options).create_with_context(context)?;
        consumer.subscribe(&topics)?;
        Ok(Self {
            consumer: Arc::new(consumer),
            intake,
            clock,
            errors,
            health,
            carried: VecDeque::new(),
            positions: Positions::default(),
            topic_watch: TopicWatch::default(),
            group_ahead: None,
        })
    }

    /// Asks this before the first record is taken: what could not be answered at the start.
    #[must_use]
    pub fn with_group_ahead(mut self, group_ahead: Option<GroupAhead>) -> Self {
        self.group_ahead = group_ahead;
        self
    }

    /// Consumes until `stop`; then finishes the attempt under way, for a limited time, commits,
    /// and leaves.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(group) = self.next_group(&stop).await {
            self.ask_group_ahead().await;
            let positions = Positions::after(&group);
            let committed = self.ask_for_committed();
            if !self.take(group, &stop).await {
                break;
            }
            let recreated = self.recreated(committed).await;
            self.acknowledge(positions.without(&recreated));
            self.start_over(&recreated).await;
        }
        self.leave().await;
    }

    /// The next records: waits for one, then takes what is there already. None: time to stop.
    async fn next_group(&mut self, stop: &CancellationToken) -> Option<Vec<Record>> {
        if stop.is_cancelled() {
            return None;
        }
        while self.carried.is_empty() {
            let received = tokio::select! {
                () = stop.cancelled() => return None,
                received = self.consumer.recv() => received.map(|message| record(&message, &*self.clock)),
                () = sleep(IDLE_CHECK_INTERVAL) => {
                    self.check_topics().await;
                    self.ask_group_ahead().await;
                    continue;
                }
            };
            match received {
                Ok(record) => self.carried.push_back(record),
                Err(error) => {
                    self.note(&error);
                    sleep(ERROR_PAUSE).await;
                }
            }
        }
        while self.carried.len() < GROUP_EVENTS_MAX {
            let Some(received) = self.consumer.recv().now_or_never() else { break };
            match received.map(|message| record(&message, &*self.clock)) {
                Ok(record) => self.carried.push_back(record),
                Err(error) => {
                    self.note(&error);
                    break;
                }
            }
        }
        self.health.set_consumer(ConsumerState::Running);
        let count = self.carried.len().min(GROUP_EVENTS_MAX);
        Some(self.carried.drain(..count).collect())
    }

    /// Brings a group to its end. Meanwhile, if that takes long, stays a member of the consumer group
    /// by polling now and then. False: stopped before the end.
    ///
    /// Partitions are not paused for that. librdkafka forgets a resume that comes before it has got
    /// round to the pause, as it may during a rebalance, and the partition stays paused for ever. It
    /// stops fetching by itself once enough is fetched ahead.
    async fn take(&mut self, group: Vec<Record>, stop: &CancellationToken) -> bool {
        // A clone, because the records that come meanwhile are put into `self`.
        let intake = self.intake.clone();
        let mut work = pin!(take_or_cancel(&intake, group, stop));
        if let Ok(is_taken) = timeout(SILENT_MAX, &mut work).await {
            return is_taken;
        }
        self.health.set_consumer(ConsumerState::Waiting);
        let is_taken = loop {
            tokio::select! {
                is_taken = &mut work => break is_taken,
                () = sleep(POLL_PAUSE), if self.carried.len() < CARRIED_MAX => self.poll_once().await,
            }
        };
        self.health.set_consumer(ConsumerState::Running);
        is_taken
    }

    /// Takes part in what the consumer group does, and one record at most. Errors do not count: a
    /// rebalance may be waiting behind many of them.
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
            self.carried.push_back(record);
        }
    }

    /// Asks what was not known at the start, once there are partitions and thus brokers that answer.
    async fn ask_group_ahead(&mut self) {
        let is_assigned = self.consumer.assignment().is_ok_and(|list| list.count() > 0);
        if is_assigned && let Some(group_ahead) = self.group_ahead.take() {
            group_ahead.report().await;
        }
    }

    /// Looks for topics that were created anew, while nothing is under way.
    async fn check_topics(&mut self) {
        let committed = self.ask_for_committed();
        let recreated = self.recreated(committed).await;
        self.start_over(&recreated).await;
    }

    /// Asks for the committed offsets while a group is under way, if it is time.
    fn ask_for_committed(&mut self) -> Option<JoinHandle<KafkaResult<TopicPartitionList>>> {
        let consumer = Arc::clone(&self.consumer);
        // The call blocks.
        let ask = || tokio::task::spawn_blocking(move || consumer.committed(ANSWER_TIMEOUT));
        self.topic_watch.is_due(self.clock.monotonic()).then(ask)
    }

    /// The partitions whose log is a new one, by the committed offsets if they were asked for.
    async fn recreated(
        &mut self,
        committed: Option<JoinHandle<KafkaResult<TopicPartitionList>>>,
    ) -> HashSet<Partition> {
        let Some(committed) = committed else { return HashSet::new() };
        match committed.await {
            Ok(Ok(committed)) => self.topic_watch.recreated(&committed),
            Ok(Err(error)) => {
                tracing::debug!(%error, "committed offsets not known now");
                HashSet::new()
            }
            // The runtime is ending.
            Err(_) => HashSet::new(),
        }
    }

    /// Reads these partitions from the beginning of their new log. What was read of it already comes
    /// again, and is a duplicate.
    async fn start_over(&mut self, recreated: &HashSet<Partition>) {
        if recreated.is_empty() {
            return;
        }
        self.positions.forget(recreated);
        self.carried.retain(|record| match &record.origin {
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
            let sought = tokio::task::spawn_blocking(move || {
                consumer.seek(&topic, partition, Offset::Beginning, ANSWER_TIMEOUT)
            });
            if let Ok(Err(error)) = sought.await {
                self.note(&error);
            }
        }
    }

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

    /// Commits what is done, waits for it, and leaves the group.
    async fn leave(self) {
        self.health.set_consumer(ConsumerState::Stopped);
        let consumer = self.consumer;
        let positions = self.positions;
        // These calls block; the limit keeps a broker that is away from holding up the stop. What
        // is left of them then ends with the process, which does not wait for it (`main.rs`).
        let left = tokio::task::spawn_blocking(move || {
            let committed = consumer.assignment().and_then(|assigned| {
                let list = positions.of(&assigned);
                if list.count() == 0 { Ok(()) } else { consumer.commit(&list, CommitMode::Sync) }
            });
            if let Err(error) = committed {
                tracing::info!(%error, "last offsets not committed; their records come again");
            }
            consumer.unsubscribe();
            drop(consumer);
        });
        if timeout(LEAVE_MAX, left).await.is_err() {
            tracing::warn!("left the consumer group without a goodbye");
        }
    }

    fn note(&self, error: &KafkaError) {
        self.errors.note(error);
    }
}

/// Brings a group to its end. False: stopped before that, after [`DRAIN_TIMEOUT`] at the latest.
async fn take_or_cancel(
    intake: &IngestPipeline,
    group: Vec<Record>,
    stop: &CancellationToken,
) -> bool {
    let drained = async {
        stop.cancelled().await;
        sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        taken = intake.ingest(group, stop) => taken.is_ok(),
        () = drained => {
            tracing::warn!("drain timeout reached, events under way are delivered again");
            false
        }
    }
}

/// How any client of the brokers connects, and whatever else a consumer needs.
pub fn client_config(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.brokers)
        .set("group.id", &options.group_id)
        .set("client.id", "result-aggregator")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // Every rebalance takes all partitions and gives them out anew. With cooperative-sticky, those
        // that a member kept were now and then never fetched again (librdkafka 2.12).
        .set("partition.assignment.strategy", "range,roundrobin")
        .set("session.timeout.ms", options.session_timeout.as_millis().to_string())
        .set("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS.to_string())
        .set("fetch.message.max.bytes", RECORD_BYTES_MAX.to_string())
        .set("queued.max.messages.kbytes", FETCHED_AHEAD_KB.to_string())
        .set("reconnect.backoff.max.ms", "1000");
    config
}

fn record(message: &BorrowedMessage<'_>, clock: &dyn Clock) -> Record {
    let headers = message.headers().map(|headers| {
        let pair = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        headers.iter().map(pair).collect()
    });
    let broker_time = message.timestamp().to_millis();
    Record {
        bytes: message.payload().unwrap_or_default().to_vec(),
        received_at: broker_time.map_or_else(
            || clock.now(),
            |millis| Timestamp::from_unix_micros(millis.saturating_mul(1000)),
        ),
        origin: Origin::Kafka(KafkaAddress {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }),
    }
}
