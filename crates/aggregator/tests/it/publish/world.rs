//! A relay between an outbox and a broker in memory, and time that passes when nothing else happens.

use std::sync::Arc;
use std::time::Duration;

use aggregator::clock::Clock;
use aggregator::metrics::{Exposition, Metrics};
use aggregator::publish::{Relay, RelayOptions};
use projection::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::publish::broker::FakeBroker;
use crate::publish::outbox::FakeOutbox;

/// How long the relay lets a record be tried.
pub(crate) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// So rarely that nothing here is owed to it.
pub(crate) const NEVER: Duration = Duration::from_secs(100 * 3600);

/// The paused clock of tokio.
#[derive(Debug)]
pub(crate) struct TokioClock {
    started: Instant,
}

impl TokioClock {
    #[expect(clippy::disallowed_methods, reason = "the clock of tokio, which the test pauses")]
    pub(crate) fn new() -> Self {
        Self { started: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(i64::try_from(self.monotonic().as_micros()).unwrap())
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A relay that runs.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) metrics: Metrics,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts one that looks by itself so often.
    pub(crate) fn polling(poll: Duration, outbox: &FakeOutbox, broker: &FakeBroker) -> Self {
        let (stop, metrics) = (CancellationToken::new(), Metrics::new());
        let relay = Relay::new(
            Arc::new(outbox.clone()),
            Arc::new(broker.clone()),
            RelayOptions { poll, delivery_timeout: DELIVERY_TIMEOUT },
            Arc::new(TokioClock::new()),
            metrics.clone(),
        );
        let task = tokio::spawn(relay.run(stop.clone()));
        Self { stop, metrics, task }
    }

    /// Starts one that waits until it is woken.
    pub(crate) fn new(outbox: &FakeOutbox, broker: &FakeBroker) -> Self {
        Self::polling(NEVER, outbox, broker)
    }

    /// Stops it, and says how long that took.
    pub(crate) async fn stop(self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the clock of tokio, which the test pauses")]
        let stopped_at = tokio::time::Instant::now();
        self.stop.cancel();
        tokio::time::timeout(NEVER, self.task).await.unwrap().unwrap();
        stopped_at.elapsed()
    }

    /// One line of the metrics.
    pub(crate) fn metric(&self, line_start: &str) -> u64 {
        let page = self.metrics.encode(Exposition::Text).unwrap();
        let line = page.lines().find(|line| line.starts_with(line_start));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// Lets time pass.
pub(crate) async fn pass(time: Duration) {
    sleep(time).await;
}

/// The times between moments, in seconds.
pub(crate) fn gaps_seconds(moments: &[Instant]) -> Vec<f64> {
    moments.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
}

/// That this was a wait of so much: at least half of it, as jitter may shorten it, and no more.
#[track_caller]
pub(crate) fn assert_waited(seconds: f64, nominal_seconds: f64) {
    const SLACK_SECONDS: f64 = 0.1;
    let allowed = nominal_seconds / 2.0 - SLACK_SECONDS..=nominal_seconds + SLACK_SECONDS;
    assert!(allowed.contains(&seconds), "waited {seconds} s of {nominal_seconds} s");
}
