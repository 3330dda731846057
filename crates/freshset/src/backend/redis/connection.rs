//! The connection to the server, and how it is replaced.
//!
//! A background task connects, asks the server for its role, and watches the connection. A command, or
//! the task itself, closes a connection that does not lead to the primary; the task then makes another
//! one, with backoff, until it succeeds. It never sends a command again. Several connections to one
//! server count as one: they are closed together.
//!
//! The server is asked for its role before it is used, and again every [`ROLE_CHECK_INTERVAL`]. So
//! nothing is read from a known replica. A primary that becomes a replica under an open connection is
//! noticed after that interval at the latest, or by the first write.

use std::error::Error;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, RedisResult};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::backend::redis::dialer::{Dialer, Server};
use crate::backend::redis::error::{Failure, ends_connection, of_command};
use crate::backend::redis::link::Link;
use crate::backoff::Backoff;
use crate::clock::{Clock, SystemClock};
use crate::error::BackendError;

/// How often the server of an open connection is asked for its role.
pub const ROLE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Waits between two attempts to connect: doubling, from and to, less some jitter.
const CONNECT_WAIT_MIN: Duration = Duration::from_millis(50);
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(2);
/// A connection that lasted this long is replaced at once; a shorter one, whose commands may all be
/// answered with an error, with backoff.
const CONNECTION_PROVEN: Duration = Duration::from_secs(5);
/// Role checks in a row that time out before a silent connection is closed.
const UNANSWERED_MAX: u32 = 3;

/// The current connection, or why there is none.
pub(super) struct Connection {
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
    is_cluster: bool,
}

#[derive(Clone)]
enum State {
    /// The first attempt, or the first after a connection that lasted long. Calls wait for it.
    Connecting,
    /// The last attempt failed, and another one follows. Calls fail at once.
    Unavailable(Failure),
    Connected(Link),
}

impl Connection {
    /// Begins to connect. Must be called inside a tokio runtime.
    pub(super) fn open(dialer: Dialer) -> Self {
        let is_cluster = match &dialer.server {
            Server::Given(connection) => connection.is_cluster(),
            #[cfg(feature = "cluster")]
            Server::Cluster(_) => true,
            _ => false,
        };
        let state = Arc::new(watch::Sender::new(State::Connecting));
        let task = tokio::spawn(keep_connected(dialer, Arc::clone(&state)));
        Self { state, task, is_cluster }
    }

    /// Whether it leads to a Cluster, whose keys are spread over servers.
    pub(super) fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    /// The current connection. Waits for the first attempt to connect, not for a later one.
    pub(super) async fn link(&self) -> Result<Link, BackendError> {
        if let State::Connected(link) = &*self.state.borrow() {
            return Ok(link.clone());
        }
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Connecting)).await;
        match settled.as_deref() {
            Ok(State::Connected(link)) => Ok(link.clone()),
            Ok(State::Unavailable(failure)) => Err(failure.clone().into_backend_error()),
            // `self` holds the sender, so the channel stays open.
            Ok(State::Connecting) | Err(_) => Err(replaced().into_backend_error()),
        }
    }

    /// Turns the answer to a command on `link` into the caller's result, and closes the connection if the
    /// error says that it must be replaced.
    pub(super) fn settle<T>(
        &self,
        link: &Link,
        answer: RedisResult<T>,
        limit: Duration,
    ) -> Result<T, BackendError> {
        let value = answer.map_err(|error| {
            // The client of a Cluster has a connection to each server, and replaces them by itself.
            if !self.is_cluster && ends_connection(&error) {
                close(&self.state, link.number, Failure::Error(error.clone()));
            }
            of_command(error, limit)
        })?;
        // An answer that arrives after its server turned out to be a replica is not used.
        match &*self.state.borrow() {
            State::Connected(current) if current.number == link.number => Ok(value),
            State::Unavailable(failure) => Err(failure.clone().into_backend_error()),
            State::Connecting | State::Connected(_) => Err(replaced().into_backend_error()),
        }
    }

    /// Number of the current connection, if there is one.
    pub(super) fn number(&self) -> Option<u64> {
        self.state.borrow().number()
    }

    /// Waits until the number of the current connection differs from `seen`.
    pub(super) async fn number_changed(&self, seen: Option<u64>) {
        // `self` holds the sender, so the channel stays open.
        let _ = self.state.subscribe().wait_for(|state| state.number() != seen).await;
    }
}

