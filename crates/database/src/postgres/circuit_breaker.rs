//! Circuit breaker: while the server does not answer, calls fail at once.
//!
//! A failure alone does not open it: an exhausted pool and a single lost connection look the same.
//! A failure starts a probe of two new connections, whose result decides. While the breaker is
//! open, the probe is repeated, and nothing else connects: whatever the load, the server sees a few
//! attempts a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backoff::Backoff;
use crate::error::DbError;
use crate::outage::ReportedOutage;
use crate::postgres::connect::{ConnectionLimits, check_sessions, connect, within};

/// Waits between probes.
const PROBE_WAIT_MIN: Duration = Duration::from_millis(250);
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);

/// The circuit breaker. Clones share it; the probe ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct CircuitBreaker {
    shared: Arc<Shared>,
    stop: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    server: PgConnectOptions,
    limits: ConnectionLimits,
    state: watch::Sender<State>,
    is_probing: AtomicBool,
}

#[derive(Debug, Clone)]
enum State {
    /// The server answers, as far as is known.
    Closed,
    /// A connection failed, and the first probe is in flight.
    Probing,
    /// The server is unavailable, for this reason.
    Open(Arc<DbError>),
}

impl CircuitBreaker {
    pub(super) fn new(server: PgConnectOptions, limits: ConnectionLimits) -> Self {
        let shared = Shared {
            server,
            limits,
            state: watch::Sender::new(State::Closed),
            is_probing: AtomicBool::new(false),
        };
        let stop = Arc::new(CancellationToken::new().drop_guard());
        Self { shared: Arc::new(shared), stop }
    }

    /// Waits until it is open; returns the error of a call.
    pub(super) async fn wait_until_open(&self) -> DbError {
        let mut state = self.shared.state.subscribe();
        match state.wait_for(|state| matches!(state, State::Open(_))).await.as_deref() {
            Ok(State::Open(source)) => open_error(source),
            _ => DbError::unavailable(sqlx::Error::PoolClosed),
        }
    }

    /// Waits while the first probe is in flight.
    pub(super) async fn wait_for_first_probe(&self) {
        let mut state = self.shared.state.subscribe();
        // Fails only when the breaker is dropped.
        let _ = state.wait_for(|state| !matches!(state, State::Probing)).await;
    }

    /// Starts a probe, unless one is in flight.
    pub(super) fn report_failure(&self) {
        if !self.shared.is_probing.swap(true, Ordering::AcqRel) {
            self.shared.state.send_replace(State::Probing);
            let (shared, stop) = (self.shared.clone(), self.stop.token().clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = shared.probe() => {}
                }
            });
        }
    }

    /// Cancels a probe in flight.
    pub(super) fn close(&self) {
        self.stop.token().cancel();
    }
}

impl Shared {
    /// Connects until the server accepts the connection.
    async fn probe(&self) {
        let mut backoff = Backoff::between(PROBE_WAIT_MIN, PROBE_WAIT_MAX);
        while let Err(error) = self.check_server().await {
            self.open(error);
            sleep(backoff.next_wait()).await;
        }
        if matches!(self.state.send_replace(State::Closed), State::Open(_)) {
            tracing::info!("database available again");
        }
        // An exhausted pool must not cause one probe after another.
        sleep(PROBE_WAIT_MIN).await;
        self.is_probing.store(false, Ordering::Release);
    }

    /// Checks that the server accepts a connection, or is only at its limit of connections, and
    /// keeps sessions: the mode of a pooler may have changed since the start.
    async fn check_server(&self) -> Result<(), DbError> {
        let asking = async {
            let mut connection = connect(&self.server, self.limits).await?;
            let check = check_sessions(&self.server, &mut connection, self.limits);
            within(self.limits.connect_timeout, check).await
        };
        match asking.await {
            Err(error) if !error.is_crowded() => Err(error),
            _ => Ok(()),
        }
    }

    fn open(&self, error: DbError) {
        let error = Arc::new(error);
        let before = self.state.send_replace(State::Open(error.clone()));
        let error = &*error as &dyn std::error::Error;
        if matches!(before, State::Open(_)) {
            tracing::debug!(error, "database still unavailable");
        } else {
            tracing::warn!(error, "database unavailable, connecting again until it answers");
        }
    }
}

/// Error of a call while the breaker is open: of the same kind as its cause.
fn open_error(source: &Arc<DbError>) -> DbError {
    let outage = ReportedOutage { source: source.clone() };
    match &**source {
        DbError::Misconfigured { hint, .. } => DbError::misconfigured(hint.clone(), outage),
        _ => DbError::unavailable(outage),
    }
}
