//! A stream that fails when the other side reads nothing for too long.
//!
//! Without it, a client that stops reading in the middle of an answer holds its connection, and the
//! memory of the answer, for any time. Reading is not limited here: a quiet connection is either idle,
//! which the server limits, or waits for an answer.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose writes must make progress.
pub(super) struct WriteStall<S> {
    stream: S,
    limit: Duration,
    /// Set while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: Arc<AtomicBool>,
}

impl<S> WriteStall<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, timer: None, is_waiting: Arc::default() }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Whether a write waits, to be read while the connection owns the stream.
    pub(super) fn is_waiting(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_waiting)
    }

    /// Passes on the result of a write, or an error once it has waited longer than the limit.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.is_waiting.store(written.is_pending(), Ordering::Relaxed);
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        timer.as_mut().poll(context).map(|()| {
            let text = "the client read nothing of the answer in time";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteStall<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteStall<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::{advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn write_without_progress_fails_after_the_limit() {
        let (server, _client) = duplex(4);
        let mut server = WriteStall::new(server, LIMIT);
        let write = timeout(LIMIT + Duration::from_millis(1), server.write_all(b"more than four"));
        let error = write.await.expect("gives up at the limit").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_reader_with_progress_is_served_to_the_end() {
        let (server, mut client) = duplex(1);
        let mut server = WriteStall::new(server, LIMIT);
        let write = tokio::spawn(async move { server.write_all(b"12345").await });
        let mut taken = Vec::new();
        for _ in 0..5 {
            // Each wait is under the limit, all together are over it.
            advance(LIMIT * 2 / 3).await;
            taken.push(client.read_u8().await.unwrap());
        }
        write.await.unwrap().unwrap();
        assert_eq!(taken, b"12345");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connection_has_no_write_limit() {
        let (server, mut client) = duplex(4);
        let mut server = WriteStall::new(server, LIMIT);
        let read = tokio::spawn(async move { server.read_u8().await });
        advance(LIMIT * 10).await;
        client.write_u8(7).await.unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 7);
    }
}
