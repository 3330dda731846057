//! One request and its answer on a connection: what the router does not see of it.
//!
//! A refusal often comes before the body was read. What is left of a small body is read and thrown
//! away, so that the next request on the connection is understood; for a larger one the answer says
//! that the connection is closed.

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

/// The longest rest of a body that is read for the sake of the next request.
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
    // A client that waits to be told to send its body was not told, and need not send it.
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

    /// Reads what is left, if it is not much. Whether that was all.
    async fn read_rest(&self) -> bool {
        let announced = self.lock().body.size_hint().exact();
        if announced.is_some_and(|bytes| bytes > REST_BYTES_MAX as u64) {
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

/// The body of an answer. The connection is busy until it was taken.
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
