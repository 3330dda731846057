//! Survey of partitions: what the broker has of each, and how far the group has read it.

use std::thread::sleep;
use std::time::Duration;

use database::ReadRecord;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::brokers::Quiet;

/// How often, and after which pause, a new broker is asked again for the offsets of the group: it names itself
/// the coordinator before it is.
const COORDINATOR_ATTEMPTS: u32 = 20;
const COORDINATOR_PAUSE: Duration = Duration::from_millis(250);

/// What the broker has of one partition, and how far the group has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSurvey {
    /// Topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: i32,
    /// First offset that can still be delivered.
    pub start: i64,
    /// Offset of the next record.
    pub end: i64,
    /// Committed offset: that of the next record to read; none: none was ever read.
    pub committed: Option<i64>,
    /// The newest record that the group has read, among the last ones before its committed offset that the
    /// log still has. None: none of them decodes.
    pub last_read: Option<ReadRecord>,
}

impl PartitionSurvey {
    /// Whether the group has read any record.
    pub fn has_read(&self) -> bool {
        self.committed.is_some_and(|next| next > 0)
    }

    /// Records that are to be read.
    pub fn lag(&self) -> u64 {
        let next = self.committed.unwrap_or(self.start).max(self.start);
        u64::try_from(self.end - next).unwrap_or(0)
    }

    /// Whether records were deleted before the group has read them.
    pub fn has_lost_records(&self) -> bool {
        self.committed.is_some_and(|committed| committed < self.start)
    }

    /// Whether the committed offset is of another log: of a topic that was created again.
    pub fn is_of_another_log(&self) -> bool {
        self.committed.is_some_and(|committed| committed > self.end)
    }
}

/// Asks for the committed offset of each partition, and then for its log. The last records are not read yet.
pub(super) fn survey_partitions(
    client: &BaseConsumer<Quiet>,
    all: TopicPartitionList,
    answer_timeout: Duration,
) -> Result<Vec<PartitionSurvey>, KafkaError> {
    let committed = committed(client, &all, answer_timeout)?;
    let mut partitions = Vec::with_capacity(committed.count());
    for element in committed.elements() {
        let (topic, partition) = (element.topic().to_owned(), element.partition());
        let (start, end) = client.fetch_watermarks(&topic, partition, answer_timeout)?;
        let committed = match element.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        };
        let last_read = None;
        partitions.push(PartitionSurvey { topic, partition, start, end, committed, last_read });
    }
    Ok(partitions)
}

fn committed(
    client: &BaseConsumer<Quiet>,
    all: &TopicPartitionList,
    answer_timeout: Duration,
) -> Result<TopicPartitionList, KafkaError> {
    let ask = || client.committed_offsets(all.clone(), answer_timeout);
    for _ in 1..COORDINATOR_ATTEMPTS {
        match ask().map_err(|error| (error.rdkafka_error_code(), error)) {
            Err((Some(RDKafkaErrorCode::NotCoordinator), _)) => sleep(COORDINATOR_PAUSE),
            answer => return answer.map_err(|(_, error)| error),
        }
    }
    ask()
}
