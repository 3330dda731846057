//! `GET /internal/v1/batches/user/{user_id}/changes`: a stream of the versions of a user's list, as
//! server-sent events.
//!
//! The first message has the current version, each further one a newer version. A client asks for the list
//! again when it is sent one, with `min_version`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse as _, Response, Sse};
use database::Version;
use futures_util::stream;
use projection::UserId;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, PartialSchema as _};

use crate::http::batches::{Segment, VERSION_RANGE, parse_id};
use crate::http::error;
use crate::http::openapi::parameters;
use crate::http::parameters::whole_number;
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::live_lists::{NoStream, Versions};

/// How often something is sent, so that a client and what is in between know that the stream is alive.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// How long a client is asked to wait before it opens a new stream.
const RETRY: Duration = Duration::from_secs(2);

/// The version that the client was sent last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks a proxy (nginx) not to hold messages back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Opens a stream.
#[utoipa::path(
    get,
    path = "/internal/v1/batches/user/{user_id}/changes",
    operation_id = "user_changes",
    tag = "batches",
    summary = "The versions of a user's list, as server-sent events",
    description = "The first message has the current version, unless `Last-Event-ID` is that version. \
                   Each further one has a newer version; a client that is slow is sent the newest only. \
                   A message is `id: N`, `event: version`, `data: {\"version\":N}`. The stream ends after \
                   some minutes, and when the process stops; open a new one with `Last-Event-ID`.",
    params(ChangesParameters),
    responses((status = 200, description = "The stream", content_type = "text/event-stream",
        body = String, headers(
            ("Cache-Control" = String, description = "`no-store`"),
            ("X-Accel-Buffering" = String, description = "`no`")
        )))
)]
pub(super) async fn stream(
    State(state): State<Arc<ApiState>>,
    segment: Segment,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    const DETAIL: &str =
        "the version could not be read in time; the same request can succeed later";
    let user_id = parse_id("user_id", segment, UserId::parse)?;
    let known = last_event_id(&headers)?;
    let opening = state.live_lists.open(user_id, known);
    let versions = state.reads.deadline().limit(opening, DETAIL).await?;
    let versions = versions.map_err(|problem| match problem {
        NoStream::TooMany => Problem::too_many_streams(),
        NoStream::Database(error) => error::of_database(&error, "versions"),
    })?;
    let mut response = Sse::new(stream::unfold((versions, true), next_message))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT_INTERVAL))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// The next message, and the state of the stream after it.
async fn next_message(
    (mut versions, is_first): (Versions, bool),
) -> Option<(Result<Event, Infallible>, (Versions, bool))> {
    let message = if is_first {
        // Says nothing but that the stream is open, and when to open the next one.
        Event::default().retry(RETRY)
    } else {
        message(versions.next().await?)
    };
    Some((Ok(message), (versions, false)))
}

fn message(version: Version) -> Event {
    let data = format!("{{\"version\":{version}}}");
    Event::default().id(version.to_string()).event("version").data(data)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Version>, Problem> {
    const NAME: &str = "Last-Event-ID";
    let mut sent = headers.get_all(LAST_EVENT_ID).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(Problem::invalid_parameter(NAME, "is given more than once"));
    }
    let number = whole_number(NAME, value.to_str().unwrap_or_default(), VERSION_RANGE)?;
    Ok(Some(Version(number.unsigned_abs())))
}

/// What [`stream()`] takes.
struct ChangesParameters;

impl IntoParams for ChangesParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            parameters::path_id("user_id", UserId::schema(), parameters::USER_EXAMPLE),
            parameters::header("Last-Event-ID", "the version that the client was sent last"),
        ]
    }
}
