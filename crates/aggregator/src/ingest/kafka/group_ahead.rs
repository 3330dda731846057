//! Check for a consumer group that has read events which this database does not have.
//!
//! With the group of another service, or of an earlier database, only new events are consumed, and all
//! earlier ones are missing silently. The check runs once, at the start; or, if no broker answers then,
//! before the first record is ingested.

use std::sync::Arc;
use std::time::Duration;

use database::InboxRepository;
use database::backoff::Backoff;
use projection::EventKind;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::time::sleep;

use super::options::{KafkaOptions, client_config};
use crate::brokers::Quiet;
use crate::clock::Clock;
use crate::health::{Component, Finding, Health};

/// How long an answer of the broker may take. The start waits for it, if the database is empty.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Code of the finding.
    pub const CODE: &str = "group_ahead_of_database";
    /// What it means.
    pub const MEANING: &str = "what it has read is not read again";
    /// What to do about it.
    pub const FIX: &str = "To have it, use a new kafka.group_id, or stop all members and reset the group to \
                           the earliest offsets; with publish.skip_before earlier facts are not published \
                           again (docs/migration.md)";

    /// What is wrong if an empty database has a group that has read this many partitions.
    pub fn problem(group_id: &str, partitions: usize) -> String {
        format!(
            "the database is empty, and the consumer group {group_id} has read {partitions} partitions"
        )
    }

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

    /// Runs it again and again until it has a result.
    pub(super) async fn run_until_known(&self) {
        let mut backoff = Backoff::new();
        while !self.run().await {
            sleep(backoff.next_wait()).await;
        }
    }

    fn report(&self, partitions: usize) {
        let problem = Self::problem(&self.options.group_id, partitions);
        let detail = format!("{problem}: {}. {}", Self::MEANING, Self::FIX);
        let now = self.clock.now();
        if self.health.report(Finding::new(Component::Consumer, Self::CODE, detail.clone(), now)) {
            tracing::warn!("{detail}");
        }
    }
}

/// How many partitions the group has read records of.
fn committed_partitions(config: &ClientConfig) -> Result<usize, KafkaError> {
    let client: BaseConsumer<Quiet> = config.create_with_context(Quiet::default())?;
    let mut all = TopicPartitionList::new();
    for topic in EventKind::ALL.iter().map(|kind| kind.topic()) {
        let metadata = client.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            all.add_partition(topic, partition.id());
        }
    }
    let committed = client.committed_offsets(all, ANSWER_TIMEOUT)?;
    Ok(committed.elements().iter().filter(|element| has_read(element.offset())).count())
}

/// Whether a committed offset says that records were read.
pub(super) fn has_read(committed: Offset) -> bool {
    matches!(committed, Offset::Offset(next) if next > 0)
}
