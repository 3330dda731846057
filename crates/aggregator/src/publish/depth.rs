//! Metrics of the unpublished outbox records: how many, and how old the oldest is.

use std::sync::Arc;
use std::time::Duration;

use database::OutboxRepository;
use tokio::time::sleep;

use crate::clock::{Clock, time_between};
use crate::metrics::Metrics;

/// How often. The query costs more the more records there are; metrics are read every ten seconds or so.
const INTERVAL: Duration = Duration::from_secs(5);

/// Updates the metrics again and again, until it is aborted.
///
/// An age is shown only by a process that publishes: elsewhere it would grow for ever, and an alert
/// on it would fire without anything being wrong.
pub async fn show_depth(
    repository: Arc<dyn OutboxRepository>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    publishes: bool,
) {
    loop {
        match repository.outbox_depth().await {
            Ok(depth) => {
                let oldest = depth.oldest_written_at.filter(|_| publishes);
                let oldest = oldest.map(|then| time_between(then, clock.now()));
                metrics.set_outbox_depth(depth.unpublished, oldest.unwrap_or_default());
            }
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(error = cause, "depth of the outbox unknown, asking again");
            }
        }
        sleep(INTERVAL).await;
    }
}
