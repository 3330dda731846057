//! What the rooms tell about themselves, for whoever asks whether the service is well.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// How the consumer of events stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerState {
    /// It has not read from the broker yet.
    Starting,
    /// It reads, or waits for something to read.
    Running,
    /// It holds an event that cannot be applied now and tries again.
    Waiting,
    /// It has left its group.
    Stopped,
}

/// What other rooms tell about themselves, for `/readyz`. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    consumer: Arc<Mutex<Option<ConsumerState>>>,
}

impl Health {
    /// Tells how the consumer stands from now on.
    pub fn set_consumer(&self, state: ConsumerState) {
        *self.lock() = Some(state);
    }

    /// How the consumer stands; none if this process has no consumer.
    pub fn consumer(&self) -> Option<ConsumerState> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<ConsumerState>> {
        // A panic while the lock was held cannot leave half a word.
        self.consumer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
