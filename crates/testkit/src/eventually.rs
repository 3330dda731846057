//! Tests wait for a condition, not for a time.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Pause between two checks: short for a test, long enough to leave a core free.
const CHECK_PAUSE: Duration = Duration::from_millis(10);

/// The result of one check: the value that is waited for, or the state seen instead.
pub trait Condition {
    /// The value that is waited for.
    type Value;

    /// The value, or the state seen instead, which a failure shows.
    ///
    /// # Errors
    ///
    /// The condition does not hold yet.
    fn reached(self) -> Result<Self::Value, String>;
}

impl Condition for bool {
    type Value = ();

    fn reached(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "false".to_owned())
    }
}

impl<T> Condition for Option<T> {
    type Value = T;

    fn reached(self) -> Result<T, String> {
        self.ok_or_else(|| "none".to_owned())
    }
}

impl<T, E: Debug> Condition for Result<T, E> {
    type Value = T;

    fn reached(self) -> Result<T, String> {
        self.map_err(|state| format!("{state:?}"))
    }
}

/// Calls `check` until it returns `true`, `Some` or `Ok`, and returns the value.
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
pub async fn eventually<O: Condition>(
    limit: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> O,
) -> O::Value {
    let mut last_state = "the first check has not ended".to_owned();
    let checking = timeout(limit, async {
        loop {
            match check().await.reached() {
                Ok(value) => return value,
                Err(state) => last_state = state,
            }
            sleep(CHECK_PAUSE).await;
        }
    });
    match checking.await {
        Ok(value) => value,
        Err(_) => panic!("not within {limit:?}: {what}; last seen: {last_state}"),
    }
}
