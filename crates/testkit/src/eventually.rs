//! Waiting for a condition instead of for a time.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Pause between two looks: short beside what is waited for, long enough to leave a core free.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// What one look can give: the thing waited for, or what is still in its way.
pub trait Outcome {
    /// The thing waited for.
    type Value;

    /// The value, or the state seen instead, for the message of a failure.
    ///
    /// # Errors
    ///
    /// The condition does not hold yet.
    fn reached(self) -> Result<Self::Value, String>;
}

impl Outcome for bool {
    type Value = ();

    fn reached(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "false".to_owned())
    }
}

impl<T> Outcome for Option<T> {
    type Value = T;

    fn reached(self) -> Result<T, String> {
        self.ok_or_else(|| "none".to_owned())
    }
}

impl<T, E: Debug> Outcome for Result<T, E> {
    type Value = T;

    fn reached(self) -> Result<T, String> {
        self.map_err(|state| format!("{state:?}"))
    }
}

/// Looks again and again until `look` gives `true`, `Some` or `Ok`, and returns what it gave.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn count() -> u64 { 3 }
/// # async fn example() {
/// testkit::eventually(Duration::from_secs(5), "three rows", async || match count().await {
///     3 => Ok(()),
///     other => Err(other), // shown if it stays that way
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
///
/// After `limit`, with `what` and the last state seen.
pub async fn eventually<O: Outcome>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> O,
) -> O::Value {
    let mut last_state = "the first look has not ended".to_owned();
    let looking = timeout(limit, async {
        loop {
            match look().await.reached() {
                Ok(value) => return value,
                Err(state) => last_state = state,
            }
            sleep(LOOK_PAUSE).await;
        }
    });
    match looking.await {
        Ok(value) => value,
        Err(_) => panic!("not within {limit:?}: {what}; last seen: {last_state}"),
    }
}
