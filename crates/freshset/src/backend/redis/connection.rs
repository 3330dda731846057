//! The one connection to the server, and the making of the next one.
//!
//! A background task connects, asks the server for its role, and watches the connection. Whoever
//! learns that the connection is not the right one gives it up; the task then makes another one,
//! with backoff, for as long as it takes. What it deliberately does not do: send a command again.
//!
//! A server is asked for its role before it is used, and again every [`ROLE_CHECK_INTERVAL`]. So
//! nothing is read from a server that is known to be a replica; a primary that becomes one under an
//! open connection, without a word, is noticed at most that much later, or by the first write.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::error::{Failure, NotPrimary, ends_connection, of_command};
use crate::backend::BackendError;
use crate::backoff::Backoff;
use crate::clock::{Clock, SystemClock};
use crate::random::Random;

/// How often the server of an open connection is asked for its role.
pub const ROLE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Waits between two attempts to connect: doubling, from and to, less some jitter.
const CONNECT_WAIT_MIN: Duration = Duration::from_millis(50);
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(2);
/// A connection that lasted this long is replaced at once. One that ended sooner, because each
/// command is answered with an error, is replaced with backoff.
const CONNECTION_PROVEN: Duration = Duration::from_secs(5);
/// Questions for the role that may stay unanswered before a silent connection is given up.
const UNANSWERED_MAX: u32 = 3;
/// How servers name the role of a primary.
const PRIMARY_ROLES: [&str; 2] = ["master", "primary"];
/// Commands on their way to the connection's task. Beyond it a command waits its turn.
const COMMANDS_QUEUED_MAX: usize = 1024;

/// How to connect.
#[derive(Debug)]
pub(super) struct Dialer {
    pub(super) client: Client,
    /// Limit of one attempt, handshake and role included.
    pub(super) connect_timeout: Duration,
    /// Limit that no command waits longer than.
    pub(super) response_timeout: Duration,
    pub(super) random: Arc<dyn Random>,
}

/// The present connection, or why there is none.
#[derive(Debug)]
pub(super) struct Connection {
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
enum State {
    /// The first attempt, or the first after a connection that was good for long. It is waited for.
    Connecting,
    /// The last attempt failed; another one follows. Calls fail at once.
    Unavailable(Failure),
    Connected(Link),
}

/// A connection that was handed out.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Counts the connections of this process, from 1.
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

