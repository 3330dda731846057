//! Drain at the beginning of a stop: not ready, and still answering.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::health::Health;

/// When `stop` fires, the process is not ready at once. It closes after `delay`, in which those who send
/// requests notice that and stop sending.
pub(super) async fn drain(
    stop: CancellationToken,
    health: Health,
    delay: Duration,
    close: CancellationToken,
) {
    stop.cancelled().await;
    health.set_stopping();
    sleep(delay).await;
    close.cancel();
}
