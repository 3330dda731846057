//! A consumer group that has read what this database has not.
//!
//! With the group of another service, or of an earlier database, only what is new is consumed, and
//! everything before is missing without a word. It is said once, at the start; or, if no broker
//! answers then, before the first record is taken.

use std::sync::Arc;
use std::time::Duration;

use database::InboxRepository;
use projection::EventKind;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{KafkaOptions, client_config};
use crate::brokers::Quiet;
use crate::clock::Clock;
use crate::health::{Component, Finding, Health};

/// How long a broker may take for each answer. The start waits for it, if the database is empty.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const CODE: &str = "group_ahead_of_database";

/// The question whether the group has read what the database has not.
pub struct GroupAhead {
    /// Which group, and where.
    pub options: KafkaOptions,
    /// Knows whether any event was ever applied.
    pub inbox: Arc<dyn InboxRepository>,
    /// Where it is reported.
    pub health: Health,
    /// Tells since when.
    pub clock: Arc<dyn Clock>,
}

impl GroupAhead {
    /// Reports and logs if the group has committed offsets and no event was ever applied. False: the
    /// database or the brokers did not answer, so it is not known.
    pub async fn report(&self) -> bool {
        match self.inbox.inbox_is_empty().await {
            Ok(true) => {}
            Ok(false) => return true,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::info!(error, "not known yet whether the database is empty");
                return false;
            }
        }
        let config = client_config(&self.options);
        // The calls block.
        let asked = tokio::task::spawn_blocking(move || committed_partitions(&config)).await;
        match asked {
            Ok(Ok(0)) => {}
            Ok(Ok(partitions)) => self.is_ahead(partitions),
            Ok(Err(error)) => {
                tracing::info!(%error, "not known yet whether the consumer group has read before");
                return false;
            }
            // The runtime is ending.
            Err(_) => {}
        }
        true
    }

    fn is_ahead(&self, partitions: usize) {
        let detail = format!(
            "the database is empty, and the consumer group {} has read {partitions} partitions: what it \
             has read is not read again. To have it, use a new kafka.group_id, or stop all members and \
             reset the group to the earliest offsets; with publish.skip_before nobody hears of the past \
             again (docs/migration.md)",
            self.options.group_id
        );
        tracing::warn!("{detail}");
        let now = self.clock.now();
        self.health.report(Finding::new(Component::Consumer, CODE, detail, now));
    }
}

/// Of how many partitions the group has read something.
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
