//! The page *Batch*: its state and its essays as clients see them, and the documents of the database, which
//! have every fact with the event that it came from.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use projection::BatchId;
use serde::Serialize;
use serde_json::Value;

use crate::console::access::Session;
use crate::console::failure::Failure;
use crate::console::fields::Fields;
use crate::console::json::{self, Field, Table};
use crate::console::page::{Frame, rendered};
use crate::console::state::Console;

/// Essays on the page; a batch may have ten thousand.
const ESSAYS_MAX: usize = 200;

/// Columns of the table of essays that stand first.
const ESSAY_COLUMNS: [&str; 6] =
    ["essay_id", "filename", "spellcheck_status", "cj_assessment_status", "cj_rank", "cj_score"];

#[derive(Template)]
#[template(path = "batch.html")]
struct BatchPage {
    frame: Frame,
    id: String,
    found: Option<Found>,
}

struct Found {
    user_id: String,
    fields: Vec<Field>,
    essays: Table,
    essays_left_out: usize,
    document: String,
    essay_documents: Vec<(String, String)>,
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    session: Session,
    fields: Fields,
) -> Result<Response, Failure> {
    let frame = Frame::new(&console, &session, "Batch");
    let Some(text) = fields.word("id") else {
        return rendered(&BatchPage { frame, id: String::new(), found: None });
    };
    let id = BatchId::parse(text.to_owned());
    let id = id.map_err(|error| Failure::bad_request(format!("the id of a batch: {error}")))?;
    let found = console.within(console.parts.repository.batch(&id)).await?;
    let found = found.map(|found| {
        let status = console.parts.cache.status_values().status_json(&found.batch, &found.essays);
        let mut status: Value = serde_json::from_slice(&status).unwrap_or_default();
        let essays = status.get_mut("essays").map(Value::take).unwrap_or_default();
        let essays = essays.as_array().cloned().unwrap_or_default();
        let essays_left_out = essays.len().saturating_sub(ESSAYS_MAX);
        let shown = &essays[..essays.len() - essays_left_out];
        let documents = found.essays.iter().take(ESSAYS_MAX);
        Found {
            user_id: found.batch.user_id().map(ToString::to_string).unwrap_or_default(),
            fields: json::fields(&status),
            essays: Table::of(shown, &ESSAY_COLUMNS),
            essays_left_out,
            document: pretty(&found.batch),
            essay_documents: documents.map(|essay| (essay.id.to_string(), pretty(essay))).collect(),
        }
    });
    rendered(&BatchPage { frame, id: text.to_owned(), found })
}

fn pretty(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).unwrap_or_default()
}
