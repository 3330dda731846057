//! One dead letter: why it was refused, its bytes around the error, and what to do with it.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use database::{DeadLetterId, DeadLetterSummary};
use projection::{EventKind, Refusal, RefusalCode, Timestamp, decode, locate};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::excerpt::Excerpt;
use crate::apply::{ApplyOutcome, ProcessError};
use crate::console::access::{Action, Posted, Session};
use crate::console::audit_log;
use crate::console::failure::Failure;
use crate::console::fields::Fields;
use crate::console::page::{Frame, rendered};
use crate::console::state::Console;
use crate::ingest::{IngestPipeline, RecordOutcome};

/// How long a replay goes on, also after its page was answered.
const REPLAY_MAX: Duration = Duration::from_secs(60);
/// A replay was refused again, and a discarded one was meanwhile: both are still there.
const REFUSED: &str = "refused";
const CHANGED: &str = "changed";

#[derive(Template)]
#[template(path = "dead_letter.html")]
struct DeadLetterPage {
    frame: Frame,
    done: Option<&'static str>,
    summary: DeadLetterSummary,
    refused_today: Option<Refusal>,
    key: Option<String>,
    headers: Vec<(String, String)>,
    excerpt: Excerpt,
}

/// What a page says after an action, by the word in its address.
pub(super) fn outcome_text(done: &str) -> Option<&'static str> {
    Some(match done {
        "applied" => "Replayed: the event is applied, and every new read shows it.",
        "duplicate" => "Replayed: the event had been applied before. The dead letter is removed.",
        "refused" => "Replayed: the record was refused again, and stays.",
        "gone" => "This dead letter was replayed or discarded meanwhile.",
        "discarded" => "Discarded.",
        "changed" => {
            "Not discarded: it was refused again since this page was made. Look at it first."
        }
        _ => return None,
    })
}

/// Shows one.
pub(in crate::console) async fn show(
    State(console): State<Arc<Console>>,
    session: Session,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, Failure> {
    let id = parse(&id)?;
    // Records may be large, and each page holds one.
    let _permit = console.whole_record().await?;
    let found = console.within(console.parts.repository.dead_letter(id)).await?;
    let Some(found) = found else {
        return Err(Failure::not_found(
            "there is no dead letter with this id; it may have been replayed or discarded",
        ));
    };
    let topic = found.summary.topic.as_deref().and_then(EventKind::from_topic);
    let code = RefusalCode::parse(&found.summary.code).unwrap_or(RefusalCode::Unstorable);
    let place = locate(&found.bytes, topic, code);
    rendered(&DeadLetterPage {
        frame: Frame::new(&console, &session, "Dead letters"),
        done: outcome_text(fields.get("done")),
        refused_today: decode(&found.bytes, topic, found.summary.received_at).err(),
        key: found.key.as_deref().map(super::excerpt::visible),
        headers: found
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), super::excerpt::visible(value)))
            .collect(),
        excerpt: Excerpt::of(&found.bytes, place),
        summary: found.summary,
    })
}

/// Replays one.
pub(in crate::console) async fn replay(
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
    Action(Posted { session, .. }): Action,
) -> Result<Response, Failure> {
    let id = parse(&id)?;
    audit_log::action(&session, "replay", format_args!("dead letter {id}"));
    let replayed = replay_one(&console, id).await;
    let outcome = replayed.as_ref().map_or("failed", |outcome| outcome.unwrap_or("gone"));
    audit_log::ended(&session, "replay", outcome);
    Ok(match replayed?.unwrap_or("gone") {
        REFUSED => to_one(id, REFUSED),
        outcome => to_list(outcome),
    })
}

/// Replays one. What became of it; none: it was gone.
async fn replay_one(console: &Console, id: DeadLetterId) -> Result<Option<&'static str>, Failure> {
    // In a task of its own: a browser that leaves must not end it between commit and invalidation.
    let pipeline = console.parts.job_tools.pipeline.clone();
    let replay = replay_within(pipeline, id, console.stop.child_token());
    let replay = tokio::spawn(replay.in_current_span());
    let outcome = match timeout(console.parts.write_timeout, replay).await {
        Ok(Ok(Ok(outcome))) => outcome,
        Ok(Ok(Err(error))) => {
            let cause = &error as &dyn Error;
            tracing::warn!(error = cause, %id, "dead letter not replayed, kept");
            return Err(Failure::not_replayed());
        }
        Ok(Err(_)) | Err(_) => return Err(Failure::not_replayed()),
    };
    Ok(outcome.map(|record| match record.outcome {
        ApplyOutcome::Refused(_) => REFUSED,
        ApplyOutcome::Applied => "applied",
        ApplyOutcome::Duplicate => "duplicate",
    }))
}

/// Replays, and gives up after [`REPLAY_MAX`].
async fn replay_within(
    pipeline: IngestPipeline,
    id: DeadLetterId,
    stop: CancellationToken,
) -> Result<Option<RecordOutcome>, ProcessError> {
    let mut replay = pin!(pipeline.replay(id, &stop));
    tokio::select! {
        outcome = &mut replay => return outcome,
        () = sleep(REPLAY_MAX) => stop.cancel(),
    }
    replay.await
}

/// Discards one, if it is still what the page showed.
pub(in crate::console) async fn discard(
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
    Action(Posted { session, fields }): Action,
) -> Result<Response, Failure> {
    let id = parse(&id)?;
    let refused_at = Timestamp::parse(fields.get("refused_at"));
    let refused_at = refused_at.map_err(|_| Failure::bad_request("refused_at is no time"))?;
    audit_log::action(&session, "discard", format_args!("dead letter {id}"));
    let discarded = discard_one(&console, id, refused_at).await;
    audit_log::ended(&session, "discard", discarded.as_ref().map_or("failed", |outcome| outcome));
    Ok(match discarded? {
        CHANGED => to_one(id, CHANGED),
        outcome => to_list(outcome),
    })
}

/// Discards one. What became of it.
async fn discard_one(
    console: &Console,
    id: DeadLetterId,
    refused_at: Timestamp,
) -> Result<&'static str, Failure> {
    let repository = &console.parts.repository;
    if console.within(repository.delete_dead_letter(id, Some(refused_at))).await? {
        return Ok("discarded");
    }
    let is_there = console.within(repository.dead_letter(id)).await?.is_some();
    Ok(if is_there { CHANGED } else { "gone" })
}

fn parse(id: &str) -> Result<DeadLetterId, Failure> {
    DeadLetterId::parse(id).ok_or_else(|| Failure::bad_request("an id is a whole number from 1 on"))
}

fn to_list(done: &str) -> Response {
    Redirect::to(&format!("/console/dead-letters?done={done}")).into_response()
}

fn to_one(id: DeadLetterId, done: &str) -> Response {
    Redirect::to(&format!("/console/dead-letters/{id}?done={done}")).into_response()
}
