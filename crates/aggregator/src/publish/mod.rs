//! Publication of outgoing events: from the outbox to Kafka.
//!
//! Outbox records are written in the transaction that made their events due; here they are sent until a
//! broker acknowledges them, in the order of their key, and never discarded. This module does not know
//! what an outgoing event means, and writes none.

mod depth;
mod kafka;
mod publisher;
mod relay;
mod retry_schedule;
mod sender;

pub use self::depth::show_depth;
pub use self::kafka::{KafkaPublisher, KafkaPublisherOptions};
pub use self::publisher::{PublishError, Publisher};
pub use self::relay::{CLAIM_BYTES_MAX, CLAIM_RECORDS_MAX, Relay, RelayOptions};
pub use self::retry_schedule::{SCHEDULED_MAX, WAIT_MAX, WAIT_MIN};
pub use self::sender::DRAIN_TIMEOUT;
