//! Sends the records of one claim: keys beside each other, the records of a key one after another.
//!
//! The next record of a key is begun only when the one before is acknowledged, so a record that
//! fails, for good or not, is never overtaken. It marks nothing and tries nothing twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use database::{OutboxPosition, OutboxRecord};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::relay::DRAIN_TIMEOUT;
use super::{PublishError, Publisher, age};
use crate::clock::Clock;
use crate::metrics::Metrics;

/// How much later than its own limit a publisher is given up on.
const SLACK: Duration = Duration::from_secs(5);

/// Whoever sends.
pub(super) struct Sender {
    pub(super) publisher: Arc<dyn Publisher>,
    pub(super) delivery_timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
}

/// What became of the records of a claim. Those in neither list were not begun, or given up on.
#[derive(Debug, Default)]
pub(super) struct Delivered<'a> {
    /// They are safe.
    pub(super) acknowledged: Vec<OutboxPosition>,
    /// Of each key that failed the record that did.
    pub(super) failed: Vec<(&'a OutboxRecord, PublishError)>,
}

impl Sender {
    /// How long a claim is held at most, until something is marked.
    pub(super) fn hold_max(&self) -> Duration {
        2 * (self.delivery_timeout + SLACK)
    }

    /// Sends what it can within the limits: no record is begun later than the delivery timeout, or
    /// after `stop`; then those under way are waited for, after a stop for [`DRAIN_TIMEOUT`] only.
    pub(super) async fn deliver<'a>(
        &self,
        records: &'a [OutboxRecord],
        stop: &CancellationToken,
    ) -> Delivered<'a> {
        let delivered = Mutex::default();
        let enough = stop.child_token();
        let mut keys: FuturesUnordered<_> = by_key(records)
            .into_values()
            .map(|records| self.send_in_order(records, &enough, &delivered))
            .collect();
        let all_sent = async { while keys.next().await.is_some() {} };
        let too_late = async {
            sleep(self.delivery_timeout).await;
            enough.cancel();
            sleep(self.delivery_timeout + SLACK).await;
        };
        let stopped = async {
            stop.cancelled().await;
            sleep(DRAIN_TIMEOUT).await;
        };
        tokio::select! {
            () = all_sent => {}
            () = too_late => {}
            () = stopped => {}
        }
        drop(keys);
        delivered.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_in_order<'a>(
        &self,
        records: Vec<&'a OutboxRecord>,
        enough: &CancellationToken,
        delivered: &Mutex<Delivered<'a>>,
    ) {
        for record in records {
            if enough.is_cancelled() {
                return;
            }
            match self.publisher.publish(record).await {
                Ok(()) => {
                    let delay = age(self.clock.now(), record.written_at);
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
