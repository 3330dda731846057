//! Where the partitions begin: before that, the broker has nothing to deliver.

use std::time::Duration;

use async_trait::async_trait;
use database::{BoxError, LogStart, LogStarts};
use projection::EventKind;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use super::{KafkaOptions, client_config};
use crate::brokers::Quiet;

/// How long one answer of the broker may take. Nobody waits for it but the next sweep.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the broker where the partitions of all topics begin that are understood.
pub struct KafkaLogStarts {
    config: ClientConfig,
}

impl KafkaLogStarts {
    /// Connects at each question only: they are minutes apart.
    pub fn new(options: &KafkaOptions) -> Self {
        Self { config: client_config(options) }
    }
}

#[async_trait]
impl LogStarts for KafkaLogStarts {
    async fn log_starts(&self) -> Result<Vec<LogStart>, BoxError> {
        let config = self.config.clone();
        Ok(tokio::task::spawn_blocking(move || ask(&config)).await??)
    }
}

fn ask(config: &ClientConfig) -> Result<Vec<LogStart>, KafkaError> {
    let client: BaseConsumer<Quiet> = config.create_with_context(Quiet)?;
    let mut starts = Vec::new();
    for topic in EventKind::ALL.iter().map(|kind| kind.topic()) {
        let metadata = client.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        for partition in partitions.map(|partition| partition.id()) {
            let (start, _) = client.fetch_watermarks(topic, partition, ANSWER_TIMEOUT)?;
            starts.push(LogStart { topic: topic.to_owned(), partition, start });
        }
    }
    Ok(starts)
}
