//! A share of the memory of the process, for what clients send or ask for.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::deadline::Deadline;
use crate::http::problem::Problem;

/// What a client is told that waited in vain.
pub(super) const BUSY: &str =
    "too many large requests at a time; the same request can succeed later";

/// So many bytes and no more. Clones share them.
#[derive(Clone, Debug)]
pub struct BodyMemory {
    free: Arc<Semaphore>,
    bytes_max: usize,
}

impl BodyMemory {
    /// So many bytes.
    pub fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(bytes_max)), bytes_max }
    }

    /// Waits until so many bytes are free. They are taken until the permit is released. What is larger
    /// than all there is may have all of it.
    pub(super) async fn reserve(
        &self,
        deadline: Deadline,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        let bytes = u32::try_from(bytes.min(self.bytes_max)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.free).acquire_many_owned(bytes);
        deadline.limit(permit, BUSY).await?.map_err(|_| Problem::internal())
    }
}
