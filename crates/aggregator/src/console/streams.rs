//! Streams of server-sent events: parts of pages, made once a second and shared by all who look.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::console::failure::Failure;

/// Streams at a time, of all pages together. Each holds a connection.
pub(super) const STREAMS_MAX: usize = 32;
/// How long a stream lasts. The page then opens another one, and its session is checked again.
const STREAM_LIFETIME: Duration = Duration::from_secs(600);
/// When one more may be tried.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// A part of a page that changes. Readers that are slow miss versions and hold none.
#[derive(Debug)]
pub(super) struct Live {
    part: watch::Sender<Arc<str>>,
}

impl Default for Live {
    fn default() -> Self {
        Self { part: watch::Sender::new(Arc::from("")) }
    }
}

impl Live {
    /// Whether anybody reads it.
    pub(super) fn is_watched(&self) -> bool {
        self.part.receiver_count() > 0
    }

    /// Sends a new version to everybody, unless it is the same.
    pub(super) fn send(&self, part: String) {
        self.part.send_if_modified(|sent| {
            let is_new = **sent != *part;
            if is_new {
                *sent = part.into();
            }
            is_new
        });
    }
}

/// The streams that are open.
#[derive(Debug)]
pub(super) struct Streams {
    free: Arc<Semaphore>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }
}

impl Streams {
    /// A stream of the versions of this part, the first at once, until `stop` fires, or for
    /// [`STREAM_LIFETIME`].
    pub(super) fn open(&self, live: &Live, stop: CancellationToken) -> Result<Response, Failure> {
        const DETAIL: &str =
            "too many pages are kept current at a time; close some, or reload by hand";
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            return Err(Failure::busy(StatusCode::SERVICE_UNAVAILABLE, DETAIL, RETRY_AFTER));
        };
        let mut part = live.part.subscribe();
        part.mark_changed();
        let ends = sleep(STREAM_LIFETIME).deadline();
        let state = (part, stop, permit);
        let versions = stream::unfold(state, move |(mut part, stop, permit)| async move {
            loop {
                tokio::select! {
                    changed = part.changed() => changed.ok()?,
                    () = stop.cancelled() => return None,
                    () = sleep_until(ends) => return None,
                }
                let version = Arc::clone(&part.borrow_and_update());
                if !version.is_empty() {
                    let event = Event::default().data(&*version);
                    return Some((Ok::<_, Infallible>(event), (part, stop, permit)));
                }
            }
        });
        Ok(Sse::new(versions).keep_alive(KeepAlive::default()).into_response())
    }
}
