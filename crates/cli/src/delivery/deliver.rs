//! Sending loop: records in order, at a given rate, until all are confirmed or a stop.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aggregator::clock::{Clock, SystemClock};
use anyhow::bail;
use indicatif::ProgressBar;
use simulate::SimulatedRecord;
use tokio::task::coop;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::outlet::Outlet;
use super::pace::Pace;
use super::summary::{Summary, Tally};

/// How long records that are already sent may take to be confirmed after a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How records are sent.
#[derive(Clone, Debug)]
pub struct DeliveryOptions {
    /// Records a second; none: as fast as the receiver accepts them.
    pub rate: Option<NonZeroU32>,
    /// Advanced by one for each record.
    pub progress: ProgressBar,
    /// Measures the rate and the duration.
    pub clock: Arc<dyn Clock>,
}

impl Default for DeliveryOptions {
    /// As fast as the receiver accepts them, without a visible progress bar.
    fn default() -> Self {
        Self { rate: None, progress: ProgressBar::hidden(), clock: Arc::new(SystemClock::new()) }
    }
}

/// Sends records in order and waits until all are confirmed. After `stop` is cancelled, no more are
/// sent, and those that are sent have ten seconds to be confirmed.
///
/// The first record that cannot be delivered ends the sending. It is no error: the summary reports
/// it, with the number of records that arrived.
///
/// # Example
///
/// Two thousand batches through Kafka, a thousand records a second:
///
/// ```no_run
/// use std::num::NonZeroU32;
///
/// use aggregator::brokers::KafkaConnection;
/// use cli::delivery::{DeliveryOptions, Outlet, deliver};
/// use simulate::{Extent, Simulation, SimulationOptions};
/// use tokio_util::sync::CancellationToken;
///
/// # async fn example() -> anyhow::Result<()> {
/// let extent = Extent::Batches(2_000);
/// let simulation = Simulation::new(SimulationOptions { extent, ..Default::default() });
/// let outlet = Outlet::kafka(&KafkaConnection::plaintext("127.0.0.1:9092")).await?;
/// let options = DeliveryOptions { rate: NonZeroU32::new(1_000), ..Default::default() };
/// let summary = deliver(simulation, outlet, &options, &CancellationToken::new()).await;
/// assert!(summary.is_complete(), "{summary}");
/// # Ok(())
/// # }
/// ```
pub async fn deliver(
    records: impl IntoIterator<Item = SimulatedRecord>,
    mut outlet: Outlet,
    options: &DeliveryOptions,
    stop: &CancellationToken,
) -> Summary {
    let started = options.clock.monotonic();
    let mut tally = Tally::default();
    let mut sent = send_all(records, &mut outlet, options, stop, &mut tally).await;
    // Also after a failure: the summary counts what arrived before it.
    sent = sent.and(until_drain_timeout(stop, outlet.settle()).await);
    let mut receipt = outlet.into_receipt();
    if let Err(error) = sent {
        receipt.add_complaint(format!("{error:#}"));
    }
    Summary { tally, receipt, took: options.clock.monotonic().saturating_sub(started) }
}

async fn send_all(
    records: impl IntoIterator<Item = SimulatedRecord>,
    outlet: &mut Outlet,
    options: &DeliveryOptions,
    stop: &CancellationToken,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let clock = &*options.clock;
    let mut pace = options.rate.map(|rate| Pace::new(rate, clock.monotonic()));
    for record in records {
        while let Some(Err(wait)) = pace.as_mut().map(|pace| pace.take(clock.monotonic())) {
            until_drain_timeout(stop, outlet.flush()).await?;
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(wait) => {}
            }
        }
        if stop.is_cancelled() {
            break;
        }
        // Sending may never block, and other tasks must get their turn.
        coop::consume_budget().await;
        tally.add(&record);
        until_drain_timeout(stop, outlet.send(record)).await?;
        options.progress.inc(1);
    }
    Ok(())
}

async fn until_drain_timeout(
    stop: &CancellationToken,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let timeout = async {
        stop.cancelled().await;
        sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        biased;
        done = work => done,
        () = timeout => bail!("drain timeout reached before all sent records were confirmed"),
    }
}
