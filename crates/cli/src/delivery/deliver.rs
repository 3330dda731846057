//! Sends records to where they go, at their pace, until all are there or it is told to stop.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use indicatif::ProgressBar;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::outlet::Outlet;
use super::pace::Pace;
use super::summary::{Summary, Tally};
use aggregator::clock::{Clock, SystemClock};
use simulate::SimulatedRecord;

/// After a stop, how long what is under way may take to be confirmed.
const GRACE: Duration = Duration::from_secs(10);

/// How records are sent.
#[derive(Clone, Debug)]
pub struct DeliveryOptions {
    /// Records a second; none: as fast as they are taken.
    pub rate: Option<NonZeroU32>,
    /// Is moved on by one for each record.
    pub progress: ProgressBar,
    /// Measures the pace.
    pub clock: Arc<dyn Clock>,
}

impl Default for DeliveryOptions {
    /// As fast as they are taken, without showing anything.
    fn default() -> Self {
        Self { rate: None, progress: ProgressBar::hidden(), clock: Arc::new(SystemClock::new()) }
    }
}

/// Sends records in their order and waits until all are confirmed. After `stop` fires, no more are
/// sent, and what is under way has ten seconds.
///
/// What could not be delivered is no error but in the summary: it ends the sending, and says how
/// far it came.
///
/// # Example
///
/// Two thousand lives through Kafka, a thousand records a second:
///
/// ```no_run
/// use std::num::NonZeroU32;
///
/// use cli::delivery::{DeliveryOptions, Outlet, deliver};
/// use simulate::{Extent, Simulation, SimulationOptions};
/// use tokio_util::sync::CancellationToken;
///
/// # async fn example() -> anyhow::Result<()> {
/// let lives = Extent::Batches(2_000);
/// let simulation = Simulation::new(SimulationOptions { extent: lives, ..Default::default() });
/// let outlet = Outlet::kafka("127.0.0.1:9092").await?;
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
    // Also after a failure: to know what arrived before it.
    sent = sent.and(within_grace(stop, outlet.settle()).await);
    let mut receipt = outlet.into_receipt();
    if let Err(error) = sent {
        receipt.complain(format!("{error:#}"));
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
            within_grace(stop, outlet.flush()).await?;
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(wait) => {}
            }
        }
        if stop.is_cancelled() {
            break;
        }
        // Nothing else here may ever wait, and others want a turn too.
        tokio::task::coop::consume_budget().await;
        tally.add(&record);
        within_grace(stop, outlet.send(record)).await?;
        options.progress.inc(1);
    }
    Ok(())
}

async fn within_grace(
    stop: &CancellationToken,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let patience = async {
        stop.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        done = work => done,
        () = patience => bail!("stopped before everything under way was confirmed"),
    }
}