    /// The present connection. Waits for the first attempt to make one; not for a later attempt.
    pub(super) async fn link(&self) -> Result<Link, BackendError> {
        if let State::Connected(link) = &*self.state.borrow() {
            return Ok(link.clone());
        }
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Connecting)).await;
        match settled.as_deref() {
            Ok(State::Connected(link)) => Ok(link.clone()),
            Ok(State::Unavailable(failure)) => Err(failure.clone().into_backend_error()),
            // `self` holds the sender, so the state has no end.
            Ok(State::Connecting) | Err(_) => Err(replaced().into_backend_error()),
        }
    }

    /// Turns the outcome of a command on `link` into the caller's, and gives the connection up if
    /// the error says that it is not the right one.
    pub(super) fn settle<T>(
        &self,
        link: &Link,
        outcome: RedisResult<T>,
        limit: Duration,
    ) -> Result<T, BackendError> {
        let value = outcome.map_err(|error| {
            if ends_connection(&error) {
                give_up(&self.state, link.number, Failure::Answered(error.clone()));
            }
            of_command(error, limit)
        })?;
        // An answer that arrives after its server was found to be a replica is not used.
        match &*self.state.borrow() {
            State::Connected(present) if present.number == link.number => Ok(value),
            State::Unavailable(failure) => Err(failure.clone().into_backend_error()),
            State::Connecting | State::Connected(_) => Err(replaced().into_backend_error()),
        }
    }

    /// Number of the present connection, if there is one.
    pub(super) fn number(&self) -> Option<u64> {
        self.state.borrow().number()
    }

    /// Waits until the number of the present connection is another one.
    pub(super) async fn number_changed(&self, seen: Option<u64>) {
        // An error means that the sender is gone, which `self` holds.
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

/// Gives up the connection of this number, unless it has been replaced already.
fn give_up(state: &watch::Sender<State>, number: u64, failure: Failure) {
    state.send_if_modified(|state| {
        let is_present = state.number() == Some(number);
        if is_present {
            *state = State::Unavailable(failure);
        }
        is_present
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
        watch_over(&dialer, &state, link, &mut outage).await;
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

/// Returns when the connection has been given up, by a command or by the check of the role here.
async fn watch_over(
    dialer: &Dialer,
    state: &watch::Sender<State>,
    mut link: Link,
    outage: &mut Outage,
) {
    let mut unanswered = 0;
    loop {
        let mut changes = state.subscribe();
        let is_given_up = |state: &State| !matches!(state, State::Connected(_));
        tokio::select! {
            _ = changes.wait_for(is_given_up) => return,
            () = sleep(ROLE_CHECK_INTERVAL) => {}
        }
        let limit = dialer.response_timeout;
        match greet(&mut link.connection, limit).await {
            Ok(()) => {
                unanswered = 0;
                outage.ends();
            }
            Err(Failure::TimedOut(_)) if unanswered + 1 < UNANSWERED_MAX => unanswered += 1,
            Err(Failure::Answered(error)) if is_busy(&error) => {}
            Err(failure) => give_up(state, link.number, failure),
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
            greet(&mut connection, self.connect_timeout).await?;
            Ok(connection)
        };
        let outcome = timeout(self.connect_timeout, attempt).await;
        outcome.unwrap_or(Err(Failure::TimedOut(self.connect_timeout)))
    }
}

/// Asks the server whether it is a primary, and whether it serves: one that loads its data, or that
/// a script keeps busy, tells its role and refuses `PING`.
async fn greet(connection: &mut MultiplexedConnection, limit: Duration) -> Result<(), Failure> {
    let asking = async {
        let hello: HashMap<String, Value> = redis::cmd("HELLO").query_async(connection).await?;
        let _: Value = redis::cmd("PING").query_async(connection).await?;
        Ok::<_, RedisError>(role(&hello))
    };
    match timeout(limit, asking).await {
        Ok(Ok(role)) if PRIMARY_ROLES.contains(&&*role) => Ok(()),
        Ok(Ok(role)) => Err(Failure::NotPrimary(NotPrimary { role })),
        Ok(Err(error)) => Err(Failure::of(error, limit)),
        Err(_) => Err(Failure::TimedOut(limit)),
    }
}

/// What `HELLO` says; a sentinel has no role and says so by its mode.
fn role(hello: &HashMap<String, Value>) -> String {
    let named = ["role", "mode"].into_iter().find_map(|name| hello.get(name));
    let text = named.and_then(|value| redis::from_redis_value_ref::<String>(value).ok());
    text.unwrap_or_else(|| "unknown".to_owned())
}

fn is_busy(error: &RedisError) -> bool {
    error.code() == Some("BUSY")
}

/// For an answer on a connection that has been replaced meanwhile.
fn replaced() -> Failure {
    Failure::Answered(std::io::Error::from(std::io::ErrorKind::NotConnected).into())
}

/// One line in the log when it begins, one when it is over.
#[derive(Debug, Default)]
struct Outage {
    is_logged: bool,
}

impl Outage {
    fn begins(&mut self, failure: &Failure) {
        let error = failure.clone().into_backend_error();
        let error = &error as &dyn std::error::Error;
        if std::mem::replace(&mut self.is_logged, true) {
            tracing::debug!(error, "redis unavailable, connecting again");
        } else {
            tracing::warn!(
                error,
                "redis unavailable, reads bypass the cache, connecting again with backoff"
            );
        }
    }

    fn ends(&mut self) {
        if std::mem::take(&mut self.is_logged) {
            tracing::info!("redis available again");
        }
    }
}
