//! The HTTP server: takes connections within limits, and stops without cutting an answer short.
//!
//! HTTP/1.1 only. Its callers keep a few connections alive and send one request at a time; HTTP/2
//! would add streams, each of which needs limits of its own. TLS ends before this process.

mod stall;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::stall::WriteStall;

/// Connections at a time. Each takes a file descriptor, of which a process commonly has 1,024, and
/// the databases need some; the services that call keep tens.
pub const CONNECTIONS_MAX: usize = 900;
/// How long a client may take for the head of a request, and how long a connection may be idle:
/// both are one wait for the next head. Longer than the 15 s for which common clients keep an idle
/// connection, so that the client closes first and never sends into a closed one.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take no byte of an answer that waits for it.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer under way may take after the stop. Longer than a read may take, shorter than
/// the half minute after which supervisors commonly kill.
pub const GRACE: Duration = Duration::from_secs(15);
/// Largest head of a request in bytes. The longest sensible one, an id of 255 escaped bytes with a
/// full filter and its headers, is under 4 KiB.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Pause after the system could not give a connection, most likely for want of descriptors: time
/// for some to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The limits that tests shorten.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// See [`CONNECTIONS_MAX`]. Those above it wait in the system's queue.
    pub connections: usize,
    /// See [`HEAD_TIMEOUT`].
    pub head: Duration,
    /// See [`WRITE_STALL_TIMEOUT`].
    pub write_stall: Duration,
    /// See [`GRACE`].
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS_MAX,
            head: HEAD_TIMEOUT,
            write_stall: WRITE_STALL_TIMEOUT,
            grace: GRACE,
        }
    }
}

/// Serves until `stop`, then finishes the answers under way and returns.
///
/// After `stop` no connection is taken and idle ones are closed; a connection that is busy ends
/// with its answer, or is closed after [`ServerLimits::grace`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    while let Some((stream, place)) = next(&listener, &places, &stop).await {
        let connection = Connection { router: router.clone(), limits, stop: stop.clone() };
        connections.spawn(connection.serve(stream, place));
        // A set keeps what has ended until it is asked.
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    tracing::debug!(open = connections.len(), "stopped listening");
    while connections.join_next().await.is_some() {}
}

/// The next connection and its place among the others. None: time to stop.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let taken = async {
        // The place first: a connection above the limit stays in the system's queue.
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        Some((accept(listener).await, place))
    };
    stop.run_until_cancelled(taken).await.flatten()
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client gave up while it was queued.
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

struct Connection {
    router: Router,
    limits: ServerLimits,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream, _place: OwnedSemaphorePermit) {
        // Small answers must not wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set TCP_NODELAY");
        }
        let stream = TokioIo::new(WriteStall::new(stream, self.limits.write_stall));
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.head)
                .max_header_size(HEAD_BYTES_MAX)
                .serve_connection(stream, TowerToHyperService::new(self.router))
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => Ok(ended),
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(self.limits.grace, connection).await
            }
        };
        match ended {
            Ok(Ok(())) => {}
            // Of the client, its network, or a limit above: nothing for us to mend.
            Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
            Err(_) => {
                let grace_ms = self.limits.grace.as_millis();
                tracing::warn!(grace_ms, "closed a connection that was still busy after the stop");
            }
        }
    }
}
