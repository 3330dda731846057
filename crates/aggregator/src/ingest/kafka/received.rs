//! Record of a message that Kafka has delivered.

use projection::Timestamp;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _};

use crate::clock::Clock;
use crate::ingest::{KafkaAddress, Origin, Record};

/// The record of a message.
pub(super) fn record(message: &BorrowedMessage<'_>, clock: &dyn Clock) -> Record {
    let headers = message.headers().map(|headers| {
        let pair = |header: Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        headers.iter().map(pair).collect()
    });
    let broker_time = message.timestamp().to_millis();
    Record {
        bytes: message.payload().unwrap_or_default().to_vec(),
        received_at: broker_time.map_or_else(
            || clock.now(),
            |millis| Timestamp::from_unix_micros(millis.saturating_mul(1000)),
        ),
        origin: Origin::Kafka(KafkaAddress {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }),
    }
}
