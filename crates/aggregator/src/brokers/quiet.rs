//! Context of clients whose errors are returned or summed up elsewhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;

use super::Refusal;

/// How long the queue of a client is waited for. A poll without a time ends at the first line of the log in the
/// queue, and errors behind it would stay there.
const QUEUE_TIMEOUT: Duration = Duration::from_millis(10);

/// Context that logs at debug only, and keeps the last refused connection. A request that fails for lack of a
/// connection does not say why there is none. Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct Quiet {
    refused: Arc<Mutex<Option<Refused>>>,
}

/// A refused connection.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// What is refused.
    pub refusal: Refusal,
    /// The text of librdkafka, with the address of the broker.
    pub reason: String,
}

impl Quiet {
    /// The last refused connection that was reported. Consumers report by polls, producers by themselves.
    pub fn refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka error");
        if let Some(refusal) = Refusal::of(&error, reason) {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            *refused = Some(Refused { refusal, reason: reason.to_owned() });
        }
    }
}

impl ConsumerContext for Quiet {}

/// Empties the queue of a client that consumes nothing: its errors and the lines of its log. Blocks.
pub(crate) fn empty_queue(client: &BaseConsumer<Quiet>) {
    while client.poll(QUEUE_TIMEOUT).is_some() {}
}
