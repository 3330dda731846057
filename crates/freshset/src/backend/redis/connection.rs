//! The connection to the server, and how it is replaced.
//!
//! A background task connects, asks the server for its role, and watches the connection. A command, or
//! the task itself, closes a connection that does not lead to the primary; the task then makes another
//! one, with backoff, until it succeeds. It never sends a command again.
//!
//! The server is asked for its role before it is used, and again every [`ROLE_CHECK_INTERVAL`]. So
//! nothing is read from a known replica. A primary that becomes a replica under an open connection is
//! noticed after that interval at the latest, or by the first write.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::backend::redis::error::{Failure, NotPrimary, ends_connection, of_command};
use crate::backoff::Backoff;
use crate::clock::{Clock, SystemClock};
use crate::error::BackendError;
use crate::random::Random;

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
/// Names of the primary role in `HELLO`.
const PRIMARY_ROLES: [&str; 2] = ["master", "primary"];
/// Commands queued to the connection's task. Beyond it a command waits.
const COMMANDS_QUEUED_MAX: usize = 1024;

/// How to connect.
#[derive(Debug)]
pub(super) struct Dialer {
    pub(super) client: Client,
    /// Limit of one attempt, handshake and role included.
    pub(super) connect_timeout: Duration,
    /// Limit of one command; none waits longer.
    pub(super) response_timeout: Duration,
    pub(super) random: Arc<dyn Random>,
}

/// The current connection, or why there is none.
#[derive(Debug)]
pub(super) struct Connection {
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
enum State {
    /// The first attempt, or the first after a connection that lasted long. Calls wait for it.
    Connecting,
    /// The last attempt failed, and another one follows. Calls fail at once.
    Unavailable(Failure),
    Connected(Link),
}

/// A connection in use by a call.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Number of the connection, counted from 1.
    pub(super) number: u64,
    pub(super) connection: MultiplexedConnection,
}

impl Connection {
    /// Begins to connect. Must be called inside a tokio runtime.
    pub(super) fn open(dialer: Dialer) -> Self {
        let state = Arc::new(watch::Sender::new(State::Connecting));
        let task = tokio::spawn(keep_connected(dialer, Arc::clone(&state)));
        Self { state, task }
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
            if ends_connection(&error) {
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
        let connection = loop {
            match dialer.connect().await {
                Ok(connection) => break connection,
                Err(failure) => {
                    outage.begins(&failure);
                    state.send_replace(State::Unavailable(failure));
                    sleep(backoff.next_wait(&*dialer.random)).await;
                }
            }
        };
        let link = Link { number, connection };
        let connected_at = clock.now();
        state.send_replace(State::Connected(link.clone()));
        watch_connection(&dialer, &state, link, &mut outage).await;
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
    mut link: Link,
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
        let limit = dialer.response_timeout;
        match check_role(&mut link.connection, limit).await {
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

impl Dialer {
    async fn connect(&self) -> Result<MultiplexedConnection, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
            .set_pipeline_buffer_size(COMMANDS_QUEUED_MAX);
        let attempt = async {
            let opening = self.client.get_multiplexed_async_connection_with_config(&config);
            let opened = opening.await;
            let mut connection =
                opened.map_err(|error| Failure::of(error, self.connect_timeout))?;
            check_role(&mut connection, self.connect_timeout).await?;
            Ok(connection)
        };
        let connected = timeout(self.connect_timeout, attempt).await;
        connected.unwrap_or(Err(Failure::TimedOut(self.connect_timeout)))
    }
}

/// Checks that the server is a primary and serves commands. One that loads its data, or that a script
/// keeps busy, answers `HELLO` with its role and refuses `PING`.
async fn check_role(
    connection: &mut MultiplexedConnection,
    limit: Duration,
) -> Result<(), Failure> {
    let check = async {
        let hello: HashMap<String, Value> = redis::cmd("HELLO").query_async(connection).await?;
        let _: Value = redis::cmd("PING").query_async(connection).await?;
        Ok::<_, RedisError>(role(&hello))
    };
    match timeout(limit, check).await {
        Ok(Ok(role)) if PRIMARY_ROLES.contains(&&*role) => Ok(()),
        Ok(Ok(role)) => Err(Failure::NotPrimary(NotPrimary { role })),
        Ok(Err(error)) => Err(Failure::of(error, limit)),
        Err(_) => Err(Failure::TimedOut(limit)),
    }
}

/// The role in the answer to `HELLO`; a sentinel has none, so its mode is taken.
fn role(hello: &HashMap<String, Value>) -> String {
    let named = ["role", "mode"].into_iter().find_map(|name| hello.get(name));
    let text = named.and_then(|value| redis::from_redis_value_ref::<String>(value).ok());
    text.unwrap_or_else(|| "unknown".to_owned())
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
