//! Check for a consumer group that has read events which this database does not have.
//!
//! With the group of another service, or of an earlier database, only new events are consumed, and all
//! earlier ones are missing silently. The check runs once, at the start; or, if no broker answers then,
//! before the first record is ingested.

use std::sync::Arc;
use std::time::Duration;

use database::InboxRepository;
use projection::EventKind;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::options::{KafkaOptions, client_config};
use crate::brokers::Quiet;
use crate::clock::Clock;
use crate::health::{Component, Finding, Health};

/// How long an answer of the broker may take. The start waits for it, if the database is empty.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const CODE: &str = "group_ahead_of_database";

/// Check whether the group has read events that the database does not have.
pub struct GroupAheadCheck {
    /// Brokers and consumer group.
    pub options: KafkaOptions,
    /// Empty if no event was ever applied.
    pub inbox: Arc<dyn InboxRepository>,
    /// Where the finding is reported.
    pub health: Health,
    /// Clock of the finding.
    pub clock: Arc<dyn Clock>,
}

impl GroupAheadCheck {
    /// Reports and logs a finding if the group has committed offsets and no event was ever applied. False:
    /// the database or the brokers did not answer, so the check has no result.
    pub async fn run(&self) -> bool {
        match self.inbox.inbox_is_empty().await {
            Ok(true) => {}
            Ok(false) => return true,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::info!(
                    error,
                    "consumer group not checked without the database, checking later"
                );
                return false;
            }
        }
        let config = client_config(&self.options);
        // The calls block.
        let committed = tokio::task::spawn_blocking(move || committed_partitions(&config)).await;
        match committed {
            Ok(Ok(0)) => {}
            Ok(Ok(partitions)) => self.report(partitions),
            Ok(Err(error)) => {
                tracing::info!(%error, "consumer group not checked without a broker, checking later");
                return false;
            }
            // The runtime is ending.
            Err(_) => {}
        }
        true
    }

    fn report(&self, partitions: usize) {
        let detail = format!(
            "the database is empty, and the consumer group {} has read {partitions} partitions: what it \
             has read is not read again. To have it, use a new kafka.group_id, or stop all members and \
             reset the group to the earliest offsets; with publish.skip_before earlier facts are not \
             published again (docs/migration.md)",
            self.options.group_id
        );
        tracing::warn!("{detail}");
        let now = self.clock.now();
        self.health.report(Finding::new(Component::Consumer, CODE, detail, now));
    }
}

/// How many partitions the group has read records of.
fn committed_partitions(config: &ClientConfig) -> Result<usize, KafkaError> {
    let client: BaseConsumer<Quiet> = config.create_with_context(Quiet)?;
    let mut all = TopicPartitionList::new();
    for topic in EventKind::ALL.iter().map(|kind| kind.topic()) {
        let metadata = client.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            all.add_partition(topic, partition.id());
        }
    }
    let committed = client.committed_offsets(all, ANSWER_TIMEOUT)?;
    let has_read = |offset| matches!(offset, Offset::Offset(next) if next > 0);
    Ok(committed.elements().iter().filter(|element| has_read(element.offset())).count())
}
