//! Relay between an outbox and a broker in memory, with paused time.

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

/// Delivery timeout of the relay.
pub(crate) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Poll interval longer than any test.
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

/// A running relay.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) metrics: Metrics,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts one with this poll interval.
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

    /// Starts one that claims only when it is notified.
    pub(crate) fn new(outbox: &FakeOutbox, broker: &FakeBroker) -> Self {
        Self::polling(NEVER, outbox, broker)
    }

    /// Stops it; how long that took.
    pub(crate) async fn stop(self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the clock of tokio, which the test pauses")]
        let stopped_at = tokio::time::Instant::now();
        self.stop.cancel();
        tokio::time::timeout(NEVER, self.task).await.unwrap().unwrap();
        stopped_at.elapsed()
    }

    /// The value of one series.
    pub(crate) fn metric(&self, line_start: &str) -> u64 {
        let page = self.metrics.encode(Exposition::Text).unwrap();
        let line = page.lines().find(|line| line.starts_with(line_start));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// Lets paused time pass.
pub(crate) async fn pass(time: Duration) {
    sleep(time).await;
}

/// The times between moments, in seconds.
pub(crate) fn gaps_seconds(moments: &[Instant]) -> Vec<f64> {
    moments.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
}

/// Asserts a wait of this nominal length: jitter may shorten it to the half.
#[track_caller]
pub(crate) fn assert_waited(seconds: f64, nominal_seconds: f64) {
    const SLACK_SECONDS: f64 = 0.1;
    let allowed = nominal_seconds / 2.0 - SLACK_SECONDS..=nominal_seconds + SLACK_SECONDS;
    assert!(allowed.contains(&seconds), "waited {seconds} s of {nominal_seconds} s");
}
