//! The newest records that the consumer group has read, which its database must have.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use database::ReadRecord;
use projection::decode;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::options::{KafkaOptions, client_config};
use super::partition_survey::PartitionSurvey;
use super::received::record;
use crate::brokers::Quiet;
use crate::clock::Clock;

/// Offsets before the committed one that are looked at. The last ones may be markers of transactions, or
/// records that are compacted away or do not decode.
const OFFSETS_MAX: i64 = 16;
/// Bytes of each partition in one answer: as much as these records have, if they are not large, and little
/// of what comes after them. A larger record comes alone.
const ANSWER_BYTES: u32 = 256 * 1024;
/// How long a broker waits for records, in milliseconds: only an answer without any shows the end of the log.
const EMPTY_ANSWER_MS: u32 = 50;

/// Configuration of a client that reads these records. It joins no group and commits nothing.
pub(super) fn reading_config(options: &KafkaOptions) -> ClientConfig {
    let mut config = client_config(options);
    config
        .set("enable.partition.eof", "true")
        .set("fetch.message.max.bytes", ANSWER_BYTES.to_string())
        .set("fetch.wait.max.ms", EMPTY_ANSWER_MS.to_string());
    config
}

/// Reads the newest record of each partition that the group has read and that decodes. Blocks.
///
/// # Errors
///
/// If not all were read within `limit`.
pub(super) fn read_last(
    client: &BaseConsumer<Quiet>,
    partitions: &mut [PartitionSurvey],
    clock: &dyn Clock,
    limit: Duration,
) -> Result<(), KafkaError> {
    let until = clock.monotonic() + limit;
    let time_left = || until.saturating_sub(clock.monotonic());
    // One topic after the other: the end of a partition is reported without its topic.
    let read = partitions
        .chunk_by_mut(|one, next| one.topic == next.topic)
        .try_for_each(|of_topic| read_topic(client, of_topic, clock, time_left));
    client.unassign()?;
    read
}

fn read_topic(
    client: &BaseConsumer<Quiet>,
    partitions: &mut [PartitionSurvey],
    clock: &dyn Clock,
    time_left: impl Fn() -> Duration,
) -> Result<(), KafkaError> {
    let mut assigned = TopicPartitionList::new();
    let mut unread = BTreeMap::new();
    for partition in partitions {
        if let Some(offsets) = last_offsets(partition) {
            let start = Offset::Offset(offsets.start);
            assigned.add_partition_offset(&partition.topic, partition.partition, start)?;
            unread.insert(partition.partition, (offsets, &mut partition.last_read));
        }
    }
    if unread.is_empty() {
        return Ok(());
    }
    client.assign(&assigned)?;
    let mut last_error = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
    while !unread.is_empty() {
        let time_left = time_left();
        if time_left.is_zero() {
            return Err(last_error);
        }
        match client.poll(time_left) {
            Some(Ok(message)) => {
                let Some((offsets, last_read)) = unread.get_mut(&message.partition()) else {
                    continue;
                };
                if offsets.contains(&message.offset())
                    && let Some(read) = read_record(&message, clock)
                {
                    **last_read = Some(read);
                }
                if message.offset() + 1 >= offsets.end {
                    unread.remove(&message.partition());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => _ = unread.remove(&partition),
            // librdkafka retries.
            Some(Err(error)) => last_error = error,
            None => {}
        }
    }
    Ok(())
}

/// The last offsets that the group has read; none if the log has none of them.
fn last_offsets(partition: &PartitionSurvey) -> Option<Range<i64>> {
    let end = partition.committed.filter(|_| !partition.is_of_another_log())?;
    let start = partition.start.max(end - OFFSETS_MAX);
    (start < end).then_some(start..end)
}

/// What the database has if the record was applied or refused; none if it does not decode.
fn read_record(message: &BorrowedMessage<'_>, clock: &dyn Clock) -> Option<ReadRecord> {
    let record = record(message, clock);
    let event = decode(&record.bytes, record.topic_kind(), record.received_at).ok()?;
    Some(ReadRecord { event: event.id, fingerprint: record.fingerprint() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_offsets_are_in_the_log_and_before_the_committed_one() {
        #[track_caller]
        fn check(committed: Option<i64>, (start, end): (i64, i64), want: Option<Range<i64>>) {
            let topic = "topic".to_owned();
            let partition =
                PartitionSurvey { topic, partition: 0, start, end, committed, last_read: None };
            assert_eq!(last_offsets(&partition), want);
        }
        check(None, (0, 100), None);
        check(Some(0), (0, 100), None);
        check(Some(5), (0, 100), Some(0..5));
        check(Some(100), (0, 100), Some(84..100));
        check(Some(100), (90, 100), Some(90..100));
        check(Some(100), (100, 200), None);
        check(Some(100), (150, 200), None);
        // The topic was created again.
        check(Some(101), (0, 100), None);
    }
}
