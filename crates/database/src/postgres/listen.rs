//! Listening for what other processes write to the outbox, on a connection of its own.
//!
//! It wakes whoever waits; it reads nothing, and missing something costs time alone.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::error::DbError;
use crate::outbox::OutboxNotifier;

/// What the statement that writes the outbox notifies.
const CHANNEL: &str = "outbox_written";

/// A connection that said nothing for so long is replaced: the server may be gone without a word,
/// and then it would never say anything again.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The waits between attempts to connect.
const CONNECT_WAIT_MIN: Duration = Duration::from_millis(250);
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Listens until the bell is dropped.
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
                pass_on(listener, &written).await;
            }
            Err(error) => {
                // Whoever needs the database for more than a hint says so louder.
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(error = cause, "not listening for announcements, trying again");
            }
        }
        sleep(backoff.next_wait()).await;
    }
}

async fn connect(
    server: &PgConnectOptions,
    connect_timeout: Duration,
) -> Result<PgListener, DbError> {
    // The listener wants a pool. This one is of its own and ends with it.
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

/// Passes notifications on until the connection is lost, or silent for long.
async fn pass_on(mut listener: PgListener, written: &watch::Sender<()>) {
    // Nobody listened until now.
    written.send_replace(());
    while let Ok(Ok(Some(_))) = timeout(SILENCE_MAX, listener.try_recv()).await {
        written.send_replace(());
    }
}
