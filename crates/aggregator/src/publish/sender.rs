//! Sender of the records of one claim: keys concurrently, the records of a key one after another.
//!
//! The next record of a key is sent only when the one before is acknowledged, so a record that fails is
//! never overtaken. It marks nothing and retries nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use database::{OutboxPosition, OutboxRecord};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::publisher::{PublishError, Publisher};
use crate::clock::{Clock, time_between};
use crate::metrics::Metrics;

/// How long a stop waits for the records in flight.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long after the delivery timeout a publisher that has not returned is cancelled.
const SLACK: Duration = Duration::from_secs(5);

/// Sends the records of claims.
pub(super) struct Sender {
    pub(super) publisher: Arc<dyn Publisher>,
    pub(super) delivery_timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
}

/// Results of a claim. Records in neither list were not sent, or were cancelled.
#[derive(Debug, Default)]
pub(super) struct Delivered<'a> {
    /// Acknowledged by the broker.
    pub(super) acknowledged: Vec<OutboxPosition>,
    /// The first failed record of each key, with its error.
    pub(super) failed: Vec<(&'a OutboxRecord, PublishError)>,
}

impl Sender {
    /// How long a claim is held at most.
    pub(super) fn hold_max(&self) -> Duration {
        2 * (self.delivery_timeout + SLACK)
    }

    /// Sends records until the delivery timeout, or until `stop`; then starts no new sends and waits for
    /// those in flight, after a stop for [`DRAIN_TIMEOUT`] only.
    pub(super) async fn deliver<'a>(
        &self,
        records: &'a [OutboxRecord],
        stop: &CancellationToken,
    ) -> Delivered<'a> {
        let delivered = Mutex::default();
        let send_no_more = stop.child_token();
        let mut keys: FuturesUnordered<_> = by_key(records)
            .into_values()
            .map(|records| self.send_in_order(records, &send_no_more, &delivered))
            .collect();
        let all_sent = async { while keys.next().await.is_some() {} };
        let timed_out = async {
            sleep(self.delivery_timeout).await;
            send_no_more.cancel();
            sleep(self.delivery_timeout + SLACK).await;
        };
        let drained = async {
            stop.cancelled().await;
            sleep(DRAIN_TIMEOUT).await;
        };
        tokio::select! {
            () = all_sent => {}
            () = timed_out => {}
            () = drained => {}
        }
        drop(keys);
        delivered.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_in_order<'a>(
        &self,
        records: Vec<&'a OutboxRecord>,
        send_no_more: &CancellationToken,
        delivered: &Mutex<Delivered<'a>>,
    ) {
        for record in records {
            if send_no_more.is_cancelled() {
                return;
            }
            match self.publisher.publish(record).await {
                Ok(()) => {
                    let delay = time_between(record.written_at, self.clock.now());
                    self.metrics.outbox_published(&record.topic, delay);
                    lock(delivered).acknowledged.push(record.position);
                }
                Err(error) => {
                    self.metrics.outbox_send_failed(&record.topic, error.reason());
                    lock(delivered).failed.push((record, error));
                    return;
                }
            }
        }
    }
}

/// The records of each key, in their order.
fn by_key(records: &[OutboxRecord]) -> HashMap<&str, Vec<&OutboxRecord>> {
    let mut keys: HashMap<&str, Vec<&OutboxRecord>> = HashMap::new();
    for record in records {
        keys.entry(&record.key).or_default().push(record);
    }
    keys
}

fn lock<'a, 'b>(delivered: &'b Mutex<Delivered<'a>>) -> MutexGuard<'b, Delivered<'a>> {
    // A panic while the lock was held cannot leave half an entry.
    delivered.lock().unwrap_or_else(PoisonError::into_inner)
}
