//! Options of the Kafka consumer, and the configuration of librdkafka made from them.

use std::time::Duration;

use projection::RECORD_BYTES_MAX;
use rdkafka::ClientConfig;

use crate::brokers::KafkaConnection;

/// How soon a topic that did not exist is found, in milliseconds.
const METADATA_REFRESH_MS: u32 = 5_000;
/// Records that a consumer fetches ahead and may hold during an outage, in kilobytes.
const FETCHED_AHEAD_KB: u32 = 32 * 1024;

/// How often librdkafka reports the lag of each partition, in milliseconds. It asks no broker for it.
const STATISTICS_INTERVAL_MS: u32 = 5_000;

/// Brokers and consumer group.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Where the brokers are, and how they are reached.
    pub connection: KafkaConnection,
    /// Consumer group.
    pub group_id: String,
    /// How long the broker waits for a silent member before it revokes its partitions.
    pub session_timeout: Duration,
}

/// Configuration of librdkafka for the consumer.
pub(super) fn consumer_config(options: &KafkaOptions) -> ClientConfig {
    let mut config = client_config(options);
    config.set("statistics.interval.ms", STATISTICS_INTERVAL_MS.to_string());
    config
}

/// Configuration of librdkafka for clients that only ask, and the base of the consumer's.
pub fn client_config(options: &KafkaOptions) -> ClientConfig {
    let mut config = options.connection.client_config();
    config
        .set("group.id", &options.group_id)
        .set("client.id", "result-aggregator")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // Every rebalance revokes and assigns all partitions. With cooperative-sticky, partitions that a
        // member kept were sometimes never fetched again (librdkafka 2.12).
        .set("partition.assignment.strategy", "range,roundrobin")
        .set("session.timeout.ms", options.session_timeout.as_millis().to_string())
        .set("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS.to_string())
        .set("fetch.message.max.bytes", RECORD_BYTES_MAX.to_string())
        .set("queued.max.messages.kbytes", FETCHED_AHEAD_KB.to_string())
        .set("reconnect.backoff.max.ms", "1000");
    config
}
