//! Record as it was received, and its origin.

use database::{KafkaOffset, StoredDeadLetter};
use projection::{EventKind, Timestamp};
use uuid::Uuid;

/// Namespace of the fingerprints.
const FINGERPRINTS: Uuid = Uuid::from_u128(0x6a1f_2f0e_3a55_4b0e_9d3c_7a52_11c0_f5a7);

/// A record as it was received.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its origin.
    pub origin: Origin,
    /// When it was received, by this service or by the broker: stands in for a time that the sender left
    /// out.
    pub received_at: Timestamp,
}

/// Origin of a record.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A client sent it.
    Http,
    /// A Kafka record.
    Kafka(KafkaAddress),
}

/// Address, key and headers of a Kafka record.
#[derive(Clone, Debug)]
pub struct KafkaAddress {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key, as received.
    pub key: Option<Vec<u8>>,
    /// Headers, as received.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The record of a dead letter, as it was received at first.
impl From<StoredDeadLetter> for Record {
    fn from(dead_letter: StoredDeadLetter) -> Self {
        let StoredDeadLetter { summary, key, headers, bytes } = dead_letter;
        let origin = match (summary.topic, summary.partition, summary.offset) {
            (Some(topic), Some(partition), Some(offset)) => {
                Origin::Kafka(KafkaAddress { topic, partition, offset, key, headers })
            }
            _ => Origin::Http,
        };
        Self { bytes, origin, received_at: summary.received_at }
    }
}

impl Record {
    /// Its Kafka address; none if a client sent it.
    pub(super) fn kafka_address(&self) -> Option<&KafkaAddress> {
        match &self.origin {
            Origin::Kafka(address) => Some(address),
            Origin::Http => None,
        }
    }

    /// The kind of event that its topic is for.
    pub(super) fn topic_kind(&self) -> Option<EventKind> {
        EventKind::from_topic(&self.kafka_address()?.topic)
    }

    /// Its offset in the topic of its kind.
    pub(super) fn offset(&self) -> Option<KafkaOffset> {
        let KafkaAddress { partition, offset, .. } = *self.kafka_address()?;
        Some(KafkaOffset { partition, offset })
    }

    /// The same for the same record however often it is received: its address and its bytes. An address
    /// alone is used again when a topic is created anew.
    pub(super) fn fingerprint(&self) -> String {
        let bytes = Uuid::new_v5(&FINGERPRINTS, &self.bytes);
        match self.kafka_address() {
            Some(KafkaAddress { topic, partition, offset, .. }) => {
                format!("kafka:{topic}:{partition}:{offset}:{bytes}")
            }
            None => format!("http:{bytes}"),
        }
    }
}
