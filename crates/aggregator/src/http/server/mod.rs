//! The HTTP server: accepts connections within limits, and stops without truncating an answer.
//!
//! HTTP/1.1 only. Its callers keep a few connections alive and send one request at a time; HTTP/2
//! would add streams, each of which needs limits of its own. TLS ends before this process.

mod connections;
mod exchange;
mod stall;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::connections::{Activity, Connections};
use self::stall::WriteStall;
use crate::config::HttpConfig;

/// How long a client may take for the head of a later request, and how long a connection may be idle:
/// both are a wait for the next head. Longer than the 15 s for which common clients keep an idle
/// connection, so that the client closes first and never sends into a closed one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may wait for a client that reads none of it.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest head of a request in bytes. The longest sensible one, an id of 255 escaped bytes with a
/// full filter and its headers, is under 4 KiB.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How much of an unread body is read from a connection before it is closed, in bytes: the largest
/// body that is allowed.
const UNREAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How much of it is read at a time.
const UNREAD_PART_BYTES: usize = 16 * 1024;
/// How long that may take.
const UNREAD_TIME_MAX: Duration = Duration::from_secs(1);
/// Pause after `accept` failed, most likely for lack of file descriptors: time for some to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at a time: the setting `http.connections_max`. One above it evicts the oldest idle
    /// one; if none is idle, it waits.
    pub connections: usize,
    /// How long a new connection may take for the head of its first request: the setting
    /// `http.head_timeout_seconds`.
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

/// Serves until `stop`, then finishes the answers under way and returns.
///
/// After `stop` no connection is accepted and idle ones are closed; a busy connection ends with its
/// answer, or is closed after [`ServerLimits::drain_timeout`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    stop: CancellationToken,
) {
    let known = Connections::new(limits.connections);
    let mut connections = JoinSet::new();
    while let Some((stream, activity)) = next(&listener, &known, &stop).await {
        let connection =
            Connection { router: router.clone(), limits, activity, stop: stop.clone() };
        connections.spawn(connection.serve(stream));
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

struct Connection {
    router: Router,
    limits: ServerLimits,
    activity: Arc<Activity>,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Small answers must not wait for the acknowledgement of the previous one.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
        let stream = WriteStall::new(stream, self.limits.write_stall);
        let is_writing = stream.is_waiting();
        let exchange = |request| {
            Box::pin(exchange::answer(self.router.clone(), Arc::clone(&self.activity), request))
        };
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_header_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service_fn(exchange));
        let ended = tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => Some(ended),
            () = self.stop.cancelled() => None,
            () = self.activity.evicted() => None,
            () = self.first_head_missed() => {
                tracing::debug!("closed a connection that sent no request");
                return;
            }
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                let mut rest = pin!(poll_fn(|context| connection.poll_without_shutdown(context)));
                let is_answering = || self.activity.is_busy() || is_writing.load(Ordering::Relaxed);
                match self.finish(rest.as_mut(), is_answering).await {
                    Some(ended) => ended,
                    None => return,
                }
            }
        };
        match ended {
            Ok(()) => self.close(connection.into_parts().io.into_inner()).await,
            // Caused by the client, its network, or a limit above.
            Err(error) => tracing::debug!(%error, "connection ended early"),
        }
    }

    /// Waits until a new connection has taken too long to send the head of a request.
    async fn first_head_missed(&self) {
        sleep(self.limits.first_head).await;
        if self.activity.has_served() {
            std::future::pending().await
        }
    }

    /// Finishes an evicted or stopped connection: at once, if no answer is under way. None: it must be
    /// closed as it is.
    async fn finish<T>(
        &self,
        mut rest: Pin<&mut impl Future<Output = T>>,
        is_answering: impl Fn() -> bool,
    ) -> Option<T> {
        let once = poll_fn(|context| Poll::Ready(rest.as_mut().poll(context))).await;
        if let Poll::Ready(ended) = once {
            return Some(ended);
        }
        if !self.stop.is_cancelled() {
            if !is_answering() {
                return None;
            }
            // Evicted just as its next request came: that is answered first.
            tokio::select! {
                ended = rest.as_mut() => return Some(ended),
                () = self.stop.cancelled() => {}
            }
        }
        let ended = timeout(self.limits.drain_timeout, rest).await;
        ended
            .inspect_err(|_| {
                let drain_timeout_ms = self.limits.drain_timeout.as_millis();
                tracing::warn!(
                    drain_timeout_ms,
                    "closed a connection that was still busy after the stop"
                );
            })
            .ok()
    }

    /// Closes a connection. If the client may still be sending a body, some of it is read first: closed at
    /// once, the system could discard the answer before the client has read it.
    async fn close(&self, mut stream: WriteStall<TcpStream>) {
        let closing = async {
            stream.shutdown().await?;
            let mut unread = if self.activity.has_unread_body() { UNREAD_BYTES_MAX } else { 0 };
            let mut bytes = vec![0; UNREAD_PART_BYTES.min(unread)];
            while unread > 0 {
                match stream.read(&mut bytes).await? {
                    0 => break,
                    count => unread = unread.saturating_sub(count),
                }
            }
            io::Result::Ok(())
        };
        if let Ok(Err(error)) = timeout(UNREAD_TIME_MAX, closing).await {
            tracing::debug!(%error, "connection not closed cleanly");
        }
    }
}
