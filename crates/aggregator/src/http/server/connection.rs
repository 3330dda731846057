//! One connection: its handshake, its requests in turn, and its end.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connections::Activity;
use super::stall::WriteStall;
use super::tls::{Accepted, Tls};
use super::{ServerLimits, exchange};

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

pub(super) struct Connection {
    pub(super) router: Router,
    pub(super) limits: ServerLimits,
    pub(super) activity: Arc<Activity>,
    pub(super) stop: CancellationToken,
}

impl Connection {
    pub(super) async fn serve(self, stream: TcpStream, tls: Option<Tls>) {
        // Small answers must not wait for the acknowledgement of the previous one.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
        let mut first_head = pin!(sleep(self.limits.first_head));
        let stream = WriteStall::new(stream, self.limits.write_stall);
        let is_writing = stream.is_waiting();
        let Some(tls) = tls else {
            return self.exchange(stream, &is_writing, first_head).await;
        };
        let accepted = tokio::select! {
            accepted = tls.accept(stream) => accepted,
            () = self.stop.cancelled() => return,
            () = self.activity.evicted() => return,
            () = first_head.as_mut() => {
                tracing::debug!("closed a connection without a handshake of TLS");
                return;
            }
        };
        match accepted {
            Ok(Accepted::Tls(stream)) => self.exchange(*stream, &is_writing, first_head).await,
            Ok(Accepted::Plain(stream)) => {
                self.activity.leaves_body_unread();
                self.close(stream).await;
            }
            Err(error) => tracing::debug!(%error, "handshake of TLS failed"),
        }
    }

    /// Answers requests until the connection ends.
    async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        stream: S,
        is_writing: &AtomicBool,
        first_head: Pin<&mut Sleep>,
    ) {
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
            () = self.missed(first_head) => {
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
    async fn missed(&self, first_head: Pin<&mut Sleep>) {
        first_head.await;
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
    async fn close(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
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