impl State {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Connected(link) => Some(link.number),
            Self::Connecting | Self::Unavailable(_) => None,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Closes the connection of this number, unless it has been replaced already.
fn close(state: &watch::Sender<State>, number: u64, failure: Failure) {
    state.send_if_modified(|state| {
        let is_current = state.number() == Some(number);
        if is_current {
            *state = State::Unavailable(failure);
        }
        is_current
    });
}

async fn keep_connected(dialer: Dialer, state: Arc<watch::Sender<State>>) {
    let clock = SystemClock::default();
    let mut backoff = Backoff::between(CONNECT_WAIT_MIN, CONNECT_WAIT_MAX);
    let mut outage = Outage::default();
    for number in 1.. {
        let link = loop {
            match dialer.connect(number).await {
                Ok(link) => break link,
                Err(failure) => {
                    outage.begins(&failure);
                    state.send_replace(State::Unavailable(failure));
                    sleep(backoff.next_wait(&*dialer.random)).await;
                }
            }
        };
        let connected_at = clock.now();
        state.send_replace(State::Connected(link.clone()));
        watch_connection(&dialer, &state, &link, &mut outage).await;
        if clock.now() - connected_at >= CONNECTION_PROVEN {
            backoff.reset();
            state.send_replace(State::Connecting);
        } else {
            if let State::Unavailable(failure) = &*state.borrow() {
                outage.begins(failure);
            }
            sleep(backoff.next_wait(&*dialer.random)).await;
        }
    }
}

/// Returns when the connection was closed, by a command or by the role check here.
async fn watch_connection(
    dialer: &Dialer,
    state: &watch::Sender<State>,
    link: &Link,
    outage: &mut Outage,
) {
    let mut unanswered = 0;
    loop {
        let mut changes = state.subscribe();
        let is_closed = |state: &State| !matches!(state, State::Connected(_));
        tokio::select! {
            _ = changes.wait_for(is_closed) => return,
            () = sleep(ROLE_CHECK_INTERVAL) => {}
        }
        match dialer.check(link).await {
            Ok(()) => {
                unanswered = 0;
                outage.ends();
            }
            Err(Failure::TimedOut(_)) if unanswered + 1 < UNANSWERED_MAX => unanswered += 1,
            Err(Failure::Error(error)) if is_busy(&error) => {}
            Err(failure) => close(state, link.number, failure),
        }
    }
}

fn is_busy(error: &RedisError) -> bool {
    error.code() == Some("BUSY")
}

/// Failure of a command whose connection was replaced meanwhile.
fn replaced() -> Failure {
    Failure::Error(io::Error::from(io::ErrorKind::NotConnected).into())
}

/// Logs one line when an outage begins and one when it ends.
#[derive(Debug, Default)]
struct Outage {
    is_logged: bool,
}

impl Outage {
    fn begins(&mut self, failure: &Failure) {
        let error = failure.clone().into_backend_error();
        let error = &error as &dyn Error;
        if mem::replace(&mut self.is_logged, true) {
            tracing::debug!(error, "redis unavailable, reconnecting");
        } else {
            tracing::warn!(
                error,
                "redis unavailable, reads bypass the cache, reconnecting with backoff"
            );
        }
    }

    fn ends(&mut self) {
        if mem::take(&mut self.is_logged) {
            tracing::info!("redis available again");
        }
    }
}
