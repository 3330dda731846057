//! One request and its answer on a connection, outside of the router.
//!
//! A refusal is often sent before the body was read. The rest of a small body is read and ignored, so
//! that the connection can be used for the next request; for a larger one the answer says that the connection
//! is closed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::connections::{Activity, Busy};
use crate::http::well_formed::note_host;

/// Longest rest of a body that is read to keep the connection for the next request.
const REST_BYTES_MAX: usize = 64 * 1024;
/// How long it may take to arrive.
const REST_TIME_MAX: Duration = Duration::from_millis(500);

/// Answers one request.
pub(super) async fn answer(
    router: Router,
    activity: Arc<Activity>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let busy = activity.begin();
    note_host(&mut request);
    let waits_to_send = request.headers().contains_key(EXPECT);
    let (parts, body) = request.into_parts();
    let body = Lent::new(body);
    let request = Request::from_parts(parts, Body::new(body.clone()));
    let Ok(mut response) = router.oneshot(request).await;
    // A client that waits for 100 (Continue) has not got it, and need not send its body.
    if !body.is_over() && (waits_to_send || !body.read_rest().await) {
        activity.leaves_body_unread();
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Body::new(Answer { body, _busy: busy })))
}

/// A body that is lent to the router and looked at afterwards.
#[derive(Clone)]
struct Lent(Arc<Mutex<Read>>);

struct Read {
    body: Incoming,
    is_over: bool,
}

impl Lent {
    fn new(body: Incoming) -> Self {
        let is_over = body.is_end_stream();
        Self(Arc::new(Mutex::new(Read { body, is_over })))
    }

    fn is_over(&self) -> bool {
        let read = self.lock();
        read.is_over || read.body.is_end_stream()
    }

    /// Reads the rest if it is short. Whether the body is complete then.
    async fn read_rest(&self) -> bool {
        let declared = self.lock().body.size_hint().exact();
        if declared.is_some_and(|bytes| bytes > REST_BYTES_MAX as u64) {
            return false;
        }
        let mut bytes_read = 0;
        let rest = async {
            while bytes_read <= REST_BYTES_MAX {
                let next = std::future::poll_fn(|context| self.lock().poll(context)).await;
                match next {
                    None => return true,
                    Some(Ok(frame)) => bytes_read += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) => return false,
                }
            }
            false
        };
        timeout(REST_TIME_MAX, rest).await.unwrap_or(false)
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let next = Pin::new(&mut self.body).poll_frame(context);
        self.is_over |= matches!(next, Poll::Ready(None));
        next
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.lock().poll(context)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}

/// The body of an answer. The connection is busy until it is sent.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
