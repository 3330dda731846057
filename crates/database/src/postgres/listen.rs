//! Listener for outbox writes and list changes of all processes, on one connection of its own.
//!
//! A missed notification costs time, nothing else: those who wait for outbox writes poll, and those who
//! wait for list changes learn that they may have missed some.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use projection::UserId;
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::error::DbError;
use crate::list_changes::{LIST_CHANGES_MAX, ListChange};
use crate::version::Version;

/// Channels that `write.sql` notifies.
const OUTBOX_WRITTEN: &str = "outbox_written";
const LIST_CHANGED: &str = "list_changed";

/// A connection that is silent for so long is replaced: its server may be gone without closing it.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Waits between attempts to connect.
const CONNECT_WAIT_MIN: Duration = Duration::from_millis(250);
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Payload of [`LIST_CHANGED`].
#[derive(Deserialize)]
struct ChangedList {
    user_id: String,
    version: u64,
}

/// Listens while somebody holds what [`listen`](Self::listen) gave. Clones share the connection.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    server: PgConnectOptions,
    connect_timeout: Duration,
    subscribers: Subscribers,
    listening: Arc<Mutex<Weak<JoinSet<()>>>>,
}

/// Those who listen.
#[derive(Debug, Clone)]
struct Subscribers {
    outbox_written: watch::Sender<()>,
    list_changes: broadcast::Sender<ListChange>,
}

impl Listener {
    pub(super) fn new(server: PgConnectOptions, connect_timeout: Duration) -> Self {
        let subscribers = Subscribers {
            outbox_written: watch::Sender::new(()),
            list_changes: broadcast::Sender::new(LIST_CHANGES_MAX),
        };
        Self { server, connect_timeout, subscribers, listening: Arc::default() }
    }

    pub(super) fn outbox_written(&self) -> watch::Receiver<()> {
        self.subscribers.outbox_written.subscribe()
    }

    pub(super) fn list_changes(&self) -> broadcast::Receiver<ListChange> {
        self.subscribers.list_changes.subscribe()
    }

    /// The task that listens, which begins if there is none. Subscribe before.
    pub(super) fn listen(&self) -> Arc<JoinSet<()>> {
        // A panic while the lock was held leaves a whole value.
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = listening.upgrade() {
            return running;
        }
        let mut begun = JoinSet::new();
        let Self { server, connect_timeout, subscribers, .. } = self.clone();
        begun.spawn(listen_with_retry(server, connect_timeout, subscribers));
        let begun = Arc::new(begun);
        *listening = Arc::downgrade(&begun);
        begun
    }
}

impl Subscribers {
    /// Notifications may have been missed until now.
    fn missed(&self) {
        self.outbox_written.send_replace(());
        // An error: nobody listens.
        let _ = self.list_changes.send(ListChange::Missed);
    }

    fn notified(&self, channel: &str, payload: &str) {
        if channel == OUTBOX_WRITTEN {
            self.outbox_written.send_replace(());
            return;
        }
        let change = serde_json::from_str::<ChangedList>(payload).ok().and_then(|changed| {
            let user_id = UserId::parse(changed.user_id).ok()?;
            Some(ListChange::Changed { user_id, version: Version(changed.version) })
        });
        // What cannot be read comes from a newer build.
        let _ = self.list_changes.send(change.unwrap_or(ListChange::Missed));
    }
}

async fn listen_with_retry(
    server: PgConnectOptions,
    connect_timeout: Duration,
    subscribers: Subscribers,
) {
    let mut backoff = Backoff::between(CONNECT_WAIT_MIN, CONNECT_WAIT_MAX);
    loop {
        match connect(&server, connect_timeout).await {
            Ok(listener) => {
                backoff = Backoff::between(CONNECT_WAIT_MIN, CONNECT_WAIT_MAX);
                forward(listener, &subscribers).await;
            }
            Err(error) => {
                // The outage itself is logged by the calls that need the database.
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(error = cause, "not listening for notifications, connecting again");
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
        listener.listen_all([OUTBOX_WRITTEN, LIST_CHANGED]).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    Ok(timeout(connect_timeout, connecting).await.map_err(DbError::unavailable)??)
}

/// Forwards notifications until the connection is lost, or silent for long.
async fn forward(mut listener: PgListener, subscribers: &Subscribers) {
    subscribers.missed();
    while let Ok(Ok(Some(notification))) = timeout(SILENCE_MAX, listener.try_recv()).await {
        subscribers.notified(notification.channel(), notification.payload());
    }
}
