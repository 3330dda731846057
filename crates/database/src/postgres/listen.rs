//! Listener for outbox writes of all processes, on its own connection.
//!
//! It only wakes waiters; a missed notification costs time, nothing else.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::error::DbError;
use crate::outbox::OutboxNotifier;

/// Channel that `write.sql` notifies.
const CHANNEL: &str = "outbox_written";

/// A connection that is silent for so long is replaced: its server may be gone without closing it.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Waits between attempts to connect.
const CONNECT_WAIT_MIN: Duration = Duration::from_millis(250);
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Listens until the notifier is dropped.
pub(super) fn notifier(server: PgConnectOptions, connect_timeout: Duration) -> OutboxNotifier {
    let (written, notifier) = watch::channel(());
    let mut listening = JoinSet::new();
    listening.spawn(listen_with_retry(server, connect_timeout, written));
    OutboxNotifier::new(notifier, listening)
}

async fn listen_with_retry(
    server: PgConnectOptions,
    connect_timeout: Duration,
    written: watch::Sender<()>,
) {
    let mut backoff = Backoff::between(CONNECT_WAIT_MIN, CONNECT_WAIT_MAX);
    loop {
        match connect(&server, connect_timeout).await {
            Ok(listener) => {
                backoff = Backoff::between(CONNECT_WAIT_MIN, CONNECT_WAIT_MAX);
                forward(listener, &written).await;
            }
            Err(error) => {
                // The outage itself is logged by the calls that need the database.
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(error = cause, "not listening for outbox writes, connecting again");
            }
        }
        sleep(backoff.next_wait()).await;
    }
}

async fn connect(
    server: &PgConnectOptions,
    connect_timeout: Duration,
) -> Result<PgListener, DbError> {
    // The listener needs a pool. This one belongs to it and ends with it.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(connect_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(server.clone());
    let connecting = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    Ok(timeout(connect_timeout, connecting).await.map_err(DbError::unavailable)??)
}

/// Forwards notifications until the connection is lost, or silent for long.
async fn forward(mut listener: PgListener, written: &watch::Sender<()>) {
    // Notifications may have been missed until now.
    written.send_replace(());
    while let Ok(Ok(Some(_))) = timeout(SILENCE_MAX, listener.try_recv()).await {
        written.send_replace(());
    }
}
