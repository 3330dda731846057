//! Check for a consumer group that has read events which this database does not have.
//!
//! With the group of another service, of an earlier database, or of the time before a restore, what the
//! group has read is missing silently. So of each partition the newest record that the group has read is
//! read again, and the database must have it. A partition is read in order, and its offset committed
//! after that; so a database that has the newest record has all before it.
//!
//! The check runs once, before the first record is ingested: the first event of a partition hides that
//! those before it are missing.

use std::sync::Arc;
use std::time::Duration;

use database::backoff::Backoff;
use database::{DbError, InboxReport, InboxRepository, ReadRecord};
use projection::EventKind;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use tokio::time::{sleep, timeout};

use super::last_read::{read_last, reading_config};
use super::options::KafkaOptions;
use super::partition_survey::{PartitionSurvey, survey_partitions};
use crate::brokers::Quiet;
use crate::clock::Clock;
use crate::health::{Component, Finding, Health};

/// How long each answer of the brokers may take, and to read the last records of all partitions.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long all of that may take.
const ANSWERS_MAX: Duration = Duration::from_secs(10);
/// How long the check is repeated without a result. Less than a member may take between polls.
const CHECK_MAX: Duration = Duration::from_secs(60);
/// Partitions that a finding names.
const NAMED_MAX: usize = 3;

/// Check whether the group has read events that the database does not have.
pub struct GroupAheadCheck {
    /// Brokers and consumer group.
    pub options: KafkaOptions,
    /// What was applied.
    pub inbox: Arc<dyn InboxRepository>,
    /// Where the finding is reported.
    pub health: Health,
    /// Clock of the finding, and of the time limits.
    pub clock: Arc<dyn Clock>,
}

impl GroupAheadCheck {
    /// Code of the finding.
    pub const CODE: &str = "group_ahead_of_database";
    /// What it means.
    pub const MEANING: &str = "those events are missing in the answers, and are not read again";
    /// What to do about it.
    pub const FIX: &str = "To have them, stop all members and reset the group: after a restore to a time before \
                           the backup, else to the earliest offsets; or use a new kafka.group_id. With \
                           publish.skip_before earlier facts are not published again (docs/deployment.md, \
                           docs/migration.md)";

    /// The records that the database must have.
    pub fn records(partitions: &[PartitionSurvey]) -> Vec<ReadRecord> {
        partitions.iter().filter_map(|partition| partition.last_read.clone()).collect()
    }

    /// What is wrong with a group that has read these partitions; none if the database has it.
    pub fn problem(
        group_id: &str,
        partitions: &[PartitionSurvey],
        inbox: &InboxReport,
    ) -> Option<String> {
        let ahead: Vec<String> = partitions
            .iter()
            .filter(|partition| is_ahead(partition, inbox))
            .map(|partition| format!("{}/{}", partition.topic, partition.partition))
            .collect();
        let partitions = counted(&ahead);
        let problem = if inbox.is_empty {
            format!(
                "the database is empty, and the consumer group {group_id} has read {partitions}"
            )
        } else {
            format!(
                "the database lacks the last event that the consumer group {group_id} has read of {partitions}"
            )
        };
        (!ahead.is_empty()).then_some(problem)
    }

    /// Reports and logs a finding if the group is ahead. Tries until the brokers and the database answer,
    /// for a limited time.
    pub(super) async fn run(&self) {
        if timeout(CHECK_MAX, self.report_once_known()).await.is_err() {
            tracing::warn!(
                "brokers or database do not answer, not checked whether the consumer group is ahead"
            );
        }
    }

    async fn report_once_known(&self) {
        let mut backoff = Backoff::new();
        loop {
            match self.check().await {
                Ok(Some(problem)) => return self.report(&problem),
                Ok(None) => {
                    return tracing::info!("the database has what the consumer group has read");
                }
                Err(error) => tracing::debug!(%error, "consumer group not checked yet"),
            }
            sleep(backoff.next_wait()).await;
        }
    }

    /// What is wrong, if something is.
    async fn check(&self) -> anyhow::Result<Option<String>> {
        // Before the inbox: what is committed is in it already, also beside a process that applies events.
        let (options, clock) = (self.options.clone(), Arc::clone(&self.clock));
        // The calls block.
        let reading = tokio::task::spawn_blocking(move || read_partitions(&options, &*clock));
        let partitions = timeout(ANSWERS_MAX, reading).await???;
        let inbox = self.ask_inbox(&partitions).await?;
        Ok(Self::problem(&self.options.group_id, &partitions, &inbox))
    }

