//! `/internal/v1/dead-dead_letters`: refused records are listed, shown, taken again and dropped.
//!
//! For operators and their tools, in every mode: nobody else can open the database of an embedded
//! server. To take one again is the way that every record takes; see [`IngestPipeline::replay`].

mod parameters;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use api_types::{DeadLetterList, DiscardOutcome, DiscardReport, ReplayOutcome, ReplayReport};
use axum::Json;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Serialize;

use super::events::reason;
use super::memory::BodyMemory;
use super::write_limits::WriteLimits;
use crate::apply::ApplyOutcome;
use crate::http::deadline::Deadline;
use crate::http::problem::{Problem, ProblemCode};
use crate::ingest::{IngestPipeline, RecordOutcome};
use database::{
    DbError, DeadLetterId, DeadLetterPage, DeadLetterQuery, DeadLetterRepository, DeadLetterSummary,
};

/// What the routes need.
#[derive(Clone)]
pub struct DeadLettersState {
    /// Takes dead letters again.
    pub intake: IngestPipeline,
    /// Where dead letters are.
    pub dead_letters: Arc<dyn DeadLetterRepository>,
    /// Limits of requests that write, shared with those for events.
    pub writes: WriteLimits,
    /// Memory for dead letters that are shown.
    pub memory: BodyMemory,
    /// How long any other request may take.
    pub read_timeout: Duration,
}

impl DeadLettersState {
    /// What the database answers within the time limit of a request that does not write events.
    async fn ask<T>(
        &self,
        deadline: Deadline,
        question: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, Problem> {
        const DETAIL: &str = "the database took too long; the same request can succeed later";
        let answer = deadline.limit(question, DETAIL).await?;
        answer.map_err(|error| store_problem(&error))
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.read_timeout)
    }
}

/// The routes, relative to `/internal/v1`.
pub fn router(state: DeadLettersState) -> Router {
    Router::new()
        .route("/dead-letters", get(list))
        .route("/dead-letters/{id}", get(show).delete(drop_one))
        .route("/dead-letters/{id}/replay", post(replay))
        .with_state(state)
}

/// What a client is told whose replay did not come to its end in time.
const NOT_REPLAYED: &str = "the dead letter may be applied and is still kept; replay it again";

type Id = Result<Path<String>, PathRejection>;

async fn list(
    State(state): State<DeadLettersState>,
    RawQuery(sent): RawQuery,
) -> Result<Response, Problem> {
    let mut query = parameters::query(&sent.unwrap_or_default())?;
    let limit = query.limit as usize;
    // One more than is shown tells whether there are more.
    query.limit += 1;
    let found = state.dead_letters.dead_letters(&query);
    let DeadLetterPage { mut dead_letters, mut next_after } =
        state.ask(state.deadline(), found).await?;
    if dead_letters.len() > limit {
        dead_letters.truncate(limit);
        next_after = dead_letters.last().map(|dead_letter| dead_letter.id);
    }
    Ok(unkept(DeadLetterList {
        dead_letters: dead_letters.into_iter().map(summary).collect(),
        next_after: next_after.map(u64::from),
    }))
}

async fn show(State(state): State<DeadLettersState>, id: Id) -> Result<Response, Problem> {
    let id = dead_letter_id(id)?;
    let deadline = state.deadline();
    // How large it is, before it is in memory: as the database gives it, and as it is taken over.
    let query = DeadLetterQuery { after: id.previous(), limit: 1, ..DeadLetterQuery::default() };
    let page = state.ask(deadline, state.dead_letters.dead_letters(&query)).await?;
    let summary = page
        .dead_letters
        .into_iter()
        .find(|dead_letter| dead_letter.id == id)
        .ok_or_else(not_found)?;
    let bytes = usize::try_from(summary.size_bytes).unwrap_or(usize::MAX);
    let memory = state.memory.reserve(deadline, bytes.saturating_mul(2)).await?;
    let found = state.ask(deadline, state.dead_letters.dead_letter(id)).await?;
    whole::answer(found.ok_or_else(not_found)?, memory)
}

/// A dead letter as a list shows it.
fn summary(stored: DeadLetterSummary) -> api_types::DeadLetterSummary {
    api_types::DeadLetterSummary {
        id: stored.id.into(),
        source: stored.source,
        topic: stored.topic,
        partition: stored.partition,
        offset: stored.offset,
        size_bytes: stored.size_bytes,
        received_at: stored.received_at.to_string(),
        code: stored.code,
        detail: stored.detail,
        refused_at: stored.refused_at.to_string(),
    }
}

/// An answer that nobody on the way may keep: dead letters hold what was sent about persons.
fn unkept(body: impl Serialize) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

async fn replay(
    State(state): State<DeadLettersState>,
    id: Id,
) -> Result<Json<ReplayReport>, Problem> {
    let id = dead_letter_id(id)?;
    let intake = state.intake;
    let work = |stop| async move { intake.replay(id, &stop).await };
    let deadline = state.writes.deadline();
    let taken = state.writes.run(deadline, work, NOT_REPLAYED).await?.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, %id, "dead letter kept");
        Problem::unavailable(NOT_REPLAYED)
    })?;
    let Some(RecordOutcome { event_id, outcome }) = taken else {
        return Ok(Json(ReplayReport {
            outcome: ReplayOutcome::Gone,
            event_id: None,
            reason: None,
        }));
    };
    let (outcome, reason) = match outcome {
        ApplyOutcome::Applied => (ReplayOutcome::Applied, None),
        ApplyOutcome::Duplicate => (ReplayOutcome::Duplicate, None),
        ApplyOutcome::Refused(refusal) => (ReplayOutcome::Refused, Some(reason(refusal))),
    };
    Ok(Json(ReplayReport { outcome, event_id: event_id.map(|id| id.0), reason }))
}

async fn drop_one(
    State(state): State<DeadLettersState>,
    id: Id,
    RawQuery(sent): RawQuery,
) -> Result<Json<DiscardReport>, Problem> {
    let id = dead_letter_id(id)?;
    let refused_at = parameters::refused_at(&sent.unwrap_or_default())?;
    let deadline = state.deadline();
    let removal = state.dead_letters.delete_dead_letter(id, refused_at);
    if state.ask(deadline, removal).await? {
        return Ok(Json(DiscardReport { outcome: DiscardOutcome::Discarded }));
    }
    let is_there = refused_at.is_some()
        && state.ask(deadline, state.dead_letters.dead_letter(id)).await?.is_some();
    let outcome = if is_there { DiscardOutcome::Changed } else { DiscardOutcome::Gone };
    Ok(Json(DiscardReport { outcome }))
}

fn dead_letter_id(id: Id) -> Result<DeadLetterId, Problem> {
    let id = id.ok().and_then(|Path(text)| DeadLetterId::parse(&text));
    id.ok_or_else(|| Problem::invalid_parameter("id", "not a whole number from 1 on"))
}

fn not_found() -> Problem {
    Problem::new(
        ProblemCode::DeadLetterNotFound,
        "there is none with this id; it may have been replayed or dropped",
    )
}

fn store_problem(error: &DbError) -> Problem {
    Problem::of_failure(error, error.is_transient(), "dead letters")
}
