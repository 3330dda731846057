//! Repeats unconfirmed invalidations in the background, with backoff, until all are confirmed.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::cache::core::Core;

/// Waits between two attempts: doubling, from and to.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);
/// Owners invalidated in one attempt.
const RETRY_OWNERS: usize = 64;

/// Runs until the last handle of the cache is dropped.
pub(super) async fn retry_unconfirmed(core: Weak<Core>) {
    let mut backoff = Backoff::between(RETRY_WAIT_MIN, RETRY_WAIT_MAX);
    loop {
        let Some(core) = core.upgrade() else { return };
        let owners = core.unconfirmed.some(RETRY_OWNERS);
        if owners.is_empty() {
            backoff.reset();
            // Waits on a part of the core, so that this task does not keep an unused cache alive.
            let unconfirmed = core.unconfirmed.clone();
            let closed = core.closed.clone();
            drop(core);
            tokio::select! {
                () = unconfirmed.wait() => continue,
                () = closed.notified() => return,
            }
        }
        let mut failed = false;
        for owner in &owners {
            if let Err(error) = core.repeat_invalidation(owner).await {
                failed = true;
                if error.is_outage() {
                    break;
                }
            }
        }
        let wait = failed.then(|| backoff.next_wait(core.random()));
        drop(core);
        if let Some(wait) = wait {
            sleep(wait).await;
        }
    }
}
