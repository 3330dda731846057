//! The HTTP server: takes connections within limits, and stops without cutting an answer short.
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

/// Connections at a time. Each takes a file descriptor, of which a process commonly has 1,024, and
/// the databases need some; the services that call keep tens.
pub const CONNECTIONS_MAX: usize = 900;
/// How long a new connection may take for the head of its first request. A client that connects has
/// something to ask.
pub const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take for the head of a later request, and how long a connection may be idle:
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
/// How much of a body that nobody reads is taken from a connection before it is closed, in bytes: the
/// largest that is allowed.
const UNREAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// So much of it at a time.
const UNREAD_PART_BYTES: usize = 16 * 1024;
/// How long that may take.
const UNREAD_TIME_MAX: Duration = Duration::from_secs(1);
/// Pause after the system could not give a connection, most likely for want of descriptors: time
/// for some to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The limits that tests shorten.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// See [`CONNECTIONS_MAX`]. One above it takes the place of the oldest idle one; if none is idle,
    /// it waits.
    pub connections: usize,
    /// See [`FIRST_HEAD_TIMEOUT`].
    pub first_head: Duration,
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
            first_head: FIRST_HEAD_TIMEOUT,
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
    let known = Connections::new(limits.connections);
    let mut connections = JoinSet::new();
    while let Some((stream, activity)) = next(&listener, &known, &stop).await {
        let connection =
            Connection { router: router.clone(), limits, activity, stop: stop.clone() };
        connections.spawn(connection.serve(stream));
        // A set keeps what has ended until it is asked.
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    tracing::debug!(open = connections.len(), "stopped listening");
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is room for it. None: time to stop.
async fn next(
    listener: &TcpListener,
    known: &Connections,
    stop: &CancellationToken,
) -> Option<(TcpStream, Arc<Activity>)> {
    let taken = async {
        let stream = accept(listener).await;
        Some((stream, known.join().await?))
    };
    tokio::select! {
        // First of all: at the end of a start the next server waits for the same connections.
        biased;
        () = stop.cancelled() => None,
        taken = taken => taken,
    }
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
    activity: Arc<Activity>,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Small answers must not wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set TCP_NODELAY");
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
            // Of the client, its network, or a limit above: nothing for us to mend.
            Err(error) => tracing::debug!(%error, "a connection ended early"),
        }
    }

    /// Waits until a new connection has taken too long to send the head of a request.
    async fn first_head_missed(&self) {
        sleep(self.limits.first_head).await;
        if self.activity.has_served() {
            std::future::pending().await
        }
    }

    /// Brings a connection to its end that was told to go: at once, if no answer is under way. None: it
    /// is to be closed as it is.
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
            // Evicted in the moment in which its next request came: that is answered first.
            tokio::select! {
                ended = rest.as_mut() => return Some(ended),
                () = self.stop.cancelled() => {}
            }
        }
        let ended = timeout(self.limits.grace, rest).await;
        ended
            .inspect_err(|_| {
                let grace_ms = self.limits.grace.as_millis();
                tracing::warn!(grace_ms, "closed a connection that was still busy after the stop");
            })
            .ok()
    }

    /// Closes a connection. If the client may still be sending a body that nobody reads, takes some of
    /// it first: closed at once, the system could take back the answer before the client sees it.
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
            tracing::debug!(%error, "close a connection");
        }
    }
}
