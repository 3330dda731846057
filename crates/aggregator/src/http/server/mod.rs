//! The HTTP server: accepts connections within limits, and stops without truncating an answer.
//!
//! HTTP/1.1 only. Its callers keep a few connections alive and send one request at a time; HTTP/2
//! would add streams, each of which needs limits of its own.

mod connection;
mod connections;
mod exchange;
mod stall;
pub mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::connection::Connection;
use self::connections::{Activity, Connections};
use self::tls::Tls;
use crate::config::HttpConfig;

/// How long a client may take for the head of a later request, and how long a connection may be idle:
/// both are a wait for the next head. Longer than the 15 s for which common clients keep an idle
/// connection, so that the client closes first and never sends into a closed one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may wait for a client that reads none of it.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after `accept` failed, most likely for lack of file descriptors: time for some to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at a time: the setting `http.connections_max`. One above it evicts the oldest idle
    /// one; if none is idle, it waits.
    pub connections: usize,
    /// How long a new connection may take for the handshake of TLS and the head of its first request: the
    /// setting `http.head_timeout_seconds`.
    pub first_head: Duration,
    /// How long a later head may take.
    pub head: Duration,
    /// How long a write may wait.
    pub write_stall: Duration,
    /// How long answers under way may take after a stop: the setting `http.stop_grace_seconds`.
    pub drain_timeout: Duration,
}

impl From<&HttpConfig> for ServerLimits {
    fn from(config: &HttpConfig) -> Self {
        Self {
            connections: config.connections_max,
            first_head: config.head_timeout,
            head: HEAD_TIMEOUT,
            write_stall: WRITE_STALL_TIMEOUT,
            drain_timeout: config.stop_grace,
        }
    }
}

/// Serves until `stop`, then finishes the answers under way and returns. With `tls`, only over TLS.
///
/// After `stop` no connection is accepted and idle ones are closed; a busy connection ends with its
/// answer, or is closed after [`ServerLimits::drain_timeout`].
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    limits: ServerLimits,
    stop: CancellationToken,
) {
    let known = Connections::new(limits.connections);
    let mut connections = JoinSet::new();
    while let Some((stream, activity)) = next(&listener, &known, &stop).await {
        let connection =
            Connection { router: router.clone(), limits, activity, stop: stop.clone() };
        connections.spawn(connection.serve(stream, tls.clone()));
        // A set keeps finished tasks until they are joined.
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    tracing::debug!(open = connections.len(), "stopped listening");
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is room for it. None: the server stops.
async fn next(
    listener: &TcpListener,
    known: &Connections,
    stop: &CancellationToken,
) -> Option<(TcpStream, Arc<Activity>)> {
    let accepted = async {
        let stream = accept(listener).await;
        Some((stream, known.admit().await?))
    };
    tokio::select! {
        // First of all: at the end of a start the next server waits for the same connections.
        biased;
        () = stop.cancelled() => None,
        accepted = accepted => accepted,
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client disconnected while it was queued.
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "connection not accepted, retrying");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
