//! The page *Teacher*: their batches as the database has them, beside what the cache answers now.

use std::error::Error;
use std::sync::Arc;

use api_types::Comparison;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use database::Version;
use freshset::Source;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use projection::UserId;
use serde_json::Value;
use tokio::time::timeout;

use crate::answers::{first_page, load_page};
use crate::cache::{AnswerOwner, ReadError};
use crate::console::access::{Action, Posted, Session};
use crate::console::audit_log;
use crate::console::failure::Failure;
use crate::console::fields::Fields;
use crate::console::json::{self, Difference, Table};
use crate::console::page::{Frame, rendered};
use crate::console::state::Console;
use crate::console::units;

/// Differences that are shown.
const DIFFERENCES_MAX: usize = 50;

/// Columns of the table of batches that stand first.
const BATCH_COLUMNS: [&str; 6] = [
    "batch_id",
    "overall_status",
    "essay_count",
    "completed_essay_count",
    "failed_essay_count",
    "created_at",
];
/// Cached answers that are shown. Each is compared with the database, which costs a read.
const ENTRIES_MAX: usize = 20;

#[derive(Template)]
#[template(path = "teacher.html")]
struct TeacherPage {
    frame: Frame,
    id: String,
    done: Option<String>,
    found: Option<Found>,
}

/// What is cached for the teacher.
enum Entries {
    Unavailable,
    Listed(Vec<EntryRow>),
}

struct EntryRow {
    key: String,
    size: String,
    expires_in: String,
    is_unindexed: bool,
    comparison: &'static str,
    is_stale: bool,
}

struct Found {
    entries: Entries,
    total: u64,
    batches: Table,
    /// How the cache answered the same question just before.
    cached: &'static str,
    is_hit: bool,
    differences: Vec<Difference>,
    cached_text: String,
    database_text: String,
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    session: Session,
    fields: Fields,
) -> Result<Response, Failure> {
    let frame = Frame::new(&console, &session, "Teacher");
    let Some(text) = fields.word("id") else {
        return rendered(&TeacherPage { frame, id: String::new(), done: None, found: None });
    };
    let found = find(&console, user_id(text)?).await?;
    let done = fields.word("invalidated").and_then(|entries| entries.parse::<u64>().ok());
    let done = done.map(|entries| format!("Invalidated: {entries} entries, in every process."));
    rendered(&TeacherPage { frame, id: text.to_owned(), done, found: Some(found) })
}

fn user_id(text: &str) -> Result<UserId, Failure> {
    let id = UserId::parse(text.to_owned());
    id.map_err(|error| Failure::bad_request(format!("the id of a teacher: {error}")))
}

async fn find(console: &Console, user_id: UserId) -> Result<Found, Failure> {
    let parts = &console.parts;
    let query = first_page(user_id);
    // Before this page asks for one, which fills the cache.
    let entries = timeout(parts.read_timeout, entries(console, &query.user_id)).await;
    let entries = entries.map_err(|_| Failure::timed_out())??;
    let load = || load_page(&*parts.repository, parts.cache.status_values(), &query);
    // The cache first: what changes in between is then in the database alone, and not the other way.
    let cached =
        timeout(parts.read_timeout, parts.cache.user_batches(&query, Version::default(), load))
            .await;
    let cached = cached.map_err(|_| Failure::timed_out())?;
    let cached = cached.map_err(|error| failure(&error))?;
    let database = console.within(load()).await?;
    let [cached_json, database_json]: [Value; 2] = [&cached.body[..], &database.body[..]]
        .map(|json| serde_json::from_slice(json).unwrap_or_default());
    let mut batches = database_json["batches"].as_array().cloned().unwrap_or_default();
    for batch in batches.iter_mut().filter_map(Value::as_object_mut) {
        batch.remove("essays");
        batch.remove("user_id");
    }
    Ok(Found {
        entries,
        total: database_json["pagination"]["total"].as_u64().unwrap_or(0),
        batches: Table::of(&batches, &BATCH_COLUMNS),
        cached: match cached.source {
            Source::Hit => "a hit",
            Source::Bypass(_) => "not used: it is unavailable, or an invalidation is not confirmed",
            _ => "a miss: it was loaded for this page",
        },
        is_hit: cached.source == Source::Hit,
        differences: json::differences(&cached_json, &database_json, DIFFERENCES_MAX),
        cached_text: serde_json::to_string_pretty(&cached_json).unwrap_or_default(),
        database_text: serde_json::to_string_pretty(&database_json).unwrap_or_default(),
    })
}

async fn entries(console: &Console, user_id: &UserId) -> Result<Entries, Failure> {
    let owner = AnswerOwner::User(user_id.clone());
    let cached = match console.parts.cache.cached_answers(&owner, ENTRIES_MAX, Vec::new()).await {
        Ok(cached) => cached,
        Err(error) => {
            let cause = &error as &dyn Error;
            tracing::warn!(error = cause, "cached answers not listed for the console");
            return Ok(Entries::Unavailable);
        }
    };
    let parts = &console.parts;
    let compared = parts.cache.compare(&*parts.repository, &cached.answers).await;
    let compared = compared.map_err(|error| Failure::of_database(&error))?;
    let rows = cached.answers.iter().zip(compared).map(|(answer, comparison)| EntryRow {
        key: answer.name.key().to_owned(),
        size: units::bytes(answer.size_bytes as f64),
        expires_in: answer.remaining.map_or_else(
            || "unknown".to_owned(),
            |remaining| units::seconds(remaining.as_secs() as f64),
        ),
        is_unindexed: answer.is_indexed == Some(false),
        comparison: words(comparison),
        is_stale: comparison == Comparison::Stale,
    });
    Ok(Entries::Listed(rows.collect()))
}

/// What was found, for people.
fn words(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Same => "the same",
        Comparison::Stale => "another one",
        Comparison::Changed => "was changed just now",
        Comparison::Foreign => "not compared: of other settings",
    }
}

fn failure(error: &ReadError) -> Failure {
    match error.database_error() {
        Some(error) => Failure::of_database(error),
        None => {
            let cause = error as &dyn Error;
            tracing::error!(error = cause, "console page not made");
            Failure::internal()
        }
    }
}

/// Makes every cached list of the teacher unreadable, in every process.
pub(super) async fn invalidate(
    State(console): State<Arc<Console>>,
    Action(Posted { session, fields }): Action,
) -> Result<Response, Failure> {
    let id = user_id(fields.get("id"))?;
    audit_log::action(&session, "invalidate", "the cached lists of one teacher");
    let invalidated = console.parts.cache.invalidate_user_batches(&id);
    let invalidated = timeout(console.parts.write_timeout, invalidated).await;
    let invalidated = match invalidated {
        Ok(Ok(invalidated)) => invalidated,
        Ok(Err(error)) => {
            let cause = &error as &dyn Error;
            tracing::warn!(error = cause, "invalidation of the console not confirmed");
            return Err(Failure::not_invalidated());
        }
        Err(_) => return Err(Failure::not_invalidated()),
    };
    let id = utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC);
    let path = format!("/console/teacher?id={id}&invalidated={}", invalidated.entries);
    Ok(Redirect::to(&path).into_response())
}
