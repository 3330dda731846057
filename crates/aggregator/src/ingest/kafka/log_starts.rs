//! First offsets of the partitions, as the brokers report them: earlier records cannot be delivered.

use std::time::Duration;

use async_trait::async_trait;
use database::{BoxError, LogStart, LogStarts};
use projection::EventKind;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use super::options::{KafkaOptions, client_config};
use crate::brokers::Quiet;

/// How long an answer of the broker may take. Only the next sweep waits for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches the first offsets of all topics that the service can decode.
pub struct KafkaLogStarts {
    config: ClientConfig,
}

impl KafkaLogStarts {
    /// Opens no connection yet: each question makes one, and they are minutes apart.
    pub fn new(options: &KafkaOptions) -> Self {
        Self { config: client_config(options) }
    }
}

#[async_trait]
impl LogStarts for KafkaLogStarts {
    async fn log_starts(&self) -> Result<Vec<LogStart>, BoxError> {
        let config = self.config.clone();
        Ok(tokio::task::spawn_blocking(move || fetch(&config)).await??)
    }
}

fn fetch(config: &ClientConfig) -> Result<Vec<LogStart>, KafkaError> {
    let client: BaseConsumer<Quiet> = config.create_with_context(Quiet::default())?;
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
