//! Interleaved rounds: the subjects of a table take turns, and each runs as often as every other.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use freshset::{Clock as _, SystemClock};
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::sleep;

use crate::Result;
use crate::report::{median, progress};

/// Rounds of each table; odd, so that there is a middle one.
const ROUNDS: usize = 7;
/// How long a subject runs in a round.
const TURN: Duration = Duration::from_millis(400);
/// How long it runs before the first round.
const WARM_UP: Duration = Duration::from_millis(200);

/// One operation of a subject.
pub(crate) type Operation =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

/// Something to be measured.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) operation: Operation,
}

impl Subject {
    pub(crate) fn new<F>(
        name: &'static str,
        operation: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self { name, operation: Arc::new(move || Box::pin(operation())) }
    }
}

/// Operations a second of one subject.
pub(crate) struct Rate {
    pub(crate) name: &'static str,
    pub(crate) median: u64,
    pub(crate) slowest: u64,
    pub(crate) fastest: u64,
    /// Median of the ratios to the first subject within a round, in hundredths.
    pub(crate) ratio_percent: u64,
}

/// Runs all subjects in turns, with this many callers at once.
pub(crate) async fn rates(what: &str, subjects: &[Subject], callers: usize) -> Result<Vec<Rate>> {
    progress(&format!("{what}, {callers} at once"));
    for subject in subjects {
        rate(subject, callers, WARM_UP).await?;
    }
    let mut rounds = vec![Vec::new(); subjects.len()];
    for _ in 0..ROUNDS {
        for (subject, rates) in subjects.iter().zip(&mut rounds) {
            rates.push(rate(subject, callers, TURN).await?);
        }
    }
    let first = rounds.first().cloned().unwrap_or_default();
    let rate = |(subject, rates): (&Subject, Vec<u64>)| {
        let ratios = rates.iter().zip(&first).map(|(rate, first)| rate * 100 / (*first).max(1));
        Rate {
            name: subject.name,
            median: median(rates.iter().copied()).unwrap_or_default(),
            slowest: rates.iter().copied().min().unwrap_or_default(),
            fastest: rates.iter().copied().max().unwrap_or_default(),
            ratio_percent: median(ratios).unwrap_or_default(),
        }
    };
    Ok(subjects.iter().zip(rounds).map(rate).collect())
}

/// Operations a second.
async fn rate(subject: &Subject, callers: usize, time: Duration) -> Result<u64> {
    let (done, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clock = SystemClock::default();
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (operation, done, is_over) = (subject.operation.clone(), done.clone(), is_over.clone());
        running.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                operation().await?;
                // An operation that never waits would keep the timer from running.
                consume_budget().await;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, freshset::BoxError>(())
        });
    }
    sleep(time).await;
    is_over.store(true, Ordering::Relaxed);
    while let Some(caller) = running.join_next().await {
        caller??;
    }
    let micros = clock.now().as_micros().max(1) as u64;
    Ok(done.load(Ordering::Relaxed) * 1_000_000 / micros)
}