    async fn ask_inbox(&self, partitions: &[PartitionSurvey]) -> Result<InboxReport, DbError> {
        let known = self.inbox.known_events(&Self::records(partitions)).await?;
        Ok(InboxReport { is_empty: self.inbox.inbox_is_empty().await?, known })
    }

    fn report(&self, problem: &str) {
        let detail = format!("{problem}: {}. {}", Self::MEANING, Self::FIX);
        let now = self.clock.now();
        if self.health.report(Finding::new(Component::Consumer, Self::CODE, detail.clone(), now)) {
            tracing::warn!("{detail}");
        }
    }
}

/// What the group has read of each partition. Blocks.
fn read_partitions(
    options: &KafkaOptions,
    clock: &dyn Clock,
) -> Result<Vec<PartitionSurvey>, KafkaError> {
    let client: BaseConsumer<Quiet> =
        reading_config(options).create_with_context(Quiet::default())?;
    let mut all = TopicPartitionList::new();
    for topic in EventKind::ALL.iter().map(|kind| kind.topic()) {
        let metadata = client.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            all.add_partition(topic, partition.id());
        }
    }
    let mut partitions = survey_partitions(&client, all, ANSWER_TIMEOUT)?;
    read_last(&client, &mut partitions, clock, ANSWER_TIMEOUT)?;
    Ok(partitions)
}

/// Whether the group has read events of the partition that the database does not have. If none of its last
/// records can be read, only an empty database says so.
fn is_ahead(partition: &PartitionSurvey, inbox: &InboxReport) -> bool {
    match &partition.last_read {
        Some(read) => !inbox.known.contains(&read.event),
        None => inbox.is_empty && partition.has_read(),
    }
}

/// The number of partitions, and some of their names.
fn counted(names: &[String]) -> String {
    let noun = if names.len() == 1 { "partition" } else { "partitions" };
    let named = names[..names.len().min(NAMED_MAX)].join(", ");
    let counted = format!("{} {noun}: {named}", names.len());
    match names.len().saturating_sub(NAMED_MAX) {
        0 => counted,
        more => format!("{counted} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use projection::EventId;
    use uuid::Uuid;

    use super::*;

    fn event(number: u128) -> EventId {
        EventId(Uuid::from_u128(number))
    }

    /// A partition of which this event was read last, if any.
    fn partition(number: i32, committed: Option<i64>, last: Option<u128>) -> PartitionSurvey {
        let read = |last| ReadRecord { event: event(last), fingerprint: String::new() };
        let (topic, last_read) = ("topic".to_owned(), last.map(read));
        PartitionSurvey { topic, partition: number, start: 0, end: 9, committed, last_read }
    }

    #[test]
    fn partition_whose_last_event_is_unknown_is_ahead() {
        let inbox = |is_empty, known: &[u128]| InboxReport {
            is_empty,
            known: known.iter().copied().map(event).collect::<HashSet<_>>(),
        };
        let read = [
            partition(0, Some(9), Some(1)),
            partition(1, Some(9), Some(2)),
            partition(2, Some(9), None),
            partition(3, Some(0), None),
            partition(4, None, None),
        ];
        #[track_caller]
        fn check(read: &[PartitionSurvey], inbox: &InboxReport, want: &str) {
            let problem = GroupAheadCheck::problem("g", read, inbox).unwrap_or_default();
            assert!(problem.ends_with(want) && problem.is_empty() == want.is_empty(), "{problem}");
        }
        check(&read, &inbox(false, &[1, 2]), "");
        check(&read, &inbox(false, &[2]), "has read of 1 partition: topic/0");
        check(&read, &inbox(true, &[]), "g has read 3 partitions: topic/0, topic/1, topic/2");
        check(&read[3..], &inbox(true, &[]), "");
        let many: Vec<_> = (0..5).map(|number| partition(number, Some(9), Some(3))).collect();
        check(&many, &inbox(false, &[]), "5 partitions: topic/0, topic/1, topic/2 and 2 more");
    }
}
