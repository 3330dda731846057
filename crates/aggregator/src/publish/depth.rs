//! Shows in the metrics how much is not published and how old it is, whichever process publishes it.

use std::sync::Arc;
use std::time::Duration;

use database::OutboxRepository;
use tokio::time::sleep;

use super::age;
use crate::clock::Clock;
use crate::metrics::Metrics;

/// How often. A look costs more the more there is; metrics are read every ten seconds or so.
const INTERVAL: Duration = Duration::from_secs(5);

/// Looks again and again, until it is aborted.
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
                let oldest = oldest.map(|then| age(clock.now(), then));
                metrics.set_outbox_depth(depth.unpublished, oldest.unwrap_or_default());
            }
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(error = cause, "the depth of the outbox is not known now");
            }
        }
        sleep(INTERVAL).await;
    }
}
