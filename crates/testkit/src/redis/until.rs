//! The wait for a condition of servers, as an error instead of a panic.

use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::time::{sleep, timeout};

/// Pause between two checks.
const POLL: Duration = Duration::from_millis(50);

/// Calls `check` until it is successful. After `limit` the error is that of the last check.
pub(super) async fn until<T>(
    limit: Duration,
    what: &str,
    check: impl AsyncFn() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut last = anyhow!("the first check has not ended");
    let checking = timeout(limit, async {
        loop {
            match check().await {
                Ok(value) => return value,
                Err(error) => last = error,
            }
            sleep(POLL).await;
        }
    });
    match checking.await {
        Ok(value) => Ok(value),
        Err(_) => Err(last).with_context(|| format!("not within {limit:?}: {what}")),
    }
}
